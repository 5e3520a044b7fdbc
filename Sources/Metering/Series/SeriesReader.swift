// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// Reads sums over time. On its loop's thread only.
final class SeriesReader {
    /// Hashes or subjects' days that are asked for in one go.
    private static let daysPerTurn = 31
    private static let keysPerCount = 50
    /// How long a question waits for what follows the log.
    private static let followMS = 5_000
    private static let triesMax = 5

    private let client: RedisClient
    private let keys: Keyspace
    private let settings: WorkspaceSettings
    private let clock: any Clock
    private let archive: Archive
    private let history: EventHistory
    private let follower: UsageFollower
    private let rollups: DayRollups

    init(
        client: RedisClient, settings: WorkspaceSettings, clock: any Clock, archive: Archive,
        history: EventHistory, follower: UsageFollower, rollups: DayRollups
    ) {
        self.client = client
        self.settings = settings
        self.clock = clock
        self.archive = archive
        self.history = history
        self.follower = follower
        self.rollups = rollups
        keys = Keyspace(settings)
    }

    /// The buckets of a question. O(days * their actions and models), for a subject O(days), or,
    /// by hour, minute or group, O(its events).
    ///
    /// - Throws: `EventRejection` when there are too many buckets; `MeteringError`.
    func series(_ query: SeriesQuery, countsSubjects: Bool) async throws -> Series {
        guard let starts = settings.calendar.starts(of: query.bucket, in: query.range) else {
            throw EventRejection(
                code: "range_too_wide", field: "",
                detail: "at most \(SeriesQuery.bucketCountMax) buckets or days; narrow from and to")
        }
        var sums = BucketSums(starts, query, settings.calendar)
        if query.bucket == .minute { try await follow(&sums) }
        if let subject = query.subject, query.grouping != nil || query.bucket.isWithinDay {
            try await addEvents(of: subject, query, &sums)
        } else if query.bucket == .minute {
            try await addMinutes(query, &sums)
        } else {
            try await addDays(query, &sums)
        }
        if countsSubjects, query.subject == nil { try await countSubjects(query, &sums) }
        return try sums.series()
    }

    /// Goes along the log, so that minutes and subjects are those of now.
    private func follow(_ sums: inout BucketSums) async throws(MeteringError) {
        let isDone = try await follower.catchUp(deadlineMS: clock.monotonicMS + Self.followMS)
        if !isDone { sums.warn("the last events are not in minutes and counts of subjects yet") }
    }

    // MARK: Days

    /// Days leave Redis, and come back, at any moment: they are asked for again when some did.
    private func addDays(_ query: SeriesQuery, _ sums: inout BucketSums) async throws {
        let before = sums
        for _ in 0..<Self.triesMax {
            let cold = try await archive.coldDays()
            let days = sums.days
            let hot = days.filter { !cold.contains($0) }
            var reading: DayRollups.Reading?
            var isCertain = false
            if let subject = query.subject {
                try await addUse(of: subject, on: hot, query, &sums)
            } else {
                let read = try await rollups.read(hot, isHourly: query.bucket == .hour)
                for (day, rollups) in read.days { add(rollups, day, query, &sums) }
                reading = read
                // The last two days never leave.
                isCertain = read.isKnown(before: CivilDay(number: today.number - 1))
            }
            for day in days where cold.contains(day) {
                do throws(ArchiveError) {
                    try await addArchived(day, query, &sums)
                } catch {
                    sums.warn("\(error)")
                    sums.lack(day)
                    isCertain = false
                }
            }
            if !isCertain { isCertain = try await hasStayed(cold, days) }
            if isCertain {
                if let reading { rollups.keep(reading) }
                return
            }
            sums = before
        }
        throw MeteringError.postponed(reason: "days are leaving Redis for their files")
    }

    private func hasStayed(
        _ cold: Set<CivilDay>, _ days: [CivilDay]
    ) async throws(MeteringError) -> Bool {
        try await archive.coldDays().intersection(days) == cold.intersection(days)
    }

    private var today: CivilDay {
        settings.calendar.day(at: clock.now.milliseconds.flooredQuotient(1000))
    }

    private func add(
        _ rollups: DayRollups.Day, _ day: CivilDay, _ query: SeriesQuery, _ sums: inout BucketSums
    ) {
        if let count = rollups.subjectCount { sums.countDay(count, day) }
        if query.takesWholeDays {
            guard !rollups.rollups.isEmpty else { return }
            return sums.add(rollups.amount(of:), rollups.eventCount, day: day)
        }
        for rollup in rollups.rollups {
            sums.add(
                rollup.amount(of:), rollup.eventCount, day: day,
                hour: rollup.field.hour, rollup.field.action, rollup.field.model)
        }
    }

