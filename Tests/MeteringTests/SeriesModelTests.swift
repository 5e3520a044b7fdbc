// SPDX-License-Identifier: Apache-2.0

import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct SeriesModelTests {
    /// Days of 23, 25 and 24.5 hours, one that begins at 01:00, and one that does not exist.
    static let cases: [(zone: String, start: String, seed: UInt64)] = [
        ("UTC", "2026-11-21T10:00:00Z", 1), ("Europe/Berlin", "2026-10-24T20:30:00Z", 2),
        ("Europe/Berlin", "2026-03-28T20:30:00Z", 3),
        ("America/Sao_Paulo", "2018-11-03T22:00:00Z", 4),
        ("Australia/Lord_Howe", "2026-04-04T10:00:00Z", 5),
        ("Asia/Kathmandu", "2026-11-30T12:00:00Z", 6), ("Pacific/Apia", "2011-12-29T09:00:00Z", 7),
    ]

    @Test(arguments: cases)
    func `Series equal the model, by every bucket, group and subject`(
        zone: String, start: String, seed: UInt64
    ) async throws {
        let calendar = try #require(WorkspaceCalendar(zone: zone))
        let time = try #require(Timestamp(start)).milliseconds
        let settings = WorkspaceSettings(calendar: calendar, idempotencyHours: 840, eventsDays: 400)
        try await withHistory(at: time, settings: settings) { host, bench, _ in
            var random = SeededGenerator(seed)
            for round in 0..<24 {
                await bench.record(
                    (0..<Int.random(in: 1...20, using: &random)).map { _ in
                        Self.randomEvent(bench, &random)
                    }, by: round % 2)
                if round % 3 == 1 {
                    let place = Int.random(in: 0..<bench.model.entries.count, using: &random)
                    if !bench.model.entries[place].isReversal,
                        !bench.model.entries[place].isReversed
                    {
                        try await bench.reverse(place)
                    }
                }
                if round % 4 == 2 { try await bench.benches[0].closer.closeDays() }
                bench.clock.advance(
                    [60_000, 1_800_000, 5_000_000, 40_000_000].randomElement(using: &random) ?? 0)
                if round % 4 == 3 { try await Self.check(bench, &random) }
            }
        }
    }

    private static func check(
        _ bench: HistoryBench, _ random: inout SeededGenerator
    ) async throws {
        let now = bench.clock.now.milliseconds
        let day = 86_400_000
        for bucket in SeriesQuery.Bucket.allCases {
            let back =
                switch bucket {
                case .minute: 110 * 60_000
                case .hour: 9 * day
                case .day: 12 * day
                case .month: 100 * day
                }
            var query = SeriesQuery(
                tokens, bucket, now - Int.random(in: back / 2...back, using: &random)..<now + 1)
            try await bench.checkSeries(query)
            query.grouping = SeriesQuery.Grouping.allCases.randomElement(using: &random)
            try await bench.checkSeries(query)
            query.subject = subjectID("s\(Int.random(in: 0..<6, using: &random))")
            try await bench.checkSeries(query)
            query.grouping = nil
            try await bench.checkSeries(query)
        }
    }

    private static func randomEvent(
        _ bench: HistoryBench, _ random: inout SeededGenerator
    ) -> UsageEvent {
        // Some are late, by minutes to days.
        let late = [0, 0, 0, 90_000, 3_000_000, 100_000_000, 500_000_000]
        let age = late.randomElement(using: &random) ?? 0
        let name = ["tokens", "messages", "own_meter"].randomElement(using: &random) ?? ""
        return event(
            "s\(Int.random(in: 0..<6, using: &random))",
            [name: Int.random(in: 0...1000, using: &random)],
            at: bench.clock.now.milliseconds - age,
            action: ["chat", "upload", "=x"].randomElement(using: &random) ?? "",
            model: ["", "m", "n"].randomElement(using: &random) ?? "")
    }

    /// More than 1,000 subjects are estimated, and marked so.
    @Test func `Subjects are counted exactly up to 1,000, and estimated above`() async throws {
        try await withHistory { _, bench, _ in
            func count(_ bucket: SeriesQuery.Bucket) async throws -> SubjectCount? {
                let now = bench.clock.now.milliseconds
                let query = SeriesQuery(tokens, bucket, now..<now + 1)
                return try await bench.queries.series(query).buckets.first?.subjects
            }
            await bench.record((0..<1000).map { event("s\($0)") })
            for bucket in SeriesQuery.Bucket.allCases {
                #expect(try await count(bucket) == SubjectCount(count: 1000))
            }
            await bench.record((0..<1010).map { event("s\($0)") })
            for bucket in SeriesQuery.Bucket.allCases {
                let found = try #require(try await count(bucket))
                #expect(found.isEstimated && abs(found.count - 1010) < 60, "\(found)")
            }
            await bench.record((0..<5000).map { event("s\($0)") })
            for bucket in SeriesQuery.Bucket.allCases {
                let found = try #require(try await count(bucket))
                #expect(found.isEstimated && abs(found.count - 5000) < 250, "\(found)")
            }
        }
    }

    /// An hour's subjects leave Redis before its sums: that nothing is left of them says nothing of who it was.
    @Test func `Who had an event that was undone is not known for ever`() async throws {
        try await withHistory { _, bench, redis in
            await bench.record([event("ann")])
            try await bench.reverse(0)
            let now = bench.clock.now.milliseconds
            let query = SeriesQuery(tokens, .hour, now - 3_600_000..<now + 1)
            func subjects() async throws -> [SubjectCount?] {
                try await bench.queries.series(query).buckets.map(\.subjects)
            }
            let none = SubjectCount(count: 0)
            #expect(try await subjects() == [none, SubjectCount(count: 1)])
            try redis.request("DEL t1:{default}:seen:hour:\(now / 3_600_000 * 3600)")
            #expect(try await subjects() == [none, nil])
        }
    }

    /// Two processes follow one log, each from what it has seen.
    @Test func `The log is followed once, whoever follows it`() async throws {
        try await withHistory { host, bench, redis in
            let other = await HistoryBench(redis.socketPath, on: host.loop)
            let now = bench.clock.now.milliseconds
            let query = SeriesQuery(tokens, .minute, now..<now + 1)
            for _ in 0..<20 {
                await bench.record((0..<300).map { event("s\($0 % 7)") })
                let (left, right) = (bench.queries, other.queries)
                async let one = left.series(query)
                async let two = right.series(query)
                let values = try await [one, two].map { $0.buckets.first?.value ?? 0 }
                #expect(values[0] == values[1])
            }
            try await bench.checkSeries(query)
            await other.queries.stop()
        }
    }
}
