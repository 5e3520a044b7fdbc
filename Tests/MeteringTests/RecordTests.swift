// SPDX-License-Identifier: Apache-2.0

import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct RecordTests {
    @Test func `Each event of a batch gets the total right after it`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = await Bench(redis.socketPath, on: host.loop, clock: ManualClock(noon))
                let outcomes = await bench.record([
                    event("a", ["tokens": 5]), event("b", ["tokens": 7]),
                    event("a", ["tokens": 1, "files": 2]), event("a", ["files": 3]),
                ])
                #expect(outcomes.map { $0.total() } == [5, 7, 6, nil])
                let files = try #require(Meter(name: Array("files".utf8)))
                #expect(outcomes.map { $0.total(files) } == [nil, nil, 2, 5])
                #expect(Set(outcomes.compactMap { $0.counted?.id }).count == 4)
            }
        }
    }

    @Test(arguments: [1, 24, 24 * 30])
    func `An id that came before the clock was set back over midnight counts once`(
        hours: Int
    ) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                // Half an hour past midnight.
                let midnight = noon + 14 * 3_600_000
                let clock = ManualClock(midnight + 1_800_000)
                let bench = await Bench(redis.socketPath, on: host.loop, clock: clock)
                #expect(await bench.record(event("a", id: "1")).total() == 1)
                clock.set(midnight + 1_800_000 - hours * 3_600_000)
                #expect(await bench.record(event("a", id: "1")).duplicate != nil)
                // Nor does who knows of the day behind today from Redis only.
                let other = await Bench(redis.socketPath, on: host.loop, clock: clock)
                #expect(await other.record(event("a", id: "1")).duplicate != nil)
                #expect(await other.record(event("a", id: "2")).total() == 2)
                // What came meanwhile is remembered, too, where the window reaches it.
                clock.set(midnight + 1_800_000)
                let again = await bench.record(event("a", id: "2"))
                #expect((again.duplicate != nil) == (hours <= 48))
            }
        }
    }

    @Test func `The same id counts once and gets the first answer again`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = await Bench(redis.socketPath, on: host.loop, clock: ManualClock(noon))
                let long = String(repeating: "x", count: 256)
                let first = await bench.record([
                    event("a", ["tokens": 5], id: "1"), event("a", ["tokens": 6], id: long),
                    event("a", ["tokens": 7]),
                ])
                #expect(first.map { $0.total() } == [5, 11, 18])
                bench.clock.advance(1000)
                let again = await bench.record([
                    event("b", ["tokens": 1]), event("a", ["tokens": 6], id: long),
                    event("a", ["tokens": 5], id: "1"), event("a", ["tokens": 2], id: "2"),
                ])
                #expect(again[0].total() == 1)
                #expect(again[1].duplicate != nil && again[1].total() == 11)
                #expect(again[2].duplicate != nil && again[2].total() == 5)
                #expect(again[3].counted != nil && again[3].total() == 20)
                let usage = try #require(try await bench.engine.reader.subject(subjectID("a")))
                #expect(usage.totals.map(\.total) == [20])
                #expect(usage.eventCount == 4)
                // A repetition moves neither the last time nor the recent events.
                #expect(usage.recent.map(\.amounts[0].1) == [2, 7, 6, 5])
            }
        }
    }

    @Test func `Duplicates inside one batch count once`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = await Bench(redis.socketPath, on: host.loop, clock: ManualClock(noon))
                let outcomes = await bench.record(
                    (0..<20).map { event("a", ["tokens": 3], id: "id-\($0 % 2)") })
                #expect(outcomes.compactMap(\.counted).count == 2)
                #expect(outcomes.compactMap(\.duplicate).count == 18)
                #expect(outcomes.last?.total() == 6)
            }
        }
    }

    @Test func `An id used for another payload is refused`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = await Bench(redis.socketPath, on: host.loop, clock: ManualClock(noon))
                _ = await bench.record(event("a", ["tokens": 5], id: "1", at: noon))
                for other in [
                    event("b", ["tokens": 5], id: "1", at: noon),
                    event("a", ["tokens": 6], id: "1", at: noon),
                    event("a", ["tokens": 5, "x": 0], id: "1", at: noon),
                    event("a", ["tokens": 5], id: "1"),
                    event("a", ["tokens": 5], id: "1", at: noon + 1),
                    event("a", ["tokens": 5], id: "1", at: noon, action: "other"),
                    event("a", ["tokens": 5], id: "1", at: noon, model: "other"),
                ] {
                    #expect(await bench.record(other).code == "idempotency_key_reused")
                }
                #expect(await bench.record(event("a", ["tokens": 0])).total() == 5)
            }
        }
    }

    @Test func `A counter at the largest integer refuses one more and counts nothing of it`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = await Bench(redis.socketPath, on: host.loop, clock: ManualClock(noon))
                let most = 9_007_199_254_740_991
                #expect(
                    await bench.record(event("a", ["tokens": most - 1], model: "x")).total() == most
                        - 1)
                #expect(await bench.record(event("a", ["tokens": 1], model: "x")).total() == most)
                let before = try redis.fingerprint()
                let refused = await bench.record(event("a", ["tokens": 1, "files": 4]))
                #expect(refused.code == "counter_overflow")
                #expect(try redis.fingerprint() == before)
                // Beside others, only the one that does not fit is refused.
                let mixed = await bench.record([
                    event("b", ["files": 1], model: "y"), event("a", ["tokens": 1], model: "z"),
                    event("b", ["files": 2], model: "y"), event("a", ["tokens": 0], model: "z"),
                ])
                #expect(mixed.map { $0.code } == [nil, "counter_overflow", nil, nil])
                #expect(mixed[2].total(try #require(Meter(name: Array("files".utf8)))) == 3)
                #expect(mixed[3].total() == most)
            }
        }
    }

    @Test func `An id is known when the window was changed since, and forgotten after it`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let day = 86_400_000
                var benches: [Int: Bench] = [:]
                for hours in [1, 24, 48, 840] {
                    benches[hours] = await Bench(
                        redis.socketPath, on: host.loop, clock: clock,
                        settings: WorkspaceSettings(idempotencyHours: hours))
                }
                let again = event("a", ["tokens": 5], id: "1")
                #expect(await benches[48]?.record(again).counted != nil)
                for hours in [1, 24, 48, 840] {
                    #expect(await benches[hours]?.record(again).duplicate != nil)
                }
                clock.set(noon + 2 * day - 1)
                #expect(await benches[48]?.record(again).duplicate != nil)
                #expect(await benches[840]?.record(again).duplicate != nil)
                clock.set(noon + 4 * day)
                #expect(await benches[48]?.record(again).counted != nil)
            }
        }
    }
}
