// SPDX-License-Identifier: Apache-2.0

import Metering
import TestSupport
import Testing

/// An account that begins at an instant, and when it has to be reset then.
struct ResetCase: Sendable, CustomTestStringConvertible {
    let zone: String
    let isCalendar: Bool
    let begins: String
    let resets: [String]
    var testDescription: String { "\(begins) in \(zone)\(isCalendar ? " on the 1st" : "")" }

    init(_ zone: String, isCalendar: Bool = false, _ begins: String, _ resets: [String]) {
        self.zone = zone
        self.isCalendar = isCalendar
        self.begins = begins
        self.resets = resets
    }

    static let all = [
        // The month's last day where a month has no such day, and back again.
        ResetCase(
            "UTC", "2026-01-31T10:00:00Z",
            [
                "2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z", "2026-04-30T00:00:00Z",
                "2026-05-31T00:00:00Z",
            ]),
        ResetCase("UTC", "2026-01-30T10:00:00Z", ["2026-02-28T00:00:00Z", "2026-03-30T00:00:00Z"]),
        ResetCase("UTC", "2027-12-29T23:59:59Z", ["2028-01-29T00:00:00Z", "2028-02-29T00:00:00Z"]),
        ResetCase(
            "UTC", "2026-12-29T00:00:00Z",
            ["2027-01-29T00:00:00Z", "2027-02-28T00:00:00Z", "2027-03-29T00:00:00Z"]),
        ResetCase("UTC", "2028-02-29T12:00:00Z", ["2028-03-29T00:00:00Z", "2028-04-29T00:00:00Z"]),
        ResetCase("UTC", "2028-01-31T12:00:00Z", ["2028-02-29T00:00:00Z", "2028-03-31T00:00:00Z"]),
        ResetCase("UTC", "2099-12-31T00:00:00Z", ["2100-01-31T00:00:00Z", "2100-02-28T00:00:00Z"]),
        // The instant of a reset belongs to the month that begins.
        ResetCase("UTC", "2026-11-21T00:00:00Z", ["2026-12-21T00:00:00Z"]),
        // Summer time begins on 29 March and ends on 25 October 2026.
        ResetCase(
            "Europe/Berlin", "2026-02-28T23:30:00Z",
            ["2026-03-31T22:00:00Z", "2026-04-30T22:00:00Z"]),
        ResetCase(
            "Europe/Berlin", "2026-01-28T23:00:00Z",
            ["2026-02-27T23:00:00Z", "2026-03-28T23:00:00Z", "2026-04-28T22:00:00Z"]),
        ResetCase(
            "Europe/Berlin", "2026-08-25T10:00:00Z",
            ["2026-09-24T22:00:00Z", "2026-10-24T22:00:00Z", "2026-11-24T23:00:00Z"]),
        ResetCase(
            "Europe/Berlin", isCalendar: true, "2026-02-15T10:00:00Z",
            [
                "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z", "2026-04-30T22:00:00Z",
            ]),
        ResetCase(
            "Europe/Berlin", isCalendar: true, "2026-12-31T22:59:59Z",
            ["2026-12-31T23:00:00Z", "2027-01-31T23:00:00Z"]),
        // 4 November 2018 began at one o'clock, 18 February 2018 after an hour that came twice.
        ResetCase(
            "America/Sao_Paulo", "2018-09-04T15:00:00Z",
            ["2018-10-04T03:00:00Z", "2018-11-04T03:00:00Z", "2018-12-04T02:00:00Z"]),
        ResetCase(
            "America/Sao_Paulo", "2018-01-18T15:00:00Z",
            ["2018-02-18T03:00:00Z", "2018-03-18T03:00:00Z"]),
        ResetCase(
            "America/Sao_Paulo", isCalendar: true, "2018-10-31T15:00:00Z",
            ["2018-11-01T03:00:00Z", "2018-12-01T02:00:00Z"]),
        // Samoa had no 30 December 2011.
        ResetCase(
            "Pacific/Apia", "2011-11-30T15:00:00Z",
            ["2011-12-30T10:00:00Z", "2012-01-29T10:00:00Z"]),
    ]
}

/// Who comes first after a reset.
enum Visitor: CaseIterable {
    case look, check, consume, event, enforcedEvent, hold, grant, allowance, commit, reversal,
        ledger
}

