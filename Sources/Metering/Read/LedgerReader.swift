// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// Reads the ledgers of accounts out of the log. On its loop's thread only.
final class LedgerReader {
    /// Bounds on one script call: less than a millisecond of Redis.
    private static let entryCountMax = 32
    private static let byteCountMax = 64 * 1024
    /// Older logs have left Redis.
    private static let logDaysMax = 40

    private let client: RedisClient
    private let keys: Keyspace
    private let clock: any Clock
    private let writer = MessagePackWriter()

    init(client: RedisClient, keys: Keyspace, clock: any Clock) {
        self.client = client
        self.keys = keys
        self.clock = clock
    }

    /// The newest lines of an account's ledger, or those before `cursor`, at most about `limit`:
    /// those of one batch stay together.
    func ledger(
        of subject: SubjectID, _ account: Account, limit: Int, before cursor: LogPosition?
    ) async throws(MeteringError) -> Ledger {
        var lines: [LedgerLine] = cursor == nil ? account.dueLines.reversed() : []
        var next = cursor ?? account.ledgerHead
        while let position = next, lines.count < limit {
            let entries = try await entries(from: position, of: subject, limit - lines.count)
            if entries.isEmpty { next = nil }
            for entry in entries where lines.count < limit {
                guard let (older, previous) = entry.lines(of: subject) else {
                    next = nil
                    break
                }
                lines += older.reversed()
                next = previous
            }
        }
        return Ledger(
            lines: lines,
            openingBalance: lines.last.map { $0.balance - $0.change }
                ?? (cursor == nil ? account.balance : 0),
            older: next?.cursor)
    }

    /// The entry at a position and some of those before it that have lines of the subject. None if
    /// the log has forgotten it.
    private func entries(
        from position: LogPosition, of subject: SubjectID, _ count: Int
    ) async throws(MeteringError) -> [LogEntry] {
        let today = clock.now.milliseconds.flooredQuotient(86_400_000)
        let oldest = max(0, min(position.day.number, today - Self.logDaysMax))
        let days = stride(from: position.day.number, through: oldest, by: -1)
            .prefix(Self.logDaysMax)
        writer.array(5)
        writer.integer(position.day.number)
        writer.integer(position.packed)
        writer.string(subject.id.bytes)
        writer.integer(min(count, Self.entryCountMax))
        writer.integer(Self.byteCountMax)
        let reply: RedisValue
        do {
            reply = try await client.run(
                ScriptLibrary.readLedger,
                keys: days.map { keys.log(arrival: CivilDay(number: $0)) },
                arguments: [writer.take()])
        } catch {
            throw .unavailable(error)
        }
        let elements = reply.elements ?? []
        var entries: [LogEntry] = []
        for index in stride(from: 0, to: elements.count - 1, by: 2) {
            guard let day = elements[index].integer,
                let entry = LogEntry(elements[index + 1], arrival: CivilDay(number: day))
            else { break }
            entries.append(entry)
        }
        return entries
    }
}
