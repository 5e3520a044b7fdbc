// SPDX-License-Identifier: Apache-2.0

import Metering
import TestSupport
import Testing

/// Whoever looks after many months has what they would have who looked each day.
@Suite(.timeLimit(.minutes(15))) struct LateResetTests {
    private static func time(_ text: String) throws -> Int {
        try #require(Timestamp(text)).milliseconds
    }

    /// A workspace's accounts of each day of the month, twice: used daily, and hardly ever.
    private struct Accounts {
        var spent: [String: Int] = [:]

        /// Charges accounts a micro-credit each.
        mutating func charge(_ kind: String, _ anchors: [Int], _ bench: Bench) async {
            let subjects = anchors.map { "\(kind)\($0)" }
            let outcomes = await bench.record(subjects.map { event($0, ["credits_micro": 1]) })
            #expect(outcomes.allSatisfy { $0.counted != nil })
            for subject in subjects { spent[subject, default: 0] += 1 }
        }

        func compare(_ anchor: Int, _ bench: Bench, _ comment: Comment) async throws {
            let daily = try await bench.account("daily\(anchor)")
            let rare = try await bench.account("rare\(anchor)")
            #expect(
                daily.balance + (spent["daily\(anchor)"] ?? 0)
                    == rare.balance + (spent["rare\(anchor)"] ?? 0), comment)
            #expect(daily.nextReset == rare.nextReset, comment)
        }
    }

    @Test(arguments: [
        ("UTC", "2027-01-01T10:00:00Z"), ("Europe/Berlin", "2026-12-01T10:00:00Z"),
        ("America/Sao_Paulo", "2016-07-01T15:00:00Z"), ("Pacific/Apia", "2012-02-01T22:00:00Z"),
        ("Pacific/Kiritimati", "2027-03-01T02:00:00Z"),
        ("Pacific/Pago_Pago", "2027-05-01T15:00:00Z"),
    ])
    func `Who comes after months has what daily users have`(zone: String, begins: String)
        async throws
    {
        let start = try Self.time(begins)
        try await withBench(at: start, zone: zone) { _, bench, _ in
            var random = SeededGenerator(UInt64(start))
            var reset = CreditPolicy.MonthReset.anniversary
            func setPolicy() async throws {
                try await bench.setPolicy(allowance: one, rollover: 1000 * one, reset: reset)
            }
            try await setPolicy()
            let anchors = Array(1...31)
            var accounts = Accounts()
            for today in 0..<1_280 {
                bench.clock.set(start + today * day)
                let opened = Array(anchors.prefix(today + 1))
                await accounts.charge("daily", opened, bench)
                if today < 31 {
                    await accounts.charge("rare", [today + 1], bench)
                    continue
                }
                if Int.random(in: 0..<400, using: &random) == 0 {
                    // A policy that changes holds for what comes behind the month that runs.
                    await accounts.charge("rare", anchors, bench)
                    reset = reset == .calendar ? .anniversary : .calendar
                    try await setPolicy()
                }
                let anchor = Int.random(in: 1...31, using: &random)
                try await accounts.compare(anchor, bench, "\(zone), \(anchor), after \(today) days")
                if Int.random(in: 0..<20, using: &random) == 0 {
                    await accounts.charge("rare", [anchor], bench)
                }
            }
            for anchor in anchors {
                try await accounts.compare(anchor, bench, "\(zone), \(anchor), at the end")
            }
        }
    }

    @Test func `Each month that began since counts once`() async throws {
        try await withBench(at: try Self.time("2027-02-10T12:00:00Z")) { _, bench, _ in
            try await bench.setPolicy(allowance: 10 * one, rollover: 1000 * one, reset: .calendar)
            await bench.charge("a", 10 * one)
            // March to February.
            bench.clock.set(try Self.time("2028-02-01T12:00:00Z"))
            #expect(try await bench.account("a").balance == 120 * one)
            bench.clock.set(try Self.time("2028-01-31T23:59:59Z"))
            #expect(try await bench.account("a").balance == 110 * one)
            // Half a century: 600 months, of which what rolls over is kept.
            bench.clock.set(try Self.time("2077-02-01T12:00:00Z"))
            #expect(try await bench.account("a").balance == 1010 * one)
        }
    }

    @Test func `Where the day of resets was changed, months count from the one that was told`()
        async throws
    {
        try await withBench(at: try Self.time("2026-12-31T12:00:00Z")) { _, bench, _ in
            try await bench.setPolicy(allowance: 10 * one, rollover: 1000 * one)
            await bench.charge("a", 10 * one)
            try await bench.setPolicy(allowance: 10 * one, rollover: 1000 * one, reset: .calendar)
            // 31 January, as it was told, then 1 February and 1 March.
            for (text, balance) in [
                ("2027-01-31T00:00:00Z", 10), ("2027-02-01T00:00:00Z", 20),
                ("2027-03-01T00:00:00Z", 30),
            ] {
                bench.clock.set(try Self.time(text))
                #expect(try await bench.account("a").balance == balance * one)
            }
        }
    }
}
