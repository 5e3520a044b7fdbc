// SPDX-License-Identifier: Apache-2.0

import Foundation
import Metering
import TestSupport
import Testing

/// What days cost, in the plainest form: every event is looked at.
private struct CostModel {
    let zone: TimeZone
    let entries: [HistoryModel.Entry]

    init(_ bench: HistoryBench) throws {
        zone = try #require(TimeZone(identifier: bench.settings.calendar.zone))
        entries = bench.model.entries
    }

    /// By the calendar of Foundation, which Tally's own does not use.
    func place(_ milliseconds: Int) -> (day: String, hour: Int) {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = zone
        let date = Date(timeIntervalSince1970: Double(milliseconds) / 1000)
        let parts = calendar.dateComponents([.year, .month, .day, .hour], from: date)
        let text = String(
            format: "%04d-%02d-%02d", parts.year ?? 0, parts.month ?? 0, parts.day ?? 0)
        return (text, parts.hour ?? -1)
    }

    static func sums(_ event: UsageEvent) -> CostSums {
        let messages = event.amounts.first { $0.0 == .messages }?.1
        let given = event.amounts.first { $0.0 == .costMicro }?.1
        return CostSums(cost: given ?? (messages ?? 0) * 5_000, messages: messages ?? 0)
    }

    private func sum(
        where isAsked: (HistoryModel.Entry, _ day: String, _ hour: Int) -> Bool
    ) -> CostSums {
        entries.reduce(CostSums()) { sums, entry in
            let (day, hour) = place(entry.time)
            guard isAsked(entry, day, hour) else { return sums }
            let its = Self.sums(entry.event)
            return CostSums(
                cost: sums.cost + its.cost, messages: sums.messages + its.messages)
        }
    }

    func check(_ report: CostReport, _ days: ClosedRange<CivilDay>) {
        let names = (days.lowerBound.number...days.upperBound.number).map {
            "\(CivilDay(number: $0))"
        }
        let range = Set(names)
        #expect(report.days.map { "\($0.day)" } == names)
        for (day, sums) in report.days {
            #expect(sums == sum { _, of, _ in of == "\(day)" }, "\(day)")
        }
        for (hour, sums) in report.hours.enumerated() {
            #expect(
                sums == sum { _, day, of in range.contains(day) && of == hour }, "hour \(hour)")
        }
        for (month, sums) in report.months {
            let name = "\(month)".prefix(7)
            #expect(sums == sum { _, day, _ in day.hasPrefix(name) }, "\(month)")
        }
        #expect(report.total == sum { _, day, _ in range.contains(day) })
        let clients = Set(entries.map(\.event.subject)).map { subject in
            (
                subject,
                sum { entry, day, _ in entry.event.subject == subject && range.contains(day) }
            )
        }
        let expected = clients.filter { $0.1.cost > 0 }.sorted {
            ($1.1.cost, $0.0.id) < ($0.1.cost, $1.0.id)
        }.prefix(10)
        #expect(report.clients.map(\.subject) == expected.map(\.0))
        #expect(report.clients.map(\.sums) == expected.map(\.1))
        #expect(report.warnings.isEmpty)
    }
}

