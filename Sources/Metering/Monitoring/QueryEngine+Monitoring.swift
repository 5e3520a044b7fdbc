// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// What is told of how credits are taken. Windows are today and the days before it, in the workspace's
/// zone; nothing of subjects in demo mode is told.
extension QueryEngine {
    /// How long a question waits for the log to be read.
    private static let patienceMS = 5_000
    private static let activeDays = 30

    /// What was taken in so many days. O(days × (their actions and models) + subjects).
    ///
    /// - Parameter days: 1 to 365.
    /// - Throws: `EventRejection` when a sum is past 2^53 − 1; `MeteringError`.
    public func creditOverview(days: Int) async throws -> CreditOverview {
        let monitor = try monitor()
        return try await monitor.overview(monitor.window(days))
    }

    /// What was taken on each of so many days, also on those on which nothing was; with what could
    /// not be read.
    ///
    /// - Parameter days: 1 to 365.
    public func creditTrend(days: Int) async throws -> (days: [CreditDay], warnings: [String]) {
        let monitor = try monitor()
        return try await monitor.trend(monitor.window(days))
    }

    /// Who took most in so many days. O(limit × days).
    ///
    /// - Parameters:
    ///   - days: 1 to 365.
    ///   - limit: 1 to 1000.
    /// - Throws: `MeteringError.building` when the board is not ready within five seconds.
    public func creditConsumers(
        days: Int, limit: Int
    ) async throws -> (consumers: [CreditConsumer], warnings: [String]) {
        let monitor = try monitor()
        let board = try await leaderboard(.creditsMicro, .days(days), limit: limit, after: nil)
        let window = monitor.window(days)
        let people = try await monitor.people(board.entries.map(\.subject))
        var consumers: [CreditConsumer] = []
        for (entry, person) in zip(board.entries, people) {
            let subject = SubjectID(stored: entry.subject)
            consumers.append(
                CreditConsumer(
                    person: person,
                    eventCount: try await monitor.eventCount(of: subject, window),
                    credits: entry.value))
        }
        return (consumers, board.warnings)
    }

    /// The first users with credits in an order. O(accounts), in slices of 100.
    public func creditUsers(
        by order: CreditUserOrder, limit: Int
    ) async throws -> [CreditUser] {
        try await users().first(limit, by: order)
    }

    /// All accounts with credits, most consumed this month first. O(accounts log accounts), with about
    /// 150 bytes of memory for each.
    public func creditBalances() async throws -> [AccountSummary] {
        try await users().all()
    }

    /// Whose some accounts are.
    public func creditUsers(of accounts: [AccountSummary]) async throws -> [CreditUser] {
        try await users().users(accounts)
    }

    /// A user with what it did in so many days; nil for an e-mail that nobody has. O(its events).
    public func creditUser(email: String, days: Int) async throws -> CreditUserDetail? {
        let monitor = try monitor()
        guard let person = try await monitor.person(ofEmail: email) else { return nil }
        let account = try await AccountListing(self).accounts(of: [person.subject.bytes]).first
        return try await monitor.detail(
            of: CreditUser(person: person, account: account), monitor.window(days))
    }

    /// Events of all but those in demo mode, with whose they are; see `events`.
    public func creditEvents(
        _ query: EventQuery, limit: Int, after cursor: String?
    ) async throws -> (page: EventPage, people: [CreditPerson]) {
        let monitor = try monitor()
        var query = query
        query.hidden = try await monitor.demo().ids
        let page = try await events(query, limit: limit, after: cursor)
        return (page, try await monitor.people(page.events.map(\.recorded.subject)))
    }

    /// The first instant of a window of so many days.
    public func creditWindowStart(days: Int) -> Timestamp {
        CreditWindow(days: days, settings.calendar, at: clock.now).start
    }

    /// What came in during the last hour.
    public func creditActivity() async throws -> CreditActivity {
        try await monitor().activity()
    }

    /// What events with a known cost were charged, beside their cost at the credit rate that is in
    /// force. O(events that came since the last call in this process).
    ///
    /// - Returns: by action; the rate in micro-credits; and what could not be told.
    /// - Throws: `MeteringError.building` when the log was not read within five seconds: each call
    ///   goes on where the one before ended.
    public func creditCharges(
        days: Int
    ) async throws -> (charges: [ActionCharge], rate: Int, warnings: [String]) {
        guard let log = charges else {
            throw MeteringError.unavailable(.disconnected(reason: "it was not started"))
        }
        let monitor = try monitor()
        let window = monitor.window(days)
        try await log.catchUp(deadlineMS: clock.monotonicMS + Self.patienceMS)
        let demo = try await monitor.demo()
        var sums = log.sums(window)
        for subject in demo.active(since: window.start) {
            var query = EventQuery()
            query.subject = subject
            (query.from, query.until) = (window.start, window.end)
            var cursor: String?
            repeat {
                let part = try await eventPart(query, count: 1000, after: cursor)
                for event in part.events {
                    sums[event.recorded.action, default: ChargeLog.Sums()].add(
                        event.recorded.amounts, sign: -1)
                }
                cursor = part.next
            } while cursor != nil
        }
        let rate = try await rules().prices.creditRate
        var warnings: [String] = []
        if days > settings.eventsDays {
            warnings.append("costs of single events are kept for \(settings.eventsDays) days")
        }
        let restored = try await client.send(
            RedisCommand("HGET", [keys.meta, Array("restored_at".utf8)])
        ).decimal
        if let restored, restored > window.range.lowerBound {
            let time = Timestamp(milliseconds: restored).text
            warnings.append("costs of single events before the restore of \(time) are not known")
        }
        return (try ChargeLog.charges(sums, rate: rate), rate, warnings)
    }

    /// Who has credits and who has not. O(profiles + accounts).
    ///
    /// - Parameter limit: the most that are told by name.
    public func creditCoverage(limit: Int) async throws -> CreditCoverage {
        try await users().coverage(limit)
    }

    /// What was counted in all. O(subjects + accounts).
    public func creditStats() async throws -> CreditStats {
        let monitor = try monitor()
        let demo = try await monitor.demo()
        let totals = try await RecordTotals.read(
            try client, keys, since: monitor.window(Self.activeDays).start, without: demo)
        return CreditStats(
            eventCount: totals.eventCount, credits: totals.credits,
            activeCount: totals.activeCount, withBalanceCount: try await users().count())
    }

    private func monitor() throws(MeteringError) -> CreditMonitor {
        let client = try client
        let history = try history()
        let series = SeriesReader(
            client: client, settings: settings, clock: clock, archive: try archive,
            history: history,
            follower: try usageFollower(),
            rollups: try rollups)
        return CreditMonitor(
            client: client, settings: settings, clock: clock, series: series, history: history)
    }

    private func users() async throws(MeteringError) -> CreditUsers {
        CreditUsers(self, try client, keys, try await DemoSubjects.read(try client, keys))
    }
}
