// SPDX-License-Identifier: Apache-2.0

import Metering
import Redis
import TestSupport
import Testing

/// Who was seen, before and after a restore.
@Suite(.timeLimit(.minutes(15))) struct SeenTests {
    private static func counts(
        _ history: RestoreBench, _ bucket: SeriesQuery.Bucket, days: Int = 12
    ) async throws -> (counts: [SubjectCount?], warnings: [String]) {
        let now = history.clock.now.milliseconds
        let series = try await history.queries.series(
            SeriesQuery(.tokens, bucket, now - days * RestoreBench.days..<now + 1))
        return (series.buckets.map(\.subjects), series.warnings)
    }

    @Test(arguments: [(UInt64(11), 35), (12, 9)])
    func `Subjects of days and months are counted as before, and go on`(
        seed: UInt64, hotDays: Int
    ) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                var random = SeededGenerator(seed)
                let clock = ManualClock(noon)
                let history = try await RestoreBench(
                    redis, on: host.loop, clock: clock, hotDays: hotDays)
                try await history.write(rounds: 30, &random)
                // Enough for an estimate.
                for start in stride(from: 0, to: 1_500, by: 500) {
                    _ = await history.bench.record(
                        (start..<start + 500).map { event("many-\($0)") })
                }
                try await history.flushing.flush()
                let days = try await Self.counts(history, .day)
                let months = try await Self.counts(history, .month)
                #expect(days.counts.contains { $0?.isEstimated == true })
                #expect(days.counts.allSatisfy { $0 != nil } && days.warnings == [])
                for _ in 0..<2 {
                    _ = try await history.restore(isForced: true)
                    #expect(try await Self.counts(history, .day).counts == days.counts)
                    #expect(try await Self.counts(history, .month).counts == months.counts)
                }
                // Who comes late is one more, and not the first.
                let yesterday = clock.now.milliseconds - RestoreBench.days
                let before = try await Self.counts(history, .day, days: 1).counts[0]
                _ = await history.bench.record([
                    event("somebody-new", at: yesterday), event("s1", at: yesterday),
                    event("s1", at: yesterday + 1),
                ])
                let after = try await Self.counts(history, .day, days: 1).counts[0]
                let s1 = (after?.count ?? 0) - (before?.count ?? 0)
                #expect(
                    s1 == 1 || s1 == 2, "\(String(describing: before)) \(String(describing: after))"
                )
            }
        }
    }

    @Test(arguments: [false, true])
    func `Subjects of a month are known when its days have left Redis, also if all was undone`(
        isUndone: Bool
    ) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let history = try await RestoreBench(
                    redis, on: host.loop, clock: clock, hotDays: 2)
                for (subject, age) in [("a", 1), ("b", 1), ("b", 2), ("c", 3)] {
                    let id = "\(subject)-\(age)"
                    let made = event(subject, id: id, at: noon - age * RestoreBench.days)
                    #expect(await history.bench.record(made).counted != nil)
                    guard isUndone else { continue }
                    let outcome = try await history.bench.engine.reverse(
                        ByteString(id), reason: .empty)
                    #expect(outcome?.counted != nil)
                }
                for _ in 0..<12 {
                    clock.advance(RestoreBench.days)
                    try await history.bench.closer.closeDays()
                    try await history.flushing.flush()
                }
                #expect(try redis.request("HLEN t1:{default}:cold") == ":3\r\n")
                func check() async throws {
                    let range = noon - 3 * RestoreBench.days..<noon
                    let months = try await history.queries.series(
                        SeriesQuery(.tokens, .month, range))
                    #expect(months.buckets.map(\.value) == [isUndone ? 0 : 4])
                    #expect(
                        months.buckets.map(\.subjects)
                            == [SubjectCount(count: 3, isEstimated: false)])
                    let days = try await history.queries.series(SeriesQuery(.tokens, .day, range))
                    #expect(days.buckets.map(\.subjects?.count) == [1, 1, 2, 0])
                    #expect(months.warnings + days.warnings == [])
                }
                try await check()
                // From the files alone.
                _ = try await history.restore(isForced: true)
                #expect(try redis.request("HLEN t1:{default}:cold") == ":3\r\n")
                try await check()
            }
        }
    }

    @Test func `Subjects of hours before a restore are not known, and said to be so`() async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon + 60_000)
                let history = try await RestoreBench(redis, on: host.loop, clock: clock)
                _ = await history.bench.record([event("a"), event("b")])
                try await history.flushing.flush()
                _ = try await history.restore(isForced: true)
                _ = await history.bench.record([event("a"), event("c")])
                let now = clock.now.milliseconds
                let query = SeriesQuery(.tokens, .hour, now - 7_200_000..<now + 1)
                let series = try await history.queries.series(query)
                #expect(series.buckets.map(\.value) == [0, 0, 4])
                #expect(series.buckets.map(\.subjects?.count) == [0, 0, nil])
                #expect(series.isComplete && series.warnings.count == 1, "\(series.warnings)")
                let minutes = try await history.queries.series(
                    SeriesQuery(.tokens, .minute, now - 60_000..<now + 1))
                #expect(minutes.warnings.contains { $0.contains("minutes before") })
                #expect(!minutes.isComplete)
                // The next hour is whole.
                clock.advance(3_600_000)
                _ = await history.bench.record([event("a")])
                let later = clock.now.milliseconds
                let next = try await history.queries.series(
                    SeriesQuery(.tokens, .hour, later..<later + 1))
                #expect(next.buckets.map(\.subjects?.count) == [1] && next.warnings == [])
            }
        }
    }
}
