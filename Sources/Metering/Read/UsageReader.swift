// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// Reads what was counted in one workspace. On its loop's thread only.
public final class UsageReader {
    /// How many recent events a subject's answer shows.
    public static let recentCountMax = 50

    private let client: RedisClient
    private let keys: Keyspace
    private let settings: WorkspaceSettings
    private let clock: any Clock

    init(client: RedisClient, settings: WorkspaceSettings, clock: any Clock) {
        self.client = client
        self.settings = settings
        self.clock = clock
        keys = Keyspace(settings)
    }

    /// Today, in the workspace's zone.
    public var today: CivilDay {
        settings.calendar.day(at: clock.now.milliseconds.flooredQuotient(1000))
    }

    /// The zone in which days and hours are told.
    public var calendar: WorkspaceCalendar { settings.calendar }

    /// Whether a meter has leaderboards in this workspace.
    public func isRanked(_ meter: Meter) -> Bool { settings.rankedMeters.contains(meter) }

    /// What a subject has used; nil when it was never seen. Its last events are found by following
    /// the log back from the last, one entry a step: at most `recentCountMax` steps.
    public func subject(_ id: SubjectID) async throws(MeteringError) -> SubjectUsage? {
        guard let bytes = try await send(RedisCommand("HGET", [keys.subjects, id.id.bytes])).bytes
        else { return nil }
        guard let record = SubjectRecord(bytes) else { throw .damaged(what: "a subject's record") }
        var recent: [RecordedEvent] = []
        // What older entries counted, which have left the log, stays in the totals.
        let walk = LogWalk(client, keys, subject: id.id, from: nil, days: 0...today.number + 2)
        try await walk.start(at: nil)
        while recent.count < Self.recentCountMax, let entry = try await walk.next() {
            recent += entry.recorded(of: walk.names)
        }
        for index in recent.indices { recent[index].subject = id.id }
        return SubjectUsage(
            subject: id,
            totals: record.meters.map { ($0.meter, $0.total) }.sorted {
                $0.meter.name < $1.meter.name
            },
            eventCount: record.eventCount, firstEventAt: record.first, lastEventAt: record.last,
            recent: Array(recent.prefix(Self.recentCountMax)))
    }

    /// A part of today's leaderboard, most first, equal values by id as bytes. O(limit).
    ///
    /// - Parameters:
    ///   - limit: 1 to 1000.
    ///   - cursor: behind which it goes on; nil for the start.
    /// - Returns: nil when today has left Redis: `QueryEngine` answers.
    public func leaderboardToday(
        _ meter: Meter, limit: Int, after cursor: LeaderboardCursor?
    ) async throws(MeteringError) -> LeaderboardPage? {
        guard let (part, day) = try await boardToday(meter, .page(limit: limit + 1, after: cursor))
        else { return nil }
        return LeaderboardPage(part, limit: limit, day...day, [])
    }

    /// Where a subject stands today, and who stands around it.
    ///
    /// - Parameter neighbours: how many above and below, 0 to 100.
    /// - Returns: nil when today has left Redis: `QueryEngine` answers; a nil within when the subject
    ///   used nothing.
    public func leaderboardPlaceToday(
        of subject: SubjectID, _ meter: Meter, neighbours: Int
    ) async throws(MeteringError) -> LeaderboardPlace?? {
        guard
            let (part, day) = try await boardToday(
                meter, .place(subject, neighbours: max(1, neighbours)))
        else { return nil }
        return .some(LeaderboardPlace(part, neighbours: neighbours, day...day, []))
    }

    /// Today is in Redis, unless it left while a clock was ahead.
    private func boardToday(
        _ meter: Meter, _ ask: BoardAsk
    ) async throws(MeteringError) -> (BoardPart, CivilDay)? {
        let day = today
        let reader = BoardReader(client: client, keys: keys)
        return try await reader.day(day, meter, ask).map { ($0, day) }
    }

    /// Who a subject is; nil when nothing is known.
    public func profile(of subject: SubjectID) async throws(MeteringError) -> Profile? {
        try await ProfileReader(client: client, keys: keys).profiles(of: [subject])[0]
    }

    private func send(_ command: RedisCommand) async throws(MeteringError) -> RedisValue {
        do {
            return try await client.send(command)
        } catch {
            throw .unavailable(error)
        }
    }
}
