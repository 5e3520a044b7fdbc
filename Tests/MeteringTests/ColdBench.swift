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
                redis.socketPath, on: loop, clock: clock, settings: settings, data: first.data,
                waitMS: 60_000),
            await Bench(
                redis.socketPath, on: loop, clock: clock, settings: settings, data: first.data,
                waitMS: 60_000),
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
        return lines.filter {
            $0.hasPrefix("t1:") && !$0.contains(":log:") && !$0.contains(":seen:")
        }.map { String($0) }
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
            for (meter, total) in cell.sums { sums.meters[meter.name] = total }
            let hour = Timestamp(milliseconds: cell.hour * 1000).text
            let place = SnapshotReading.Cell(
                hour: hour, action: cell.action.text, model: cell.model.text)
            cells[place] = sums
        }
        #expect(cells == model.cells[date]?.filter { !$0.value.isZero }, "\(date)")
    }
}
