// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import Observability
import Redis
import TestSupport
import Testing

@testable import Metering

/// A workspace with two engines that count, a flusher, and models of all that it was told.
private final class YearsBench {
    let settings: WorkspaceSettings
    let engines: [Bench]
    let flushing: FlushBench
    let clock: ManualClock
    var history = HistoryModel()
    var boards: BoardModel
    var calendar: WorkspaceCalendar { settings.calendar }

    init(
        _ name: String, zone: String, eventsDays: Int, _ redis: RedisServer, on loop: EventLoop,
        _ clock: ManualClock, data: String?
    ) async throws {
        settings = WorkspaceSettings(
            id: try #require(WorkspaceID(name)),
            calendar: try #require(WorkspaceCalendar(zone: zone)), idempotencyHours: 840,
            eventsDays: eventsDays)
        self.clock = clock
        boards = BoardModel(calendar: settings.calendar)
        flushing = try await FlushBench(
            redis.socketPath, on: loop, clock: clock, settings: settings, data: data)
        var engines: [Bench] = []
        for _ in 0..<2 {
            engines.append(
                await Bench(
                    redis.socketPath, on: loop, clock: clock, settings: settings,
                    data: flushing.data, waitMS: 60_000))
        }
        self.engines = engines
    }

    func record(_ events: [UsageEvent], by engine: Int) async {
        let now = clock.now.milliseconds
        let outcomes = await engines[engine].record(events)
        for (event, outcome) in zip(events, outcomes) {
            guard let counted = outcome.counted else {
                Issue.record("\(settings.id.text): \(outcome)")
                continue
            }
            history.count(event, as: counted.id, at: now)
            boards.count(event, at: event.time?.milliseconds ?? now)
        }
    }

    /// As a service does every second: minutes and subjects come from the log, which is gone some day.
    func follow() async throws {
        let now = clock.now.milliseconds
        _ = try await engines[1].queries.series(SeriesQuery(tokens, .minute, now..<now + 1))
    }

    /// Undoes one of the last 35 days, whenever it happened.
    func reverse(_ random: inout SeededGenerator) async throws {
        let arrival = clock.now.milliseconds / 86_400_000 - 34
        let open = history.entries.indices.filter {
            let entry = history.entries[$0]
            return entry.arrival >= arrival && !entry.isReversal && !entry.isReversed
        }
        guard let index = open.randomElement(using: &random) else { return }
        let entry = history.entries[index]
        let outcome = try await engines[0].engine.reverse(entry.id, reason: .empty)
        let counted = try #require(outcome?.counted)
        history.entries[index].isReversed = true
        var event = entry.event
        event.time = Timestamp(milliseconds: entry.time)
        boards.count(event, at: entry.time, sign: -1)
        event.amounts = event.amounts.map { ($0.0, -$0.1) }
        history.count(event, as: counted.id, at: clock.now.milliseconds, isReversal: true)
    }

    /// Writes what changed, and lets days leave Redis that have been over for long enough.
    func flush(evicts: Bool) async throws {
        try await engines[0].closer.closeDays()
        _ = try await flushing.flush()
        guard evicts else { return }
        clock.advance(600_001)
        _ = try await flushing.flush()
    }

    func verify() async throws -> [Difference] {
        let found = FoundDifferences()
        try await engines[0].queries.verify(
            snapshots: "\(flushing.data)/rollups/\(settings.id.text)", isOnlyFolder: false,
            progress: { _ in }, report: found.add)
        return found.all
    }
}

