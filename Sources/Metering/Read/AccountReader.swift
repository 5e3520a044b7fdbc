// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// Reads ledgers, holds and single events of one workspace. On its loop's thread only.
public final class AccountReader {
    private let client: RedisClient
    private let keys: Keyspace
    private let settings: WorkspaceSettings
    private let clock: any Clock
    private let digest = IDDigest()

    init(client: RedisClient, settings: WorkspaceSettings, clock: any Clock) {
        self.client = client
        self.settings = settings
        self.clock = clock
        keys = Keyspace(workspace: settings.id)
    }

    // MARK: Ledger

    /// The newest lines of an account's ledger, or those before `cursor`, at most about `limit`.
    public func ledger(
        of subject: SubjectID, _ account: Account, limit: Int, before cursor: LogPosition? = nil
    ) async throws(MeteringError) -> Ledger {
        var lines: [LedgerLine] = cursor == nil ? account.dueLines.reversed() : []
        var next = cursor ?? account.ledgerHead
        while let position = next, lines.count < limit {
            let reply = try await send(.readLogEntry(keys.log(arrival: position.day), position))
            guard let (older, previous) = Self.lines(reply, position, of: subject) else {
                next = nil
                break
            }
            lines += older.reversed()
            next = previous
        }
        return Ledger(
            lines: lines,
            openingBalance: lines.last.map { $0.balance - $0.change }
                ?? (cursor == nil ? account.balance : 0),
            older: next?.cursor)
    }

    private static func lines(
        _ reply: RedisValue, _ position: LogPosition, of subject: SubjectID
    ) -> (lines: [LedgerLine], previous: LogPosition?)? {
        guard let entry = reply.elements?.first.flatMap({ LogEntry($0, arrival: position.day) })
        else { return nil }
        let ledger = entry.ledger
        for index in stride(from: 0, to: ledger.count - 2, by: 3)
        where ledger[index].bytes == subject.id.bytes {
            guard let previous = ledger[index + 1].integer, let lines = ledger[index + 2].array
            else { return nil }
            let read = LedgerLine.lines(lines) { place in
                guard entry.events.indices.contains(place - 1) else { return nil }
                return entry.events[place - 1].event.id ?? position.eventID(place: place)
            }
            return (read, previous == 0 ? nil : LogPosition(previous))
        }
        return nil
    }

    // MARK: Holds

    /// A hold by its id; nil when there is none.
    public func hold(_ id: ByteString) async throws(MeteringError) -> Hold? {
        guard let bytes = try await send(RedisCommand("HGET", [keys.holds, id.bytes])).bytes else {
            return nil
        }
        guard let hold = Hold(id.bytes, bytes, at: clock.now) else {
            throw .damaged(what: "a hold")
        }
        return hold
    }

    /// Holds of a state, of one subject if it is named: open and expired ones by when they expire,
    /// others the last ended first.
    public func holds(
        _ state: HoldState, of subject: SubjectID?, limit: Int
    ) async throws(MeteringError) -> [Hold] {
        var found: [Hold] = []
        var start = 0
        let pageCount = 500
        // A bound on the work of one call; filtering by subject looks at all holds of a state.
        while found.count < limit, start < 100_000 {
            let ids = try await ids(state, from: start, count: pageCount)
            guard !ids.isEmpty else { break }
            let values = try await send(RedisCommand("HMGET", [keys.holds] + ids)).elements ?? []
            for (id, value) in zip(ids, values) {
                guard let bytes = value.bytes, let hold = Hold(id, bytes, at: clock.now) else {
                    continue
                }
                if hold.state == state, subject == nil || hold.subject == subject {
                    found.append(hold)
                }
            }
            start += pageCount
        }
        return Array(found.prefix(limit))
    }

    /// How many holds are open, and how many expired without being ended.
    public func holdCounts() async throws(MeteringError) -> (open: Int, expired: Int) {
        let now = Array("\(clock.now.milliseconds)".utf8)
        let open = try await send(
            RedisCommand("ZCOUNT", [keys.openHolds, Array("(".utf8) + now, Array("+inf".utf8)]))
        let expired = try await send(
            RedisCommand("ZCOUNT", [keys.openHolds, Array("-inf".utf8), now]))
        return (open.integer ?? 0, expired.integer ?? 0)
    }

    private func ids(
        _ state: HoldState, from start: Int, count: Int
    ) async throws(MeteringError) -> [[UInt8]] {
        let now = "\(clock.now.milliseconds)"
        let (key, low, high): ([UInt8], String, String) =
            switch state {
            case .open: (keys.openHolds, "(" + now, "+inf")
            case .expired: (keys.openHolds, "-inf", now)
            case .settled, .released: (keys.endedHolds, "+inf", "-inf")
            }
        var arguments = [key, Array(low.utf8), Array(high.utf8), Array("BYSCORE".utf8)]
        if low == "+inf" { arguments.append(Array("REV".utf8)) }
        arguments += ["LIMIT", "\(start)", "\(count)"].map { Array($0.utf8) }
        return (try await send(RedisCommand("ZRANGE", arguments)).elements ?? []).compactMap(
            \.bytes)
    }

    // MARK: Events

    /// Finds an event that was counted, by the client's id or Tally's; nil when it is not known,
    /// or not any more. `charged` is when its credits were taken, if it took any.
    public func event(
        _ id: ByteString
    ) async throws(MeteringError) -> (
        event: UsageEvent, origin: LogPosition, place: Int, charged: Timestamp?
    )? {
        guard let (position, place) = try await place(of: id) else { return nil }
        let reply = try await send(.readLogEntry(keys.log(arrival: position.day), position))
        guard let entry = reply.elements?.first.flatMap({ LogEntry($0, arrival: position.day) }),
            entry.events.indices.contains(place - 1), !entry.excluded.contains(place)
        else { return nil }
        var event = entry.events[place - 1].event
        event.time = entry.events[place - 1].time
        let name = event.id ?? position.eventID(place: place)
        let charge = Self.lines(reply, position, of: event.subject)?.lines.first {
            $0.kind == .charge && $0.reference == name
        }
        return (event, position, place, charge?.time)
    }

    private func place(
        of id: ByteString
    ) async throws(MeteringError) -> (position: LogPosition, place: Int)? {
        if let known = LogPosition.parse(id) { return known }
        let digest = digest.digest(id.bytes)
        let now = clock.now.milliseconds
        let last = now.flooredQuotient(86_400_000) + 1
        let first = (now - settings.idempotencyWindowMS).flooredQuotient(86_400_000) - 1
        for generation in (first...last).reversed() {
            let reply = try await send(
                RedisCommand("HGET", [keys.ids(generation: generation), digest]))
            if let pointer = reply.bytes, pointer.count == 9 {
                return (LogPosition(pointer), Int(pointer[7]) << 8 | Int(pointer[8]))
            }
        }
        return nil
    }

    private func send(_ command: RedisCommand) async throws(MeteringError) -> RedisValue {
        do {
            return try await client.send(command)
        } catch {
            throw .unavailable(error)
        }
    }
}
