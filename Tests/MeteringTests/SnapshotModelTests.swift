// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import Metering
import Observability
import Redis
import TestSupport
import Testing

/// A flusher with its own connection and a folder of its own.
final class FlushBench {
    let flusher: Flusher
    let data: String
    let client: RedisClient

    init(
        _ path: String, on loop: EventLoop, clock: ManualClock,
        settings: WorkspaceSettings = WorkspaceSettings(), data: String? = nil,
        idByteCountMax: Int = 32 << 20, leaseMS: Int = 10_000, metrics: FlushMetrics? = nil
    ) async throws {
        let registry = MetricsRegistry()
        var configuration = RedisConfiguration(address: .unix(path))
        configuration.commandTimeout = .seconds(20)
        client = RedisClient(
            on: loop, configuration: configuration, scripts: ScriptLibrary.forSnapshots,
            metrics: registry, logger: Logger(level: .error))
        let folder = try data ?? makeTemporaryFolder()
        self.data = folder
        var options = Flusher.Options()
        options.idByteCountMax = idByteCountMax
        options.leaseMS = leaseMS
        flusher = Flusher(
            client: client, settings: settings, clock: clock, data: folder,
            metrics: metrics ?? FlushMetrics(registry), logger: Logger(level: .error),
            options: options)
        client.connect()
        while !client.isReady { await loop.sleep(for: .milliseconds(1)) }
    }

    deinit {
        client.close()
        removeFolder(data)
    }

    /// Flushes, and checks every file.
    @discardableResult
    func flush(sourceLocation: SourceLocation = #_sourceLocation) async throws
        -> [String: SnapshotReading]
    {
        let report = await flusher.flush()
        #expect(report.problem == nil, sourceLocation: sourceLocation)
        // Elsewhere: writers of the same loop go on.
        let (days, others) = try await blocking { [data] in try SnapshotReading.all(in: data) }
        #expect(others == [], sourceLocation: sourceLocation)
        for (date, day) in days {
            #expect(day.problems == [], "\(date)", sourceLocation: sourceLocation)
            #expect(day.date == date, sourceLocation: sourceLocation)
        }
        return days
    }
}

/// What snapshots have to say, in its plainest form.
struct SnapshotModel {
    typealias Sums = SnapshotReading.Sums
    let calendar: WorkspaceCalendar
    var cells: [String: [SnapshotReading.Cell: Sums]] = [:]
    var subjects: [String: [String: Sums]] = [:]
    /// First and last time; what is undone stays the first or the last.
    var times: [String: [String: ClosedRange<Int>]] = [:]

    mutating func count(_ event: UsageEvent, at milliseconds: Int, sign: Int = 1) {
        let seconds = Int((Double(milliseconds) / 1000).rounded(.down))
        let date = "\(calendar.day(at: seconds))"
        let hour = calendar.hours(of: calendar.day(at: seconds)).last { $0 <= seconds } ?? 0
        let cell = SnapshotReading.Cell(
            hour: Timestamp(milliseconds: hour * 1000).text, action: event.action.text,
            model: event.model.text)
        var sums = Sums()
        sums.events = 1
        for (meter, amount) in event.amounts where amount != 0 {
            sums.meters[meter.name] = amount
        }
        if sign > 0 {
            let old = times[date, default: [:]][event.subject.id.text]
            times[date, default: [:]][event.subject.id.text] =
                min(
                    old?.lowerBound ?? milliseconds, milliseconds)...max(
                    old?.upperBound ?? milliseconds, milliseconds)
        }
        cells[date, default: [:]][cell, default: Sums()].add(sums, sign: sign)
        subjects[date, default: [:]][event.subject.id.text, default: Sums()].add(sums, sign: sign)
    }

