// SPDX-License-Identifier: Apache-2.0

import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct LongLedgerTests {
    @Test(arguments: [UInt64(1), 2])
    func `Every line is there once, over many days, batches and pages`(seed: UInt64) async throws {
        try await withBench { _, bench, _ in
            var random = SeededGenerator(seed)
            try await bench.grant("a", 1_000_000 * one, id: "g")
            var expected: [String] = ["g"]
            for number in 0..<150 {
                let id = "e\(number)"
                expected.append(id)
                var events = [event("a", ["credits_micro": number + 1], id: id)]
                // Now and then in a batch that is longer than a call may read.
                for other in 0..<(number % 40 == 0 ? 500 : Int.random(in: 0...3, using: &random)) {
                    events.append(
                        event(
                            "o\(other)", ["credits_micro": 1], id: "\(id)-\(other)-long-long-long"))
                }
                _ = await bench.record(events)
                if number % 20 == 19 {
                    bench.clock.advance(Int.random(in: 1...3 * day, using: &random))
                }
                // And back a little, over midnight, as clocks are set.
                if number == 100 { bench.clock.advance(-day) }
            }
            for page in [1, 31, 33, 1000] {
                let lines = try await bench.checkedLedger("a", page: page, "pages of \(page)")
                let references = lines.filter { $0.kind != .reset }.map { $0.reference?.text }
                #expect(references == expected, "pages of \(page)")
            }
        }
    }

    @Test(arguments: [1, 3, 60])
    func `Every line is there once, also of a clock that was ahead and is set back`(
        ahead: Int
    ) async throws {
        try await withBench { _, bench, _ in
            try await bench.grant("a", 1_000 * one, id: "g")
            var expected = ["g"]
            for then in [noon, noon + ahead * day, noon + 60_000, noon + day] {
                bench.clock.set(then)
                for _ in 0..<3 {
                    expected.append("e\(expected.count)")
                    await bench.charge("a", one, id: expected.last)
                }
                for page in [1, 4, 1000] {
                    let lines = try await bench.checkedLedger("a", page: page)
                    let references = lines.filter { $0.kind != .reset }.map { $0.reference?.text }
                    #expect(references == expected, "pages of \(page)")
                }
            }
        }
    }

    @Test func `What the log has forgotten ends the ledger, with what the balance was then`()
        async throws
    {
        try await withBench { _, bench, redis in
            try await bench.grant("a", 100 * one, id: "g")
            await bench.charge("a", one)
            bench.clock.advance(day)
            await bench.charge("a", 2 * one)
            await bench.charge("a", 3 * one)
            #expect(try redis.request("DEL t1:{default}:log:2026-11-21").contains("1"))
            let account = try await bench.account("a")
            let ledger = try await bench.queries.ledger(of: subjectID("a"), account, limit: 100)
            #expect(ledger.lines.map(\.change) == [-3 * one, -2 * one])
            #expect(ledger.openingBalance == 99 * one && ledger.older == nil)
        }
    }

    @Test func `An event is found by its id on each day that is remembered`() async throws {
        try await withBench(idempotencyHours: 35 * 24) { _, bench, _ in
            try await bench.grant("a", 100 * one, id: "g")
            for number in 0..<35 {
                await bench.charge("a", one, id: "e\(number)")
                bench.clock.advance(day)
            }
            for number in [0, 1, 17, 33, 34] {
                #expect(try await bench.reverse("e\(number)")?.counted != nil, "\(number)")
            }
            #expect(try await bench.reverse("e35") == nil)
            #expect(try await bench.account("a").totalConsumed == 30 * one)
        }
    }
}
