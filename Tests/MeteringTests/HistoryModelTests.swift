// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import Metering
import Observability
import Redis
import TestSupport
import Testing

/// What the history has to tell, in its plainest form: events in the order in which they were
/// counted.
struct HistoryModel {
    struct Entry {
        let id: ByteString
        let event: UsageEvent
        let time: Int
        /// Day of arrival (UTC).
        let arrival: Int
        let isReversal: Bool
        var isReversed = false

        var credits: Int { event.amounts.first { $0.0 == .creditsMicro }?.1 ?? 0 }
    }

    var entries: [Entry] = []

    mutating func count(
        _ event: UsageEvent, as id: ByteString, at now: Int, isReversal: Bool = false
    ) {
        entries.append(
            Entry(
                id: id, event: event, time: event.time?.milliseconds ?? now,
                arrival: now / 86_400_000, isReversal: isReversal))
    }

    func answer(_ query: EventQuery, since arrival: Int) -> [String] {
        var found = entries.enumerated().filter { _, entry in
            entry.arrival >= arrival
                && (query.subject == nil || query.subject == entry.event.subject)
                && (query.action == nil || query.action == entry.event.action)
                && (query.model == nil || query.model == entry.event.model)
                && (query.minCredits.map { entry.credits >= $0 } ?? true)
                && (query.from.map { entry.time >= $0.milliseconds } ?? true)
                && (query.until.map { entry.time < $0.milliseconds } ?? true)
        }
        switch query.order {
        case .newest: found.sort { $0.offset > $1.offset }
        case .credits:
            found.sort { ($0.element.credits, $0.offset) > ($1.element.credits, $1.offset) }
        }
        return found.map(\.element).map {
            Self.line($0.id, $0.time, $0.event, $0.isReversal, $0.isReversed)
        }
    }

    static func line(
        _ id: ByteString, _ time: Int, _ event: UsageEvent, _ isReversal: Bool, _ isReversed: Bool
    ) -> String {
        let amounts = event.amounts.map { "\($0.0.name)=\($0.1)" }
        return "\(id.text) \(time) \(event.subject.id.text) \(event.action.text) "
            + "\(event.model.text) \(amounts) \(isReversal) \(isReversed)"
    }
}

extension HistoryEvent {
    /// As the model says it.
    var line: String {
        let amounts = recorded.amounts.map { "\($0.0.name)=\($0.1)" }
        return "\(recorded.id.text) \(recorded.time.milliseconds) \(recorded.subject.text) "
            + "\(recorded.action.text) \(recorded.model.text) \(amounts) \(isReversal) \(isReversed)"
    }
}

/// Engines that record, and one that is asked, on one Redis.
final class HistoryBench {
    let benches: [Bench]
    let queries: QueryEngine
    let clock: ManualClock
    let settings: WorkspaceSettings
    var model = HistoryModel()

    init(
        _ path: String, on loop: EventLoop, at time: Int = noon,
        settings: WorkspaceSettings = WorkspaceSettings()
    ) async {
        clock = ManualClock(time)
        self.settings = settings
        benches = [
            await Bench(path, on: loop, clock: clock, settings: settings),
            await Bench(path, on: loop, clock: clock, settings: settings),
        ]
        var redis = RedisConfiguration(address: .unix(path))
        redis.commandTimeout = .seconds(20)
        queries = QueryEngine(
            on: loop, redis: redis, settings: settings, clock: clock,
            data: NSTemporaryDirectory(), metrics: MetricsRegistry(),
            logger: Logger(level: .error))
        await queries.start(isKeeping: false)
        while (try? await queries.events(EventQuery(), limit: 1)) == nil {
            await loop.sleep(for: .milliseconds(1))
        }
    }

    func record(_ events: [UsageEvent], by bench: Int = 0) async {
        let now = clock.now.milliseconds
        let outcomes = await benches[bench].record(events)
        for (event, outcome) in zip(events, outcomes) {
            if let counted = outcome.counted { model.count(event, as: counted.id, at: now) }
        }
    }

