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
    private let leaderboard: RedisScript

    init(
        client: RedisClient, settings: WorkspaceSettings, clock: any Clock, leaderboard: RedisScript
    ) {
        self.client = client
        self.settings = settings
        self.clock = clock
        self.leaderboard = leaderboard
        keys = Keyspace(workspace: settings.id)
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
        var next: LogPosition? = record.latest
        while let position = next, recent.count < Self.recentCountMax {
            let reply = try await send(.readLogEntry(keys.log(arrival: position.day), position))
            // Older entries have left the log; what they counted stays in the totals.
            guard
                let entry = reply.elements?.first.flatMap({ LogEntry($0, arrival: position.day) }),
                let index = entry.subjects.firstIndex(of: id.id)
            else { break }
            recent += entry.recorded(of: id.id)
            next = entry.previous[index]
        }
        return SubjectUsage(
            subject: id,
            totals: record.meters.map { ($0.meter, $0.total) }.sorted {
                $0.meter.name < $1.meter.name
            },
            eventCount: record.eventCount, firstEventAt: record.first, lastEventAt: record.last,
            recent: Array(recent.prefix(Self.recentCountMax)))
    }

    /// Sums of a day by hour, action and model.
    public func hourlyUsage(_ day: CivilDay) async throws(MeteringError) -> [HourlyUsage] {
        let reply = try await send(RedisCommand("HGETALL", [keys.hours(day)])).elements ?? []
        var cells: [HourlyUsage] = []
        for index in stride(from: 0, to: reply.count - 1, by: 2) {
            guard let field = reply[index].bytes.flatMap({ RollupField($0, isHourly: true) }),
                let sums = reply[index + 1].bytes.flatMap({ MessagePackValue($0) })?.array,
                let cell = HourlyUsage(field, sums)
            else { throw .damaged(what: "an hourly rollup") }
            cells.append(cell)
        }
        return cells.sorted { ($0.hour, $0.action, $0.model) < ($1.hour, $1.action, $1.model) }
    }

    /// The subjects that used most of a meter, most first, equal values by id. O(limit), and for
    /// `lifetime` as deep into the boards as their heads have to be read to be sure.
    public func leaderboard(
        _ meter: Meter, window: LeaderboardWindow, limit: Int
    ) async throws(MeteringError) -> [LeaderboardEntry] {
        switch window {
        case .day(let day):
            let last = Array("\(limit - 1)".utf8)
            let reply = try await send(
                RedisCommand(
                    "ZRANGE",
                    [keys.board(day, meter), Array("0".utf8), last, Array("WITHSCORES".utf8)]))
            return try LeaderboardEntry.entries(reply)
        case .lifetime:
            let days = try await openDays()
            let writer = MessagePackWriter()
            writer.array(2)
            writer.integer(limit)
            writer.meter(meter)
            let names =
                [keys.subjects, keys.closedBoard(meter)] + days.map { keys.board($0, meter) }
            do {
                let reply = try await client.run(
                    leaderboard, keys: names, arguments: [writer.take()])
                let entries = try LeaderboardEntry.entries(reply)
                return Array(
                    entries.sorted { ($1.value, $0.subject) < ($0.value, $1.subject) }.prefix(limit)
                )
            } catch let error as RedisError {
                throw .unavailable(error)
            } catch let error as MeteringError {
                throw error
            } catch {
                throw .damaged(what: "\(error)")
            }
        }
    }

    /// The days that records may still be on: all since the last day that was closed.
    private func openDays() async throws(MeteringError) -> [CivilDay] {
        let last = today.number + 1
        let reply = try await send(RedisCommand("HGET", [keys.meta, Array("closed_before".utf8)]))
        let first =
            reply.bytes.flatMap { Int(String(decoding: $0, as: UTF8.self)) } ?? last
            - Retention.days
        return (min(first, last)...last).suffix(Retention.days).map { CivilDay(number: $0) }
    }

    private func send(_ command: RedisCommand) async throws(MeteringError) -> RedisValue {
        do {
            return try await client.send(command)
        } catch {
            throw .unavailable(error)
        }
    }
}
