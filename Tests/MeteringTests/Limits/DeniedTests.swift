// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import TestSupport
import Testing

/// What is denied, and what only looks, changes nothing at all.
@Suite(.timeLimit(.minutes(15))) struct DeniedTests {
    private static let limits = eachKind + [PlainLimit("concurrent", "i", .concurrent, 5)]
    private static var all: [String: Int] {
        Dictionary(uniqueKeysWithValues: eachKind.map { ($0.meter, 1) })
    }

    @Test func `A denial of each kind leaves every key as it was`() async throws {
        try await withLimits(Self.limits) { host, bench, redis in
            for limit in eachKind {
                #expect(await bench.decide(consume("s", [limit.meter: 4])).status == .allowed)
            }
            #expect(await bench.decide(hold("h", "s", ["i": 4])).status == .allowed)
            let before = try redis.fingerprint()
            for limit in Self.limits {
                // A subject that is known, and one that is not.
                for (subject, amount) in [("s", 2), ("t", 6)] {
                    let asked = [limit.meter: amount]
                    for decision in [
                        hold("x", subject, asked), check(subject, asked), consume(subject, asked),
                    ] {
                        let outcome = await bench.decide(decision)
                        #expect(outcome.status == .limitReached, "\(limit.name)")
                        #expect(outcome.verdict?.violated.map(\.limit.name) == [limit.name])
                    }
                    let refused = await bench.record(enforced(subject, asked, id: "e-\(subject)"))
                    #expect(refused.refusal?.status == .limitReached, "\(limit.name)")
                }
                #expect(try redis.fingerprint() == before, "\(limit.name)")
            }
        }
    }

    @Test func `One limit that denies denies all, whichever it is`() async throws {
        try await withLimits(Self.limits) { host, bench, redis in
            for limit in eachKind {
                #expect(
                    await bench.decide(consume(limit.name, [limit.meter: 5])).status == .allowed)
                let before = try redis.fingerprint()
                for decision in [
                    hold("x", limit.name, Self.all), consume(limit.name, Self.all),
                    check(limit.name, Self.all),
                ] {
                    let verdict = await bench.decide(decision).verdict
                    #expect(verdict?.status == .limitReached)
                    #expect(verdict?.violated.map(\.limit.name) == [limit.name])
                }
                let refused = await bench.record(enforced(limit.name, Self.all, id: "e"))
                #expect(refused.refusal?.violated.map(\.limit.name) == [limit.name])
                #expect(try redis.fingerprint() == before, "\(limit.name)")
            }
        }
    }

    @Test func `A look, a check that is allowed and an amount of zero change nothing`() async throws
    {
        try await withLimits(Self.limits) { host, bench, redis in
            _ = await bench.decide(consume("s", Self.all))
            _ = await bench.decide(hold("h", "s", ["a": 1, "i": 1]))
            let before = try redis.fingerprint()
            let zeros = Self.all.mapValues { _ in 0 }
            for subject in ["s", "t", "guest:1"] {
                for decision in [
                    Decision(.look, subject: subjectID(subject)), check(subject, [:]),
                    check(subject, Self.all),
                    check(subject, zeros), consume(subject, zeros), consume(subject, ["none": 7]),
                    consume(subject, [:]), release("no-such-hold", subject),
                    Decision(.check, subject: subjectID(subject), credits: 0),
                    Decision(.consume, subject: subjectID(subject), credits: 0),
                ] {
                    let outcome = await bench.decide(decision)
                    #expect([.allowed, .holdMissing].contains(outcome.status), "\(outcome)")
                    #expect(try redis.fingerprint() == before, "\(subject): \(decision)")
                }
                // Judged by nothing, it would be allowed whatever it is.
                #expect(
                    await bench.decide(check(subject, ["a": 1], limits: [])).code
                        == "amount_not_judged")
            }
        }
    }

    @Test func `An amount of zero is let through, however far past a limit its use is`()
        async throws
    {
        let other = PlainLimit("other", "j", .day, 5)
        try await withLimits(Self.limits + [other]) { host, bench, redis in
            _ = await bench.record(event("s", Self.all.mapValues { _ in 6 }))
            #expect(await bench.decide(hold("h", "s", ["i": 5])).status == .allowed)
            #expect(await bench.decide(override(4, "s", of: "concurrent")).status == .allowed)
            for limit in Self.limits {
                let zero = [limit.meter: 0, "j": 0]
                let some = [limit.meter: 0, "j": 1]
                for decision in [
                    check("s", [:]), check("s", [limit.meter: 0]), check("s", zero),
                    consume("s", zero), check("s", some), hold("h-\(limit.name)", "s", some),
                    check("s", [:], limits: [limit.name]),
                ] {
                    let verdict = await bench.decide(decision).verdict
                    #expect(verdict?.status == .allowed, "\(limit.name): \(decision)")
                    #expect(verdict?.violated.isEmpty == true)
                    #expect(verdict?.state(limit.name)?.used ?? 0 > 4)
                }
                #expect(await bench.decide(release("h-\(limit.name)", "s")).status == .allowed)
                #expect(await bench.record(enforced("s", some)).counted != nil)
                _ = await bench.decide(override(nil, "s", of: "other"))
                let denied = await bench.decide(check("s", [limit.meter: 0, "j": 6])).verdict
                #expect(denied?.violated.map(\.limit.name) == ["other"])
                #expect(
                    await bench.decide(check("s", [limit.meter: 1])).status == .limitReached)
                _ = await bench.decide(override(100, "s", of: "other"))
            }
        }
    }

    @Test func `Denials among others of the same batch change nothing of theirs`() async throws {
        try await withLimits([PlainLimit("t", "a", .day, 10)]) { host, bench, redis in
            var random = SeededGenerator(1)
            var left = 10
            var asked = (0..<400).map { _ in Int.random(in: 0...3, using: &random) }
            asked.append(contentsOf: [11, 1])
            let outcomes = await bench.decide(asked.map { consume("s", ["a": $0]) })
            for (amount, outcome) in zip(asked, outcomes) {
                #expect(outcome.status == (amount <= left ? .allowed : .limitReached))
                if amount <= left { left -= amount }
            }
            #expect(left == 0)
        }
    }
}
