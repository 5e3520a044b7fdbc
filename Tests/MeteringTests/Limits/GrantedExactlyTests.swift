// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import TestSupport
import Testing

/// Many ask at once, through two engines as two processes would have: what is granted is what there
/// was.
@Suite(.timeLimit(.minutes(15))) struct GrantedExactlyTests {
    private static func withTwo(
        _ limits: [PlainLimit],
        _ body: @Sendable (isolated LoopHost, Bench, Bench) async throws -> Void
    ) async throws {
        try await withLimits(limits) { host, here, redis in
            let there = await Bench(redis.socketPath, on: host.loop, clock: here.clock)
            try await body(host, here, there)
        }
    }

    private static func limits(_ most: Int) -> [PlainLimit] {
        eachKind.map { limit in
            if case .rate(let seconds, .some) = limit.window {
                return PlainLimit(limit.name, limit.meter, .rate(seconds, burst: most), 50)
            }
            return PlainLimit(limit.name, limit.meter, limit.window, most)
        } + [PlainLimit("concurrent", "i", .concurrent, most)]
    }

    @Test(arguments: [1, 7, 100], [1, 64, 150])
    func `As many are granted as there are`(most: Int, demand: Int) async throws {
        try await Self.withTwo(Self.limits(most)) { host, here, there in
            for kind in Self.limits(most) {
                var granted = 0
                // Each consumer asks once, or as often as it takes to want that much together.
                await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                    var missing = demand
                    for index in 0..<demand {
                        let bench = index % 2 == 0 ? here : there
                        let decision =
                            kind.window == .concurrent
                            ? hold("h\(index)", "s", [kind.meter: 1])
                            : consume("s", [kind.meter: 1])
                        bench.engine.decide(decision) { outcome in
                            #expect(outcome.verdict != nil)
                            if outcome.status == .allowed { granted += 1 }
                            missing -= 1
                            if missing == 0 { continuation.resume() }
                        }
                    }
                }
                #expect(granted == min(most, demand), "\(kind.name)")
                #expect(await here.used(kind.name, by: "s") == granted, "\(kind.name)")
                #expect(await there.used(kind.name, by: "s") == granted, "\(kind.name)")
            }
        }
    }

    @Test(arguments: [1, 7, 100])
    func `64 consumers that never wait for each other share what there is`(most: Int) async throws {
        let name = "t"
        try await Self.withTwo([PlainLimit(name, "a", .day, most)]) { host, here, there in
            var granted = 0
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                var running = 64
                // Each asks until it is denied.
                func ask(_ bench: Bench) {
                    bench.engine.decide(consume("s", ["a": 1])) { outcome in
                        if outcome.status == .allowed {
                            granted += 1
                            return ask(bench)
                        }
                        #expect(outcome.status == .limitReached)
                        running -= 1
                        if running == 0 { continuation.resume() }
                    }
                }
                for index in 0..<64 { ask(index % 2 == 0 ? here : there) }
            }
            #expect(granted == most)
            #expect(await here.used(name, by: "s") == most)
        }
    }

    @Test func `Enforced events are counted as often as the limit says`() async throws {
        try await Self.withTwo([PlainLimit("t", "tokens", .hour, 21)]) { host, here, there in
            var counted = 0
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                var missing = 64
                for index in 0..<64 {
                    let bench = index % 2 == 0 ? here : there
                    bench.engine.record(enforced("s", ["tokens": 3])) { outcome in
                        if outcome.counted != nil { counted += 1 }
                        missing -= 1
                        if missing == 0 { continuation.resume() }
                    }
                }
            }
            #expect(counted == 7)
            let usage = try await here.engine.reader.subject(subjectID("s"))
            #expect(usage?.totals.map(\.total) == [21])
            #expect(usage?.eventCount == 7)
        }
    }
}
