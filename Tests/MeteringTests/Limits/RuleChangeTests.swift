// SPDX-License-Identifier: Apache-2.0

import EventLoop
import JSON
import Metering
import TestSupport
import Testing

/// What one engine puts in force holds in the very next decision of another, which nobody told.
@Suite(.timeLimit(.minutes(15))) struct RuleChangeTests {
    private static func withTwo(
        _ limits: [PlainLimit],
        _ body: @Sendable (isolated LoopHost, Bench, Bench) async throws -> Void
    ) async throws {
        try await withLimits(limits) { host, here, redis in
            let there = await Bench(redis.socketPath, on: host.loop, clock: here.clock)
            try await body(host, here, there)
        }
    }

    private static func put(_ prices: String, on bench: Bench) async throws {
        let reader = try JSONReader()
        _ = try await bench.engine.setPrices(try PriceBook(try reader.read(prices)))
    }

    private static func variants(_ suffix: String, _ most: Int) -> [PlainLimit] {
        eachKind.map { PlainLimit($0.name + suffix, $0.meter, $0.window, most) }
    }

    @Test func `A changed limit is in force at once, with what was used of it`() async throws {
        try await Self.withTwo([PlainLimit("t", "a", .day, 10)]) { host, here, there in
            #expect(await here.decide(consume("s", ["a": 8])).status == .allowed)
            try await there.setLimits([PlainLimit("t", "a", .day, 9, guest: 1)])
            #expect(await here.decide(consume("s", ["a": 2])).status == .limitReached)
            #expect(await here.decide(consume("guest:1", ["a": 2])).status == .limitReached)
            here.clock.advance(1_000)
            try await there.setLimits([PlainLimit("t", "a", .day, 12)])
            #expect(await here.decide(consume("s", ["a": 4])).status == .allowed)
            #expect(await here.used("t", by: "s") == 12)
            try await there.setLimits([PlainLimit("t", "a", .day, nil, guest: 3)])
            #expect(await here.decide(consume("s", ["a": 400])).status == .allowed)
        }
    }

    @Test func `A limit that was removed is unknown at once, and spoils nothing`() async throws {
        let kept = PlainLimit("kept", "b", .day, 10)
        try await Self.withTwo([PlainLimit("t", "a", .day, 10), kept]) { host, here, there in
            #expect(await here.decide(consume("s", ["a": 1, "b": 1])).status == .allowed)
            try await there.setLimits([kept])
            // All of these were fit when they were asked for, by what this engine knew.
            var recorded: EventOutcome?
            here.engine.record(event("s", ["a": 1])) { recorded = $0 }
            let outcomes = await here.decide([
                check("s", ["a": 1], limits: ["t"]), consume("s", ["a": 1], limits: ["kept", "t"]),
                override(5, "s", of: "t"), override(nil, "s", of: "t"), consume("s", ["b": 1]),
                consume("s", ["a": 100]),
            ])
            #expect(
                outcomes.map(\.code) == [
                    "unknown_limit", "unknown_limit", "unknown_limit", "unknown_limit", nil, nil,
                ])
            #expect(outcomes[4].status == .allowed && outcomes[5].status == .allowed)
            #expect(recorded?.counted != nil)
            #expect(await here.used("kept", by: "s") == 2)
            #expect(await here.decide(check("s", ["a": 1], limits: ["t"])).code == "unknown_limit")
            // It is looked for again before it is refused: another engine may have put it.
            try await there.setLimits([kept, PlainLimit("new", "a", .day, 1)])
            #expect(await here.decide(check("s", ["a": 1], limits: ["new"])).status == .allowed)
        }
    }

    @Test func `Names that are not known are refused, and nothing is taken`() async throws {
        try await withLimits([PlainLimit("t", "a", .day, 10)]) { host, bench, redis in
            _ = await bench.decide(consume("s", ["a": 1]))
            let before = try redis.fingerprint()
            for names in [["x"], ["t", "x"], [""], ["T"], ["t "]] {
                for decision in [
                    check("s", ["a": 1], limits: names), consume("s", ["a": 1], limits: names),
                    override(3, "s", of: names.last ?? ""),
                ] {
                    #expect(await bench.decide(decision).code == "unknown_limit", "\(names)")
                }
            }
            #expect(try redis.fingerprint() == before)
        }
    }

    @Test func `A changed price is that of the next event`() async throws {
        try await Self.withTwo([PlainLimit("t", "credits_micro", .day, 10)]) { host, here, there in
            func cost() async -> Int? {
                let outcome = await here.record(event("s", ["messages": 1]))
                return outcome.total(Meter.costMicro)
            }
            try await Self.put(#"{"per_message":"0.000005"}"#, on: there)
            #expect(await cost() == 5)
            try await Self.put(#"{"per_message":"0.000007","credit_rate":"1"}"#, on: there)
            #expect(await cost() == 12)
            // Credits that a price makes count into limits as others do.
            let refused = await here.record(enforced("s", ["messages": 1]))
            #expect(refused.refusal?.violated.map(\.limit.name) == ["t"])
            try await Self.put("{}", on: there)
            #expect(await here.record(enforced("s", ["messages": 1])).counted != nil)
        }
    }

    @Test func `What keeps name, meter and window goes on; the others start anew`() async throws {
        let all = Dictionary(uniqueKeysWithValues: eachKind.map { ($0.meter, 3) })
        try await withLimits(eachKind) { host, bench, redis in
            #expect(await bench.decide(consume("s", all)).status == .allowed)
            // Other amounts, another order, and some more.
            try await bench.setLimits(
                [PlainLimit("x", "a", .day, 4)] + Self.variants("", 40).reversed())
            for limit in eachKind {
                #expect(await bench.used(limit.name, by: "s") == 3, "\(limit.name)")
            }
            #expect(await bench.used("x", by: "s") == 0)
            try await bench.setLimits(Self.variants("2", 40))
            for limit in eachKind {
                #expect(await bench.used(limit.name + "2", by: "s") == 0, "\(limit.name)")
            }
            // The old names again are new limits.
            try await bench.setLimits(eachKind)
            for limit in eachKind {
                #expect(await bench.used(limit.name, by: "s") == 0, "\(limit.name)")
            }
            _ = await bench.decide(consume("s", all))
            // Another meter, or another window, of the same name.
            try await bench.setLimits([
                PlainLimit("minute", "b", .minute, 5), PlainLimit("hour", "b", .day, 5),
                PlainLimit("rolling", "f", .rolling(61), 5),
                PlainLimit("rate", "g", .rate(61, burst: nil), 5),
                PlainLimit("burst", "h", .rate(60, burst: 6), 50),
            ])
            for name in ["minute", "hour", "rolling", "rate"] {
                #expect(await bench.used(name, by: "s") == 0, "\(name)")
            }
            // A burst may change while the rate goes on.
            #expect(await bench.used("burst", by: "s") == 3)
        }
    }

    @Test func `A subject's own amount holds for it alone, and until it is taken away`()
        async throws
    {
        try await Self.withTwo([PlainLimit("t", "a", .day, 10, guest: 2)]) { host, here, there in
            for (subject, most) in [("s", 10), ("guest:1", 2)] {
                func taken() async -> Int {
                    var taken = 0
                    here.clock.advance(1_000)
                    while await here.decide(consume(subject, ["a": 1])).status == .allowed {
                        taken += 1
                    }
                    return taken
                }
                #expect(await taken() == most)
                _ = await there.decide(override(most + 5, subject, of: "t"))
                #expect(await taken() == 5)
                _ = await there.decide(override(0, subject, of: "t"))
                #expect(await taken() == 0)
                _ = await there.decide(override(nil, subject, of: "t"))
                _ = await there.decide(override(nil, subject, of: "t"))
                #expect(await taken() == 0)
                // A change of the limit does not touch it.
                _ = await there.decide(override(most + 7, subject, of: "t"))
                try await there.setLimits([PlainLimit("t", "a", .day, 1, guest: 1)])
                #expect(await taken() == 2)
                try await there.setLimits([PlainLimit("t", "a", .day, 10, guest: 2)])
            }
            #expect(await here.decide(consume("other", ["a": 11])).status == .limitReached)
        }
    }

    @Test func `Twenty that put limits at once all get them in force`() async throws {
        try await withLimits([PlainLimit("kept", "a", .day, 50)]) { host, here, redis in
            let there = await Bench(redis.socketPath, on: host.loop, clock: here.clock)
            _ = await here.decide(consume("s", ["a": 7]))
            let engines = [here.engine, there.engine]
            let drafts = try (0..<20).map { index in
                try draft([
                    PlainLimit("kept", "a", .day, 50 + index),
                    PlainLimit("n\(index)", "b", .day, index),
                ])
            }
            let done = await withCheckedContinuation {
                (continuation: CheckedContinuation<Int, Never>) in
                var missing = drafts.count
                var done = 0
                for (index, draft) in drafts.enumerated() {
                    let engine = engines[index % 2]
                    Task {
                        _ = host
                        if (try? await engine.setLimits(draft)) != nil { done += 1 }
                        missing -= 1
                        if missing == 0 { continuation.resume(returning: done) }
                    }
                }
            }
            #expect(done == 20)
            let version = try redis.request("HGET t1:{default}:rules version")
            #expect(version.hasSuffix("\r\n21\r\n"))
            #expect(await here.used("kept", by: "s") == 7)
            let limits = try await there.engine.rules().limits.limits
            #expect(limits.count == 2 && limits.first?.name == "kept")
        }
    }
}
