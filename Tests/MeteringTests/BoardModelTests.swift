// SPDX-License-Identifier: Apache-2.0

import Metering
import Redis
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct BoardModelTests {
    /// Zones and moments around which days have 23, 25 and 24.5 hours, begin at 01:00 or are missing.
    static let cases: [(zone: String, start: String, seed: UInt64)] = [
        ("UTC", "2026-11-21T10:00:00Z", 1), ("Europe/Berlin", "2026-10-24T20:30:00Z", 2),
        ("Europe/Berlin", "2026-03-28T20:30:00Z", 3),
        ("America/Sao_Paulo", "2018-11-03T22:00:00Z", 4),
        ("Australia/Lord_Howe", "2026-04-03T14:00:00Z", 5),
        ("Pacific/Apia", "2011-12-29T09:00:00Z", 6), ("Asia/Kathmandu", "2026-12-31T12:00:00Z", 7),
    ]

    @Test(arguments: cases)
    func `Boards equal the model, whatever comes late, is undone or happens at midnight`(
        zone: String, start: String, seed: UInt64
    ) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                var random = SeededGenerator(seed)
                let calendar = try #require(WorkspaceCalendar(zone: zone))
                let settings = WorkspaceSettings(calendar: calendar, idempotencyHours: 840)
                let clock = ManualClock(try #require(Timestamp(start)).milliseconds)
                let benches = [
                    await Bench(redis.socketPath, on: host.loop, clock: clock, settings: settings),
                    await Bench(redis.socketPath, on: host.loop, clock: clock, settings: settings),
                ]
                var model = BoardModel(calendar: calendar)
                var sent: [(event: UsageEvent, time: Int)] = []
                try await withQueries(
                    2, redis.socketPath, on: host, clock: clock, settings: settings
                ) { engines in
                    for round in 0..<40 {
                        let bench = benches[round % 2]
                        let events = (0..<Int.random(in: 1...40, using: &random)).map { index in
                            Self.randomEvent("\(round)-\(index)", clock, &random)
                        }
                        let outcomes = await bench.record(events)
                        for (event, outcome) in zip(events, outcomes) where outcome.counted != nil {
                            let time = event.time ?? clock.now
                            model.count(event, at: time.milliseconds)
                            if event.id != nil { sent.append((event, time.milliseconds)) }
                        }
                        if round % 2 == 1, let place = sent.indices.randomElement(using: &random) {
                            let (event, time) = sent.remove(at: place)
                            let id = try #require(event.id)
                            #expect(
                                try await bench.engine.reverse(id, reason: .empty)?.counted != nil)
                            model.count(event, at: time, sign: -1)
                        }
                        if random.next() % 3 == 0 {
                            clock.advance(Int.random(in: -5_000...50_000_000, using: &random))
                        }
                        if random.next() % 8 == 0 { try await bench.closer.closeDays() }
                        if random.next() % 3 == 0 {
                            try await Self.check(
                                model, engines[Int(random.next() % 2)], clock, &random)
                        }
                    }
                    for engine in engines {
                        try await Self.check(model, engine, clock, &random, all: true)
                    }
                }
            }
        }
    }

    private static func windows(
        _ today: CivilDay, _ random: inout SeededGenerator
    ) -> [LeaderboardWindow] {
        // Some that come again on the next days, too: there may be 64 boards.
        let first = CivilDay(number: today.number / 40 * 40 - [0, 1, 200][Int(random.next() % 3)])
        let last = CivilDay(number: first.number + [1, 30, 260][Int(random.next() % 3)])
        return [
            .days(1), .days(7), .days(30), .month, .lifetime,
            .day(first), .span(first...last),
        ]
    }

    private static func check(
        _ model: BoardModel, _ engine: QueryEngine, _ clock: ManualClock,
        _ random: inout SeededGenerator, all: Bool = false
    ) async throws {
        let today = model.calendar.day(at: clock.now.milliseconds / 1000)
        for window in windows(today, &random) where all || random.next() % 2 == 0 {
            for meter in [Meter.tokens, .creditsMicro] {
                try await engine.check(window, meter, model, on: today, &random)
            }
        }
    }

    private static func randomEvent(
        _ name: String, _ clock: ManualClock, _ random: inout SeededGenerator
    ) -> UsageEvent {
        let now = clock.now.milliseconds
        let times: [Int?] = [
            nil, nil, nil, now, now - Int.random(in: 0...700_000_000, using: &random),
            now - Int.random(in: 0...20_000_000_000, using: &random), now + 200_000,
        ]
        let subjects = ["a", "A", "ü", "\"quoted\\", "\u{1F600}", "a b", "z"]
        let subject =
            random.next() % 3 == 0
            ? subjects.randomElement(using: &random) ?? "a"
            : "s\(Int.random(in: 0...60, using: &random))"
        // Few values, so that many are equal.
        var amounts = ["tokens": Int.random(in: 0...3, using: &random)]
        if random.next() % 3 == 0 { amounts["files"] = Int.random(in: 0...3, using: &random) }
        if random.next() % 5 == 0 { amounts["credits_micro"] = 4_000_000_000 }
        return event(
            subject, amounts, id: random.next() % 2 == 0 ? "id-\(name)" : nil,
            at: times[Int(random.next() % 7)])
    }
}
