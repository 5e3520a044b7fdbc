// SPDX-License-Identifier: Apache-2.0

import Metering
import Redis
import TestSupport
import Testing

/// What follows the log: minutes, and the subjects of days.
@Suite(.timeLimit(.minutes(15))) struct VerifyFollowedTests {
    typealias Damage = VerifyIndexTests.Damage

    private static let day = "2026-11-21"
    private static let hour = noon / 3_600_000
    private static let seen = "subjects seen on 2026-11-21"

    static let damages: [Damage] = [
        Damage("SREM seen:day:\(day) ben", tells: "\(seen): ben: expected among them, found not"),
        Damage("DEL seen:day:\(day)", tells: "\(seen): ann: expected among them, found not there"),
        Damage(
            "SADD seen:day:\(day) ghost", tells: "\(seen): ghost: expected not among them, found"),
        Damage(
            "DEL minutes:\(hour - 1)",
            tells: "minutes of 2026-11-21T09:00:00Z: tokens of chat m: expected 4, found 0"),
        Damage(
            "DEL minutes:\(hour)",
            tells: "minutes of 2026-11-21T10:00:00Z: events of chat m: expected 1, found 0"),
        Damage("HSET minutes:\(hour) x y", tells: "a sum by hour or minute"),
        Damage(
            "DEL hours:\(day)",
            tells: "minutes of 2026-11-21T10:00:00Z: events of chat m: expected 0, found 1"),
    ]

    @Test func `Minutes are compared with hours, and who was seen with the day`() async throws {
        try await VerifyIndexTests.check(Self.damages) { _, history in
            _ = await history.bench.record([
                event("ann", ["tokens": 5]), event("ben", ["tokens": 4], at: noon - 1_800_000),
                event("ann", ["tokens": 3], at: noon - 9 * 3_600_000),
                event("cleo", ["tokens": 3], id: "x"),
            ])
            _ = try await history.bench.engine.reverse(ByteString("x"), reason: .empty)
        }
    }

    @Test func `Many subjects of a day are compared by their estimate`() async throws {
        try await withHistory { _, _, history in
            for start in stride(from: 0, to: 1_500, by: 500) {
                _ = await history.bench.record(
                    (start..<start + 500).map { event("s\($0)", ["tokens": 1]) })
                #expect(try await history.verify() == [])
            }
            let name = "t1:{default}:seen:day:\(Self.day)"
            for words in [["DEL", name], ["PFADD", name, "s1"]] {
                var change = RedisCommand("EVAL")
                change.append("return redis.call(unpack(ARGV))")
                change.append(0)
                for word in words { change.append(word) }
                _ = try await history.bench.client.send(change)
            }
            let found = try await history.verify().map(\.description)
            #expect(found == ["\(Self.seen): estimate: expected about 1500, found 1"])
        }
    }

    @Test func `Nothing differs as time goes on, and after a restore within an hour`() async throws
    {
        try await withHistory { _, redis, history in
            var random = SeededGenerator(21)
            for round in 0..<40 {
                let now = history.clock.now.milliseconds
                _ = await history.bench.record(
                    (0..<12).map { index in
                        event(
                            "s\(random.next() % 9)", ["tokens": 1], id: "r\(round)-\(index)",
                            at: now - Int(random.next() % 20_000_000))
                    })
                if round % 3 == 0 {
                    _ = try await history.bench.engine.reverse(
                        ByteString("r\(round)-1"), reason: .empty)
                }
                #expect(try await history.verify() == [])
                history.clock.advance(Int(random.next() % 6_000_000))
                if round % 5 == 0 { try await history.bench.closer.closeDays() }
                guard round % 13 == 12 else { continue }
                try await history.flushing.flush()
                try redis.request("FLUSHALL")
                _ = try await history.restore()
            }
        }
    }
}
