// SPDX-License-Identifier: Apache-2.0
//
// Nothing is kept for these questions: sums come from the days' rollups, subjects' records and the log.
// Who is in demo mode is never counted; what was counted before it was is taken off here.

internal import Redis

/// Tells how credits are taken. On its loop's thread only.
final class CreditMonitor {
    private static let recentCount = 20
    private static let minuteCount = 60

    private let client: RedisClient
    private let settings: WorkspaceSettings
    private let clock: any Clock
    private let keys: Keyspace
    private let reader: SeriesReader
    private let history: EventHistory
    private let profiles: ProfileReader

    init(
        client: RedisClient, settings: WorkspaceSettings, clock: any Clock, series: SeriesReader,
        history: EventHistory
    ) {
        self.client = client
        self.settings = settings
        self.clock = clock
        self.history = history
        keys = Keyspace(settings)
        reader = series
        profiles = ProfileReader(client: client, keys: keys)
    }

    func window(_ days: Int) -> CreditWindow {
        CreditWindow(days: days, settings.calendar, at: clock.now)
    }

    func demo() async throws(MeteringError) -> DemoSubjects {
        try await DemoSubjects.read(client, keys)
    }

    // MARK: Sums

    private struct Sums {
        var eventCount = 0
        var credits = 0
        var cost = 0
        var actions: [ByteString: (eventCount: Int, credits: Int)] = [:]
        var warnings: [String] = []

        /// Adds a bucket of credits, and of costs beside them.
        mutating func add(_ bucket: SeriesBucket) throws(EventRejection) {
            eventCount = try exactSum(eventCount, bucket.eventCount)
            credits = try exactSum(credits, bucket.value)
            cost = try exactSum(cost, bucket.beside)
        }

        mutating func warn(_ texts: [String]) {
            for text in texts where !warnings.contains(text) { warnings.append(text) }
        }

        var actionList: [ActionCredits] {
            actions.filter { $0.value != (0, 0) }.map {
                ActionCredits(action: $0, eventCount: $1.eventCount, credits: $1.credits)
            }.sorted { ($1.credits, $0.action) < ($0.credits, $1.action) }
        }
    }

    /// Of all subjects but those in demo mode. O(days × (their actions and models)).
    func overview(_ window: CreditWindow) async throws -> CreditOverview {
        let demo = try await demo()
        var sums = try await actions(window, of: nil)
        var untold = false
        for subject in demo.active(since: window.start) {
            var its = try await actions(window, of: subject)
            // Days tell these however old they are, events only those that are kept.
            let days = try await total(window, of: subject, &its)
            untold = untold || (days.credits, days.eventCount) != (its.credits, its.eventCount)
            sums.eventCount -= days.eventCount
            sums.credits -= days.credits
            sums.cost -= days.cost
            for (action, own) in its.actions {
                sums.actions[action, default: (0, 0)].eventCount -= own.eventCount
                sums.actions[action, default: (0, 0)].credits -= own.credits
            }
        }
        if untold {
            sums.warn(["by_action_type has what users in demo mode used before events are kept"])
        }
        let totals = try await RecordTotals.read(
            client, keys, since: window.start, without: demo)
        return CreditOverview(
            eventCount: sums.eventCount, credits: sums.credits, cost: sums.cost,
            activeCount: totals.activeCount, actions: sums.actionList, warnings: sums.warnings)
    }

    private func series(
        _ window: CreditWindow, _ subject: SubjectID?, byAction: Bool = false,
        withCost: Bool = false, countsSubjects: Bool = false
    ) async throws -> Series {
        var query = SeriesQuery(.creditsMicro, .day, window.range)
        query.beside = withCost ? .costMicro : nil
        query.subject = subject
        query.grouping = byAction ? .action : nil
        return try await reader.series(query, countsSubjects: countsSubjects)
    }

    private func total(
        _ window: CreditWindow, of subject: SubjectID, _ sums: inout Sums
    ) async throws -> Sums {
        let series = try await series(window, subject, withCost: true)
        sums.warn(series.warnings)
        var total = Sums()
        for bucket in series.buckets { try total.add(bucket) }
        return total
    }

    private func actions(_ window: CreditWindow, of subject: SubjectID?) async throws -> Sums {
        let series = try await series(
            window, subject, byAction: true, withCost: subject == nil)
        var sums = Sums()
        sums.warn(series.warnings)
        for bucket in series.buckets {
            try sums.add(bucket)
            for group in bucket.groups {
                let old = sums.actions[group.name] ?? (0, 0)
                sums.actions[group.name] = (
                    try exactSum(old.eventCount, group.eventCount),
                    try exactSum(old.credits, group.value)
                )
            }
        }
        return sums
    }

    /// Every day of the window. O(days × (their actions and models)).
    func trend(_ window: CreditWindow) async throws -> (days: [CreditDay], warnings: [String]) {
        let demo = try await demo()
        let series = try await series(window, nil, countsSubjects: true)
        var warnings = series.warnings
        var days = series.buckets.map { bucket in
            CreditDay(
                day: settings.calendar.day(at: bucket.start.milliseconds.flooredQuotient(1000)),
                eventCount: bucket.eventCount, credits: bucket.value, subjects: bucket.subjects)
        }
        for subject in demo.active(since: window.start) {
            let its = try await self.series(window, subject)
            warnings += its.warnings.filter { !warnings.contains($0) }
            for (index, bucket) in its.buckets.enumerated()
            where days.indices.contains(index) && bucket.hasEntries {
                days[index].eventCount -= bucket.eventCount
                days[index].credits -= bucket.value
                days[index].subjects = days[index].subjects.map {
                    SubjectCount(count: max(0, $0.count - 1), isEstimated: $0.isEstimated)
                }
            }
        }
        return (days, warnings)
    }

