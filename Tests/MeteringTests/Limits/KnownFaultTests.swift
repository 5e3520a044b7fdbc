// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import TestSupport
import Testing

/// Faults that other limiters were found to have.
@Suite(.timeLimit(.minutes(15))) struct KnownFaultTests {
    private static let most = 9_007_199_254_740_991
    private static let size = "HSTRLEN t1:{default}:accounts s"

    private static func bytes(_ redis: RedisServer) throws -> Int {
        let reply = try redis.request(size)
        return try #require(Int(reply.dropFirst().trimmingCRLF))
    }

    @Test func `What is kept of windows does not grow over years`() async throws {
        let limits =
            eachKind + [
                PlainLimit("second", "f", .rolling(1), 1_000_000),
                PlainLimit("long", "f", .rolling(31 * 86_400), 1_000_000),
            ]
        try await withLimits(limits) { host, bench, redis in
            let all = Dictionary(limits.map { ($0.meter, 1) }) { $1 }
            var random = SeededGenerator(7)
            var largest = 0
            for step in 0..<800 {
                _ = await bench.record([event("s", all), event("s", all)])
                // Seconds, hours and days, for four years.
                bench.clock.advance(
                    [1_100, 61_000, 3_700_000, 180_000_000][step % 4]
                        + Int.random(in: 0...1_000, using: &random))
                largest = max(largest, try Self.bytes(redis))
            }
            // Nine windows, and at most 62 buckets of 3 rolling ones.
            #expect(largest < 9 * 30 + 3 * 62 * 10, "\(largest)")
        }
    }

    @Test func `What is kept of limits that are no more goes with them`() async throws {
        try await withLimits([]) { host, bench, redis in
            var sizes: [Int] = []
            for round in 0..<12 {
                // Another period is another window, and starts anew.
                try await bench.setLimits([
                    PlainLimit("r", "a", .rolling(600 + round), 1_000_000),
                    PlainLimit("n\(round)", "a", .day, 1_000_000),
                ])
                for _ in 0..<20 {
                    _ = await bench.decide(consume("s", ["a": 1]))
                    bench.clock.advance(20_000)
                }
                _ = await bench.decide(override(1_000, "s", of: "n\(round)"))
                #expect(await bench.used("n\(round)", by: "s") == 20)
                sizes.append(try Self.bytes(redis))
            }
            #expect(try #require(sizes.max()) < 2 * sizes[1], "\(sizes)")
        }
    }

    @Test func `A large denied cost leaves a rate where it was`() async throws {
        try await withLimits(eachKind) { host, bench, redis in
            for limit in eachKind {
                _ = await bench.decide(consume("s", [limit.meter: 4]))
                for amount in [2, 6, 1_000_000, Self.most - 4, Self.most] {
                    for _ in 0..<3 {
                        let asked = [limit.meter: amount]
                        #expect(await bench.decide(consume("s", asked)).status == .limitReached)
                        #expect(await bench.record(enforced("s", asked)).refusal != nil)
                    }
                }
                #expect(await bench.decide(consume("s", [limit.meter: 1])).status == .allowed)
                #expect(await bench.decide(consume("s", [limit.meter: 1])).status == .limitReached)
                #expect(await bench.used(limit.name, by: "s") == 5)
            }
        }
    }

    @Test(arguments: [PlainLimit.Window.day, .lifetime, .rolling(60)])
    func `What would pass 2^53 in a window is refused, whoever takes it`(
        window: PlainLimit.Window
    ) async throws {
        try await withLimits([PlainLimit("t", "a", window, Self.most)]) { host, bench, redis in
            func used() async -> Int? { await bench.used("t", by: "s") }
            #expect(await bench.decide(consume("s", ["a": Self.most - 1])).status == .allowed)
            // In another bucket of a rolling window.
            bench.clock.advance(2_000)
            #expect(await bench.decide(hold("h", "s", ["a": 1, "c": 1])).status == .allowed)
            let before = try redis.fingerprint()
            let outcomes = await bench.record([
                event("s", ["a": 10], id: "e"), enforced("s", ["a": 10], id: "f"),
                event("s", ["b": 3, "a": 2], id: "g"),
            ])
            #expect(outcomes[0].code == "counter_overflow")
            #expect(outcomes[1].refusal?.status == .limitReached)
            #expect(outcomes[2].code == "counter_overflow")
            let settled = await bench.engine.settle(
                ByteString("h"), with: event("s", ["a": 2], id: "i"), .overflow, heldCredits: nil)
            #expect(settled.code == "counter_overflow")
            #expect(try redis.fingerprint() == before)
            #expect(await bench.record(event("s", ["a": 1], id: "e")).counted != nil)
            _ = try await bench.engine.reverse(ByteString("e"), reason: .empty)
            #expect(await bench.decide(release("h", "s")).status == .allowed)
            #expect(await used() == Self.most - 1)
            // What has left the window is in nobody's way.
            guard window != .lifetime else { return }
            bench.clock.advance(86_400_000)
            #expect(await bench.record(event("s", ["a": 10])).counted != nil)
            #expect(await used() == 10)
        }
    }

    @Test(arguments: [PlainLimit.Window.day, .lifetime, .rolling(60)])
    func `A guest is not merged whose windows would pass 2^53 beside the user's`(
        window: PlainLimit.Window
    ) async throws {
        let limit = PlainLimit("t", "a", window, Self.most, guest: Self.most)
        try await withLimits([limit]) { host, bench, redis in
            #expect(await bench.decide(consume("s", ["a": Self.most - 1])).status == .allowed)
            #expect(await bench.decide(consume("guest:g", ["a": 2])).status == .allowed)
            let before = try redis.fingerprint()
            #expect(try await bench.merge("guest:g", into: "s") == .tooLarge)
            #expect(try redis.fingerprint() == before)
        }
    }

    @Test(arguments: [most, most - 1, most - 2, most / 2 + 1])
    func `Large numbers keep every digit`(limit: Int) async throws {
        let limits: [PlainLimit] = [
            PlainLimit("day", "a", .day, limit), PlainLimit("lifetime", "b", .lifetime, limit),
            PlainLimit("rolling", "c", .rolling(60), limit),
            PlainLimit("month", "d", .month, limit),
        ]
        try await withLimits(limits) { host, bench, redis in
            for plain in limits {
                func take(_ amount: Int) async -> DecisionStatus? {
                    bench.clock.advance(1_001)
                    return await bench.decide(consume("s", [plain.meter: amount])).status
                }
                #expect(await take(limit - 3) == .allowed)
                #expect(await take(4) == .limitReached)
                #expect(await take(2) == .allowed)
                #expect(await bench.used(plain.name, by: "s") == limit - 1)
                #expect(await take(2) == .limitReached)
                #expect(await take(Self.most) == .limitReached)
                #expect(await take(1) == .allowed)
                #expect(await take(1) == .limitReached)
                #expect(await bench.used(plain.name, by: "s") == limit)
                #expect(await take(0) == .allowed)
                let verdict = await bench.decide(check("s", [plain.meter: Self.most])).verdict
                #expect(verdict?.state(plain.name)?.most == limit)
                #expect(verdict?.state(plain.name)?.used == limit)
                #expect(verdict?.state(plain.name)?.isViolated == true)
            }
        }
    }

    @Test func `The largest rate keeps every unit`() async throws {
        // The most that a rate of an hour may be: its level is counted in amounts times ms.
        let limit = Self.most / 3_600_000 / 2
        let limits = [PlainLimit("rate", "a", .rate(3_600, burst: nil), limit)]
        try await withLimits(limits) { host, bench, redis in
            func take(_ amount: Int) async -> DecisionStatus? {
                await bench.decide(consume("s", ["a": amount])).status
            }
            #expect(await take(limit - 1) == .allowed)
            #expect(await take(1) == .allowed)
            #expect(await take(1) == .limitReached)
            #expect(await bench.used("rate", by: "s") == limit)
            bench.clock.advance(1_800_000)
            #expect(await take(limit / 2 + 1) == .limitReached)
            bench.clock.advance(1_001)
            #expect(await bench.used("rate", by: "s") == limit - limit * 1_801_001 / 3_600_000)
        }
    }

    @Test func `A subject's own amount of a rate is as exact as that of its class`() async throws {
        let limits = [PlainLimit("rate", "a", .rate(3_600, burst: nil), 10)]
        try await withLimits(limits) { host, bench, redis in
            // Beyond what is counted exactly, as in the limit itself, it is refused.
            for own in [10_000_000_000, Self.most] {
                let outcome = await bench.decide(override(own, "s", of: "rate"))
                #expect(outcome.code == "out_of_range", "\(outcome)")
            }
            let own = Self.most / 3_600_000 / 2
            #expect(await bench.decide(override(own, "s", of: "rate")).status == .allowed)
            let half = consume("s", ["a": own / 2])
            for _ in 0..<2 { #expect(await bench.decide(half).status == .allowed) }
            for _ in 0..<2 { #expect(await bench.decide(half).status == .limitReached) }
        }
    }

    @Test func `A rate of zero allows nothing, and no limit is no limit`() async throws {
        let limits = [
            PlainLimit("rate", "a", .rate(60, burst: 5), 0, guest: nil),
            PlainLimit("other", "b", .rate(60, burst: nil), 5, guest: nil),
        ]
        try await withLimits(limits) { host, bench, redis in
            #expect(await bench.decide(consume("s", ["a": 1])).status == .limitReached)
            for _ in 0..<50 {
                #expect(await bench.decide(consume("guest:1", ["b": 100])).status == .allowed)
                bench.clock.advance(60_000)
            }
            // What was used without a limit is no debt when there is one.
            try await bench.setLimits([
                limits[0], PlainLimit("other", "b", .rate(60, burst: nil), 5, guest: 100),
            ])
            #expect(await bench.decide(consume("guest:1", ["b": 100])).status == .allowed)
            #expect(await bench.decide(consume("guest:1", ["b": 1])).status == .limitReached)
        }
    }
}

extension Substring {
    fileprivate var trimmingCRLF: Substring { prefix { $0 != "\r\n" && $0 != "\r" } }
}
