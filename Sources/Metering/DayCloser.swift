// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Observability
public import Redis

/// Moves what subjects counted on days that have ended to these days, in small slices.
///
/// Nothing depends on when it runs, or on whether it runs in one process or several: until a
/// subject was moved, readers find its last day where it is. A day may leave
/// Redis once it was closed.
public final class DayCloser {
    /// Subjects per script call: less than a millisecond of Redis.
    private static let sliceCount = 200
    /// How long after midnight a day is closed; clocks of other processes may be behind.
    private static let graceSeconds = 600

    private let client: RedisClient
    private let keys: Keyspace
    private let settings: WorkspaceSettings
    private let clock: any Clock
    private let writer = MessagePackWriter()

    public init(client: RedisClient, settings: WorkspaceSettings, clock: any Clock) {
        self.client = client
        self.settings = settings
        self.clock = clock
        keys = Keyspace(settings)
    }

    /// Closes all days before today, unless that was done already.
    ///
    /// - Parameter checkpoint: called after each slice; what it throws ends the work.
    /// - Returns: how many subjects were moved.
    /// - Throws: `RedisError`, or what `checkpoint` throws.
    @discardableResult
    public func closeDays(checkpoint: () async throws -> Void = {}) async throws -> Int {
        let seconds = clock.now.milliseconds.flooredQuotient(1000)
        let today = settings.calendar.day(at: seconds - Self.graceSeconds)
        let field = Array("closed_before".utf8)
        let done = try await client.send(RedisCommand("HGET", [keys.meta, field])).bytes
        // Another process's clock may be ahead by minutes. Where today and days ahead were closed, the
        // clock was: subjects are on days before.
        if let done, let day = Int(String(decoding: done, as: UTF8.self)),
            (today.number...settings.calendar.day(at: seconds).number).contains(day)
        {
            return 0
        }
        var days: Set<CivilDay> = [CivilDay(number: today.number - 1)]
        var cursor = Array("0".utf8)
        var moved = 0
        repeat {
            let (next, missing, count) = try await closeSlice(from: cursor, today, days.sorted())
            days.formUnion(missing)
            cursor = next
            moved += count
            try await checkpoint()
            if missing.isEmpty, cursor == Array("0".utf8) { break }
        } while true
        _ = try await client.send(
            RedisCommand("HSET", [keys.meta, field, Array("\(today.number)".utf8)]))
        return moved
    }

    private func closeSlice(
        from cursor: [UInt8], _ today: CivilDay, _ days: [CivilDay]
    ) async throws(RedisError) -> (next: [UInt8], missing: [CivilDay], moved: Int) {
        writer.array(4)
        writer.string(cursor)
        writer.integer(today.number)
        writer.integers(days.map(\.number))
        writer.integer(Self.sliceCount)
        let names = [keys.subjects] + days.map { keys.use($0) }
        let reply = try await client.run(
            ScriptLibrary.closeDays, keys: names, arguments: [writer.take()])
        guard let parts = reply.elements, parts.count == 3, let next = parts[0].bytes,
            let missing = parts[1].bytes.flatMap({ MessagePackValue($0) })?.array,
            case .integer(let moved) = parts[2]
        else { throw .unexpectedReply("close_days") }
        return (next, missing.compactMap { $0.integer.map { CivilDay(number: $0) } }, moved)
    }
}
