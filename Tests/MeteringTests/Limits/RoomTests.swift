// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import TestSupport
import Testing

/// When there is room again, and what a clock that goes back does to it.
@Suite(.timeLimit(.minutes(15))) struct RoomTests {
    @Test func `Who comes back when told to is allowed, and not a moment before`() async throws {
        try await withLimits(eachKind) { host, bench, redis in
            // Another engine, which remembers no denials of the first.
            let there = await Bench(redis.socketPath, on: host.loop, clock: bench.clock)
            var random = SeededGenerator(3)
            for round in 0..<120 {
                let limit = eachKind[round % eachKind.count]
                // Some of it, bit by bit, until it is denied.
                var denied: Verdict?
                var amount = 0
                while denied == nil {
                    bench.clock.advance(Int.random(in: 0...3_000, using: &random))
                    amount = Int.random(in: 1...5, using: &random)
                    let verdict = await bench.decide(consume("s", [limit.meter: amount])).verdict
                    if verdict?.status == .limitReached { denied = verdict }
                }
                guard limit.window != .lifetime else {
                    #expect(denied?.violated.first?.resetsAt == nil)
                    #expect(
                        await bench.decide(override(5 + round * 5, "s", of: "lifetime")).status
                            == .allowed)
                    continue
                }
                let at = try #require(denied?.violated.first?.resetsAt?.milliseconds)
                bench.clock.set(at - 1)
                let early = await there.decide(check("s", [limit.meter: amount]))
                #expect(early.status == .limitReached, "\(limit.name), \(round)")
                bench.clock.set(at)
                let due = await bench.decide(consume("s", [limit.meter: amount]))
                #expect(due.status == .allowed, "\(limit.name), \(round)")
            }
        }
    }

    @Test func `A clock that is set back frees nothing, across each boundary`() async throws {
        // Two seconds before a month ends, and with it a day, an hour and a minute.
        let end = try #require(Timestamp("2026-11-30T23:59:58Z")).milliseconds
        try await withLimits(eachKind, at: end) { host, bench, redis in
            let all = Dictionary(uniqueKeysWithValues: eachKind.map { ($0.meter, 5) })
            let one = all.mapValues { _ in 1 }
            bench.clock.advance(3_000)
            #expect(await bench.decide(consume("s", all)).status == .allowed)
            for back in [1, 999, 1_000, 1_001, 2_999, 3_000, 5_000] {
                bench.clock.set(end + 3_000 - back)
                for limit in eachKind {
                    let verdict = await bench.decide(consume("s", [limit.meter: 1])).verdict
                    #expect(verdict?.status == .limitReached, "\(limit.name), \(back)")
                    #expect(await bench.used(limit.name, by: "s") == 5, "\(limit.name), \(back)")
                }
                #expect(await bench.record(enforced("s", one)).refusal != nil)
            }
        }
    }

    @Test(arguments: ["UTC", "Europe/Berlin"])
    func `After a clock was set back, too, who comes back when told to is allowed`(zone: String)
        async throws
    {
        // With it end a month, a day, an hour and a minute; the month after it has another length.
        let end = try #require(WorkspaceCalendar(zone: zone)).start(
            of: try #require(CivilDay(year: 2026, month: 11, day: 1)))
        try await withLimits(eachKind, at: end * 1000, zone: zone) { host, bench, redis in
            // Another engine, which remembers no denials of the first.
            let calendar = try #require(WorkspaceCalendar(zone: zone))
            let there = await Bench(
                redis.socketPath, on: host.loop, clock: bench.clock,
                settings: WorkspaceSettings(calendar: calendar))
            for back in [1, 1_001, 3_000, 5_000, 20_000, 3_700_000, 90_000_000, 40 * 86_400_000] {
                for limit in eachKind where limit.window != .lifetime {
                    for seconds in [nil, 15, 100] {
                        let subject = "\(limit.name) \(back) \(seconds ?? 0)"
                        bench.clock.set(end * 1000 + 2_000)
                        let used = [limit.meter: seconds == nil ? 5 : 3]
                        #expect(await bench.decide(consume(subject, used)).status == .allowed)
                        if let seconds {
                            let kept = hold(subject, subject, [limit.meter: 2], seconds: seconds)
                            #expect(await bench.decide(kept).status == .allowed)
                        }
                        bench.clock.advance(-back)
                        let asked = check(subject, [limit.meter: 1])
                        let denied = await there.decide(asked).verdict
                        let at = try #require(denied?.violated.first?.resetsAt?.milliseconds)
                        bench.clock.set(at - 1)
                        #expect(await there.decide(asked).status == .limitReached, "\(subject)")
                        bench.clock.set(at)
                        #expect(await bench.decide(asked).status == .allowed, "\(subject)")
                    }
                }
            }
        }
    }

    @Test func `A denial is forgotten when the clock is set back`() async throws {
        try await withLimits([PlainLimit("t", "a", .lifetime, 5)]) { host, bench, redis in
            let there = await Bench(redis.socketPath, on: host.loop, clock: bench.clock)
            #expect(await bench.decide(consume("s", ["a": 6])).status == .limitReached)
            bench.clock.advance(-3_600_000)
            #expect(await there.decide(override(6, "s", of: "t")).status == .allowed)
            #expect(await bench.decide(consume("s", ["a": 6])).status == .allowed)
        }
    }

    @Test func `A look says what is used now, of all limits, also after a denial`() async throws {
        let limits = [PlainLimit("t", "a", .day, 5), PlainLimit("u", "b", .day, 5)]
        try await withLimits(limits) { host, bench, redis in
            _ = await bench.record(event("s", ["a": 6]))
            for used in 7...9 {
                #expect(await bench.decide(consume("s", ["a": 1])).status == .limitReached)
                _ = await bench.record(event("s", ["a": 1]))
                let look = await bench.decide(check("s", [:])).verdict
                #expect(look?.limits.map(\.used) == [used, 0])
            }
        }
    }

    @Test func `A hold that expires makes room once, by itself`() async throws {
        let limits = eachKind + [PlainLimit("concurrent", "i", .concurrent, 5)]
        try await withLimits(limits) { host, bench, redis in
            for limit in limits {
                let opened = await bench.decide(hold(limit.name, "s", [limit.meter: 5], seconds: 5))
                #expect(opened.status == .allowed)
                let again = hold(limit.name, "s", [limit.meter: 5], seconds: 9)
                #expect(await bench.decide(again).status == .repeated)
            }
            bench.clock.advance(4_999)
            for limit in limits {
                #expect(
                    await bench.decide(hold("x", "s", [limit.meter: 1])).status == .limitReached)
            }
            bench.clock.advance(1)
            for limit in limits {
                #expect(
                    await bench.decide(hold("y-\(limit.name)", "s", [limit.meter: 5])).status
                        == .allowed)
                #expect(
                    await bench.decide(hold("x", "s", [limit.meter: 1])).status == .limitReached)
                #expect(await bench.decide(release(limit.name, "s")).status == .holdEnded)
            }
        }
    }

    @Test func `Who waits for holds is told when enough of them expire, and not a moment before`()
        async throws
    {
        let limits = eachKind + [PlainLimit("concurrent", "i", .concurrent, 5)]
        try await withLimits(limits) { host, bench, redis in
            let there = await Bench(redis.socketPath, on: host.loop, clock: bench.clock)
            var random = SeededGenerator(5)
            var waits = 0
            for round in 0..<270 {
                let limit = limits[round % limits.count]
                let subject = "s\(round)"
                // Some of it is used, some held for seconds up to days.
                if limit.window != .concurrent, Bool.random(using: &random) {
                    let used = Int.random(in: 1...4, using: &random)
                    #expect(
                        await bench.decide(consume(subject, [limit.meter: used])).status == .allowed
                    )
                    bench.clock.advance(Int.random(in: 0...20_000, using: &random))
                }
                for number in 0..<4 {
                    let seconds = [
                        Int.random(in: 1...60, using: &random),
                        Int.random(in: 1...86_400, using: &random),
                    ][number % 2]
                    _ = await bench.decide(
                        hold(
                            "h\(round)-\(number)", subject,
                            [limit.meter: Int.random(in: 1...2, using: &random)], seconds: seconds))
                }
                let asked = [limit.meter: Int.random(in: 1...5, using: &random)]
                let denied = await there.decide(check(subject, asked)).verdict
                guard denied?.status == .limitReached else { continue }
                guard let at = denied?.violated.first?.resetsAt?.milliseconds else {
                    #expect(limit.window == .lifetime, "\(limit.name), \(round)")
                    bench.clock.advance(86_400_000)
                    #expect(await bench.decide(check(subject, asked)).status == .limitReached)
                    continue
                }
                waits += 1
                bench.clock.set(at - 1)
                let early = await there.decide(check(subject, asked))
                #expect(early.status == .limitReached, "\(limit.name), \(round)")
                bench.clock.set(at)
                let due = await bench.decide(hold("x\(round)", subject, asked))
                #expect(due.status == .allowed, "\(limit.name), \(round)")
            }
            #expect(waits > 100, "\(waits)")
        }
    }
}
