// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import Observability
import Redis
import TestSupport
import Testing

@testable import Metering

/// Engines and flushers of two processes on one Redis and one folder, whose days leave early.
struct ColdBench {
    let benches: [Bench]
    let flushing: [FlushBench]
    let settings: WorkspaceSettings
    let clock: ManualClock
    private let redis: RedisServer

    init(
        _ redis: RedisServer, on loop: EventLoop, _ clock: ManualClock,
        calendar: WorkspaceCalendar = .utc
    ) async throws {
        self.redis = redis
        self.clock = clock
        settings = WorkspaceSettings(
            calendar: calendar, idempotencyHours: 840, lateDays: 1, hotDays: 2)
        let first = try await FlushBench(
            redis.socketPath, on: loop, clock: clock, settings: settings)
        let second = try await FlushBench(
            redis.socketPath, on: loop, clock: clock, settings: settings, data: first.data)
        flushing = [first, second]
        benches = [
            await Bench(
                redis.socketPath, on: loop, clock: clock, settings: settings, data: first.data),
            await Bench(
                redis.socketPath, on: loop, clock: clock, settings: settings, data: first.data),
        ]
    }

    /// Lets all days leave that are over for long enough.
    @discardableResult
    func evict() async throws -> Set<CivilDay> {
        try await flushing[0].flush()
        clock.advance(DayEviction.quietMS)
        try await benches[0].closer.closeDays()
        try await flushing[0].flush()
        return try await cold()
    }

    /// Sends events through each of the engines at the same time.
    func recordAtOnce(_ events: [[UsageEvent]]) async -> [[EventOutcome]] {
        await withCheckedContinuation { continuation in
            var outcomes: [Int: [EventOutcome]] = [:]
            for (index, events) in events.enumerated() {
                benches[index].engine.record(events) { list in
                    outcomes[index] = list
                    guard outcomes.count == 2 else { return }
                    continuation.resume(returning: [outcomes[0] ?? [], outcomes[1] ?? []])
                }
            }
        }
    }

    func cold() async throws -> Set<CivilDay> {
        try await flushing[0].archive(settings).coldDays()
    }

    /// The keys that Redis has of a day.
    func keys(of date: String) throws -> [String] {
        let lines = try redis.request("KEYS t1:{default}:*:\(date)*").split(separator: "\r\n")
        return lines.filter { $0.hasPrefix("t1:") && !$0.contains(":log:") }.map { String($0) }
    }

    /// Compares what is answered of a day with the model, wherever the day is.
    func check(_ date: String, _ model: SnapshotModel) async throws {
        let day = try #require(CivilDay(date))
        let reading = try await benches[1].queries.hourlyUsage(day)
        #expect(reading.warnings == [], "\(date)")
        var cells: [SnapshotReading.Cell: SnapshotReading.Sums] = [:]
        for cell in reading.cells {
            var sums = SnapshotReading.Sums()
            sums.events = cell.eventCount
            for (meter, total) in cell.sums where total != 0 { sums.meters[meter.name] = total }
            let hour = Timestamp(milliseconds: cell.hour * 1000).text
            let place = SnapshotReading.Cell(
                hour: hour, action: cell.action.text, model: cell.model.text)
            if !sums.isZero { cells[place] = sums }
        }
        #expect(cells == model.cells[date]?.filter { !$0.value.isZero }, "\(date)")
    }
}