/// Two years of three workspaces on one Redis and one folder, in which the same subjects use the same meters.
@Suite(.timeLimit(.minutes(20))) struct YearsModelTests {
    private static let day = 86_400_000
    /// Where the clocks of the three zones are set, a leap day, turns of months and of years.
    private static let edges = [
        "2024-02-29T12:00:00Z", "2024-03-10T07:00:00Z", "2024-03-31T01:00:00Z",
        "2024-04-06T15:00:00Z", "2024-10-05T15:30:00Z", "2024-10-27T01:00:00Z",
        "2024-11-03T06:00:00Z", "2024-12-31T23:00:00Z", "2025-02-28T22:00:00Z",
        "2025-03-09T07:00:00Z", "2025-03-30T01:00:00Z", "2025-04-05T15:00:00Z",
        "2025-10-04T15:30:00Z", "2025-10-26T01:00:00Z", "2025-11-02T06:00:00Z",
        "2025-12-31T14:00:00Z",
    ].compactMap { Timestamp($0)?.milliseconds }

    @Test(arguments: [UInt64(1), 2])
    func `Two years of several workspaces equal the model, by every window and bucket`(
        seed: UInt64
    ) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                var random = SeededGenerator(seed)
                let start = try #require(Timestamp("2024-02-20T10:00:00Z")).milliseconds
                let clock = ManualClock(start)
                var all: [YearsBench] = []
                for (name, zone, days) in [
                    ("default", "Europe/Berlin", 35), ("acme", "America/New_York", 35),
                    ("lord-howe", "Australia/Lord_Howe", 800),
                ] {
                    all.append(
                        try await YearsBench(
                            name, zone: zone, eventsDays: days, redis, on: host.loop, clock,
                            data: all.first?.flushing.data))
                }
                var round = 0
                while clock.now.milliseconds < start + 735 * Self.day {
                    for bench in all {
                        let events = (0..<Int.random(in: 1...20, using: &random)).map {
                            Self.randomEvent("\(round)-\($0)", since: start, clock, &random)
                        }
                        await bench.record(events, by: round % 2)
                        try await bench.follow()
                        if random.next() % 2 == 0 { try await bench.reverse(&random) }
                        if random.next() % 3 == 0 {
                            try await bench.flush(evicts: random.next() % 2 == 0)
                        }
                    }
                    Self.advance(clock, &random)
                    if round % 12 == 11 {
                        for bench in all { try await Self.check(bench, since: start, &random) }
                    }
                    round += 1
                }
                for bench in all {
                    try await bench.flush(evicts: true)
                    try await Self.check(bench, since: start, &random, isWhole: true)
                    #expect(try await bench.flushing.archive(bench.settings).coldDays().count > 100)
                    #expect(try await bench.verify() == [], "\(bench.settings.id.text)")
                }
            }
        }
    }

    /// By hours, days or weeks, and often to where something changes.
    private static func advance(_ clock: ManualClock, _ random: inout SeededGenerator) {
        let now = clock.now.milliseconds
        let next = edges.first { $0 > now + 3_600_000 }
        switch random.next() % 4 {
        case 0: clock.advance(Int.random(in: -5_000...20_000_000, using: &random))
        case 1: clock.advance(Int.random(in: 0...3 * day, using: &random))
        case 2: clock.advance(Int.random(in: 0...25 * day, using: &random))
        default:
            guard let next, next - now < 40 * day else { return clock.advance(9 * day) }
            clock.set(next + Int.random(in: -3_000_000...3_000_000, using: &random))
        }
    }

    private static func randomEvent(
        _ name: String, since start: Int, _ clock: ManualClock, _ random: inout SeededGenerator
    ) -> UsageEvent {
        let now = clock.now.milliseconds
        let time: Int? =
            switch random.next() % 8 {
            case 0, 1: nil
            case 2: now - Int.random(in: 0...7_200_000, using: &random)
            case 3: now - Int.random(in: 0...7 * day, using: &random)
            case 4: now - Int.random(in: 0...40 * day, using: &random)
            case 5: Int.random(in: start...now, using: &random)
            case 6: now + Int.random(in: 0...299_000, using: &random)
            default:
                min(
                    now,
                    (edges.filter { $0 < now }.randomElement(using: &random) ?? now)
                        + Int.random(in: -7_200_000...7_200_000, using: &random))
            }
        // Few values, so that many are equal.
        var amounts = ["tokens": Int.random(in: 0...4, using: &random)]
        if random.next() % 3 == 0 { amounts["credits_micro"] = 4_000_000_000 }
        if random.next() % 4 == 0 {
            amounts["own_meter"] = Int.random(in: 0...1000, using: &random)
        }
        return event(
            "s\(Int.random(in: 0...25, using: &random))", amounts, id: "id-\(name)", at: time,
            action: ["chat", "upload", "=x"][Int(random.next() % 3)],
            model: ["", "m", "n"][Int(random.next() % 3)])
    }

    private static func check(
        _ bench: YearsBench, since start: Int, _ random: inout SeededGenerator,
        isWhole: Bool = false
    ) async throws {
        let engine = bench.engines[Int(random.next() % 2)].queries
        let now = bench.clock.now.milliseconds
        let today = bench.calendar.day(at: now / 1000)
        let first = CivilDay(
            number: Int.random(in: start / day...today.number, using: &random))
        let last = CivilDay(number: Int.random(in: first.number...today.number, using: &random))
        let windows: [LeaderboardWindow] = [
            .days(1), .days(7), .days(30), .days(90), .days(365), .days(730), .month, .lifetime,
            .day(first), .span(first...last),
        ]
        for window in windows {
            for meter in [Meter.tokens, .creditsMicro] {
                try await engine.check(window, meter, bench.boards, on: today, &random)
            }
        }
        let model = SeriesModel(entries: bench.history.entries, calendar: bench.calendar)
        for bucket in SeriesQuery.Bucket.allCases {
            // For ever, but for minutes, and 10,000 hours.
            let back =
                switch bucket {
                case .minute: 115 * 60_000
                case .hour: min(now - start, 400 * day)
                case .day, .month: now - start
                }
            let from = isWhole ? back : Int.random(in: 0...back, using: &random)
            // So that the last two hours are told whole, also where one is cut.
            let until = bucket == .minute || isWhole ? now : now - from / 4
            var query = SeriesQuery(
                [.tokens, .creditsMicro][Int(random.next() % 2)], bucket, now - from..<until + 1)
            // Whose hours these were is not kept.
            try await model.check(query, engine, countsSubjects: bucket != .hour)
            query.grouping = SeriesQuery.Grouping.allCases.randomElement(using: &random)
            try await model.check(query, engine, countsSubjects: bucket != .hour)
            query.subject = subjectID("s\(Int.random(in: 0...25, using: &random))")
            if bucket == .day || bucket == .month || bench.settings.eventsDays > 735 {
                query.grouping = bench.settings.eventsDays > 735 ? query.grouping : nil
                try await model.check(query, engine)
            } else {
                query.range = max(query.range.lowerBound, now - 30 * day)..<now + 1
                try await model.check(query, engine)
            }
        }
    }
}