    /// How many events a subject had in the window.
    func eventCount(of subject: SubjectID, _ window: CreditWindow) async throws -> Int {
        try await series(window, subject).total?.eventCount ?? 0
    }

    // MARK: One subject

    /// Who has an e-mail, whatever its case; nobody in demo mode is found.
    func person(ofEmail email: String) async throws(MeteringError) -> CreditPerson? {
        var filter = ProfileFilter()
        filter.email = email
        let page = try await profiles.page(filter, by: .id, limit: 1, after: nil)
        if let profile = page.profiles.first {
            return profile.isDemo ? nil : CreditPerson(profile.subject.id, profile)
        }
        // Ids are compared as bytes: as it was asked for, and in lower case.
        let text = ByteString(email)
        guard CreditPerson.isEmail(text) else { return nil }
        for id in [text, Profile.folded(text)] {
            guard let subject = SubjectID(id.text) else { continue }
            let profile = try await profiles.profiles(of: [subject])[0]
            if let profile, profile.isDemo || !profile.email.bytes.isEmpty { continue }
            for key in [keys.subjects, keys.accounts] {
                let found = try await send([RedisCommand("HEXISTS", [key, id.bytes])])
                if profile != nil || found.first?.integer == 1 { return CreditPerson(id, profile) }
            }
        }
        return nil
    }

    /// What a subject did. O(its events in the window).
    func detail(
        of user: CreditUser, _ window: CreditWindow
    ) async throws -> CreditUserDetail {
        let subject = SubjectID(stored: user.person.subject)
        let sums = try await actions(window, of: subject)
        var query = EventQuery()
        query.subject = subject
        query.from = window.start
        let recent = try await newest(query, count: Self.recentCount)
        return CreditUserDetail(
            user: user, recent: recent, actions: sums.actionList, warnings: sums.warnings)
    }

    private func newest(_ query: EventQuery, count: Int) async throws -> [HistoryEvent] {
        var events: [HistoryEvent] = []
        var cursor: String?
        repeat {
            let page = try await history.page(query, limit: count - events.count, after: cursor)
            events += page.events
            cursor = page.next
        } while events.count < count && cursor != nil
        return events
    }

    /// The people of events or boards, in their order.
    func people(_ ids: [ByteString]) async throws(MeteringError) -> [CreditPerson] {
        var people: [CreditPerson] = []
        for start in stride(from: 0, to: ids.count, by: 200) {
            let slice = ids[start..<min(start + 200, ids.count)]
            let found = try await profiles.profiles(of: slice.map { SubjectID(stored: $0) })
            for (id, profile) in zip(slice, found) { people.append(CreditPerson(id, profile)) }
        }
        return people
    }

    // MARK: The last hour

    /// O(events that came since minutes were followed, and the subjects of an hour or, where there
    /// are very many, all subjects).
    func activity() async throws -> CreditActivity {
        let demo = try await demo()
        let minute = clock.now.milliseconds.flooredQuotient(60_000)
        let minutes = minute - Self.minuteCount + 1...minute
        let start = Timestamp(milliseconds: minutes.lowerBound * 60_000)
        let range = start.milliseconds..<(minute + 1) * 60_000
        let query = SeriesQuery(.creditsMicro, .minute, range)
        let series = try await reader.series(query, countsSubjects: false)
        var count = series.buckets.reduce(0) { $0 + $1.eventCount }
        for subject in demo.active(since: start) {
            var its = query
            its.subject = subject
            let buckets = try await reader.series(its, countsSubjects: false).buckets
            count -= buckets.reduce(0) { $0 + $1.eventCount }
        }
        var newest = EventQuery()
        newest.hidden = demo.ids
        let last = try await self.newest(newest, count: 1).first?.recorded.time
        let subjects = try await subjectCount(minutes, since: start, demo)
        return CreditActivity(eventCount: count, subjectCount: subjects, last: last)
    }

    /// Minutes with many subjects keep an estimate only; records are exact whatever they are.
    private func subjectCount(
        _ minutes: ClosedRange<Int>, since start: Timestamp, _ demo: DemoSubjects
    ) async throws -> Int {
        var seen: Set<ByteString> = []
        for minute in minutes {
            let key = keys.seen(minute: minute)
            guard try await send([RedisCommand("TYPE", [key])]).first?.text == "set" else {
                if try await send([RedisCommand("EXISTS", [key])]).first?.integer == 0 { continue }
                return try await RecordTotals.read(
                    client, keys, since: start, without: demo
                ).activeCount
            }
            let members = try await send([RedisCommand("SMEMBERS", [key])]).first?.elements ?? []
            for member in members.compactMap(\.bytes) { seen.insert(ByteString(bytes: member)) }
        }
        return try await owners(of: seen).subtracting(demo.ids).count
    }

    /// The same, with users in the place of guests that were merged into them.
    private func owners(
        of subjects: Set<ByteString>
    ) async throws(MeteringError) -> Set<ByteString> {
        let guests = subjects.filter { SubjectID(stored: $0).kind == .guest }
        var owners = subjects.subtracting(guests)
        let list = Array(guests)
        for start in stride(from: 0, to: list.count, by: 1000) {
            let slice = list[start..<min(start + 1000, list.count)]
            let reply = try await send([RedisCommand("HMGET", [keys.merged] + slice.map(\.bytes))])
            for (guest, user) in zip(slice, reply.first?.elements ?? []) {
                owners.insert(user.bytes.map { ByteString(bytes: $0) } ?? guest)
            }
        }
        return owners
    }

    private func send(_ commands: [RedisCommand]) async throws(MeteringError) -> [RedisValue] {
        do {
            return try await client.send(commands)
        } catch {
            throw .unavailable(error)
        }
    }
}
