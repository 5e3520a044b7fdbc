// SPDX-License-Identifier: Apache-2.0

import EventLoop
import TestSupport
import Testing

@testable import Metering

/// What follows the log of single events, when a clock that was ahead by days is set back.
@Suite(.timeLimit(.minutes(15))) struct SetBackUsageTests {
    private static let days = 86_400_000

    /// Compares minutes, and who was seen, with what was counted.
    private static func check(_ bench: HistoryBench, ahead: Int) async throws {
        let now = bench.clock.now.milliseconds
        for (bucket, back) in [
            (SeriesQuery.Bucket.minute, 60 * 60_000), (.hour, 5 * days), (.day, 12 * days),
            (.month, 60 * days),
        ] {
            try await bench.checkSeries(SeriesQuery(tokens, bucket, now - back..<now + 1))
        }
        // What was dated by the clock that was ahead.
        let then = noon + ahead * days
        try await bench.checkSeries(SeriesQuery(tokens, .hour, then - days..<then + days))
        let guests = Set(bench.model.entries.map(\.event.subject.id.text))
            .filter { $0.hasPrefix("guest:") }
        #expect(try await bench.queries.activity().guestCount == guests.count)
    }

    /// Counts the last upload of a subject.
    private static func upload(_ subject: String, _ bench: HistoryBench) async throws {
        await bench.record([event(subject, ["files_uploaded": 1])])
        let times = try await bench.queries.activity(of: subjectID(subject)).times
        #expect(times.lastUpload == bench.clock.now)
    }

    @Test func `A state of an older version is read, and passed days are remembered`() throws {
        let writer = MessagePackWriter()
        writer.integers([100, 7, 0, 9])
        var followed = try #require(FollowedLogs(writer.take()))
        #expect((99...103).map { followed[$0] } == [0, 7, 0, 9, 0])
        followed.raiseFloor(to: 102)
        for day in 103...160 {
            followed[day] = 1
            followed.raiseFloor(to: day - 1)
            #expect(FollowedLogs(followed.packed(writer)) == followed)
        }
        // Forty of those before it.
        #expect(followed.floor == 159 && followed[118] == 0 && followed[119] == 1)
        followed.lowerFloor(to: 130)
        #expect(followed.floor == 130 && followed[140] == 1)
    }

    @Test(arguments: [1, 2, 5, 40], [false, true])
    func `Minutes and who was seen follow a clock that was ahead and is set back, each event once`(
        ahead: Int, isFollowed: Bool
    ) async throws {
        try await withHistory { _, bench, _ in
            await bench.record([event("a"), event("guest:1"), event("a")])
            if isFollowed { try await Self.check(bench, ahead: ahead) }
            bench.clock.advance(ahead * Self.days)
            let late = noon + max(0, ahead - 7) * Self.days - 5 * 3_600_000
            await bench.record([event("b"), event("guest:2"), event("b", at: late)])
            if isFollowed { try await Self.check(bench, ahead: ahead) }
            // Somebody has looked which logs there are.
            _ = try await bench.queries.events(EventQuery(), limit: 1)
            bench.clock.set(noon + 1000)
            await bench.record([event("c"), event("guest:3"), event("a")])
            for name in ["d", "e"] {
                try await Self.check(bench, ahead: ahead)
                bench.clock.advance(60_000)
                await bench.record([event(name), event("guest:\(name)")])
            }
            try await Self.upload("f", bench)
            for round in 0...ahead + 2 {
                bench.clock.advance(Self.days)
                await bench.record([event("g\(round)"), event("guest:g\(round)"), event("a")])
                try await Self.check(bench, ahead: ahead)
            }
        }
    }

    /// A process ended before all was followed, and no other was there for days.
    @Test(
        arguments: [(1, 840, 37), (35, 48, 35), (1, 1, 1), (400, 48, 400)], [false, true])
    func `A follower that comes late reads all logs that Redis may have`(
        setting: (eventsDays: Int, idempotencyHours: Int, daysLater: Int), isFirst: Bool
    ) async throws {
        let settings = WorkspaceSettings(
            idempotencyHours: setting.idempotencyHours, eventsDays: setting.eventsDays)
        try await withHistory(settings: settings) { _, bench, _ in
            if !isFirst {
                await bench.record([event("guest:1")])
                #expect(try await bench.queries.activity().guestCount == 1)
            }
            await bench.record([event("guest:2"), event("a", ["files_uploaded": 1])])
            bench.clock.advance(setting.daysLater * Self.days)
            #expect(try await bench.queries.activity().guestCount == (isFirst ? 1 : 2))
            let times = try await bench.queries.activity(of: subjectID("a")).times
            #expect(times.lastUpload?.milliseconds == noon)
        }
    }

    // MARK: Single events

    /// Asks for events, all and of one subject, and compares them with what was counted.
    ///
    /// - Parameter starts: of ranges.
    private static func checkEvents(_ bench: HistoryBench, from starts: [Int?]) async throws {
        // Logs are read by their days; a subject's entries in the order of counting.
        var byDay = bench.model
        byDay.entries = bench.model.entries.enumerated()
            .sorted { ($0.element.arrival, $0.offset) < ($1.element.arrival, $1.offset) }
            .map(\.element)
        let oldest = bench.clock.now.milliseconds / days - bench.settings.eventsDays
        for subject in [nil, "a", "b"] {
            for start in starts {
                var query = EventQuery()
                query.subject = subject.map { subjectID($0) }
                query.from = start.map { Timestamp(milliseconds: $0) }
                for order in EventQuery.Order.allCases {
                    query.order = order
                    let isByDay = subject == nil || order == .credits
                    let expected = (isByDay ? byDay : bench.model).answer(query, since: oldest)
                    for limit in [3, 100] {
                        let found = try await bench.pages(query, limit: limit).map(\.line)
                        #expect(found == expected, "\(query), by \(limit)")
                    }
                }
            }
        }
    }

    @Test(arguments: [1, 2, 6])
    func `Events are told when a clock that was ahead is set back, and when it gets there`(
        ahead: Int
    ) async throws {
        try await withHistory { _, bench, _ in
            func record(_ count: Int) async {
                for number in 0..<count {
                    await bench.record([
                        event("a", ["credits_micro": number]), event("b"), event("a"), event("c"),
                    ])
                    bench.clock.advance(3_600_000)
                }
            }
            await record(3)
            bench.clock.set(noon + ahead * Self.days)
            await record(4)
            try await Self.checkEvents(bench, from: [nil])
            bench.clock.set(noon + 3 * 3_600_000)
            let then = noon + ahead * Self.days
            let starts = [nil, noon, noon + 2 * 3_600_000, then - 60_000, then + 2 * 3_600_000]
            for _ in 0..<3 {
                try await Self.checkEvents(bench, from: starts)
                await record(2)
            }
            for _ in 0..<3 {
                bench.clock.advance((ahead + 2) / 2 * Self.days)
                await record(1)
                try await Self.checkEvents(bench, from: [nil, noon - Self.days])
            }
        }
    }

    @Test func `Events of a merged guest are told once when a clock that was ahead is set back`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let bench = await Bench(redis.socketPath, on: host.loop, clock: clock)
                var ids: Set<String> = []
                func record(_ subjects: String...) async {
                    let events = subjects.map { event($0, id: "\($0)-\(ids.count)") }
                    ids.formUnion(events.compactMap { $0.id?.text })
                    for outcome in await bench.record(events) { #expect(outcome.counted != nil) }
                    clock.advance(60_000)
                }
                await record("guest:1", "ann")
                await record("guest:1")
                clock.set(noon + 3 * Self.days)
                await record("ann")
                await record("ann", "guest:1")
                await record("guest:1")
                await record("ann", "guest:1")
                #expect(try await bench.told().count == ids.count)
                clock.set(noon + 600_000)
                await record("ann")
                await record("guest:1")
                await record("guest:1", "ann")
                await record("ann")
                #expect(try await bench.merge("guest:1", into: "ann") == .allowed)
                await record("ann")
                for page in [1, 2, 3, 100] {
                    for subject in ["ann", nil] {
                        let told = try await bench.told(of: subject, page: page)
                            .map { String($0.prefix { $0 != " " }) }
                        #expect(told.count == ids.count && Set(told) == ids, "\(page): \(told)")
                    }
                }
            }
        }
    }

    @Test
    func `Charges have what was counted while the clock was ahead, and after it was set back`()
        async throws
    {
        try await withHistory { _, bench, _ in
            func count(_ time: Int?) async {
                await bench.record([
                    event("a", ["credits_micro": 7, "cost_micro": 3], at: time)
                ])
            }
            func check(_ count: Int, by queries: QueryEngine? = nil) async throws {
                let queries = queries ?? bench.queries
                let charges = try await queries.creditCharges(days: 7).charges
                #expect(charges.map(\.eventCount) == [count])
            }
            await count(nil)
            try await check(1)
            bench.clock.advance(5 * Self.days)
            await count(nil)
            await count(noon + 1000)
            try await check(3)
            bench.clock.set(noon + 60_000)
            await count(nil)
            // One of them is dated ahead. Somebody else asks for the first time.
            for queries in [bench.queries, bench.benches[1].queries] {
                try await check(3, by: queries)
            }
            bench.clock.advance(5 * Self.days)
            try await check(4)
            await count(nil)
            try await check(5)
        }
    }
}
