// SPDX-License-Identifier: Apache-2.0

import Foundation
import Metering
import TestSupport
import Testing

/// What a series has to say, in its plainest form.
struct SeriesModel {
    struct Bucket: Equatable {
        var start = 0
        var value = 0
        var events = 0
        var subjects: Set<String> = []
        var groups: [String: [Int]] = [:]
    }

    let entries: [HistoryModel.Entry]
    let calendar: WorkspaceCalendar

    /// By the starts of buckets, those without anything left out.
    func buckets(_ query: SeriesQuery) -> [Int: Bucket] {
        var buckets: [Int: Bucket] = [:]
        for entry in entries {
            if let subject = query.subject, subject != entry.event.subject { continue }
            let start = start(of: query.bucket, Int((Double(entry.time) / 1000).rounded(.down)))
            let value = entry.event.amounts.first { $0.0 == query.meter }?.1 ?? 0
            let sign = entry.isReversal ? -1 : 1
            var bucket = buckets[start] ?? Bucket(start: start)
            bucket.value += value
            bucket.events += sign
            if !entry.isReversal { bucket.subjects.insert(entry.event.subject.id.text) }
            if let grouping = query.grouping {
                let name = grouping == .action ? entry.event.action : entry.event.model
                let old = bucket.groups[name.text] ?? [0, 0]
                bucket.groups[name.text] = [old[0] + value, old[1] + sign]
            }
            buckets[start] = bucket
        }
        return buckets
    }

    /// Walks back to where the bucket of a second begins.
    private func start(of bucket: SeriesQuery.Bucket, _ second: Int) -> Int {
        func local(_ second: Int) -> String {
            var foundation = Calendar(identifier: .gregorian)
            foundation.timeZone = TimeZone(identifier: calendar.zone) ?? .gmt
            let parts = foundation.dateComponents(
                [.year, .month, .day, .hour, .minute],
                from: Date(timeIntervalSince1970: Double(second)))
            let all = [parts.year, parts.month, parts.day, parts.hour, parts.minute]
            let count = [.month: 2, .day: 3, .hour: 4, .minute: 5][bucket] ?? 0
            // An hour that comes twice is two hours.
            return all.prefix(count).map { "\($0 ?? 0)" }.joined(separator: "-")
                + (bucket == .hour || bucket == .minute ? " \(calendar.offset(at: second))" : "")
        }
        switch bucket {
        case .minute: return Int((Double(second) / 60).rounded(.down)) * 60
        case .hour:
            // By the clock on the wall; where it is set anew within the hour another one begins.
            var start = second - second % 60
            while local(start - 60) == local(second) { start -= 60 }
            return start
        case .day, .month:
            let name = local(second)
            var low = second - 86_400 * (bucket == .day ? 2 : 33)
            var high = second
            while low + 1 < high {
                let middle = (low + high) / 2
                if local(middle) == name { high = middle } else { low = middle }
            }
            return high
        }
    }
}

extension HistoryBench {
    func checkSeries(
        _ query: SeriesQuery, countsSubjects: Bool = true,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let all = SeriesModel(entries: model.entries, calendar: settings.calendar).buckets(query)
        let series = try await queries.series(query)
        #expect(series.warnings == [], sourceLocation: sourceLocation)
        var total = (0, 0)
        for bucket in series.buckets {
            let start = bucket.start.milliseconds / 1000
            let expected = all[start] ?? SeriesModel.Bucket(start: start)
            let name: Comment = "\(query.bucket) \(bucket.start.text) \(settings.calendar.zone)"
            #expect(bucket.value == expected.value, name, sourceLocation: sourceLocation)
            #expect(bucket.eventCount == expected.events, name, sourceLocation: sourceLocation)
            let groups = bucket.groups.map { ($0.name.text, [$0.value, $0.eventCount]) }
            #expect(
                Dictionary(groups) { $1 } == expected.groups.filter { $0.value != [0, 0] }, name,
                sourceLocation: sourceLocation)
            let order = bucket.groups.map { (-$0.value, $0.name.text) }
            #expect(order.elementsEqual(order.sorted { $0 < $1 }, by: ==), name)
            if query.subject == nil, countsSubjects {
                #expect(
                    bucket.subjects == SubjectCount(count: expected.subjects.count), name,
                    sourceLocation: sourceLocation)
            }
            total = (total.0 + bucket.value, total.1 + bucket.eventCount)
        }
        #expect(series.total?.value == total.0 && series.total?.eventCount == total.1)
        // What the model has in the range and the series has not.
        let starts = Set(series.buckets.map { $0.start.milliseconds / 1000 })
        let missing = all.keys.filter {
            query.range.contains($0 * 1000) && !starts.contains($0)
        }
        #expect(missing.isEmpty, "\(query.bucket)", sourceLocation: sourceLocation)
    }
}

extension SubjectCount {
    fileprivate init(count: Int) { self.init(count: count, isEstimated: false) }
}

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
