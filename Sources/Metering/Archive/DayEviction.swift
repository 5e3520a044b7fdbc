// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// Lets days leave Redis that are in their files for good.
///
/// A day leaves when it is final and older than the hot days, no subject's record is on it any more,
/// and its file is whole, of these data, of the day's revision, and some minutes old: a day that is
/// changed again and again does not come and go each time.
final class DayEviction {
    /// From the beginning of a file's snapshot on.
    static let quietMS = 600_000

    private let client: RedisClient
    private let settings: WorkspaceSettings
    private let keys: Keyspace
    private let clock: any Clock
    private let archive: Archive
    private let packer = MessagePackWriter()

    init(
        _ client: RedisClient, _ settings: WorkspaceSettings, _ clock: any Clock, _ archive: Archive
    ) {
        self.client = client
        self.settings = settings
        self.clock = clock
        self.archive = archive
        keys = Keyspace(settings)
    }

    /// Whether it is so old that it may leave.
    func isOld(_ day: CivilDay) -> Bool {
        let today = settings.calendar.day(at: clock.now.milliseconds.flooredQuotient(1000))
        // Not yesterday, whatever is set: events of today are of it in zones and clocks that are behind.
        return day.number < today.number - max(2, settings.hotDays)
    }

    /// Lets a day leave if it may.
    ///
    /// - Returns: whether it left.
    /// - Throws: `ArchiveError` when its file is not as it should be, `FlushError` from Redis.
    func evict(_ day: CivilDay, changes: Int) async throws -> Bool {
        guard isOld(day) else { return false }
        let head = try await archive.head(day)
        guard head.isFinal, head.revision == changes,
            head.writtenAt.milliseconds + Self.quietMS <= clock.now.milliseconds
        else { return false }
        packer.array(3)
        packer.integer(day.number)
        packer.integer(changes)
        packer.string(head.dataset)
        // Also the boards of meters that have none any more.
        let others = head.totals.amounts.map(\.meter).filter { !settings.rankedMeters.contains($0) }
        let names =
            [keys.changes, keys.cold, keys.meta]
            + keys.ofDay(day, settings.rankedMeters + others)
        do {
            let reply = try await client.run(
                ScriptLibrary.coolDay, keys: names, arguments: [packer.take()])
            return reply.integer == 1
        } catch {
            throw FlushError.redis(error)
        }
    }
}
