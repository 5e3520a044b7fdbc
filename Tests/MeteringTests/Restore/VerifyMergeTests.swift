// SPDX-License-Identifier: Apache-2.0

import Metering
import TestSupport
import Testing

/// Guests who were merged, and those of whom something was counted.
@Suite(.timeLimit(.minutes(15))) struct VerifyMergeTests {
    typealias Damage = VerifyIndexTests.Damage

    /// guest:1 is ann's, guest:2 and ben have counted, guest:3 has a grant only.
    static let damages: [Damage] = [
        Damage(
            "HSET merged guest:1 ghost",
            tells: "merged guest guest:1: its place among the guests of ghost: expected it"),
        Damage(
            "HSET merged guest:1 ben",
            tells: "guests of ann: user of guest:1: expected ann, found ben"),
        Damage(
            "HDEL merged guest:1", tells: "guests of ann: user of guest:1: expected ann, found none"
        ),
        Damage(
            "HSET merged guest:1 guest:2",
            tells: "guest:1: its user: expected a guest's, who is a user, found guest:2"),
        Damage(
            "HSET merged ben ann",
            tells: "ben: its user: expected a guest's, who is a user, found ann"),
        Damage(
            "HSET merged guest:2 ann",
            tells: "merged guest guest:2: tokens that are left: expected 0, found 4"),
        Damage(
            "HSET merged guest:2 ann",
            tells: "merged guest guest:2: events that are left: expected 0, found 1"),
        Damage(
            "HSET merged guest:3 ben",
            tells: "merged guest guest:3: balance that is left: expected 0, found 500000"),
        Damage("HDEL merges ann", tells: "guest:1: its place among the guests of ann: expected it"),
        Damage("HSET merges ann x", tells: "guests of ann: record: expected guests"),
        Damage("HDEL subjects ann", tells: "guest:1: record of ann: expected one, found none"),
        Damage("SREM guests guest:2", tells: "guest guest:2: its place in guests: expected it"),
        Damage("SREM guests guest:1", tells: "guest guest:1: its place in guests: expected it"),
        Damage(
            "SADD guests guest:9",
            tells: "guest guest:9: a place in guests: expected none, found one, without a record"),
        Damage(
            "SADD guests ben",
            tells: "guest ben: a place in guests: expected none, found one, of a user"),
    ]

    @Test func `Merged guests are compared with their users`() async throws {
        try await VerifyIndexTests.check(Self.damages) { _, history in
            let bench = history.bench
            _ = await bench.record([
                event("guest:1", ["tokens": 5]), event("guest:2", ["tokens": 4]),
                event("ben", ["tokens": 3]), event("ann", ["tokens": 2]),
            ])
            _ = try await bench.engine.setCreditPolicy(CreditPolicy())
            _ = try await bench.engine.decide(
                Decision(
                    .grant(id: ByteString("g"), expires: nil, priority: 0),
                    subject: subjectID("guest:3"), credits: 500_000))
            #expect(try await history.mergeAll("guest:1", into: "ann") == 1)
        }
    }

    @Test func `Nothing differs after merges, an erasure and a restore, and with cold days`()
        async throws
    {
        try await withHistory(hotDays: 2) { _, redis, history in
            let bench = history.bench
            while await !history.queries.isReady { await history.rest() }
            for day in 0..<14 {
                _ = await bench.record([
                    event(
                        "guest:1", ["tokens": 5], id: "a\(day)", at: history.clock.now.milliseconds),
                    event("guest:2", ["tokens": 4], at: history.clock.now.milliseconds),
                    event(
                        "guest:3", ["tokens": 1], id: "c\(day)", at: history.clock.now.milliseconds),
                    event("ann", ["tokens": 3], at: history.clock.now.milliseconds),
                ])
                try await bench.closer.closeDays()
                try await history.flushing.flush()
                #expect(try await history.verify() == [])
                history.clock.advance(RestoreBench.days)
            }
            #expect(try await history.mergeAll("guest:1", into: "ann") == 14)
            #expect(try await history.verify() == [])
            #expect(try await history.mergeAll("guest:2", into: "cleo") == 14)
            #expect(try await bench.engine.reverse(ByteString("a13"), reason: .empty) != nil)
            #expect(try await bench.engine.reverse(ByteString("c13"), reason: .empty) != nil)
            #expect(try await history.verify() == [])
            try await history.erase("ann")
            try await history.erase("guest:3")
            #expect(try await history.verify() == [])
            try await history.flushing.flush()
            #expect(try await history.verify() == [])
            try redis.request("FLUSHALL")
            _ = try await history.restore()
            #expect(try await history.verify() == [])
            _ = await bench.record(
                event("guest:4", ["tokens": 1], at: history.clock.now.milliseconds))
            #expect(try await history.mergeAll("guest:4", into: "cleo") == 1)
            #expect(try await history.verify() == [])
            await history.queries.stop()
        }
    }

    @Test func `Nothing differs while guests are counted, merged and erased`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let rounds = try await whileAnotherCounts(on: redis, host, seed: 9) {
                    _, other, number, random in
                    let guest = "guest:\(number)"
                    _ = await other.bench.record([
                        event(guest, ["tokens": 5], id: "m\(number)"),
                        event("u\(number % 3)", ["tokens": 1]),
                    ])
                    if number % 3 > 0 {
                        _ = try await other.mergeAll(guest, into: "u\(number % 3)")
                    }
                    try await other.live(number, &random)
                } _: { history in
                    for _ in 0..<6 {
                        try await history.flushing.flush()
                        #expect(try await history.verify() == [])
                    }
                }.rounds
                #expect(rounds > 6)
            }
        }
    }
}
