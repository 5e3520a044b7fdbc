// SPDX-License-Identifier: Apache-2.0

/// What a series is asked for.
public struct SeriesQuery: Sendable {
    /// How long a bucket is.
    public enum Bucket: String, Sendable, CaseIterable {
        case minute, hour, day, month
    }

    /// What a bucket is divided by.
    public enum Grouping: String, Sendable, CaseIterable {
        case action, model
    }

    /// The most buckets of one answer.
    public static let bucketCountMax = 10_000

    public var meter: Meter
    public var bucket = Bucket.day
    /// All buckets with an instant of it; milliseconds since 1970.
    public var range: Range<Int>
    public var grouping: Grouping?
    /// Nil for the whole workspace.
    public var subject: SubjectID?
    /// Another meter that is told beside it, of the same moment.
    var beside: Meter?

    public init(_ meter: Meter, _ bucket: Bucket, _ range: Range<Int>) {
        self.meter = meter
        self.bucket = bucket
        self.range = range
    }
}

extension SeriesQuery {
    /// The same, of as many buckets from an instant of its range on as one answer may have. It ends where the
    /// next one begins, so that parts have no bucket in common.
    public func part(from start: Int, _ calendar: WorkspaceCalendar) -> SeriesQuery {
        let first = calendar.day(at: start.flooredQuotient(1000))
        let end =
            switch bucket {
            case .minute: (start.flooredQuotient(60_000) + Self.bucketCountMax) * 60_000
            // A day may have 25 hours, and a month 31 days.
            case .hour:
                calendar.start(of: CivilDay(number: first.number + Self.bucketCountMax / 25)) * 1000
            case .day:
                calendar.start(of: CivilDay(number: first.number + Self.bucketCountMax)) * 1000
            case .month:
                calendar.start(
                    of: first.firstOfMonth.adding(months: Self.bucketCountMax / 31 - 1)) * 1000
            }
        var part = self
        // Behind the last month that has a date there is none.
        part.range = start..<(end > start ? min(end, range.upperBound) : range.upperBound)
        return part
    }
}

/// How many subjects had an event.
public struct SubjectCount: Sendable, Equatable {
    public let count: Int
    /// Whether it is an estimate (HyperLogLog, standard error 0.81 %), as above 1,000.
    public let isEstimated: Bool

    public init(count: Int, isEstimated: Bool) {
        self.count = count
        self.isEstimated = isEstimated
    }
}

/// What was counted in a minute, an hour, a day or a month.
public struct SeriesBucket: Sendable {
    /// When it begins.
    public let start: Timestamp
    public var value = 0
    /// Of `SeriesQuery.beside`.
    var beside = 0
    /// Events of all meters; one that was undone is none.
    public var eventCount = 0
    /// Subjects with an event, also one that was undone; nil when it is not known any more.
    public var subjects: SubjectCount?
    /// By action or model, most first; one that no event has used is not there.
    public var groups: [(name: ByteString, value: Int, eventCount: Int)] = []
    /// Whether there ever was an event, also if none is left.
    var hasEntries = false
    /// Whether nothing is known of it, or of a part of it: what is there is not all.
    public internal(set) var isLacking = false

    init(start: Timestamp) { self.start = start }

    /// Whether no event is left in it.
    public var isEmpty: Bool { value == 0 && eventCount == 0 && groups.isEmpty }
}

/// Buckets in their order, and what could not be read.
public struct Series: Sendable {
    /// All buckets of the range, those without events too.
    public var buckets: [SeriesBucket]
    public var warnings: [String] = []
    /// Whether all sums are there: what is missing otherwise is named in `warnings`.
    public var isComplete = true
    /// Offsets of the buckets' starts in the workspace's zone, in seconds.
    public var offsets: [Int]

    /// Sum of all buckets; nil when it is past 2^53 − 1.
    public var total: (value: Int, eventCount: Int)? {
        var sums = (value: 0, eventCount: 0)
        for bucket in buckets {
            let (value, overflows) = sums.value.addingReportingOverflow(bucket.value)
            guard !overflows, value <= EventBatch.exactIntegerMax else { return nil }
            sums = (value, sums.eventCount + bucket.eventCount)
        }
        return sums
    }
}

extension WorkspaceCalendar {
    /// Starts of the hours of a day, seconds since 1970: of 23 to 25 where clocks change, or one of
    /// them half as long; none of a day that the zone skips.
    public func hours(of day: CivilDay) -> [Int] {
        let end = start(of: CivilDay(number: day.number + 1))
        return starts(of: .hour, in: start(of: day) * 1000..<end * 1000)?.map(\.start) ?? []
    }

    /// Starts of the buckets that have an instant of a range, with the days they are of; nil when
    /// there are more than an answer may have. Seconds since 1970.
    func starts(
        of bucket: SeriesQuery.Bucket, in range: Range<Int>
    ) -> [(start: Int, day: CivilDay)]? {
        guard !range.isEmpty else { return [] }
        let first = range.lowerBound.flooredQuotient(1000)
        let last = (range.upperBound - 1).flooredQuotient(1000)
        let days = day(at: first)...day(at: last)
        var starts: [(start: Int, day: CivilDay)] = []
        switch bucket {
        case .minute:
            let minutes = first.flooredQuotient(60)...last.flooredQuotient(60)
            guard minutes.count <= SeriesQuery.bucketCountMax else { return nil }
            starts = minutes.map { ($0 * 60, day(at: $0 * 60)) }
        case .hour:
            guard (last - first) / 3600 <= SeriesQuery.bucketCountMax else { return nil }
            let calendar = CachedCalendar(self)
            // Where clocks change by half an hour an hour ends early, or is half as long.
            var instant = start(of: days.lowerBound)
            while instant <= last {
                let (day, hour) = calendar.place(Timestamp(milliseconds: instant * 1000))
                if starts.last?.start != hour { starts.append((hour, day)) }
                instant += 900
            }
            while starts.count > 1, starts[1].start <= first { starts.removeFirst() }
        case .day:
            let numbers = days.lowerBound.number...days.upperBound.number
            guard numbers.count <= SeriesQuery.bucketCountMax else { return nil }
            starts = numbers.compactMap { number in
                let day = CivilDay(number: number)
                let start = start(of: day)
                // A zone may skip a day.
                return self.day(at: start) == day ? (start, day) : nil
            }
        case .month:
            var month = days.lowerBound.firstOfMonth
            // Reading its days is the work, and not its buckets.
            let count = days.upperBound.number - days.lowerBound.number
            guard count <= SeriesQuery.bucketCountMax else { return nil }
            while month <= days.upperBound {
                starts.append((start(of: month), month))
                let next = month.adding(months: 1)
                // Behind the last month that has a date there is none.
                guard next > month else { break }
                month = next
            }
        }
        return starts
    }
}
