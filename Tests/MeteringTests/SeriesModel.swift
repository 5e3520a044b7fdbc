// SPDX-License-Identifier: Apache-2.0

import Foundation
import Metering
import TestSupport
import Testing

/// What a series has to say, in its plainest form.
final class SeriesModel {
    struct Bucket: Equatable {
        var start = 0
        var value = 0
        var events = 0
        var subjects: Set<String> = []
        var groups: [String: [Int]] = [:]
    }

    private let entries: [HistoryModel.Entry]
    private let calendar: WorkspaceCalendar
    private var foundation = Calendar(identifier: .gregorian)
    /// What was found already: a calendar takes its time.
    private var starts: [SeriesQuery.Bucket: [Int: Int]] = [:]

    init(entries: [HistoryModel.Entry], calendar: WorkspaceCalendar) {
        self.entries = entries
        self.calendar = calendar
        foundation.timeZone = TimeZone(identifier: calendar.zone) ?? .gmt
    }

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

    private func start(of bucket: SeriesQuery.Bucket, _ second: Int) -> Int {
        if let known = starts[bucket]?[second] { return known }
        let found = findStart(of: bucket, second)
        starts[bucket, default: [:]][second] = found
        return found
    }

    /// Walks back to where the bucket of a second begins.
    private func findStart(of bucket: SeriesQuery.Bucket, _ second: Int) -> Int {
        func local(_ second: Int) -> String {
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
        _ query: SeriesQuery, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let model = SeriesModel(entries: model.entries, calendar: settings.calendar)
        try await model.check(query, queries, sourceLocation: sourceLocation)
    }
}

extension SeriesModel {
    /// Asks an engine, and compares all that it says.
    func check(
        _ query: SeriesQuery, _ queries: QueryEngine, countsSubjects: Bool = true,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let all = buckets(query)
        let series = try await queries.series(query)
        #expect(series.warnings == [], sourceLocation: sourceLocation)
        var total = (0, 0)
        for bucket in series.buckets {
            let start = bucket.start.milliseconds / 1000
            let expected = all[start] ?? SeriesModel.Bucket(start: start)
            let name: Comment = "\(query.bucket) \(bucket.start.text) \(calendar.zone)"
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
    init(count: Int) { self.init(count: count, isEstimated: false) }
}
