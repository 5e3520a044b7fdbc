// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// Which part of a board.
enum BoardAsk: Sendable {
    /// So many, behind a cursor.
    case page(limit: Int, after: LeaderboardCursor?)
    /// A subject and those around it.
    case place(SubjectID, neighbours: Int)
}

/// A part of a board, as lua/read_board.lua tells it.
struct BoardPart {
    /// The board's state, packed; empty for a board without one.
    let state: [UInt8]
    let count: Int
    /// Index of the first entry.
    let first: Int
    let entries: [LeaderboardEntry]
    /// Index of the subject that was asked for; nil when it is not ranked.
    let index: Int?
}

/// Reads boards in one call each. Belongs to the loop of its client.
struct BoardReader {
    /// What one call looks up: about half a millisecond of Redis.
    private static let lookupsPerCall = 1600
    /// Fewer are not worth a call, and more of them hold up others.
    private static let subjectsPerCall = 4...200

    let client: RedisClient
    let keys: Keyspace

    /// How many subjects may be looked up at once.
    ///
    /// - Parameters:
    ///   - uses: the hashes in which each of them is looked up, besides its record.
    ///   - boards: the sorted sets in which each of them is looked up.
    static func subjectsPerCall(
        _ uses: [[UInt8]], boards: [[UInt8]] = [], _ client: RedisClient
    ) async throws(RedisError) -> Int {
        let sizes = try await client.send(
            uses.map { RedisCommand("HLEN", [$0]) } + boards.map { RedisCommand("ZCARD", [$0]) })
        // What is small is a list, to be gone through for each subject.
        let cost = sizes.compactMap(\.integer).reduce(1) { $0 + ($1 <= 512 ? $1 / 8 : 1) }
        let count = lookupsPerCall / cost
        return max(subjectsPerCall.lowerBound, min(subjectsPerCall.upperBound, count))
    }

    /// Reads a part of a window's board.
    func window(_ id: BoardID, _ ask: BoardAsk) async throws(MeteringError) -> BoardPart {
        guard let part = try await read([keys.board(id), keys.boards, keys.demo], id.name, ask)
        else {
            throw .damaged(what: "a leaderboard")
        }
        return part
    }

    /// Reads a part of a day's board; nil when the day has left Redis, or the meter was not ranked yet when
    /// some of it was counted.
    func day(
        _ day: CivilDay, _ meter: Meter, _ ask: BoardAsk
    ) async throws(MeteringError) -> BoardPart? {
        try await read(
            [keys.board(day, meter), keys.boards, keys.demo, keys.cold, keys.meta], "", ask,
            (day, meter))
    }

    private func read(
        _ names: [[UInt8]], _ field: String, _ ask: BoardAsk,
        _ board: (day: CivilDay, meter: Meter)? = nil
    ) async throws(MeteringError) -> BoardPart? {
        let writer = MessagePackWriter()
        writer.array(8)
        writer.string(field)
        switch ask {
        case .page(let limit, let cursor):
            writer.integer(limit)
            writer.integer(-(cursor?.value ?? 0))
            writer.string(cursor?.subject.bytes ?? [])
            writer.string("")
            writer.integer(0)
        case .place(let subject, let neighbours):
            writer.integer(0)
            writer.integer(0)
            writer.string("")
            writer.string(subject.id.bytes)
            writer.integer(neighbours)
        }
        writer.integer(board?.day.number ?? 0)
        writer.string(board?.meter.stored ?? "")
        let reply: RedisValue
        do {
            reply = try await client.run(
                ScriptLibrary.readBoard, keys: names, arguments: [writer.take()])
        } catch {
            throw .unavailable(error)
        }
        if reply.elements?.isEmpty ?? false { return nil }
        guard let parts = reply.elements, parts.count == 5, let state = parts[0].bytes,
            let count = parts[1].integer, let first = parts[2].integer, let index = parts[4].integer
        else { throw .damaged(what: "a leaderboard") }
        let entries = try LeaderboardEntry.entries(parts[3]).filter { $0.value > 0 }
        return BoardPart(
            state: state, count: count, first: first, entries: entries,
            index: index >= 0 && index < count ? index : nil)
    }
}
