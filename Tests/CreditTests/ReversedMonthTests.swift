// SPDX-License-Identifier: Apache-2.0

import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct ReversedMonthTests {
    @Test func `An event of last month is not taken from what this month consumed`() async throws {
        try await withBench { _, bench, _ in
            try await bench.setPolicy(allowance: 100 * one)
            await bench.charge("a", 30 * one, id: "old")
            bench.clock.advance(31 * day)
            await bench.charge("a", 10 * one, id: "new")
            // Ids are forgotten by now: it goes by its place in the log.
            let recent = try #require(try await bench.engine.reader.subject(subjectID("a"))).recent
            #expect(recent.count == 2)
            _ = try await bench.reverse("tly-20778-1-1")
            var account = try await bench.account("a")
            #expect(account.monthConsumed == 10 * one && account.totalConsumed == 10 * one)
            #expect(account.balance == 120 * one)
            _ = try await bench.reverse("new")
            account = try await bench.account("a")
            #expect(account.monthConsumed == 0 && account.totalConsumed == 0)
            try await bench.checkedLedger("a")
        }
    }

    @Test func `A late event of last month leaves this month as it was when it is undone`()
        async throws
    {
        // 2026-12-01T10:00:00Z, a day after the event.
        try await withBench(at: noon + 10 * day) { _, bench, _ in
            try await bench.setPolicy(allowance: 100 * one, reset: .calendar)
            await bench.charge("a", 10 * one)
            let before = try await bench.account("a")
            await bench.charge("a", 30 * one, id: "late", at: noon + 9 * day)
            #expect(try await bench.account("a").balance == 60 * one)
            _ = try await bench.reverse("late")
            let after = try await bench.account("a")
            #expect(after.balance == before.balance && after.totalConsumed == before.totalConsumed)
            #expect(after.monthConsumed == before.monthConsumed)
        }
    }

    /// The policy of before; how long the month runs on, and when it ends; a day in a month of the new policy.
    private static let changes: [(CreditPolicy.MonthReset, Int, String, String)] = [
        (.anniversary, 10, "2026-12-21T00:00:00Z", "2027-01-02T00:00:00Z"),
        (.calendar, 4, "2026-12-01T00:00:00Z", "2026-12-22T00:00:00Z"),
    ]

    @Test(arguments: changes)
    func `Where the day of resets was changed, an event is taken from the month it was charged in`(
        before: CreditPolicy.MonthReset, days: Int, ends: String, next: String
    ) async throws {
        try await withBench(idempotencyHours: 840) { _, bench, _ in
            try await bench.setPolicy(allowance: 100 * one, reset: before)
            await bench.charge("a", 30 * one, id: "first")
            bench.clock.advance(4 * day)
            await bench.charge("a", 20 * one, id: "second")
            try await bench.setPolicy(
                allowance: 100 * one, reset: before == .calendar ? .anniversary : .calendar)
            // The month that runs stays what it was.
            bench.clock.advance(days * day)
            await bench.charge("a", 10 * one, id: "third")
            #expect(try await bench.account("a").nextReset?.text == ends)
            for (id, rest) in [("second", 40), ("first", 10)] {
                #expect(try await bench.reverse(id)?.counted != nil)
                let account = try await bench.account("a")
                #expect(account.monthConsumed == rest * one && account.totalConsumed == rest * one)
                #expect(account.balance == (100 - rest) * one)
            }
            bench.clock.set(try #require(Timestamp(next)).milliseconds)
            await bench.charge("a", 7 * one)
            #expect(try await bench.reverse("third")?.counted != nil)
            let account = try await bench.account("a")
            #expect(account.monthConsumed == 7 * one && account.totalConsumed == 7 * one)
            try await bench.checkedLedger("a")
        }
    }

    @Test func `It counts in the month in which its event was charged, however months began`()
        async throws
    {
        // Anniversaries on the 21st, then months of the calendar, then anniversaries again.
        try await withBench(idempotencyHours: 840) { _, bench, _ in
            func at(_ text: String) throws {
                bench.clock.set(try #require(Timestamp(text)).milliseconds)
            }
            func undo(_ id: String) async throws {
                #expect(try #require(try await bench.reverse(id)).counted != nil, "\(id)")
            }
            func consumed(_ credits: Int, _ comment: Comment) async throws {
                #expect(try await bench.account("a").monthConsumed == credits * one, comment)
            }
            try await bench.setPolicy(allowance: 100 * one)
            await bench.charge("a", one, id: "1")
            try at("2026-12-10T00:00:00Z")
            for (id, credits) in [("2", 2), ("3", 4)] {
                await bench.charge("a", credits * one, id: id)
            }
            try await bench.setPolicy(allowance: 100 * one, reset: .calendar)
            try await undo("2")
            try await consumed(5, "the month goes on to the 21st")
            try at("2026-12-22T00:00:00Z")
            await bench.charge("a", 16 * one, id: "5")
            try await undo("3")
            try await consumed(16, "a month that began on the 21st, by its end")
            try at("2027-01-25T00:00:00Z")
            await bench.charge("a", 32 * one, id: "6")
            try await bench.setPolicy(allowance: 100 * one)
            try at("2027-02-02T00:00:00Z")
            await bench.charge("a", 64 * one, id: "7")
            try at("2027-02-02T00:00:01Z")
            try await undo("6")
            try await consumed(64, "a month that began on the 1st, by its end")
            try await undo("7")
            try await consumed(0, "its own")
            try at("2027-02-22T00:00:00Z")
            await bench.charge("a", 128 * one, id: "8")
            try await undo("8")
            try await consumed(0, "a month of which all is undone")
            try await bench.checkedLedger("a")
        }
    }

    @Test func `What a month cannot have consumed is not taken from it`() async throws {
        try await withBench(idempotencyHours: 240) { _, bench, _ in
            // Months of the guest begin on the 21st, of the user on the 1st.
            for subject in ["guest:1", "other"] {
                _ = try await bench.decide(.setAllowance, subject, 50 * one)
            }
            bench.clock.advance(10 * day)
            _ = try await bench.decide(.setAllowance, "ann", 50 * one)
            bench.clock.advance(18 * day)
            await bench.charge("guest:1", 10 * one, id: "guest's")
            await bench.charge("ann", 5 * one)
            bench.clock.advance(day)
            try await bench.setPolicy(reset: .calendar)
            await bench.charge("other", 10 * one, id: "other's")
            bench.clock.advance(2 * day)
            await bench.charge("other", 7 * one)
            let plan = try await bench.queries.mergePlan(of: subjectID("guest:1"))
            #expect(
                try await bench.engine.merge(plan, into: subjectID("ann")).status == .allowed)
            for (event, subject, left) in [("guest's", "ann", 5), ("other's", "other", 7)] {
                #expect(try await bench.account(subject).monthConsumed == left * one)
                #expect(try await bench.reverse(event)?.counted != nil)
                let account = try await bench.account(subject)
                #expect(account.monthConsumed == left * one, "\(event)")
                #expect(account.totalConsumed == left * one, "\(event)")
                try await bench.checkedLedger(subject)
            }
        }
    }
}
