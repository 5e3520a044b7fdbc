// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import TestSupport
import Testing

/// A script that fails at a key of the decisions has changed nothing, whatever else its batch held.
@Suite(.timeLimit(.minutes(15))) struct DecisionAtomicityTests {
    private static let limits = [PlainLimit("t", "tokens", .day, 100)]

    /// Puts a list, which has none of the commands that Tally uses, in the place of a key.
    private static func plant(_ key: String, _ redis: RedisServer) throws -> String {
        let name = "t1:{default}:\(key)"
        try redis.request("DEL \(name)")
        try redis.request("RPUSH \(name) wrong")
        return try redis.fingerprint()
    }

    private static func prepare(_ bench: Bench) async throws {
        _ = await bench.record(event("s", ["tokens": 1, "credits_micro": 5], id: "1"))
        for id in ["h1", "h2", "h3"] {
            #expect(await bench.decide(hold(id, "s", ["tokens": 1])).status == .allowed)
        }
    }

    private static func grant(_ id: String) -> Decision {
        Decision(
            .grant(id: ByteString(id), expires: nil, priority: 1), subject: subjectID("s"),
            credits: 9)
    }

    /// Asks for everything at once, in one batch.
    private static func everything(_ bench: Bench, _ decisions: [Decision]) async -> [Bool] {
        var events: [EventOutcome] = []
        bench.engine.record([event("s", ["tokens": 2], id: "2"), event("other")]) { events = $0 }
        bench.engine.record(
            event("s", ["tokens": 1]),
            for: .settle(hold: ByteString("h1"), .overflow, heldCredits: nil)
        ) { events.append($0) }
        let outcomes = await bench.decide(decisions)
        #expect(events.count == 3)
        return events.map(\.isNotDone) + outcomes.map(\.isNotDone)
    }

    @Test(arguments: ["accounts", "holds", "holds:open", "holds:ended", "grants", "rules"])
    func `A key of another type stops the whole batch`(key: String) async throws {
        try await withLimits(Self.limits) { host, bench, redis in
            try await Self.prepare(bench)
            let before = try Self.plant(key, redis)
            let failed = await Self.everything(
                bench,
                [
                    consume("s", ["tokens": 1]), release("h2", "s"), hold("h4", "s", ["tokens": 1]),
                    Self.grant("g"), override(7, "s", of: "t"),
                    Decision(.setAllowance, subject: subjectID("s"), credits: 3),
                ])
            #expect(failed.allSatisfy { $0 }, "\(key): \(failed)")
            #expect(try redis.fingerprint() == before, "\(key)")
        }
    }

    @Test(arguments: ["holds", "holds:open", "holds:ended"])
    func `Each act on a hold stops by itself`(key: String) async throws {
        try await withLimits(Self.limits) { host, bench, redis in
            try await Self.prepare(bench)
            let before = try Self.plant(key, redis)
            for decision in [release("h2", "s"), hold("h4", "s", ["tokens": 1])] {
                #expect(await bench.decide(decision).isNotDone, "\(key)")
                #expect(try redis.fingerprint() == before, "\(key)")
            }
            let settled = await bench.engine.settle(
                ByteString("h1"), with: event("s"), .overflow, heldCredits: nil)
            #expect(settled.isNotDone)
            #expect(try redis.fingerprint() == before, "\(key)")
            // What has nothing to do with holds goes on.
            #expect(await bench.decide(consume("s", ["tokens": 1])).status == .allowed)
        }
    }

    @Test(arguments: ["reversed", "accounts", "subjects", "hours:2026-11-21"])
    func `A reversal that fails gives nothing back`(key: String) async throws {
        try await withLimits(Self.limits) { host, bench, redis in
            try await Self.prepare(bench)
            let before = try Self.plant(key, redis)
            let outcome = try await bench.engine.reverse(ByteString("1"), reason: ByteString("x"))
            #expect(outcome?.isNotDone == true, "\(key): \(String(describing: outcome))")
            #expect(try redis.fingerprint() == before, "\(key)")
        }
    }

    @Test(arguments: ["log:2026-11-21", "rank:2026-11-21:tokens", "ids:20778", "subjects"])
    func `An event that cannot be counted takes nothing`(key: String) async throws {
        try await withLimits(Self.limits) { host, bench, redis in
            try await Self.prepare(bench)
            let before = try Self.plant(key, redis)
            let failed = await Self.everything(
                bench, [consume("s", ["tokens": 1]), Self.grant("g"), release("h2", "s")])
            #expect(failed.allSatisfy { $0 }, "\(key): \(failed)")
            #expect(try redis.fingerprint() == before, "\(key)")
        }
    }

    @Test func `Decisions that only change the ledger need a log that takes it`() async throws {
        try await withLimits(Self.limits) { host, bench, redis in
            let before = try Self.plant("log:2026-11-21", redis)
            #expect(await bench.decide(Self.grant("g")).isNotDone)
            #expect(try redis.fingerprint() == before)
        }
    }

    @Test func `An event that would pass 2^53 takes nothing of its subject's limits`() async throws
    {
        try await withLimits([PlainLimit("t", "a", .day, 10)]) { host, bench, redis in
            let most = 9_007_199_254_740_991
            _ = await bench.record(event("s", ["b": most, "a": 1]))
            let before = try redis.fingerprint()
            let outcomes = await bench.record([
                enforced("s", ["b": 1, "a": 1], id: "1"), event("s", ["b": 1, "a": 1], id: "2"),
            ])
            #expect(outcomes.map(\.code) == ["counter_overflow", "counter_overflow"])
            #expect(try redis.fingerprint() == before)
            #expect(await bench.used("t", by: "s") == 1)
        }
    }

    @Test
    func `Where a limit is passed and another total overflows, too, it is the limit that denies`()
        async throws
    {
        let most = 9_007_199_254_740_991
        // Without a limit for users, and so counted without a bound but this one.
        let limits = [
            PlainLimit("t", "a", .day, 10), PlainLimit("u", "b", .day, nil, guest: 1),
        ]
        try await withLimits(limits) { host, bench, redis in
            _ = await bench.record(event("s", ["b": most, "a": 9]))
            let before = try redis.fingerprint()
            for (amount, isOver) in [(1, false), (2, true)] {
                let asked = ["a": amount, "b": 1]
                let refused = await bench.record(enforced("s", asked))
                #expect(refused.refusal?.violated.map(\.limit.name) == (isOver ? ["t"] : nil))
                #expect(refused.code == (isOver ? nil : "counter_overflow"))
                // What is only recorded is not judged.
                #expect(await bench.record(event("s", asked)).code == "counter_overflow")
                for decision in [check("s", asked), consume("s", asked), hold("h", "s", asked)] {
                    let status = await bench.decide(decision).status
                    #expect(status == (isOver ? .limitReached : .tooLarge), "\(decision.kind)")
                }
                #expect(try redis.fingerprint() == before)
            }
        }
    }
}
