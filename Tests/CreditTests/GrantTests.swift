// SPDX-License-Identifier: Apache-2.0

import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct GrantTests {
    @Test func `A grant is given once by its id, and another under its id is a conflict`()
        async throws
    {
        try await withBenches { _, left, right, redis in
            #expect(try await left.grant("a", 10 * one, id: "g", expires: noon + day) == .allowed)
            let before = try redis.fingerprint()
            #expect(try await right.grant("a", 10 * one, id: "g", expires: noon + day) == .repeated)
            #expect(try await right.grant("a", 11 * one, id: "g", expires: noon + day) == .conflict)
            #expect(try await left.grant("a", 10 * one, id: "g") == .conflict)
            #expect(
                try await left.grant("a", 10 * one, id: "g", expires: noon + day, priority: 1)
                    == .conflict)
            // Only the answers to batches are kept beside.
            #expect(try await left.account("a").balance == 10 * one)
            #expect(try redis.fingerprint() == before)
            // Ids are each subject's own.
            #expect(try await left.grant("b", 3 * one, id: "g") == .allowed)
            #expect(try await left.grant("ag", 4 * one, id: "") == .allowed)
            #expect(try await left.account("ag").balance == 4 * one)
            // Also when all of it is spent, or expired.
            await left.charge("a", 10 * one)
            left.clock.advance(2 * day)
            #expect(try await right.grant("a", 10 * one, id: "g", expires: noon + day) == .repeated)
            #expect(try await right.account("a").balance == 0)
            // A new one of a time that is gone is none.
            #expect(try await right.grant("a", one, id: "late", expires: noon + 2 * day) == .past)
            #expect(
                try await right.grant("a", one, id: "late", expires: noon + 2 * day + 1) == .allowed
            )
        }
    }

    @Test func `Sixteen callers of one grant give it once`() async throws {
        try await withBenches { _, left, right, _ in
            var statuses: [DecisionStatus] = []
            await withCheckedContinuation { continuation in
                for number in 0..<16 {
                    let decision = Decision(
                        .grant(id: ByteString("g"), expires: nil, priority: 0),
                        subject: subjectID("a"), credits: number < 8 ? one : 2 * one)
                    let bench = number % 2 == 0 ? left : right
                    bench.engine.decide(decision) { outcome in
                        if case .decided(let verdict) = outcome { statuses.append(verdict.status) }
                        if statuses.count == 16 { continuation.resume() }
                    }
                }
            }
            #expect(statuses.count { $0 == .allowed } == 1)
            #expect(statuses.count { $0 == .repeated } == 7)
            #expect(statuses.count { $0 == .conflict } == 8)
            let balance = try await left.account("a").balance
            #expect([one, 2 * one].contains(balance))
            let lines = try await left.checkedLedger("a")
            #expect(lines.filter { $0.kind == .grant }.count == 1)
        }
    }

    @Test func `What the month overspent under a lower allowance comes from grants in their order`()
        async throws
    {
        try await withBench { _, bench, _ in
            try await bench.setPolicy(allowance: 100 * one)
            await bench.charge("a", 80 * one)
            try await bench.grant("a", 10 * one, id: "second", priority: 2)
            try await bench.grant("a", 15 * one, id: "first", priority: 1)
            func left() async throws -> [String: Int] {
                let grants = try await bench.account("a").grants
                return Dictionary(uniqueKeysWithValues: grants.map { ($0.id.text, $0.left / one) })
            }
            for (allowance, balance, grants) in [
                (85, 30, ["first": 15, "second": 10]), (70, 15, ["first": 5, "second": 10]),
                (60, 5, ["second": 5]), (50, -5, [:]), (20, -35, [:]),
                // What is allowed again is the month's: it does not outlive the next reset.
                (60, 5, [:]), (100, 45, [:]),
            ] {
                let verdict = try await bench.decide(.setAllowance, "a", allowance * one)
                #expect(verdict.status == .allowed && verdict.balance == balance * one)
                #expect(try await left() == grants, "\(allowance)")
                #expect(try await bench.account("a").balance == balance * one)
                try await bench.checkedLedger("a")
            }
            bench.clock.advance(31 * day)
            #expect(try await bench.account("a").balance == 100 * one)
        }
    }

    @Test func `A grant pays what is owed before it can be spent`() async throws {
        try await withBench { _, bench, _ in
            await bench.charge("a", 25 * one)
            try await bench.grant("a", 10 * one, id: "g", expires: noon + day)
            var account = try await bench.account("a")
            #expect(account.balance == -15 * one && account.grants.isEmpty)
            try await bench.grant("a", 20 * one, id: "h", expires: noon + day)
            account = try await bench.account("a")
            #expect(account.balance == 5 * one && account.grants.map(\.left) == [5 * one])
            // What paid a debt does not expire.
            bench.clock.set(noon + day)
            #expect(try await bench.account("a").balance == 0)
            try await bench.checkedLedger("a")
        }
    }

    @Test func `The allowance is spent first, then by priority, then what expires first`()
        async throws
    {
        try await withBench { _, bench, _ in
            try await bench.setPolicy(allowance: 10 * one)
            try await bench.grant("a", one, id: "p1-never", priority: 1)
            try await bench.grant("a", one, id: "p0-never")
            try await bench.grant("a", one, id: "p1-2", expires: noon + 2 * day, priority: 1)
            try await bench.grant("a", one, id: "p0-9", expires: noon + 9 * day)
            try await bench.grant("a", one, id: "p1-1", expires: noon + day, priority: 1)
            try await bench.grant("a", one, id: "p1000", expires: noon + 1, priority: 1000)
            try await bench.grant("a", one, id: "p0-3", expires: noon + 3 * day)
            try await bench.grant("a", one, id: "p0-3b", expires: noon + 3 * day)
            try await bench.grant("a", one, id: "p0-never-b")
            let order = [
                "p0-3", "p0-3b", "p0-9", "p0-never", "p0-never-b", "p1-1", "p1-2", "p1-never",
                "p1000",
            ]
            #expect(try await bench.account("a").grants.map(\.id.text) == order)
            await bench.charge("a", 10 * one)
            #expect(try await bench.account("a").grants.count == 9)
            for spent in 1...9 {
                await bench.charge("a", 3 * one / 4)
                await bench.charge("a", one / 4)
                let rest = try await bench.account("a").grants.map(\.id.text)
                #expect(rest == Array(order.dropFirst(spent)))
            }
            #expect(try await bench.account("a").balance == 0)
            try await bench.checkedLedger("a")
        }
    }

    @Test func `What is left of a grant expires at its instant, and no more`() async throws {
        try await withBench { _, bench, _ in
            try await bench.grant("a", 10 * one, id: "g", expires: noon + 1000)
            try await bench.grant("a", 5 * one, id: "h", priority: 1)
            await bench.charge("a", 4 * one)
            bench.clock.set(noon + 999)
            #expect(try await bench.account("a").balance == 11 * one)
            #expect(try await bench.decide(.check, "a", 11 * one).status == .allowed)
            bench.clock.set(noon + 1000)
            #expect(try await bench.decide(.check, "a", 6 * one).status == .creditsShort)
            #expect(await bench.charge("a", 6 * one, enforce: true).refused != nil)
            let lines = try await bench.checkedLedger("a")
            let expiry = try #require(lines.last)
            #expect(expiry.kind == .expiry && expiry.change == -6 * one)
            #expect(expiry.reference == ByteString("g") && expiry.time.milliseconds == noon + 1000)
            // It is written with the next change, once, with the time at which it happened.
            bench.clock.set(noon + 50_000)
            await bench.charge("a", one)
            let after = try await bench.checkedLedger("a")
            #expect(after.filter { $0.kind == .expiry }.map(\.time.milliseconds) == [noon + 1000])
            #expect(try await bench.account("a").balance == 4 * one)
        }
    }

    @Test func `The ledger tells what happened by itself in the order of time`() async throws {
        try await withBench { _, bench, _ in
            try await bench.setPolicy(allowance: 100 * one)
            await bench.charge("a", 10 * one)
            try await bench.grant("a", one, id: "late", expires: noon + 50 * day)
            try await bench.grant("a", one, id: "early", expires: noon + 2 * day, priority: 9)
            _ = try await bench.open("h", "a", one, seconds: 5 * 86_400)
            bench.clock.advance(60 * day)
            let lines = try await bench.checkedLedger("a")
            expectInOrder(lines)
            await bench.charge("a", one)
            let written = try await bench.checkedLedger("a")
            expectInOrder(written)
        }
    }
}
