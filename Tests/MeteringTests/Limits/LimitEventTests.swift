// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import TestSupport
import Testing

/// Events and limits: what counts into which window, and what is refused.
@Suite(.timeLimit(.minutes(15))) struct LimitEventTests {
    private static let all = Dictionary(uniqueKeysWithValues: eachKind.map { ($0.meter, 4) })

    @Test func `Events count into windows past the limit, and are never refused`() async throws {
        try await withLimits(eachKind) { host, bench, redis in
            for _ in 0..<3 {
                #expect(await bench.record(event("s", Self.all)).counted != nil)
            }
            for limit in eachKind {
                #expect(await bench.used(limit.name, by: "s") == 12, "\(limit.name)")
                #expect(await bench.record(event("s", [limit.meter: 1])).counted != nil)
                #expect(await bench.used(limit.name, by: "s") == 13, "\(limit.name)")
                #expect(await bench.decide(consume("s", [limit.meter: 1])).status == .limitReached)
            }
            // In one batch, each is judged on what those before it left.
            let outcomes = await bench.record([
                enforced("t", Self.all), event("t", Self.all), enforced("t", Self.all),
                event("t", Self.all),
            ])
            #expect(outcomes.map { $0.counted != nil } == [true, true, false, true])
            #expect(await bench.used("day", by: "t") == 12)
        }
    }

    @Test func `An enforced event is judged by what open holds keep, and keeps nothing itself`()
        async throws
    {
        let limits = [PlainLimit("open", "a", .concurrent, 2), PlainLimit("day", "b", .day, 9)]
        try await withLimits(limits) { host, bench, redis in
            let asked = ["a": 1, "b": 1]
            for _ in 0..<3 {
                #expect(await bench.record(enforced("s", asked)).counted != nil)
            }
            #expect(await bench.record(enforced("s", ["a": 3])).refusal?.status == .limitReached)
            #expect(await bench.decide(hold("h", "s", ["a": 1])).status == .allowed)
            #expect(await bench.record(enforced("s", asked)).counted != nil)
            #expect(await bench.decide(hold("i", "s", ["a": 1])).status == .allowed)
            let before = try redis.fingerprint()
            let refused = await bench.record(enforced("s", asked, id: "e"))
            #expect(refused.refusal?.violated.map(\.limit.name) == ["open"])
            // When the first of the holds expires.
            #expect(
                refused.refusal?.violated.first?.resetsAt?.milliseconds
                    == bench.clock.now.milliseconds + 60_000)
            #expect(try redis.fingerprint() == before)
            // What is not to be refused is not, in the same batch either; nor is a commit.
            let outcomes = await bench.record([
                enforced("s", asked), event("s", asked), enforced("s", ["a": 0, "b": 1]),
                enforced("t", asked),
            ])
            #expect(outcomes.map { $0.counted != nil } == [false, true, true, true])
            let settled = await bench.engine.settle(
                ByteString("h"), with: event("s", asked), .reject, heldCredits: nil)
            #expect(settled.counted != nil)
            #expect(await bench.record(enforced("s", asked, id: "e")).counted != nil)
            #expect(await bench.used("open", by: "s") == 1)
        }
    }

    @Test func `A refused event counts nothing, and its id may be used later`() async throws {
        try await withLimits([PlainLimit("t", "tokens", .minute, 5)]) { host, bench, redis in
            #expect(await bench.record(enforced("s", ["tokens": 4], id: "1")).counted != nil)
            let before = try redis.fingerprint()
            for subject in ["s", "new"] {
                let asked = ["tokens": subject == "s" ? 2 : 6, "messages": 1]
                for _ in 0..<2 {
                    let refused = await bench.record(enforced(subject, asked, id: "2-\(subject)"))
                    #expect(refused.refusal?.violated.map(\.limit.name) == ["t"])
                }
            }
            #expect(try redis.fingerprint() == before)
            bench.clock.advance(60_000)
            let asked = ["tokens": 2, "messages": 1]
            let counted = await bench.record(enforced("s", asked, id: "2-s"))
            #expect(counted.total() == 6)
            // It counts once, also when there is no room any more.
            _ = await bench.record(event("s", ["tokens": 9]))
            let again = await bench.record(enforced("s", asked, id: "2-s"))
            #expect(again.duplicate != nil && again.total() == 6)
            #expect(await bench.used("t", by: "s") == 11)
        }
    }

    @Test func `What is refused leaves no trace beside what is counted in its batch`() async throws
    {
        // The same events with and without the refused ones have to come to the same.
        func recorded(_ withRefused: Bool) async throws -> [String] {
            try await withLimits([PlainLimit("t", "tokens", .day, 5)]) { host, bench, redis in
                var events: [UsageEvent] = []
                for index in 0..<60 {
                    events.append(event("s\(index % 7)", ["messages": index % 3]))
                    guard withRefused else { continue }
                    events.append(enforced("s\(index % 9)", ["tokens": 6, "messages": 5]))
                    events.append(enforced("n\(index % 5)", ["tokens": 7], id: "i\(index)"))
                }
                let outcomes = await bench.record(events)
                #expect(outcomes.count { $0.counted != nil } == 60)
                var state: [String] = []
                for key in [
                    "subjects", "hours:2026-11-21", "day:2026-11-21", "ids:20778", "accounts",
                    "rank:2026-11-21:tokens",
                ] {
                    state.append(try redis.request("DEBUG DIGEST-VALUE t1:{default}:\(key)"))
                }
                return state
            }
        }
        let plain = try await recorded(false)
        #expect(try await recorded(true) == plain)
    }

    @Test func `Late events count only into windows that they happened in`() async throws {
        try await withLimits(eachKind) { host, bench, redis in
            // Ten in the morning: at noon of the day before.
            let yesterday = noon - 22 * 3_600_000
            for time in [yesterday, noon - 3_600_000, noon - 61_000, noon - 30_000, noon + 200_000]
            {
                let late = event("s", Self.all.mapValues { _ in 1 }, at: time)
                #expect(await bench.record(late).counted != nil)
            }
            let expected = [
                "minute": 1, "hour": 1, "day": 4, "month": 5, "lifetime": 5, "rolling": 2,
                "rate": 2, "burst": 2,
            ]
            for (name, used) in expected {
                #expect(await bench.used(name, by: "s") == used, "\(name)")
            }
            // What is to be refused is judged by the present, whatever time it says.
            for name in ["a", "b", "c", "d"] {
                let late = enforced("s", [name: 9], at: yesterday)
                #expect(await bench.record(late).refusal != nil, "\(name)")
            }
        }
    }

    @Test func `A late amount leaves a rolling window by its own time`() async throws {
        try await withLimits([PlainLimit("r", "a", .rolling(60), 5)]) { host, bench, redis in
            _ = await bench.record(event("s", ["a": 3], at: noon - 50_000))
            _ = await bench.record(event("s", ["a": 2], at: noon))
            #expect(await bench.decide(check("s", ["a": 1])).status == .limitReached)
            bench.clock.advance(9_999)
            #expect(await bench.used("r", by: "s") == 5)
            bench.clock.advance(1_001)
            #expect(await bench.used("r", by: "s") == 2)
        }
    }

    @Test func `A repetition does not count twice, and a reversal gives back once`() async throws {
        try await withLimits(eachKind) { host, bench, redis in
            let one = event("s", Self.all, id: "1", at: noon)
            let outcomes = await bench.record([one, one, one])
            #expect(outcomes.count { $0.counted != nil } == 1)
            #expect(await bench.record(one).duplicate != nil)
            var other = one
            other.enforce = true
            #expect(await bench.record(other).duplicate != nil)
            for limit in eachKind {
                #expect(await bench.used(limit.name, by: "s") == 4, "\(limit.name)")
            }
            for _ in 0..<2 {
                _ = try await bench.engine.reverse(ByteString("1"), reason: ByteString("test"))
                // A rate gives nothing back: how much of it has run out already is not known.
                for limit in eachKind {
                    let left = ["rate", "burst"].contains(limit.name) ? 4 : 0
                    #expect(await bench.used(limit.name, by: "s") == left, "\(limit.name)")
                }
            }
        }
    }

    @Test func `A reversal of yesterday's event frees nothing of today`() async throws {
        try await withLimits(eachKind) { host, bench, redis in
            _ = await bench.record(event("s", Self.all, id: "1"))
            bench.clock.advance(86_400_000)
            _ = await bench.record(event("s", Self.all, id: "2"))
            _ = try await bench.engine.reverse(ByteString("1"), reason: ByteString("test"))
            for limit in eachKind {
                #expect(await bench.used(limit.name, by: "s") == 4, "\(limit.name)")
            }
        }
    }

    @Test func `A reversal gives back to the windows that the event was counted in`() async throws {
        try await withLimits(eachKind) { host, bench, redis in
            let rates = ["rate", "burst"]
            // By the present, whatever its own time is.
            #expect(
                await bench.record(enforced("s", Self.all, id: "e", at: noon - 86_400_000))
                    .counted != nil)
            // Late, after the limits were set, and before that by its own time.
            #expect(
                await bench.record(event("t", Self.all, id: "l", at: noon - 3_600_000)).counted
                    != nil)
            #expect(await bench.used("lifetime", by: "t") == 4)
            for (subject, id) in [("s", "e"), ("t", "l")] {
                _ = try await bench.engine.reverse(ByteString(id), reason: .empty)
                for limit in eachKind where !rates.contains(limit.name) {
                    #expect(await bench.used(limit.name, by: subject) == 0, "\(limit.name) \(id)")
                }
            }
        }
    }

    @Test func `A reversal frees nothing of a day that its event was ahead of`() async throws {
        try await withLimits([PlainLimit("c", "c", .day, 10)]) { host, bench, redis in
            let midnight = noon + 14 * 3_600_000
            bench.clock.advance(midnight - 60_000 - noon)
            // Counted today, though it says that it is of tomorrow.
            #expect(
                await bench.record(event("s", ["c": 8], id: "f", at: midnight + 60_000)).counted
                    != nil)
            #expect(await bench.used("c", by: "s") == 8)
            bench.clock.advance(180_000)
            #expect(await bench.record(enforced("s", ["c": 8])).counted != nil)
            _ = try await bench.engine.reverse(ByteString("f"), reason: .empty)
            #expect(await bench.used("c", by: "s") == 8)
            #expect(await bench.record(enforced("s", ["c": 3])).counted == nil)
        }
    }

    /// One goes at once; of many, some are made ready while others are on their way.
    @Test(arguments: [1, 1_100], [true, false])
    func `A reversal gives back to the windows of the decision, when they began behind the arrival`(
        count: Int, isEnforced: Bool
    ) async throws {
        let midnight = noon + 9 * 86_400_000 + 14 * 3_600_000
        try await withLimits(eachKind, at: midnight - 1) { host, bench, redis in
            let events = (0..<count).map { index in
                isEnforced
                    ? enforced("s\(index)", Self.all, id: "e\(index)")
                    // Dated ahead, it counts in the windows of now.
                    : event("s\(index)", Self.all, id: "e\(index)", at: midnight + 60_000)
            }
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                bench.engine.record(events) { outcomes in
                    #expect(outcomes.allSatisfy { $0.counted != nil })
                    continuation.resume()
                }
                // They are sent at the end of this turn.
                bench.clock.set(midnight + 1)
            }
            for index in Set([0, count / 2, count - 1]) {
                for limit in eachKind {
                    #expect(await bench.used(limit.name, by: "s\(index)") == 4, "\(limit.name)")
                }
                _ = try await bench.engine.reverse(ByteString("e\(index)"), reason: .empty)
                for limit in eachKind where !["rate", "burst"].contains(limit.name) {
                    #expect(
                        await bench.used(limit.name, by: "s\(index)") == 0,
                        "\(limit.name) of \(index)")
                }
            }
        }
    }
}