@Suite(.timeLimit(.minutes(15))) struct CostModelTests {
    static let cases: [(zone: String, start: String, seed: UInt64)] = [
        ("Asia/Ho_Chi_Minh", "2026-11-21T10:00:00Z", 1),
        ("America/New_York", "2026-10-31T20:30:00Z", 2),
        ("Australia/Lord_Howe", "2026-04-04T10:00:00Z", 3),
    ]

    @Test(arguments: cases)
    func `Costs equal the model, by days, hours, months and clients`(
        zone: String, start: String, seed: UInt64
    ) async throws {
        let calendar = try #require(WorkspaceCalendar(zone: zone))
        let time = try #require(Timestamp(start)).milliseconds
        let settings = WorkspaceSettings(calendar: calendar, idempotencyHours: 840, eventsDays: 400)
        try await withHistory(at: time, settings: settings) { _, bench, _ in
            var random = SeededGenerator(seed)
            for round in 0..<24 {
                await bench.record(
                    (0..<Int.random(in: 1...20, using: &random)).map { _ in
                        Self.randomEvent(bench, &random)
                    }, by: round % 2)
                if round % 3 == 1 {
                    let place = Int.random(in: 0..<bench.model.entries.count, using: &random)
                    let entry = bench.model.entries[place]
                    if !entry.isReversal, !entry.isReversed { try await bench.reverse(place) }
                }
                if round % 4 == 2 { try await bench.benches[0].closer.closeDays() }
                bench.clock.advance(
                    [60_000, 1_800_000, 5_000_000, 40_000_000].randomElement(using: &random) ?? 0)
                if round % 3 == 2 { try await Self.check(bench, &random) }
            }
        }
    }

    /// Clocks that change by an hour, by half of one, and at midnight.
    @Test(arguments: [
        ("America/New_York", "2026-11-01T06:00:00Z"), ("America/New_York", "2026-03-08T07:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
        ("America/Sao_Paulo", "2018-11-04T03:00:00Z"), ("Pacific/Apia", "2010-09-26T11:00:00Z"),
    ])
    func `Where clocks change, hours and days are those that the clock shows`(
        zone: String, change: String
    ) async throws {
        let calendar = try #require(WorkspaceCalendar(zone: zone))
        let time = try #require(Timestamp(change)).milliseconds
        let settings = WorkspaceSettings(calendar: calendar)
        try await withHistory(at: time + 14_400_000, settings: settings) { _, bench, _ in
            for step in -20...20 {
                await bench.record([
                    event("s", ["messages": 1], at: time + step * 600_000)
                ])
            }
            let today = calendar.day(of: bench.clock.now)
            let days = CivilDay(number: today.number - 2)...today
            let model = try CostModel(bench)
            model.check(try await bench.queries.costs(CostQuery(days)), days)
        }
    }

    private static func check(
        _ bench: HistoryBench, _ random: inout SeededGenerator
    ) async throws {
        let now = bench.clock.now
        let today = bench.settings.calendar.day(of: now)
        let model = try CostModel(bench)
        for length in [1, 2, Int.random(in: 3...12, using: &random), 40] {
            let back = Int.random(in: 0...3, using: &random)
            let last = CivilDay(number: today.number - back)
            let days = CivilDay(number: last.number - length + 1)...last
            let report = try await bench.queries.costs(CostQuery(days, monthCount: 4))
            #expect(report.months.count == 4)
            model.check(report, days)
        }
    }

    private static func randomEvent(
        _ bench: HistoryBench, _ random: inout SeededGenerator
    ) -> UsageEvent {
        let late = [0, 0, 0, 90_000, 3_000_000, 100_000_000, 500_000_000]
        let age = late.randomElement(using: &random) ?? 0
        var amounts: [(Meter, Int)] = []
        if Bool.random(using: &random) { amounts.append((.tokens, 5)) }
        if Int.random(in: 0..<4, using: &random) > 0 {
            amounts.append((.messages, Int.random(in: 0...3, using: &random)))
        }
        if amounts.isEmpty || Int.random(in: 0..<4, using: &random) == 0 {
            amounts.append((.costMicro, Int.random(in: 0...20_000, using: &random)))
        }
        return UsageEvent(
            time: Timestamp(milliseconds: bench.clock.now.milliseconds - age),
            subject: subjectID("s\(Int.random(in: 0..<14, using: &random))"),
            action: ByteString(["chat", "=x"].randomElement(using: &random) ?? ""),
            model: ByteString(["", "m"].randomElement(using: &random) ?? ""), amounts: amounts)
    }

    /// While events arrive, no part of an answer contradicts another.
    @Test func `The parts of a report add up while events arrive`() async throws {
        try await withHistory { host, bench, redis in
            let other = await HistoryBench(redis.socketPath, on: host.loop)
            let today = bench.settings.calendar.day(of: bench.clock.now)
            let days = CivilDay(number: today.number - 1)...today
            let asking = Task { [queries = other.queries] in
                var reports: [CostReport] = []
                for _ in 0..<40 { reports.append(try await queries.costs(CostQuery(days))) }
                return reports
            }
            for round in 0..<400 {
                await bench.record([event("s\(round % 5)", ["messages": 1])], by: round % 2)
            }
            for report in try await asking.value {
                let total = report.total
                #expect(report.days.map(\.sums.messages).reduce(0, +) == total.messages)
                #expect(report.hours.map(\.messages).reduce(0, +) == total.messages)
                #expect(report.months.last?.sums == total)
                #expect(total.cost == 5_000 * total.messages)
                #expect(report.clients.map(\.sums.messages).reduce(0, +) <= total.messages)
            }
            let last = try await other.queries.costs(CostQuery(days))
            #expect(last.total == CostSums(cost: 2_000_000, messages: 400))
            #expect(last.clients.map(\.sums.messages) == Array(repeating: 80, count: 5))
            await other.queries.stop()
        }
    }

    @Test(arguments: [
        (1, 8, 2, "0.13"), (-1, 8, 2, "-0.13"), (1, 3, 4, "0.3333"), (2, 3, 0, "1"),
        (5, 10, 0, "1"), (4, 10, 0, "0"), (-4, 10, 0, "0"), (0, 7, 2, "0"), (5, 0, 2, "0"),
        (1, -2, 2, "0"), (300, 100, 2, "3"), (1005, 1000, 2, "1.01"), (1004, 1000, 2, "1"),
        (9_007_199_254_740_991, 1, 6, "9007199254740991"),
        (Int.min, 1_000_000, 2, "-9223372036854.78"),
    ])
    func `Quotients are rounded half away from zero`(
        dividend: Int, divisor: Int, places: Int, text: String
    ) {
        #expect(RoundedDecimal.text(dividend, over: divisor, places: places) == text)
    }
}