    func reverse(_ index: Int) async throws {
        let entry = model.entries[index]
        let outcome = try await benches[0].engine.reverse(entry.id, reason: ByteString("no"))
        // Its id may have been forgotten.
        guard let counted = outcome?.counted else { return }
        model.entries[index].isReversed = true
        var event = entry.event
        event.time = Timestamp(milliseconds: entry.time)
        event.amounts = event.amounts.map { ($0.0, -$0.1) }
        model.count(event, as: counted.id, at: clock.now.milliseconds, isReversal: true)
    }

    /// All pages, joined.
    func pages(
        _ query: EventQuery, limit: Int, bounds: HistoryBounds = HistoryBounds(),
        between: () async throws -> Void = {}
    ) async throws -> [HistoryEvent] {
        var events: [HistoryEvent] = []
        var cursor: String?
        repeat {
            let page = try await queries.events(
                query, limit: limit, after: cursor, bounds: bounds)
            #expect(page.events.count <= limit)
            events += page.events
            cursor = page.next
            try await between()
        } while cursor != nil
        return events
    }

    func expected(_ query: EventQuery) -> [String] {
        model.answer(
            query, since: clock.now.milliseconds / 86_400_000 - settings.eventsDays)
    }

    func check(
        _ query: EventQuery, limit: Int, bounds: HistoryBounds = HistoryBounds(),
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let expected = expected(query)
        let found = try await pages(query, limit: limit, bounds: bounds).map(\.line)
        #expect(found == expected, "\(query), by \(limit)", sourceLocation: sourceLocation)
    }
}

func withHistory(
    at time: Int = noon, settings: WorkspaceSettings = WorkspaceSettings(),
    _ body: @Sendable (isolated LoopHost, HistoryBench, RedisServer) async throws -> Void
) async throws {
    try await withRedis { redis in
        try await onLoop { host in
            let bench = await HistoryBench(
                redis.socketPath, on: host.loop, at: time, settings: settings)
            do {
                try await body(host, bench, redis)
                await bench.queries.stop()
            } catch {
                await bench.queries.stop()
                throw error
            }
        }
    }
}

