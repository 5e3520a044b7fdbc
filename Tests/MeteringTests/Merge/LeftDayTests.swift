// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import TestSupport
import Testing

/// Whom a day has as subjects, when a guest who used something on it has become a user.
@Suite(.timeLimit(.minutes(15))) struct LeftDayTests {
    private static let day = 86_400_000

    /// Counts of subjects of the last days, the first day first.
    private static func subjects(
        _ queries: QueryEngine, _ clock: ManualClock, days: Int
    ) async throws -> [Int?] {
        let end = clock.now.milliseconds / day + 1
        let series = try await queries.series(
            SeriesQuery(.tokens, .day, (end - days) * day..<end * day))
        #expect(series.warnings == [])
        return series.buckets.map { $0.subjects?.count }
    }

    /// Merges by the engine that has the files.
    private static func merge(
        _ guest: String, into user: String, _ bench: RestoreBench
    ) async throws {
        let plan = try await bench.queries.mergePlan(of: subjectID(guest))
        let verdict = try await bench.bench.engine.merge(plan, into: subjectID(user))
        #expect(verdict.status == .allowed)
    }

    @Test(arguments: [35, 2])
    func `A guest who has become a user is nobody's subject any more`(hotDays: Int) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let bench = try await RestoreBench(
                    redis, on: host.loop, clock: clock, hotDays: hotDays)
                let undone = event("eve", ["tokens": 1], id: "undone")
                _ = await bench.bench.record([
                    event("guest:9", ["tokens": 5, "credits_micro": 2], id: "a"),
                    event("guest:9", ["tokens": 0], id: "b", at: noon + 1_000),
                    event("ann", ["tokens": 1], id: "c", at: noon - 2 * Self.day),
                    event("guest:9", ["tokens": 2], id: "d", at: noon - 2 * Self.day), undone,
                ])
                _ = try await bench.bench.engine.reverse(ByteString("undone"), reason: .empty)
                clock.advance(Self.day)
                _ = await bench.bench.record([event("guest:9", ["tokens": 3], id: "e")])
                for _ in 0..<(hotDays == 2 ? 12 : 1) {
                    clock.advance(Self.day)
                    try await bench.bench.closer.closeDays()
                    try await bench.flushing.flush()
                }
                let count = hotDays == 2 ? 16 : 5
                let before = try await Self.subjects(bench.queries, clock, days: count)
                #expect(before.prefix(4) == [2, 0, 2, 1], "\(before)")
                try await Self.merge("guest:9", into: "ann", bench)
                // Eve's event was undone, which is told of those who stay.
                let after = try await Self.subjects(bench.queries, clock, days: count)
                #expect(after.prefix(4) == [1, 0, 2, 1], "\(after)")
                try await bench.bench.closer.closeDays()
                let files = try await bench.flushing.flush()
                let lists = ["2026-11-19", "2026-11-21", "2026-11-22"].map {
                    files[$0]?.subjects.keys.sorted()
                }
                #expect(lists == [["ann"], ["ann", "eve"], ["ann"]])
                #expect(try await bench.verify().map { "\($0)" } == [])
                _ = try await bench.restore(isForced: true)
                let restored = try await Self.subjects(bench.queries, clock, days: count)
                #expect(restored.prefix(4) == [1, 0, 2, 1], "\(restored)")
                #expect(try await bench.verify().map { "\($0)" } == [])
                let ann = try await bench.bench.engine.reader.subject(subjectID("ann"))
                #expect(ann?.totals.first { $0.meter == .tokens }?.total == 11)
                guard hotDays > 2 else { return }
                // What comes late for the guest's days is the user's.
                _ = await bench.bench.record([event("guest:9", ["tokens": 1], id: "f", at: noon)])
                let late = try await Self.subjects(bench.queries, clock, days: count)
                #expect(late.prefix(4) == [1, 0, 2, 1], "\(late)")
                // A guest of today, whose day is over later.
                _ = await bench.bench.record([event("guest:8", id: "g")])
                try await Self.merge("guest:8", into: "bob", bench)
                clock.advance(Self.day)
                try await bench.bench.closer.closeDays()
                let closed = try await Self.subjects(bench.queries, clock, days: 2)
                #expect(closed == [1, 0])
                let trend = try await bench.queries.creditTrend(days: 2).days
                #expect(trend.map { $0.subjects?.count } == [1, 0])
            }
        }
    }

    @Test func `Demo subjects are taken off the days on which they used something`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let bench = await Bench(redis.socketPath, on: host.loop, clock: clock)
                _ = await bench.record([event("shown"), event("ann")])
                try await bench.queries.put("shown", #"{"demo":true}"#)
                clock.advance(Self.day)
                // The record is on today from now on.
                try await bench.closer.closeDays()
                _ = await bench.record([event("ann")])
                let trend = try await bench.queries.creditTrend(days: 2).days
                #expect(trend.map { $0.subjects?.count } == [1, 1])
            }
        }
    }

    @Test(arguments: [1, 2])
    func `Snapshots, boards and copies are whole while guests become users`(first: Int)
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = try await RestoreBench(redis, on: host.loop, clock: ManualClock(noon))
                var total = 0
                // More than a call reads, on days that are closed and one that is not.
                for back in 0..<3 {
                    let events = (0..<900).map {
                        event(
                            $0 % 3 == 0 ? "user\($0)" : "guest:\($0)", ["tokens": $0 % 7 + 1],
                            id: "\(back)-\($0)", at: noon - back * Self.day)
                    }
                    for outcome in await bench.bench.record(events) {
                        #expect(outcome.counted != nil)
                    }
                    total += events.reduce(0) { $0 + $1.amounts[0].1 }
                }
                try await bench.bench.closer.closeDays()
                let merging = Task { () async throws in
                    _ = host
                    for number in stride(from: first, to: 900, by: 4) where number % 3 != 0 {
                        let status = try await bench.bench.merge("guest:\(number)", into: "user0")
                        #expect(status == .allowed)
                        await host.loop.sleep(for: .milliseconds(number % 4))
                    }
                }
                for round in 0..<8 {
                    try await bench.flushing.flush()
                    let board = try await bench.bench.leaders(.days(3 + round), limit: 1_000)
                    #expect(board.reduce(0) { $0 + $1.value } == total)
                    #expect(try await bench.verify().map { "\($0)" } == [])
                }
                try await merging.value
                try await bench.flushing.flush()
                #expect(try await bench.verify().map { "\($0)" } == [])
                let counts = try await Self.subjects(bench.queries, bench.clock, days: 3)
                #expect(counts[0] == 750 && counts[1] == 750, "\(counts)")
            }
        }
    }
}