    private func addArchived(
        _ day: CivilDay, _ query: SeriesQuery, _ sums: inout BucketSums
    ) async throws(ArchiveError) {
        if let subject = query.subject {
            guard let use = try await archive.use(of: subject, on: day) else { return }
            sums.add(use.sums.amount(of:), use.sums.events, day: day)
            return
        }
        let head = try await archive.head(day)
        sums.countDay(head.subjectCount, day)
        // All that its subjects did was undone: its month has had them all the same.
        if head.cells.isEmpty, head.subjectCount > 0, !query.bucket.isWithinDay {
            sums.add({ _ in 0 }, 0, day: day)
        }
        if query.takesWholeDays {
            guard !head.cells.isEmpty else { return }
            let totals = head.totals
            return sums.add(totals.amount(of:), totals.events, day: day)
        }
        for cell in head.cells {
            sums.add(
                cell.sums.amount(of:), cell.sums.events, day: day, hour: cell.hour,
                cell.action, cell.model)
        }
    }

    // MARK: Subjects

    private func addUse(
        of subject: SubjectID, on days: [CivilDay], _ query: SeriesQuery, _ sums: inout BucketSums
    ) async throws(MeteringError) {
        // A subject leaves its record for `use`, and never the other way: the record is read first.
        let bytes = try await send([RedisCommand("HGET", [keys.subjects, subject.id.bytes])])
        guard let first = bytes.first?.bytes else { return }
        guard let record = SubjectRecord(first) else { throw .damaged(what: "a subject's record") }
        for from in stride(from: 0, to: days.count, by: Self.daysPerTurn) {
            let turn = days[from..<min(from + Self.daysPerTurn, days.count)]
            let replies = try await send(
                turn.map { RedisCommand("HGET", [keys.use($0), subject.id.bytes]) })
            for (day, reply) in zip(turn, replies) {
                if let entry = reply.bytes {
                    try add(entry, day, &sums)
                } else if day == record.day, record.dayTimes != nil {
                    sums.add(
                        { meter in record.meters.first { $0.meter == meter }?.ofDay ?? 0 },
                        record.dayEventCount, day: day)
                }
            }
        }
    }

    private func add(
        _ entry: [UInt8], _ day: CivilDay, _ sums: inout BucketSums
    ) throws(MeteringError) {
        guard let values = MessagePackValue(entry)?.array, let events = values.first?.integer,
            values.count >= 3
        else { throw .damaged(what: "what a subject used on a day") }
        sums.add({ $0.amount(in: values, from: 3) }, events, day: day)
    }

    /// Hours, minutes and groups of one subject are kept nowhere: its events are added up.
    private func addEvents(
        of subject: SubjectID, _ query: SeriesQuery, _ sums: inout BucketSums
    ) async throws {
        var ask = EventQuery()
        ask.subject = subject
        guard let range = sums.range else { return }
        ask.from = Timestamp(milliseconds: range.lowerBound)
        ask.until = Timestamp(milliseconds: range.upperBound)
        let kept = today.number
        if let first = sums.days.first, first.number < kept - settings.eventsDays {
            sums.warn(
                "hours, minutes and groups of a subject come from its events, which are kept for "
                    + "\(settings.eventsDays) days")
        }
        if let restored = try await restoredAt(), range.lowerBound < restored.milliseconds {
            sums.warn(Self.lostEvents(sums.days, before: restored, settings.calendar))
        }
        let calendar = CachedCalendar(settings.calendar)
        var cursor: String?
        repeat {
            let page = try await history.part(ask, count: 1000, after: cursor)
            for event in page.events {
                let recorded = event.recorded
                let (day, hour) = calendar.place(recorded.time)
                sums.add(
                    { recorded.amounts.amount(of: $0) ?? 0 }, event.isReversal ? -1 : 1, day: day,
                    hour: hour, recorded.action,
                    recorded.model, minute: recorded.time.milliseconds.flooredQuotient(60_000))
            }
            cursor = page.next
        } while cursor != nil
    }

    /// Names the days of which a restore has brought no events back.
    private static func lostEvents(
        _ days: [CivilDay], before restored: Timestamp, _ calendar: WorkspaceCalendar
    ) -> String {
        let last = calendar.day(at: restored.milliseconds.flooredQuotient(1000))
        let lost = days.prefix { $0 <= last }
        let first = lost.first ?? last
        let names = first == lost.last ?? last ? "\(first)" : "\(first) to \(lost.last ?? last)"
        return
            "hours, minutes and groups of a subject come from its events; those of \(names) before "
            + "\(restored.text) are not known: the data were restored then"
    }