@Suite(.timeLimit(.minutes(15))) struct HistoryModelTests {
    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func `The history equals the model, by every filter, in pages of every size`(
        seed: UInt64
    ) async throws {
        try await withHistory(settings: WorkspaceSettings(idempotencyHours: 72, eventsDays: 4)) {
            _, bench, _ in
            var random = SeededGenerator(seed)
            for round in 0..<50 {
                let count = random.next() % 10 == 0 ? 600 : Int.random(in: 1...12, using: &random)
                await bench.record(
                    (0..<count).map { Self.randomEvent("\(round)-\($0)", bench, &random) },
                    by: round % 2)
                if round % 3 == 1,
                    let place = bench.model.entries.indices.randomElement(using: &random),
                    !bench.model.entries[place].isReversal, !bench.model.entries[place].isReversed
                {
                    try await bench.reverse(place)
                }
                bench.clock.advance(Int.random(in: 0...40_000_000, using: &random))
                guard round % 5 == 4 else { continue }
                var bounds = HistoryBounds()
                if random.next() % 2 == 0 { bounds.read = Int.random(in: 1...300, using: &random) }
                for _ in 0..<12 {
                    try await bench.check(
                        Self.randomQuery(bench, &random),
                        limit: Int.random(in: 1...400, using: &random),
                        bounds: bounds)
                }
                try await bench.check(EventQuery(), limit: 1000)
            }
            // Something was asked that had an answer, and days have left.
            #expect(bench.expected(EventQuery()).count > 20)
            #expect(bench.expected(EventQuery()).count < bench.model.entries.count)
        }
    }

    @Test func `Parts of an export, joined, are the whole`() async throws {
        try await withHistory { _, bench, _ in
            var random = SeededGenerator(5)
            for round in 0..<20 {
                let count = Int.random(in: 1...700, using: &random)
                await bench.record(
                    (0..<count).map { Self.randomEvent("\(round)-\($0)", bench, &random) })
                bench.clock.advance(Int.random(in: 0...20_000_000, using: &random))
            }
            for _ in 0..<20 {
                var query = Self.randomQuery(bench, &random)
                query.order = .newest
                var bounds = HistoryBounds()
                if random.next() % 2 == 0 { bounds.read = 500 }
                var found: [String] = []
                var cursor: String?
                repeat {
                    let part = try await bench.queries.eventPart(
                        query, count: 100, after: cursor, bounds: bounds)
                    #expect(part.events.count < 100 + 512)
                    found += part.events.map(\.line)
                    cursor = part.next
                } while cursor != nil
                #expect(found == bench.expected(query), "\(query)")
            }
        }
    }

    @Test(arguments: EventQuery.Order.allCases, [nil, "s1"])
    func `Pages fit together while events come`(
        order: EventQuery.Order, subject: String?
    ) async throws {
        try await withHistory { _, bench, _ in
            var random = SeededGenerator(6)
            for round in 0..<10 {
                await bench.record(
                    (0..<30).map { Self.randomEvent("\(round)-\($0)", bench, &random) })
            }
            var query = EventQuery()
            query.order = order
            query.subject = subject.map { subjectID($0) }
            let expected = bench.expected(query)
            #expect(expected.count > 7)
            let found = try await bench.pages(query, limit: 7) {
                await bench.record((0..<5).map { _ in event("s1", ["credits_micro": 1_500_000]) })
                bench.clock.advance(4_000_000)
            }
            #expect(found.map(\.line) == expected)
        }
    }

    static func randomEvent(
        _ name: String, _ bench: HistoryBench, _ random: inout SeededGenerator
    ) -> UsageEvent {
        let now = bench.clock.now.milliseconds
        let times: [Int?] = [
            nil, nil, nil, now, now - Int.random(in: 0...600_000_000, using: &random),
            now - Int.random(in: 0...90_000_000_000, using: &random), now + 299_000,
        ]
        var amounts = ["tokens": Int.random(in: 0...20, using: &random)]
        if random.next() % 2 == 0 {
            amounts["credits_micro"] = Int.random(in: 0...3, using: &random) * 1_000_000
        }
        return event(
            "s\(Int.random(in: 0...6, using: &random))", amounts,
            id: random.next() % 2 == 0 ? "id-\(name)" : nil, at: times[Int(random.next() % 7)],
            action: ["chat", "upload"][Int(random.next() % 2)],
            model: ["", "m", "n"][Int(random.next() % 3)])
    }

    static func randomQuery(_ bench: HistoryBench, _ random: inout SeededGenerator) -> EventQuery {
        var query = EventQuery()
        let now = bench.clock.now.milliseconds
        if random.next() % 2 == 0 {
            query.subject = subjectID("s\(Int.random(in: 0...7, using: &random))")
        }
        if random.next() % 3 == 0 { query.action = ByteString("chat") }
        if random.next() % 3 == 0 { query.model = ByteString(["", "m"][Int(random.next() % 2)]) }
        if random.next() % 3 == 0 {
            query.minCredits = Int.random(in: 0...3, using: &random) * 1_000_000
        }
        if random.next() % 2 == 0 {
            query.from = Timestamp(
                milliseconds: now - Int.random(in: 0...500_000_000, using: &random))
        }
        if random.next() % 2 == 0 {
            query.until = Timestamp(
                milliseconds: (query.from?.milliseconds ?? now - 300_000_000)
                    + Int.random(in: 0...300_000_000, using: &random))
        }
        if random.next() % 3 == 0 { query.order = .credits }
        return query
    }
}
