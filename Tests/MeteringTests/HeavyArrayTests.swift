// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import Observability
import Redis
import TestSupport
import Testing

/// Arrays that are made to be slow: they get their answers, and nobody waits for them.
@Suite(.serialized, .timeLimit(.minutes(15))) struct HeavyArrayTests {
    private static let count = 2_000
    private static let most = 9_007_199_254_740_991

    /// What an array is answered; and how many answers of others, asked one after the other meanwhile,
    /// came before.
    private static func record(
        _ bench: Bench, _ events: [UsageEvent]
    ) async -> (outcomes: [EventOutcome], others: Int) {
        var outcomes: [EventOutcome]?
        var others = 0
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            func ask() {
                guard outcomes == nil else { return continuation.resume() }
                bench.engine.record(event("other", ["messages": 1])) { outcome in
                    if outcome.counted != nil, outcomes == nil { others += 1 }
                    bench.client.send(RedisCommand("PING")) { _ in ask() }
                }
            }
            bench.engine.record(events) { outcomes = $0 }
            ask()
        }
        return (outcomes ?? [], others)
    }

    private static func withBench(
        _ body: @Sendable (isolated LoopHost, Bench) async throws -> Void
    ) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = await Bench(
                    redis.socketPath, on: host.loop, clock: ManualClock(noon), heldMS: 4)
                _ = await bench.record(event("warm"))
                try await body(host, bench)
            }
        }
    }

    @Test func `One id two thousand times counts once`() async throws {
        try await Self.withBench { _, bench in
            let events = (0..<Self.count).map { _ in event("a", ["tokens": 3], id: "same") }
            for round in 0..<2 {
                let (outcomes, _) = await Self.record(bench, events)
                #expect(outcomes.count == Self.count)
                #expect(outcomes.count { $0.counted != nil } == (round == 0 ? 1 : 0))
                #expect(outcomes.allSatisfy { $0.total() == 3 })
            }
        }
    }

    @Test func `One id with two thousand payloads counts the first`() async throws {
        try await Self.withBench { _, bench in
            let events = (0..<Self.count).map { event("a", ["tokens": $0 + 1], id: "same") }
            for round in 0..<2 {
                let (outcomes, _) = await Self.record(bench, events)
                #expect((outcomes.first?.counted != nil) == (round == 0))
                #expect(outcomes.first?.total() == 1)
                #expect(
                    outcomes.dropFirst().allSatisfy { $0.code == "idempotency_key_reused" })
            }
        }
    }

    @Test func `A single event does not wait for all of a large request`() async throws {
        try await Self.withBench { _, bench in
            let events = (0..<8 * Self.count).map { event("s\($0)") }
            let (outcomes, others) = await Self.record(bench, events)
            #expect(outcomes.allSatisfy { $0.counted != nil })
            // These are 32 batches; two of them are made when another event comes.
            #expect(others > 3, "\(others)")
        }
    }

    @Test func `What somebody waits for goes before a batch of a large request that is ready`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = await Bench(
                    redis.socketPath, on: host.loop, clock: ManualClock(noon), heldMS: 4)
                _ = await bench.record(event("a"))
                var total: Int?
                redis.pause()
                bench.engine.record((0..<Self.count).map { _ in event("a") }) { _ in }
                // The first batch is on its way by now, and the second one made.
                await host.loop.sleep(for: .milliseconds(20))
                bench.engine.record(event("a")) { total = $0.total() }
                await host.loop.sleep(for: .milliseconds(20))
                redis.resume()
                // Goes behind all of them.
                let last = await bench.record((0..<17).map { _ in event("a") })
                #expect(last.last?.total() == 1 + Self.count + 1 + 17)
                // Nothing is known of how long events take: the first batch has 128 of them.
                #expect(total == 1 + 128 + 1)
            }
        }
    }

    @Test func `What goes alone does not wait until all large requests are through`() async throws {
        try await Self.withBench { _, bench in
            var (waiting, bulk, before) = (3, 0, [Int]())
            let amounts = [Self.most / 2, Self.most / 2, Self.most / 2]
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                for number in 0..<8 {
                    bench.engine.record((0..<Self.count).map { event("s\(number)-\($0)") }) { _ in
                        bulk += 1
                        if bulk == 8, waiting == 0 { continuation.resume() }
                    }
                }
                for (number, amount) in amounts.enumerated() {
                    bench.engine.record(event("large\(number)", ["tokens": amount])) { _ in
                        before.append(bulk)
                        waiting -= 1
                        if bulk == 8, waiting == 0 { continuation.resume() }
                    }
                }
            }
            #expect(before.allSatisfy { $0 < 4 }, "\(before)")
        }
    }

    @Test func `The events of a large request are judged in their order`() async throws {
        try await Self.withBench { _, bench in
            // The second one is too large for a sum of a whole batch, and goes in another.
            for round in 0..<20 {
                var events = (0..<Self.count / 4).map { event("s\($0)") }
                let last = event("o\(round)", ["tokens": Self.most / 500])
                events += [event("o\(round)", ["tokens": 7]), last]
                events += (0..<Self.count / 4).map { event("t\($0)") }
                let (outcomes, _) = await Self.record(bench, events)
                #expect(outcomes[Self.count / 4].total() == 7)
                #expect(outcomes[Self.count / 4 + 1].total() == 7 + Self.most / 500)
            }
        }
    }

    @Test func `Of a batch of few subjects it is told how long it took, too, from 16 items on`()
        async throws
    {
        try await Self.withBench { _, bench in
            func measured() -> String? {
                bench.registry.text().split(separator: "\n").first {
                    $0.hasPrefix("tally_batch_held_seconds_count")
                }.map(String.init)
            }
            _ = await bench.record((0..<15).map { _ in event("a") })
            #expect(measured() == "tally_batch_held_seconds_count 0")
            _ = await bench.record((0..<16).map { _ in event("a") })
            #expect(measured() == "tally_batch_held_seconds_count 1")
        }
    }

    @Test func `A large request goes on while single events keep coming`() async throws {
        try await Self.withBench { _, bench in
            var (singles, before) = (0, 0)
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                for number in 0..<4 * Self.count {
                    bench.engine.record(event("s\(number)")) { _ in
                        singles += 1
                        if singles == 4 * Self.count { continuation.resume() }
                    }
                }
                bench.engine.record((0..<100).map { event("l\($0)") }) { _ in before = singles }
            }
            #expect(before > 0 && before < 2 * Self.count, "\(before)")
        }
    }

    @Test func `An array that was counted before is told so, event by event`() async throws {
        try await Self.withBench { _, bench in
            let events = (0..<Self.count).map {
                event("s\($0 % 7)", ["tokens": 1, "messages": 2], id: "id-\($0)")
            }
            let first = await bench.record(events)
            #expect(first.allSatisfy { $0.counted != nil })
            let (again, others) = await Self.record(bench, events)
            #expect(again.allSatisfy { $0.duplicate != nil })
            #expect(zip(first, again).allSatisfy { $0.total() == $1.total() })
            #expect(others > 0)
        }
    }

    @Test func `Amounts that overflow are refused one by one, and nobody waits for them`()
        async throws
    {
        try await Self.withBench { _, bench in
            let events = (0..<Self.count).map { event("s\($0)", ["tokens": Self.most]) }
            let (outcomes, others) = await Self.record(bench, events)
            // The warm-up has counted one, so that none fits beside it.
            #expect(outcomes.allSatisfy { $0.code == "counter_overflow" })
            #expect(others > 10, "\(others)")
        }
    }

    @Test func `Amounts that fit one by one and overflow together are refused from the first on`()
        async throws
    {
        try await Self.withBench { _, bench in
            // Each is small enough to go with others; a total near its end refuses them.
            let full = await bench.record(event("a", ["tokens": Self.most - Self.count / 2]))
            #expect(full.total() == Self.most - Self.count / 2)
            let events = (0..<Self.count).map { _ in event("a", ["tokens": 1]) }
            let (outcomes, others) = await Self.record(bench, events)
            let counted = outcomes.count { $0.counted != nil }
            // One of them is the warm-up's, in the sum of the day.
            #expect(counted == Self.count / 2 - 1)
            #expect(outcomes.count { $0.code == "counter_overflow" } == Self.count - counted)
            #expect(others > 10, "\(others)")
        }
    }

    @Test func `What the first of an id is refused says nothing of others that differ`()
        async throws
    {
        try await Self.withBench { _, bench in
            func asked(_ tokens: Int, enforce: Bool) -> UsageEvent {
                var event = event("a", ["files_uploaded": tokens], id: "same")
                event.enforce = enforce
                return event
            }
            // The limit is 100 a day.
            let outcomes = await bench.record(
                [
                    asked(101, enforce: true), asked(101, enforce: true), asked(102, enforce: true),
                    asked(101, enforce: false), asked(101, enforce: true), asked(7, enforce: false),
                ] + (0..<600).map { event("b", ["tokens": $0], id: "b\($0)") })
            for index in 0...2 {
                #expect(outcomes[index].refusal?.status == .limitReached, "\(index)")
            }
            #expect(outcomes[3].total(.filesUploaded) == 101 && outcomes[3].counted != nil)
            // It was counted before this one.
            #expect(outcomes[4].total(.filesUploaded) == 101 && outcomes[4].duplicate != nil)
            #expect(outcomes[5].code == "idempotency_key_reused")
            #expect(outcomes.dropFirst(6).allSatisfy { $0.counted != nil })
            // Now it is known, also to what would be refused.
            let again = await bench.record([
                asked(101, enforce: true), asked(7, enforce: true), asked(101, enforce: false),
            ])
            #expect(again[0].duplicate != nil && again[2].duplicate != nil)
            #expect(again[1].code == "idempotency_key_reused")
        }
    }

    @Test func `A rollup that overflows refuses its own events only`() async throws {
        try await Self.withBench { _, bench in
            let full = await bench.record(event("x", ["tokens": Self.most - 2], model: "full"))
            #expect(full.counted != nil)
            let events = (0..<Self.count).map {
                // The sum of a meter over the day is bound as that of a model is.
                event(
                    "s\($0)", [$0 % 10 == 0 ? "tokens" : "messages": 1],
                    model: $0 % 10 == 0 ? "full" : "m\($0 % 10)")
            }
            let (outcomes, _) = await Self.record(bench, events)
            for (index, outcome) in outcomes.enumerated() where index % 10 != 0 {
                #expect(outcome.counted != nil)
            }
            let ofFull = stride(from: 0, to: Self.count, by: 10).map { outcomes[$0] }
            #expect(ofFull.count { $0.counted != nil } == 1)
            #expect(ofFull.count { $0.code == "counter_overflow" } == Self.count / 10 - 1)
        }
    }
}
