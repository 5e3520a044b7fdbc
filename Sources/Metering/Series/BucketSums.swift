// SPDX-License-Identifier: Apache-2.0

/// Sums that are being gathered into the buckets of a series.
struct BucketSums {
    /// Starts of the buckets, seconds since 1970.
    let starts: [Int]
    private let query: SeriesQuery
    private let calendar: WorkspaceCalendar
    /// The days that the buckets are made of; for minutes those that they are in.
    let days: [CivilDay]
    private let dayOfPlace: [CivilDay]
    private var placeOfStart: [Int: Int] = [:]
    private var placeOfDay: [CivilDay: Int] = [:]
    private var buckets: [SeriesBucket]
    private var groups: [[ByteString: (value: Int, events: Int)]]
    private var counted: Set<Int> = []
    private var warnings: [String] = []
    private var isComplete = true
    private var overflows = false

    init(
        _ starts: [(start: Int, day: CivilDay)], _ query: SeriesQuery,
        _ calendar: WorkspaceCalendar
    ) {
        self.starts = starts.map(\.start)
        self.query = query
        self.calendar = calendar
        dayOfPlace = starts.map(\.day)
        buckets = starts.map { SeriesBucket(start: Timestamp(milliseconds: $0.start * 1000)) }
        groups = Array(repeating: [:], count: starts.count)
        for (place, item) in starts.enumerated() { placeOfStart[item.start] = place }
        var days: [CivilDay] = []
        switch query.bucket {
        case .minute, .hour, .day:
            for day in dayOfPlace where days.last != day { days.append(day) }
        case .month:
            for day in dayOfPlace {
                for number in day.number..<day.adding(months: 1).number {
                    days.append(CivilDay(number: number))
                }
            }
        }
        self.days = days
        guard !query.bucket.isWithinDay else { return }
        for (place, day) in dayOfPlace.enumerated() { placeOfDay[day] = place }
    }

    /// From the start of the first bucket to the end of the last; milliseconds since 1970.
    var range: Range<Int>? {
        guard let first = starts.first, let last = starts.last, let day = dayOfPlace.last else {
            return nil
        }
        let end = calendar.end(of: query.bucket, from: last, on: day)
        return first * 1000..<max(first, end) * 1000
    }

    /// - Parameter isPart: whether sums lack something, not only counts of subjects.
    mutating func warn(_ text: String, isPart: Bool = true) {
        if !warnings.contains(text) { warnings.append(text) }
        if isPart { isComplete = false }
    }

    /// Of what was used on a day nothing is known: its buckets are not told as empty.
    mutating func lack(_ day: CivilDay) {
        for place in buckets.indices {
            let isOfDay =
                query.bucket == .month
                ? dayOfPlace[place] == day.firstOfMonth : dayOfPlace[place] == day
            if isOfDay { buckets[place].isLacking = true }
        }
    }

    /// Adds to the bucket of a day, hour or minute, if it is one of them.
    ///
    /// - Parameter amount: of a meter.
    mutating func add(
        _ amount: (Meter) -> Int, _ events: Int, day: CivilDay, hour: Int? = nil,
        _ action: ByteString = .empty, _ model: ByteString = .empty, minute: Int? = nil
    ) {
        let place: Int? =
            switch query.bucket {
            case .minute: minute.flatMap { placeOfStart[$0 * 60] }
            case .hour:
                hour.flatMap { placeOfStart[$0] ?? placeOfStart[calendar.start(ofHour: $0)] }
            case .day: placeOfDay[day]
            case .month: placeOfDay[day.firstOfMonth]
            }
        guard let place else { return }
        let value = amount(query.meter)
        buckets[place].hasEntries = true
        buckets[place].value = sum(buckets[place].value, value)
        if let beside = query.beside {
            buckets[place].beside = sum(buckets[place].beside, amount(beside))
        }
        buckets[place].eventCount = sum(buckets[place].eventCount, events)
        guard let grouping = query.grouping else { return }
        let name = grouping == .action ? action : model
        let old = groups[place][name] ?? (0, 0)
        groups[place][name] = (sum(old.value, value), sum(old.events, events))
    }

    private mutating func sum(_ left: Int, _ right: Int) -> Int {
        let (sum, overflows) = left.addingReportingOverflow(right)
        if overflows || sum > EventBatch.exactIntegerMax { self.overflows = true }
        return overflows ? 0 : sum
    }

    // MARK: Subjects

    /// Buckets whose subjects are not counted yet, and that have some.
    var uncounted: [Int] {
        starts.indices.filter { !counted.contains($0) && buckets[$0].hasEntries }
    }

    func day(at place: Int) -> CivilDay { dayOfPlace[place] }

    func seen(at place: Int) -> SeenBucket {
        switch query.bucket {
        case .minute: .minute(starts[place].flooredQuotient(60))
        case .hour: .hour(starts[place])
        case .day: .day(dayOfPlace[place])
        case .month: .month(dayOfPlace[place])
        }
    }

    mutating func count(_ subjects: SubjectCount, at place: Int) {
        buckets[place].subjects = subjects
        counted.insert(place)
    }

    /// The subjects of a whole day.
    mutating func countDay(_ count: Int, _ day: CivilDay) {
        guard query.bucket == .day, let place = placeOfDay[day] else { return }
        self.count(SubjectCount(count: count, isEstimated: false), at: place)
    }

    // MARK: The answer

    func series() throws(EventRejection) -> Series {
        guard !overflows else { throw .sumOverflow }
        var buckets = buckets
        for place in buckets.indices {
            // Nothing was counted, so nobody was.
            if buckets[place].subjects == nil, !buckets[place].hasEntries, query.subject == nil {
                buckets[place].subjects = SubjectCount(count: 0, isEstimated: false)
            }
            buckets[place].groups = groups[place].filter { $0.value != (0, 0) }.map {
                ($0.key, $0.value.value, $0.value.events)
            }.sorted { ($1.value, $0.name) < ($0.value, $1.name) }
        }
        return Series(
            buckets: buckets, warnings: warnings, isComplete: isComplete,
            offsets: starts.map { calendar.offset(at: $0) })
    }
}