@Suite(.timeLimit(.minutes(5))) struct ColdDayTests {
    private static let date = "2026-11-21"
    private static let day = CivilDay(number: 20_778)
    private static let length = 86_400_000

    @Test(
        arguments: [
            ("UTC", 1), ("Europe/Berlin", 2), ("America/Sao_Paulo", 3), ("Pacific/Apia", 4),
        ] as [(String, UInt64)])
    func `Days leave and come back, and nothing of them changes`(zone: String, seed: UInt64)
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                var random = SeededGenerator(seed)
                let calendar = try #require(WorkspaceCalendar(zone: zone))
                let clock = ManualClock(noon)
                let all = try await ColdBench(redis, on: host.loop, clock, calendar: calendar)
                var model = SnapshotModel(calendar: calendar)
                var sent: [(event: UsageEvent, time: Int)] = []
                var left: Set<CivilDay> = []
                for round in 0..<30 {
                    let bench = all.benches[round % 2]
                    let events = (0..<Int.random(in: 1...20, using: &random)).map { index in
                        SnapshotModelTests.randomEvent(
                            "\(round)-\(index)", clock, sent.map(\.event), &random)
                    }
                    let outcomes = await bench.record(events)
                    for (event, outcome) in zip(events, outcomes) {
                        if case .unavailable(let reason) = outcome { Issue.record("\(reason)") }
                        guard outcome.counted != nil else { continue }
                        let time = event.time ?? clock.now
                        model.count(event, at: time.milliseconds)
                        if event.id != nil { sent.append((event, time.milliseconds)) }
                    }
                    if let place = sent.indices.randomElement(using: &random) {
                        let (event, time) = sent.remove(at: place)
                        let outcome = try await bench.engine.reverse(
                            event.id ?? .empty, reason: .empty)
                        #expect(outcome?.counted != nil)
                        model.count(event, at: time, sign: -1)
                    }
                    if round % 4 == 3 {
                        clock.advance(Int.random(in: 0...90_000_000, using: &random))
                        try await bench.closer.closeDays()
                        model.check(try await all.flushing[round % 2].flush())
                        let cold = try await all.cold()
                        left.formUnion(cold)
                        for day in cold { model.forgetUndone("\(day)") }
                        for date in model.cells.keys { try await all.check(date, model) }
                    }
                }
                #expect(left.count > 10)
                clock.advance(9 * Self.length)
                let cold = try await all.evict()
                #expect(cold.count == model.cells.count)
                model.check(try await all.flushing[1].flush())
                for date in model.cells.keys {
                    try await all.check(date, model)
                    #expect(try all.keys(of: date) == [])
                }
                // Each comes back by one event, and is then as if it had never left.
                for day in cold {
                    let time = calendar.start(of: day) * 1000 + 3_600_000
                    let late = event("late", ["tokens": 1, "files": 1], at: time)
                    let outcome = await all.benches[day.number % 2].record(late)
                    #expect(outcome.counted != nil)
                    model.count(late, at: time)
                    try await all.check("\(day)", model)
                }
                #expect(try await all.cold() == [])
                model.check(try await all.flushing[0].flush())
            }
        }
    }

    @Test func `A day leaves with all its keys, and only when it is over for good`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let all = try await ColdBench(redis, on: host.loop, clock)
                _ = await all.benches[0].record([event("a"), event("b", id: "b")])
                clock.set(noon + Self.length)
                _ = await all.benches[0].record(event("a"))
                #expect(try all.keys(of: Self.date).count == 4)
                clock.set(noon + 2 * Self.length)
                #expect(try await all.evict() == [])
                clock.set(noon + 3 * Self.length)
                try await all.flushing[0].flush()
                #expect(try await all.cold() == [Self.day])
                #expect(try all.keys(of: Self.date) == [])
                #expect(await all.flushing[1].flusher.flush().days == [])
                // A repetition brings nothing back.
                let again = await all.benches[1].record(event("b", id: "b"))
                #expect(again.duplicate != nil)
                #expect(try all.keys(of: Self.date) == [])
                // An event does, and so does a reversal; until it is quiet again.
                let late = await all.benches[1].record(event("c", at: noon))
                #expect(late.counted != nil)
                #expect(try all.keys(of: Self.date).count == 4)
                #expect(try await all.cold() == [])
                let file = try #require(try await all.flushing[1].flush()[Self.date])
                #expect(file.revision == 2 && file.isFinal && file.subjects.count == 3)
                #expect(try await all.cold() == [])
                #expect(try await all.evict() == [Self.day])
                #expect(
                    try await all.benches[0].engine.reverse(ByteString("b"), reason: .empty) != nil)
                #expect(try await all.cold() == [])
                #expect(try await all.evict() == [Self.day])
                let less = try #require(try await all.flushing[0].flush()[Self.date])
                #expect(less.revision == 3 && less.subjects.keys.sorted() == ["a", "c"])
            }
        }
    }

    @Test func `What comes for many cold days at once, by two engines, is counted once`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let all = try await ColdBench(redis, on: host.loop, clock)
                var model = SnapshotModel(calendar: .utc)
                // More subjects than a slice.
                for back in 0..<3 {
                    let time = noon - back * Self.length
                    let events = (0..<450).map { event("s\($0)", ["tokens": $0 + 1], at: time) }
                    for event in events { model.count(event, at: time) }
                    _ = await all.benches[0].record(events)
                }
                clock.advance(5 * Self.length)
                #expect(try await all.evict().count == 3)
                let late = (0..<90).map {
                    event("t\($0)", id: "t\($0)", at: noon - $0 % 3 * Self.length)
                }
                // Both bring the days back at the same time, and send the same events.
                let outcomes = await all.recordAtOnce([late + [event("now")], late])
                #expect(outcomes[0].last?.counted != nil)
                for (index, event) in late.enumerated() {
                    let both = [outcomes[0][index], outcomes[1][index]]
                    #expect(both.count { $0.counted != nil } == 1)
                    #expect(both.count { $0.duplicate != nil } == 1)
                    model.count(event, at: event.time?.milliseconds ?? 0)
                }
                model.count(event("now"), at: clock.now.milliseconds)
                #expect(try await all.cold() == [])
                model.check(try await all.flushing[1].flush())
            }
        }
    }

    @Test func `A file that is damaged or gone is named, and nothing is counted on its day`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let all = try await ColdBench(redis, on: host.loop, clock)
                _ = await all.benches[0].record([event("a"), event("b")])
                clock.advance(5 * Self.length)
                #expect(try await all.evict() == [Self.day])
                let path = all.flushing[0].path(Self.date)
                let bytes = try Data(contentsOf: URL(filePath: path))
                let queries = all.benches[0].queries
                for fault in [
                    nil, bytes[..<(bytes.count / 2)], Data(bytes.map { $0 == 0x32 ? 0x33 : $0 }),
                ]
                    as [Data?]
                {
                    unlink(path)
                    try fault?.write(to: URL(filePath: path))
                    let before = try redis.fingerprint()
                    let reading = try await queries.hourlyUsage(Self.day)
                    #expect(reading.cells.isEmpty && reading.warnings.count == 1)
                    #expect(reading.warnings.first?.contains("2026/2026-11-21.json") == true)
                    let outcomes = await all.benches[0].record([event("a", at: noon)])
                    guard case .unavailable(let reason) = outcomes[0] else {
                        Issue.record("\(outcomes[0])")
                        continue
                    }
                    #expect(reason.contains("2026-11-21.json"))
                    #expect(try redis.fingerprint() == before)
                    let others = await all.benches[0].record(
                        [event("a", at: noon), event("b", ["files": 1])])
                    #expect(others[0].counted == nil && others[1].counted != nil)
                }
                unlink(path)
                let report = await all.flushing[0].flusher.flush()
                #expect(report.problem?.contains("has left Redis") == true)
                try bytes.write(to: URL(filePath: path))
                #expect(await all.benches[0].record(event("a", at: noon)).total() == 2)
            }
        }
    }

    @Test func `A damaged file does not take the day's place, but is written anew`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let all = try await ColdBench(redis, on: host.loop, clock)
                _ = await all.benches[0].record([event("a"), event("b")])
                clock.advance(5 * Self.length)
                try await all.benches[0].closer.closeDays()
                try await all.flushing[0].flush()
                let path = all.flushing[0].path(Self.date)
                let whole = try Data(contentsOf: URL(filePath: path))
                try overwrite(path, at: whole.count - 120, with: [0x20])
                clock.advance(DayEviction.quietMS)
                try await all.flushing[0].flush()
                #expect(try await all.cold() == [])
                #expect(try Data(contentsOf: URL(filePath: path)) == whole)
                try await all.flushing[0].flush()
                #expect(try await all.cold() == [Self.day])
            }
        }
    }
}

extension SnapshotModel {
    /// A day that has left knows nothing of a subject of which all was undone.
    mutating func forgetUndone(_ date: String) {
        for (subject, sums) in subjects[date] ?? [:] where sums.isZero {
            times[date]?[subject] = nil
        }
    }
}
