// SPDX-License-Identifier: Apache-2.0
//
// A board of all days follows the log, so that it is mostly a little behind the totals. It is brought up
// as for a question; what the log holds from where it is to where the totals are is taken off these.

internal import Redis

/// Compares the boards of all days with the lifetime totals of subjects, both ways.
final class LifetimeBoardVerifier {
    private static let subjectsPerCall = 200
    /// How often a slice is read anew while somebody is in the middle of a change.
    private static let triesMax = 200

    /// A board, with what follows the log for it.
    private struct Standing {
        let id: BoardID
        /// The place of its meter.
        let place: Int
        let board: WindowBoard
    }

    private let context: VerifyContext
    private var keys: Keyspace { context.keys }

    init(_ context: VerifyContext) { self.context = context }

    func run() async throws {
        let names = try await context.send(RedisCommand("HKEYS", [keys.boards])).elements ?? []
        let ids = names.compactMap { name in name.text.flatMap { BoardID(name: $0) } }
            .filter { $0.days == nil }.sorted { $0.meter.name < $1.meter.name }
        guard !ids.isEmpty else { return }
        // All meters are in the log; of these it is told.
        var settings = context.settings
        settings.rankedMeters = ids.map(\.meter)
        let follower = LogFollower(context.client, settings, context.clock)
        let reader = BoardReader(client: context.client, keys: keys)
        for (place, id) in ids.enumerated() {
            let standing = Standing(
                id: id, place: place, board: WindowBoard(id, place, follower, reader))
            try await context.each(keys.subjects, by: Self.subjectsPerCall) { subjects in
                try await self.context.settled {
                    try await self.differences(of: subjects, standing, follower, isListed: true)
                }
            }
            try await context.each(keys.board(id), by: Self.subjectsPerCall, "ZSCAN") { members in
                try await self.context.settled {
                    try await self.differences(of: members, standing, follower, isListed: false)
                }
            }
        }
    }

    /// What differs of some subjects, at one instant.
    ///
    /// - Parameter isListed: whether it is about those who have a record, or about all others.
    private func differences(
        of ids: [[UInt8]], _ standing: Standing, _ follower: LogFollower, isListed: Bool
    ) async throws -> [Difference] {
        let id = standing.id
        for _ in 0..<Self.triesMax {
            // Nobody keeps it: it is forgotten, or built anew.
            guard try await standing.board.read(.page(limit: 0, after: nil)) != nil else {
                return []
            }
            let arrivals = follower.arrivals
            let reply = try await context.run(
                ScriptLibrary.readStandings,
                [keys.subjects, keys.boards, keys.board(id)]
                    + arrivals.map { keys.log(arrival: CivilDay(number: $0)) },
                [Array(id.name.utf8)] + ids)
            guard reply.count == 4, let packed = reply[0].bytes,
                let ends = reply[1].bytes.flatMap({ MessagePackValue($0) })?.integers,
                let records = reply[2].elements, let scores = reply[3].elements,
                records.count == ids.count, scores.count == ids.count
            else { throw RedisError.unexpectedReply("read_standings") }
            if packed.isEmpty { return [] }
            guard let state = BoardState(packed) else {
                throw MeteringError.damaged(what: "boards")
            }
            // Somebody is in the middle of a change.
            if state.pending != nil { continue }
            let tail = BoardTail(
                follower, meter: standing.place, days: nil, apart: [],
                from: LogEnds(floor: arrivals.lowerBound, numbers: arrivals.map { state.ends[$0] }))
            try await tail.follow(to: ends)
            return try zip(ids, zip(records, scores)).compactMap { subject, values in
                guard isListed == (values.0.bytes != nil) else { return nil }
                return try difference(
                    of: ByteString(bytes: subject), values.0.bytes, values.1.bytes, id, tail)
            }
        }
        throw MeteringError.unavailable(.overloaded)
    }

    private func difference(
        of subject: ByteString, _ record: [UInt8]?, _ score: [UInt8]?, _ id: BoardID,
        _ tail: BoardTail
    ) throws -> Difference? {
        var value = 0
        if let record {
            guard let usage = SubjectRecord(record) else {
                throw MeteringError.damaged(what: "a subject's record")
            }
            value = usage.meters.first { $0.meter == id.meter }?.total ?? 0
        }
        value -= tail.sums[subject] ?? 0
        let found = score.flatMap {
            Double(String(decoding: $0, as: UTF8.self)).flatMap { Int(exactly: $0) }
        }
        guard value != -(found ?? 0) || value == 0 && found != nil else { return nil }
        return Difference(
            "board lifetime \(id.meter.name)", subject.text, expected: "\(value)",
            found: found.map { "\(-$0)" } ?? "not on it")
    }
}
