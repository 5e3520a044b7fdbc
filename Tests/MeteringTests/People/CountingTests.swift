// SPDX-License-Identifier: Apache-2.0

import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct CountingTests {
    private static func bench(
        _ redis: RedisServer, _ host: isolated LoopHost, _ counts: CountPolicy
    ) async -> Bench {
        await Bench(
            redis.socketPath, on: host.loop, clock: ManualClock(noon),
            settings: WorkspaceSettings(counts: counts))
    }

    private static func total(_ bench: Bench, _ subject: String) async throws -> Int {
        try await bench.engine.reader.subject(subjectID(subject))?.totals.first?.total ?? 0
    }

    @Test func `A batch counts those who are counted, and says why of the others`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = await Self.bench(redis, host, .registered)
                try await bench.queries.put("user", "{}")
                try await bench.queries.put("off", #"{"active":false}"#)
                try await bench.queries.put("demo", #"{"demo":true}"#)
                try await bench.queries.put("guest:1", "{}")
                try await bench.queries.put("other", #"{"kind":"guest"}"#)
                let subjects = ["user", "off", "demo", "guest:1", "other", "stranger", "user"]
                let outcomes = await bench.record(
                    subjects.enumerated().map { event($1, ["tokens": 1 << $0], id: "e\($0)") })
                #expect(
                    outcomes.map(\.reason) == [
                        nil, "inactive", "demo", "not_registered", "not_registered",
                        "not_registered", nil,
                    ])
                #expect(outcomes.map { $0.total() } == [1, nil, nil, nil, nil, nil, 65])
                let leaders = try await bench.leaders(.days(1))
                #expect(leaders == [LeaderboardEntry(subject: ByteString("user"), value: 65)])
                for subject in subjects where subject != "user" {
                    #expect(try await bench.engine.reader.subject(subjectID(subject)) == nil)
                }
                // Their ids were not taken.
                try await bench.queries.put("off", #"{"active":true}"#)
                let again = await bench.record(event("off", ["tokens": 2], id: "e1"))
                #expect(again.counted != nil && again.total() == 2)
                // What was counted is known, whatever has become of its subject.
                try await bench.queries.put("off", #"{"active":false}"#)
                let repeated = await bench.record(event("off", ["tokens": 2], id: "e1"))
                #expect(repeated.duplicate != nil && repeated.total() == 2)
            }
        }
    }

    @Test(arguments: [CountPolicy.all, .registered], [1, 2])
    func `Random batches count as a plain model does`(policy: CountPolicy, seed: Int) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = await Self.bench(redis, host, policy)
                var random = SeededGenerator(UInt64(seed))
                let subjects = (0..<10).map { "s\($0)" }
                var isDemo: Set<String> = []
                var isActive: [String: Bool] = [:]
                var totals: [String: Int] = [:]
                var skipped = 0
                for _ in 0..<60 {
                    let subject = subjects.randomElement(using: &random) ?? "s0"
                    if Int.random(in: 0..<4, using: &random) == 0 {
                        _ = try await bench.queries.removeProfile(of: subjectID(subject))
                        isDemo.remove(subject)
                        isActive[subject] = nil
                    } else {
                        let demo = Int.random(in: 0..<3, using: &random) == 0
                        let active = Bool.random(using: &random)
                        try await bench.queries.put(
                            subject, #"{"demo":\#(demo),"active":\#(active)}"#)
                        if demo { isDemo.insert(subject) } else { isDemo.remove(subject) }
                        isActive[subject] = active
                    }
                    let events = (0..<Int.random(in: 1...30, using: &random)).map { _ in
                        event(
                            subjects.randomElement(using: &random) ?? "s0",
                            ["tokens": Int.random(in: 1...9, using: &random)])
                    }
                    let outcomes = await bench.record(events)
                    for (event, outcome) in zip(events, outcomes) {
                        let subject = event.subject.id.text
                        var reason: String?
                        if isDemo.contains(subject) {
                            reason = "demo"
                        } else if policy == .registered {
                            let active = isActive[subject]
                            reason =
                                active == nil
                                ? "not_registered" : active == false ? "inactive" : nil
                        }
                        #expect(outcome.reason == reason)
                        guard reason == nil else {
                            skipped += 1
                            continue
                        }
                        totals[subject, default: 0] += event.amounts[0].1
                        #expect(outcome.total() == totals[subject])
                    }
                }
                #expect(skipped > 50 && !totals.isEmpty)
                for subject in subjects {
                    #expect(try await Self.total(bench, subject) == totals[subject] ?? 0)
                }
            }
        }
    }

    @Test func `Who is not counted is judged, and nothing is taken or set aside`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = await Self.bench(redis, host, .all)
                _ = try await bench.engine.setLimits(
                    draft([PlainLimit("day", "tokens", .day, 10)]))
                _ = try await bench.engine.decide(
                    Decision(
                        .grant(id: ByteString("g"), expires: nil, priority: 0),
                        subject: subjectID("a"), credits: 100))
                // A hold of before, with something in it.
                let before = Decision(
                    .openHold(id: ByteString("before"), seconds: 600), subject: subjectID("a"),
                    credits: 40, amounts: amounts(["tokens": 4]))
                #expect(try await bench.engine.decide(before).status == .allowed)
                try await bench.queries.put("a", #"{"demo":true}"#)

                for _ in 0..<3 {
                    let verdict = try await bench.engine.decide(consume("a", ["tokens": 6]))
                    #expect(
                        verdict.status == .allowed && verdict.skipped?.name.description == "demo")
                }
                let over = try await bench.engine.decide(consume("a", ["tokens": 7]))
                #expect(over.status == .limitReached)
                let hold = Decision(
                    .openHold(id: ByteString("now"), seconds: 600), subject: subjectID("a"),
                    credits: 1000, amounts: amounts(["tokens": 60]))
                let opened = try await bench.engine.decide(hold)
                #expect(opened.status == .allowed && opened.skipped?.name.description == "demo")
                #expect(opened.held == 40)
                #expect(try await bench.engine.decide(hold).status == .repeated)

                for id in ["now", "before"] {
                    let used = event("a", ["tokens": 5, "credits_micro": 7], id: "of \(id)")
                    let outcome = await bench.engine.settle(
                        ByteString(id), with: used, .overflow, heldCredits: nil)
                    #expect(outcome.reason == "demo")
                    let settled = try await bench.engine.accounts.hold(ByteString(id))
                    #expect(settled?.state == .settled)
                    // The same commit is answered as it was, another one is told that it is over.
                    let same = await bench.engine.settle(
                        ByteString(id), with: used, .overflow, heldCredits: nil)
                    #expect(same.reason == "demo")
                    let again = await bench.engine.settle(
                        ByteString(id), with: event("a", ["tokens": 5], id: "other than \(id)"),
                        .overflow, heldCredits: nil)
                    guard case .refused(let verdict) = again else {
                        Issue.record("a settled hold is settled again: \(again)")
                        continue
                    }
                    #expect(verdict.status == .holdEnded)
                }
                // Also when the subject is counted by now: the hold was settled without it.
                try await bench.queries.put("a", #"{"demo":false}"#)
                let used = event("a", ["tokens": 5, "credits_micro": 7], id: "of now")
                let late = await bench.engine.settle(
                    ByteString("now"), with: used, .overflow, heldCredits: nil)
                #expect(late.reason == "demo")
                let account = try await bench.engine.account(of: subjectID("a"))
                #expect(account.balance == 100 && account.held == 0)
                #expect(try await Self.total(bench, "a") == 0)
            }
        }
    }

    @Test func `A hold that is opened again is the same, whether its subject is counted or not`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = await Self.bench(redis, host, .all)
                _ = try await bench.engine.decide(
                    Decision(
                        .grant(id: ByteString("g"), expires: nil, priority: 0),
                        subject: subjectID("a"), credits: 100))
                func open(_ id: String, _ credits: Int, _ tokens: Int = 4) async throws -> Verdict {
                    try await bench.engine.decide(
                        Decision(
                            .openHold(id: ByteString(id), seconds: 600), subject: subjectID("a"),
                            credits: credits, amounts: amounts(["tokens": tokens])))
                }
                #expect(try await open("counted", 40).status == .allowed)
                try await bench.queries.put("a", #"{"demo":true}"#)
                #expect(try await open("counted", 40).status == .repeated)
                #expect(try await open("counted", 41).status == .conflict)
                #expect(try await open("counted", 40, 5).status == .conflict)
                #expect(try await open("demo", 30).status == .allowed)
                #expect(try await open("demo", 30).status == .repeated)
                #expect(try await open("demo", 31).status == .conflict)
                try await bench.queries.put("a", #"{"demo":false}"#)
                #expect(try await open("demo", 30).status == .repeated)
                #expect(try await open("demo", 30, 5).status == .conflict)
                #expect(try await open("demo", 31).status == .conflict)
                #expect(try await open("counted", 40).status == .repeated)
                #expect(try await open("counted", 0).status == .conflict)
                // One that holds nothing, since no limit is about tokens.
                #expect(try await open("nothing", 0).status == .allowed)
                #expect(try await open("nothing", 7).status == .conflict)
                #expect(try await open("nothing", 0).status == .repeated)
                let account = try await bench.engine.account(of: subjectID("a"))
                #expect(account.balance == 100 && account.held == 40)
            }
        }
    }

    @Test func `What was counted before somebody became a demo can be reversed`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = await Self.bench(redis, host, .all)
                _ = await bench.record(event("a", ["tokens": 5], id: "one"))
                try await bench.queries.put("a", #"{"demo":true}"#)
                #expect(await bench.record(event("a", ["tokens": 5])).reason == "demo")
                let outcome = try await bench.engine.reverse(
                    ByteString("one"), reason: ByteString("no"))
                #expect(outcome?.total() == 0)
                try await bench.queries.put("a", #"{"demo":false}"#)
                #expect(await bench.record(event("a", ["tokens": 2])).total() == 2)
            }
        }
    }
}

extension EventOutcome {
    /// Why it was skipped, if it was.
    fileprivate var reason: String? {
        if case .skipped(let reason) = self { reason.name.description } else { nil }
    }
}