@Suite(.timeLimit(.minutes(15))) struct ResetTests {
    private static func time(_ text: String) throws -> Int {
        try #require(Timestamp(text)).milliseconds
    }

    @Test(arguments: ResetCase.all)
    func `An account resets at the right instants`(reset: ResetCase) async throws {
        try await withBenches(at: try Self.time(reset.begins), zone: reset.zone) {
            _, bench, other, _ in
            try await bench.setPolicy(
                allowance: 100 * one, reset: reset.isCalendar ? .calendar : .anniversary)
            await bench.charge("a", 30 * one)
            for text in reset.resets {
                let instant = try Self.time(text)
                let before = try await bench.account("a")
                #expect(before.nextReset?.text == text)
                bench.clock.set(instant - 1)
                #expect(try await other.account("a").balance == before.balance)
                #expect(try await other.account("a").monthConsumed == before.monthConsumed)
                bench.clock.set(instant)
                #expect(try await other.account("a").balance == 100 * one)
                #expect(try await other.account("a").monthConsumed == 0)
                await bench.charge("a", 20 * one)
                #expect(try await other.account("a").monthConsumed == 20 * one)
            }
            let lines = try await bench.checkedLedger("a")
            let resets = lines.filter { $0.kind == .reset }
            #expect(resets.map(\.time.text) == [reset.begins] + reset.resets)
        }
    }

    @Test(arguments: ResetCase.all)
    func `After months without a look the account is that of this month`(reset: ResetCase)
        async throws
    {
        try await withBench(at: try Self.time(reset.begins), zone: reset.zone) { _, bench, _ in
            try await bench.setPolicy(
                allowance: 100 * one, rollover: 150 * one,
                reset: reset.isCalendar ? .calendar : .anniversary)
            await bench.charge("a", 90 * one)
            bench.clock.set(try Self.time(try #require(reset.resets.last)))
            let account = try await bench.account("a")
            // 10 are left of the first month; each reset adds 100, and keeps 150 at most.
            #expect(account.balance == [110, 210, 250, 250][reset.resets.count - 1] * one)
            #expect(account.monthConsumed == 0 && account.totalConsumed == 90 * one)
            try await bench.checkedLedger("a")
        }
    }

    @Test(arguments: Visitor.allCases)
    func `Whoever comes first after the instant sees the new month`(visitor: Visitor) async throws {
        try await withBenches(at: noon) { _, bench, other, _ in
            try await bench.setPolicy(allowance: 100 * one)
            let charged = try #require(await bench.charge("a", 95 * one).counted)
            _ = try await bench.open("h", "a", 4 * one, seconds: 40 * 86_400)
            let reset = try Self.time("2026-12-21T00:00:00Z")
            bench.clock.set(reset - 1)
            #expect(try await other.decide(.check, "a", 2 * one).status == .creditsShort)
            bench.clock.set(reset)
            var balance = 100 * one
            switch visitor {
            case .look: #expect(try await other.account("a").balance == balance)
            case .check:
                let verdict = try await other.decide(.check, "a", 96 * one)
                #expect(verdict.status == .allowed && verdict.balance == balance)
            case .consume:
                balance = 4 * one
                #expect(try await other.decide(.consume, "a", 96 * one).status == .allowed)
            case .event, .enforcedEvent:
                balance = 4 * one
                let outcome = await other.charge("a", 96 * one, enforce: visitor == .enforcedEvent)
                #expect(outcome.counted?.balance == balance)
            case .hold: #expect(try await other.open("i", "a", 96 * one).status == .allowed)
            case .grant:
                balance += one
                #expect(try await other.grant("a", one, id: "g") == .allowed)
            case .allowance:
                balance = 7 * one
                #expect(try await other.decide(.setAllowance, "a", 7 * one).balance == balance)
            case .commit:
                balance -= 3 * one
                let outcome = await other.commit("h", event("a", ["credits_micro": 3 * one]))
                #expect(outcome.counted?.balance == balance)
            case .reversal:
                balance += 95 * one
                let outcome = try #require(try await other.reverse(charged.id.text))
                #expect(outcome.counted?.balance == balance)
            case .ledger: try await other.checkedLedger("a")
            }
            let account = try await bench.account("a")
            #expect(account.balance == balance)
            #expect(account.nextReset?.text == "2027-01-21T00:00:00Z")
            let used = [Visitor.consume, .event, .enforcedEvent].contains(visitor) ? 96 * one : 0
            #expect(account.monthConsumed == (visitor == .commit ? 3 * one : used))
            try await bench.checkedLedger("a")
        }
    }

    @Test func `A changed allowance holds at once, by its difference, and for every month after`()
        async throws
    {
        try await withBench { _, bench, _ in
            try await bench.setPolicy(allowance: 100 * one)
            await bench.charge("a", 60 * one)
            _ = try await bench.decide(.setAllowance, "a", 150 * one)
            #expect(try await bench.account("a").balance == 90 * one)
            _ = try await bench.decide(.setAllowance, "a", 20 * one)
            #expect(try await bench.account("a").balance == -40 * one)
            bench.clock.set(try Self.time("2026-12-21T00:00:00Z"))
            let account = try await bench.account("a")
            #expect(account.balance == 20 * one && account.monthlyAllowance == 20 * one)
            // The workspace's default is for accounts that are new.
            try await bench.setPolicy(allowance: 500 * one)
            #expect(try await bench.account("a").balance == 20 * one)
            #expect(try await bench.account("b").balance == 500 * one)
            try await bench.checkedLedger("a")
        }
    }

    @Test func `A debt is not carried over, and is no rollover`() async throws {
        try await withBench { _, bench, _ in
            try await bench.setPolicy(allowance: 100 * one, rollover: 50 * one)
            await bench.charge("a", 300 * one)
            #expect(try await bench.account("a").balance == -200 * one)
            bench.clock.set(try Self.time("2026-12-21T00:00:00Z"))
            #expect(try await bench.account("a").balance == 100 * one)
            bench.clock.set(try Self.time("2027-02-21T00:00:00Z"))
            #expect(try await bench.account("a").balance == 150 * one)
        }
    }

    @Test func `Looking and being denied give nobody a first balance`() async throws {
        try await withBench { _, bench, redis in
            try await bench.setPolicy(allowance: 100 * one)
            _ = try await bench.account("a")
            let before = try redis.fingerprint()
            #expect(try await bench.account("a").balance == 100 * one)
            #expect(try await bench.decide(.check, "a", one).status == .allowed)
            #expect(try await bench.decide(.consume, "a", 101 * one).status == .creditsShort)
            #expect(try await bench.open("h", "a", 101 * one).status == .creditsShort)
            #expect(await bench.charge("a", 101 * one, enforce: true).refused != nil)
            #expect(try await bench.release("h", "a").status == .holdMissing)
            #expect(try redis.fingerprint() == before)
            // The anniversary is that of the first charge.
            bench.clock.advance(5 * day)
            await bench.charge("a", one)
            #expect(
                try await bench.account("a").nextReset?.text == "2026-12-26T00:00:00Z")
        }
    }

    @Test func `A policy that changes moves the resets that follow the next`() async throws {
        try await withBench { _, bench, _ in
            try await bench.setPolicy(allowance: 100 * one)
            await bench.charge("a", one)
            try await bench.setPolicy(allowance: 100 * one, reset: .calendar)
            bench.clock.advance(15 * day)
            await bench.charge("a", one)
            bench.clock.set(try Self.time("2026-12-21T00:00:00Z"))
            #expect(try await bench.account("a").nextReset?.text == "2027-01-01T00:00:00Z")
            await bench.charge("a", one)
            bench.clock.set(try Self.time("2027-01-01T00:00:00Z"))
            #expect(try await bench.account("a").nextReset?.text == "2027-02-01T00:00:00Z")
            await bench.charge("a", one)
            try await bench.setPolicy(allowance: 100 * one)
            bench.clock.set(try Self.time("2027-02-01T00:00:00Z"))
            #expect(try await bench.account("a").nextReset?.text == "2027-02-21T00:00:00Z")
            let lines = try await bench.checkedLedger("a")
            expectInOrder(lines)
        }
    }

    @Test func `A balance never passes what is counted exactly`() async throws {
        try await withBench { _, bench, redis in
            _ = try await bench.decide(.setAllowance, "a", most)
            await bench.charge("a", most)
            #expect(try await bench.grant("a", most, id: "g", expires: noon + 90 * day) == .allowed)
            #expect(try await bench.grant("a", 1, id: "h") == .tooLarge)
            #expect(await bench.charge("a", 1).code == "counter_overflow")
            // What rolls over finds room behind its grant for all but one.
            try await bench.setPolicy(rollover: 100)
            _ = try await bench.decide(.setAllowance, "b", most - 5)
            #expect(try await bench.grant("b", 4, id: "g", expires: noon + 90 * day) == .allowed)
            bench.clock.set(try Self.time("2026-12-21T00:00:00Z"))
            for subject in ["a", "b"] {
                #expect(try await bench.account(subject).balance == most)
                try await bench.checkedLedger(subject)
            }
        }
    }

    @Test func `Where the day of resets was changed, it is the same who looks or spends first`()
        async throws
    {
        // 28 November; the month that runs ends on 28 December, and the next one on 1 January.
        try await withBench(at: noon + 7 * day) { _, bench, _ in
            try await bench.setPolicy(allowance: 10 * one, rollover: 5 * one)
            for subject in ["looks", "spends"] { await bench.charge(subject, 10 * one) }
            try await bench.setPolicy(allowance: 10 * one, rollover: 5 * one, reset: .calendar)
            let told = try await bench.account("looks").nextReset
            // Behind the reset that was told, and not yet on the 1st of the next month.
            bench.clock.set(try #require(told).milliseconds + day)
            let same = try await bench.decide(.setAllowance, "spends", 10 * one)
            #expect(same.status == .allowed)
            bench.clock.advance(20 * day)
            let accounts = (
                try await bench.account("looks"), try await bench.account("spends")
            )
            #expect(accounts.0.balance == 15 * one && accounts.1.balance == 15 * one)
            #expect(accounts.0.nextReset == accounts.1.nextReset)
            for subject in ["looks", "spends"] { try await bench.checkedLedger(subject) }
        }
    }
}
