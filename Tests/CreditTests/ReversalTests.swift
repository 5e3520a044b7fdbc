// SPDX-License-Identifier: Apache-2.0

import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct ReversalTests {
    private static let today = CivilDay(number: noon / day)

    private static func total(_ bench: Bench, _ subject: String) async throws -> Int? {
        try await bench.engine.reader.subject(subjectID(subject))?.totals.first {
            $0.meter == .tokens
        }?.total
    }

    private static func board(
        _ bench: Bench, _ window: LeaderboardWindow = .lifetime
    ) async throws -> [String: Int] {
        let entries = try await bench.leaders(window)
        return Dictionary(uniqueKeysWithValues: entries.map { ($0.subject.text, $0.value) })
    }

    /// Tokens and events of a day's hours.
    private static func hours(_ bench: Bench, _ day: CivilDay) async throws -> [Int] {
        let cells = try await bench.queries.hourlyUsage(day).cells
        let sums = cells.flatMap(\.sums).filter { $0.meter == .tokens }
        return [sums.reduce(0) { $0 + $1.total }, cells.reduce(0) { $0 + $1.eventCount }]
    }

    @Test func `A reversal undoes all that its event did`() async throws {
        try await withBenches { _, bench, other, _ in
            try await bench.setPolicy(allowance: 100 * one)
            try await bench.setLimits(
                #"""
                {"limits":[{"name":"d","meter":"tokens","window":"day","user":100},
                {"name":"m","meter":"tokens","window":"month","user":100},
                {"name":"l","meter":"tokens","window":"lifetime","user":100},
                {"name":"r","meter":"tokens","window":"rolling","period_s":3600,"user":100}]}
                """#)
            let amounts = ["tokens": 40, "credits_micro": 30 * one]
            _ = await bench.record([
                event("a", amounts, id: "e"), event("b", amounts, id: "f"),
                event("b", amounts, id: "g"),
            ])
            for id in ["e", "f"] {
                let outcome = try #require(try await other.reverse(id, reason: "mistaken"))
                #expect(outcome.counted != nil)
            }
            #expect(try await Self.total(bench, "a") == 0)
            #expect(try await Self.total(bench, "b") == 40)
            #expect(try await Self.board(bench) == ["b": 40])
            #expect(try await Self.board(bench, .day(Self.today)) == ["b": 40])
            #expect(try await Self.hours(bench, Self.today) == [40, 1])
            for (subject, used) in [("a", 0), ("b", 40)] {
                let check = try await bench.decide(.check, subject, amounts: [(.tokens, 1)])
                #expect(check.limits.map(\.used) == [used, used, used, used])
                let account = try await bench.account(subject)
                #expect(account.totalConsumed == used / 40 * 30 * one)
                #expect(account.monthConsumed == account.totalConsumed)
                #expect(account.balance == 100 * one - account.totalConsumed)
                try await bench.checkedLedger(subject)
            }
            let usage = try #require(try await bench.engine.reader.subject(subjectID("a")))
            #expect(usage.recent.map { $0.amounts.first { $0.0 == .tokens }?.1 } == [-40, 40])
            #expect(usage.recent[0].description == ByteString("mistaken"))
            let others = try #require(try await bench.engine.reader.subject(subjectID("b")))
            #expect(others.recent.map { $0.amounts.first { $0.0 == .tokens }?.1 } == [-40, 40, 40])
        }
    }

    @Test func `Sixteen calls at once undo an event once, whatever their reasons`() async throws {
        try await withBenches { host, left, right, _ in
            _ = await left.record([event("a", ["tokens": 5, "credits_micro": one], id: "e")])
            _ = await left.record([event("a", ["tokens": 3], id: "f")])
            var tasks: [Task<EventOutcome?, any Error>] = []
            for number in 0..<16 {
                let bench = number % 2 == 0 ? left : right
                tasks.append(
                    Task {
                        _ = host
                        return try await bench.reverse("e", reason: "\(number % 3)")
                    })
            }
            var outcomes: [EventOutcome] = []
            for task in tasks { outcomes.append(try #require(try await task.value)) }
            #expect(outcomes.count { $0.counted != nil } == 1)
            #expect(outcomes.count { Self.isRepetition($0) } == 15)
            #expect(try await Self.total(left, "a") == 3)
            #expect(try await left.account("a").balance == 0)
            try await left.checkedLedger("a")
        }
    }

    private static func isRepetition(_ outcome: EventOutcome) -> Bool {
        outcome.duplicate != nil || outcome.refused?.status == .repeated
    }

    @Test func `It is done once, also when its id is forgotten`() async throws {
        try await withBench(idempotencyHours: 1) { _, bench, _ in
            let counted = try #require(await bench.charge("a", one).counted)
            #expect(try #require(try await bench.reverse(counted.id.text)).counted != nil)
            for _ in 0..<4 {
                bench.clock.advance(2 * day)
                let again = try #require(try await bench.reverse(counted.id.text, reason: "again"))
                #expect(Self.isRepetition(again))
            }
            #expect(try await bench.account("a").balance == 0)
        }
    }

    @Test func `An event that reuses a forgotten id is undone as any other`() async throws {
        try await withBench(idempotencyHours: 24) { _, bench, _ in
            let again = event("a", ["tokens": 5], id: "e")
            #expect(await bench.record(again).counted != nil)
            bench.clock.advance(20 * 3_600_000)
            #expect(try #require(try await bench.reverse("e")).counted != nil)
            // The id of the event is forgotten by now, that of the reversal is not.
            bench.clock.set(noon + 40 * 3_600_000)
            #expect(await bench.record(again).counted != nil)
            #expect(try await Self.total(bench, "a") == 5)
            let outcome = try #require(try await bench.reverse("e"))
            #expect(outcome.counted != nil)
            #expect(try await Self.total(bench, "a") == 0)
        }
    }

    @Test(arguments: [0, 5])
    func `A reversal cannot be undone`(amount: Int) async throws {
        try await withBench { _, bench, redis in
            _ = await bench.record([event("a", ["tokens": amount], id: "e")])
            let reversal = try #require(try await bench.reverse("e")?.counted)
            #expect(reversal.totals.first?.total == 0)
            let before = try redis.fingerprint()
            var code: String?
            do {
                _ = try await bench.reverse(reversal.id.text)
            } catch let rejection as EventRejection {
                code = rejection.code
            }
            #expect(code == "is_reversal")
            let usage = try #require(try await bench.engine.reader.subject(subjectID("a")))
            #expect(usage.eventCount == 0)
            #expect(try redis.fingerprint() == before)
        }
    }

    @Test func `Only what was counted can be undone`() async throws {
        try await withBench { _, bench, redis in
            _ = await bench.record([event("a", id: "e"), event("b", ["tokens": 1])])
            #expect(await bench.charge("a", one, id: "refused", enforce: true).refused != nil)
            _ = await bench.record([event("a", id: "e"), event("c", id: "new")])
            let before = try redis.fingerprint()
            for id in [
                "never", "refused", "", "tly-", "tly-1-1-1", "tly-20778-1-3", "tly-20778-2-1",
                "tly-20778-1-0", "tly-20778-1-513", "tly-reverse-e", "tly-x-1-1", "E",
            ] {
                #expect(try await bench.reverse(id) == nil, "\(id)")
            }
            #expect(try redis.fingerprint() == before)
            // Of a batch, the one that was counted.
            #expect(try #require(try await bench.reverse("new")).counted != nil)
        }
    }

    @Test func `An event of a past day is taken from its day`() async throws {
        for isClosed in [false, true] {
            try await withBenches { _, bench, other, _ in
                let past = noon - 2 * day
                _ = await bench.record([
                    event("a", ["tokens": 5], id: "e", at: past),
                    event("b", ["tokens": 7], at: past), event("a", ["tokens": 2]),
                ])
                bench.clock.advance(day)
                _ = await bench.record([event("a", ["tokens": 1])])
                if isClosed { _ = try await bench.closer.closeDays() }
                #expect(try await Self.board(bench) == ["a": 8, "b": 7])
                #expect(try #require(try await other.reverse("e")).counted != nil)
                let then = CivilDay(number: past / day)
                #expect(try await Self.board(bench, .day(then)) == ["b": 7])
                #expect(try await Self.board(bench, .day(Self.today)) == ["a": 2])
                #expect(try await Self.board(bench) == ["a": 3, "b": 7])
                #expect(try await Self.hours(bench, then) == [7, 1])
                #expect(try await Self.hours(bench, Self.today) == [2, 1])
                _ = try await bench.closer.closeDays()
                #expect(try await Self.board(bench) == ["a": 3, "b": 7])
                #expect(try await Self.total(bench, "a") == 3)
            }
        }
    }

    @Test func `A subject whose only event is undone leaves all boards`() async throws {
        try await withBench { _, bench, _ in
            _ = await bench.record([event("a", ["tokens": 5], id: "e")])
            bench.clock.advance(3 * day)
            _ = try await bench.closer.closeDays()
            #expect(try await Self.board(bench) == ["a": 5])
            _ = try await bench.reverse("e")
            #expect(try await Self.board(bench) == [:])
            #expect(try await Self.board(bench, .day(Self.today)) == [:])
            _ = await bench.record([event("a", ["tokens": 2])])
            #expect(try await Self.board(bench) == ["a": 2])
        }
    }

    @Test(arguments: [true, false], [0, 1])
    func `Beside new events of its subject in one batch it takes its part only`(
        isFirst: Bool, daysLater: Int
    ) async throws {
        try await withBench { _, bench, _ in
            _ = await bench.record([event("a", ["tokens": 5], id: "e")])
            bench.clock.advance(daysLater * day)
            let found = try #require(try await bench.engine.accounts.event(ByteString("e")))
            var reversal = found.event
            reversal.id = nil
            reversal.amounts = [(.tokens, -5)]
            var totals: [String: Int] = [:]
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                func note(_ name: String, _ outcome: EventOutcome) {
                    totals[name] = outcome.total ?? -1
                    if totals.count == 2 { continuation.resume() }
                }
                func undo() {
                    bench.engine.record(reversal, for: .reverse(found)) {
                        note("undone", $0)
                    }
                }
                if isFirst { undo() }
                bench.engine.record(event("a", ["tokens": 3], id: "f")) { note("new", $0) }
                if !isFirst { undo() }
            }
            #expect(totals == (isFirst ? ["undone": 0, "new": 3] : ["undone": 3, "new": 8]))
            let now = CivilDay(number: noon / day + daysLater)
            #expect(try await Self.board(bench, .day(now)) == ["a": 3])
            #expect(try await Self.board(bench) == ["a": 3])
            if daysLater > 0 { #expect(try await Self.board(bench, .day(Self.today)) == [:]) }
            _ = await bench.record([event("b", ["tokens": 4])])
            bench.clock.advance(day)
            _ = await bench.record([event("b", ["tokens": 4])])
            _ = try await bench.closer.closeDays()
            #expect(try await Self.board(bench) == ["a": 3, "b": 8])
            #expect(try await Self.total(bench, "a") == 3)
        }
    }

    @Test func `It gives back what was charged, whatever prices are by now`() async throws {
        try await withBench { _, bench, _ in
            let book = #"{"credit_rate":"10","models":{"m":{"input":"PRICE"}}}"#
            try await bench.setPrices(book.replacing("PRICE", with: "2"))
            try await bench.grant("a", 100 * one, id: "g")
            let priced = event("a", ["input_tokens": 1_000_000, "tokens": 1_000_000], id: "e")
            #expect(await bench.record(priced).counted?.balance == 80 * one)
            try await bench.setPrices(book.replacing("PRICE", with: "5"))
            #expect(await bench.record(priced).duplicate != nil)
            #expect(try await bench.account("a").balance == 80 * one)
            #expect(try #require(try await bench.reverse("e")).counted != nil)
            #expect(try await bench.account("a").balance == 100 * one)
            let next = event("a", ["input_tokens": 1_000_000, "tokens": 1_000_000], id: "f")
            #expect(await bench.record(next).counted?.balance == 50 * one)
            try await bench.checkedLedger("a")
        }
    }

    @Test func `A limit gives back what it counted and nothing of before, by whatever clock`()
        async throws
    {
        let windows = [
            #""window":"day""#, #""window":"lifetime""#, #""window":"rolling","period_s":3600"#,
        ]
        for window in windows {
            try await withBenches { _, bench, other, _ in
                _ = await bench.record(event("a", ["tokens": 5], id: "before"))
                // In the very millisecond of the event before.
                try await bench.setLimits(
                    #"{"limits":[{"name":"x","meter":"tokens",\#(window),"user":100}]}"#)
                func used(_ comment: Comment) async throws -> Int? {
                    try await other.decide(.check, "a", amounts: [(.tokens, 1)]).limits.first?.used
                }
                _ = await bench.record(event("a", ["tokens": 3], id: "after"))
                #expect(try #require(try await bench.reverse("before")).counted != nil)
                #expect(try await used("after") == 3, "\(window)")
                // Of a process whose clock is behind that of the one that set the limit.
                bench.clock.advance(-2_000)
                _ = await bench.record(event("a", ["tokens": 4], id: "behind"))
                #expect(try await used("behind") == 7, "\(window)")
                #expect(try #require(try await bench.reverse("behind")).counted != nil)
                #expect(try await used("behind is undone") == 3, "\(window)")
                // What keeps name, meter and window goes on.
                try await bench.setLimits(
                    #"{"limits":[{"name":"x","meter":"tokens",\#(window),"user":200}]}"#)
                #expect(try #require(try await bench.reverse("after")).counted != nil)
                #expect(try await used("all is undone") == 0, "\(window)")
            }
        }
    }

    @Test func `Undoing what took nothing opens no account`() async throws {
        try await withBench { _, bench, redis in
            try await bench.setPolicy(allowance: 10 * one)
            _ = await bench.record(event("a", ["tokens": 5], id: "e"))
            #expect(try #require(try await bench.reverse("e")).counted != nil)
            for (key, count) in [("accounts", 0), ("reversed", 1)] {
                let length = try redis.request("HLEN t1:{default}:\(key)")
                #expect(length == ":\(count)\r\n", "\(key)")
            }
            bench.clock.advance(3 * day)
            let again = try #require(try await bench.reverse("e", reason: "again"))
            #expect(Self.isRepetition(again))
            #expect(try await Self.total(bench, "a") == 0)
        }
    }
}