    // MARK: Minutes and counts

    private func addMinutes(
        _ query: SeriesQuery, _ sums: inout BucketSums
    ) async throws(MeteringError) {
        let now = clock.now.milliseconds.flooredQuotient(60_000)
        if let first = sums.starts.first, first / 60 < now - UsageFollower.minuteCountMax {
            sums.warn("minutes are kept for \(UsageFollower.minuteCountMax / 60) hours")
        }
        if let restored = try await restoredAt(), let first = sums.starts.first,
            first * 1000 < restored.milliseconds
        {
            sums.warn("minutes before \(restored.text) are not known: the data were restored then")
        }
        var hours = Set(sums.starts.map { $0.flooredQuotient(3600) })
        hours = hours.filter { $0 >= (now - UsageFollower.minuteCountMax) / 60 - 1 }
        let sorted = hours.sorted()
        let replies = try await send(
            sorted.map { RedisCommand("HGETALL", [keys.minutes(hour: $0)]) })
        for reply in replies {
            let pairs = reply.elements ?? []
            for index in stride(from: 0, to: pairs.count - 1, by: 2) {
                guard let name = pairs[index].bytes, let field = RollupField(name, isHourly: true),
                    let start = field.hour,
                    let values = pairs[index + 1].bytes.flatMap({ MessagePackValue($0) })?.array,
                    let events = values.first?.integer
                else { throw .damaged(what: "a rollup of a minute") }
                sums.add(
                    { $0.amount(in: values, from: 1) }, events,
                    day: settings.calendar.day(at: start), hour: nil, field.action,
                    field.model, minute: start / 60)
            }
        }
    }

    /// Those of days that all subjects have left are counted already; others follow the log.
    private func countSubjects(
        _ query: SeriesQuery, _ sums: inout BucketSums
    ) async throws(MeteringError) {
        let places = try await countable(query, &sums)
        guard !places.isEmpty else { return }
        if query.bucket != .minute { try await follow(&sums) }
        for from in stride(from: 0, to: places.count, by: Self.keysPerCount) {
            let turn = places[from..<min(from + Self.keysPerCount, places.count)]
            let names = turn.map { sums.seen(at: $0).key(keys) }
            let reply: RedisValue
            do {
                reply = try await client.run(ScriptLibrary.countSeen, keys: names, arguments: [])
            } catch {
                throw .unavailable(error)
            }
            guard let counts = reply.elements?.compactMap(\.integer), counts.count == 2 * turn.count
            else { throw .damaged(what: "counts of subjects") }
            for (index, place) in turn.enumerated() where counts[2 * index] >= 0 {
                sums.count(
                    SubjectCount(
                        count: counts[2 * index], isEstimated: counts[2 * index + 1] == 1),
                    at: place)
            }
        }
    }

    /// Buckets whose subjects can be told. Of hours and minutes before a restore they are in no file.
    private func countable(
        _ query: SeriesQuery, _ sums: inout BucketSums
    ) async throws(MeteringError) -> [Int] {
        let places = sums.uncounted
        guard query.bucket.isWithinDay, let restored = try await restoredAt() else { return places }
        let known = places.filter { sums.starts[$0] * 1000 >= restored.milliseconds }
        if known.count < places.count {
            sums.warn(
                "subjects of \(query.bucket.rawValue)s before \(restored.text) are not known: the "
                    + "data were restored then", isPart: false)
        }
        return known
    }

    /// When the data were restored from snapshots; nil if they were not.
    private func restoredAt() async throws(MeteringError) -> Timestamp? {
        let field = Array("restored_at".utf8)
        let reply = try await send([RedisCommand("HGET", [keys.meta, field])]).first
        return reply?.decimal.map { Timestamp(milliseconds: $0) }
    }

    private func send(_ commands: [RedisCommand]) async throws(MeteringError) -> [RedisValue] {
        do {
            return try await client.send(commands)
        } catch {
            throw .unavailable(error)
        }
    }
}

extension Meter {
    /// Its amount among meters and amounts as scripts keep them, behind some other values.
    fileprivate func amount(in values: [MessagePackValue], from start: Int) -> Int {
        for place in stride(from: start, to: values.count - 1, by: 2)
        where Meter(values[place]) == self {
            return values[place + 1].integer ?? 0
        }
        return 0
    }
}

extension SeriesQuery {
    /// Whether no part of a day is told apart from the others.
    fileprivate var takesWholeDays: Bool { grouping == nil && !bucket.isWithinDay }
}

extension SeriesQuery.Bucket {
    /// Whether it is shorter than a day.
    var isWithinDay: Bool { self == .minute || self == .hour }
}