    func check(_ days: [String: SnapshotReading]) {
        #expect(Set(days.keys).symmetricDifference(subjects.keys) == [])
        for (date, day) in days {
            let isRight =
                day.cells == cells[date]?.filter { !$0.value.isZero }
                && day.subjects == subjects[date]
            #expect(isRight, "\(date)")
            for (subject, text) in day.times {
                guard let range = times[date]?[subject] else { continue }
                let first = Timestamp(milliseconds: range.lowerBound).text
                let last = Timestamp(milliseconds: range.upperBound).text
                #expect(text == "\(first) \(last)", "\(date) \(subject)")
            }
        }
    }
}

@Suite(.timeLimit(.minutes(15))) struct SnapshotModelTests {
    /// Zones and moments of days with 23, 25 and 24.5 hours, and one that begins at 01:00.
    static let cases: [(zone: String, start: String, seed: UInt64)] = [
        ("UTC", "2026-11-21T10:00:00Z", 1), ("Europe/Berlin", "2026-10-25T00:30:00Z", 2),
        ("Europe/Berlin", "2026-03-29T00:30:00Z", 3),
        ("America/Sao_Paulo", "2018-11-04T02:00:00Z", 4),
        ("Australia/Lord_Howe", "2026-04-04T14:00:00Z", 5),
        ("Asia/Kathmandu", "2026-11-21T18:00:00Z", 6), ("Pacific/Apia", "2011-12-30T09:00:00Z", 7),
    ]

    @Test(arguments: cases)
    func `Snapshots equal the model, whatever comes late, twice or is undone`(
        zone: String, start: String, seed: UInt64
    ) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                var random = SeededGenerator(seed)
                let calendar = try #require(WorkspaceCalendar(zone: zone))
                let settings = WorkspaceSettings(
                    calendar: calendar, idempotencyHours: 840, hotDays: 1000)
                let clock = ManualClock(try #require(Timestamp(start)).milliseconds)
                let benches = [
                    await Bench(redis.socketPath, on: host.loop, clock: clock, settings: settings),
                    await Bench(redis.socketPath, on: host.loop, clock: clock, settings: settings),
                ]
                let flushing = [
                    try await FlushBench(
                        redis.socketPath, on: host.loop, clock: clock, settings: settings),
                    // With room for some ids only.
                    try await FlushBench(
                        redis.socketPath, on: host.loop, clock: clock, settings: settings,
                        idByteCountMax: 100),
                ]
                var model = SnapshotModel(calendar: calendar)
                var sent: [(event: UsageEvent, time: Int)] = []
                for round in 0..<40 {
                    let bench = benches[round % 2]
                    let events = (0..<Int.random(in: 1...30, using: &random)).map { index in
                        Self.randomEvent("\(round)-\(index)", clock, sent.map(\.event), &random)
                    }
                    let outcomes = await bench.record(events)
                    for (event, outcome) in zip(events, outcomes) where outcome.counted != nil {
                        let time = event.time ?? clock.now
                        model.count(event, at: time.milliseconds)
                        if event.id != nil { sent.append((event, time.milliseconds)) }
                    }
                    if round % 3 == 2, let place = sent.indices.randomElement(using: &random) {
                        let (event, time) = sent.remove(at: place)
                        let id = try #require(event.id)
                        let outcome = try await bench.engine.reverse(id, reason: .empty)
                        #expect(outcome?.counted != nil)
                        model.count(event, at: time, sign: -1)
                    }
                    if random.next() % 3 == 0 {
                        clock.advance(Int.random(in: -5_000...50_000_000, using: &random))
                    }
                    if random.next() % 8 == 0 { try await bench.closer.closeDays() }
                    if round % 7 == 6 { model.check(try await flushing[round % 2].flush()) }
                }
                let first = try await flushing[0].flush()
                model.check(first)
                // The same bytes, from another flusher and by more passes.
                let second = try await flushing[1].flush()
                #expect(first.keys.filter { first[$0] != second[$0] } == [])
                // All of them become final, and the same bytes when they are written anew.
                clock.advance(40 * 86_400_000)
                let final = try await flushing[0].flush()
                #expect(final.values.filter { !$0.isFinal }.isEmpty)
                removeFolder("\(flushing[0].data)/rollups")
                clock.advance(1_000)
                let again = try await flushing[0].flush()
                #expect(final.keys.filter { final[$0] != again[$0] } == [])
                model.check(again)
            }
        }
    }

    static func randomEvent(
        _ name: String, _ clock: ManualClock, _ sent: [UsageEvent], _ random: inout SeededGenerator
    ) -> UsageEvent {
        if random.next() % 10 == 0, let old = sent.randomElement(using: &random) { return old }
        let now = clock.now.milliseconds
        let times: [Int?] = [
            nil, nil, nil, now, now - Int.random(in: 0...700_000_000, using: &random),
            now - Int.random(in: 0...20_000_000_000, using: &random), now + 200_000,
        ]
        let subjects = ["a", "b", "ü", "\"quoted\\", "\u{1F600}", "line\u{2028}", "z"]
        let subject =
            random.next() % 3 == 0
            ? subjects.randomElement(using: &random) ?? "a"
            : "s\(Int.random(in: 0...60, using: &random))"
        var amounts = ["tokens": Int.random(in: 0...20, using: &random)]
        if random.next() % 3 == 0 { amounts["files"] = Int.random(in: 0...3, using: &random) }
        if random.next() % 5 == 0 { amounts["credits_micro"] = 4_000_000_000 }
        let hasID = random.next() % 2 == 0
        return event(
            subject, amounts, id: hasID ? "id-\(name)" : nil,
            at: times[Int(random.next() % 7)],
            action: ["chat", "\"a\"", "b"][Int(random.next() % 3)],
            model: ["", "m", "gpt-4o"][Int(random.next() % 3)])
    }
}
