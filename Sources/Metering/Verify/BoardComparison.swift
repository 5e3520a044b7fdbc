// SPDX-License-Identifier: Apache-2.0
//
// A board follows the log, so that it is mostly a little behind what was counted. Both are read at one
// instant; what the log holds from where the board is to that instant is taken off. A board that is
// further behind, or between two states, is brought up first, as for a question.

internal import Redis

/// What boards have in common that are compared together.
struct ComparedWindow: Hashable {
    /// A board, with what follows the log for it.
    struct Standing {
        let board: WindowBoard
        /// The place of its meter.
        let place: Int

        var id: BoardID { board.id }
    }

    /// Nil for all there are.
    let days: ClosedRange<CivilDay>?
    /// What could not be read when they were built.
    let warnings: [String]
}

/// Goes once through all that have used something in a window or stand on one of its boards, in order.
final class BoardComparison {
    /// How often a slice is read anew while somebody is in the middle of a change.
    private static let triesMax = 200
    /// How many entries of the log are taken off at most where a board need not be brought up.
    private static let behindMax = 8

    /// A subject, and what files say of it.
    private typealias Member = (id: [UInt8], cold: UsedAmounts)

    /// What was read at one instant.
    private struct Reading {
        let arrivals: ClosedRange<Int>
        let ends: [Int]
        /// Nil for boards that are not there, that were built anew and lack something else, or that will
        /// be built anew, for the clock was ahead.
        let states: [BoardState?]
        let records: [RedisValue]
        let scores: [[RedisValue]]
        /// Per day that has any.
        let uses: [[RedisValue]]
    }

    private let window: ComparedWindow
    private let standings: [ComparedWindow.Standing]
    private let follower: LogFollower
    private let context: VerifyContext
    private let uses: [[UInt8]]
    private let shelves: DayShelves
    /// Days that are told by files.
    private let shelved: Set<Int>
    /// What the log is about.
    private let days: Set<Int>?
    private let countPerCall: Int
    private let writer = MessagePackWriter()
    private var members: [Member] = []
    private var hasMoved: () async throws -> Bool = { false }
    private var start: [UInt8] = []
    /// From where on it was not compared, for the days are not where they were.
    private var stopped: [UInt8]?
    private var keys: Keyspace { context.keys }

    /// - Parameter places: where the days of the window are.
    init(
        _ window: ComparedWindow, _ standings: [ComparedWindow.Standing],
        _ places: VerifiedDays.Places, _ follower: LogFollower, _ context: VerifyContext
    ) async throws {
        (self.window, self.standings, self.follower) = (window, standings, follower)
        self.context = context
        let keys = context.keys
        uses = places.hot.map { keys.use($0) }
        shelves = try DayShelves(places.files)
        shelved = Set(places.files.map(\.day.number))
        days = window.days.map { Set($0.lowerBound.number...$0.upperBound.number) }
        countPerCall = try await BoardReader.subjectsPerCall(
            uses, boards: standings.map { keys.board($0.id) }, context.client)
    }

    /// Compares all subjects from one on, and reports what differs.
    ///
    /// - Parameter hasMoved: whether days have come or left since their places were looked up; asked
    ///   when something differs.
    /// - Returns: where to go on once places were looked up anew; nil when it is done.
    func run(
        from start: [UInt8], hasMoved: @escaping () async throws -> Bool
    ) async throws -> [UInt8]? {
        self.hasMoved = hasMoved
        self.start = start
        let lists: [(key: [UInt8], command: StaticString)] =
            [(keys.subjects, "HSCAN")] + standings.map { (keys.board($0.id), "ZSCAN") }
        try await context.each(lists, from: start, by: countPerCall) { ids in
            for id in ids { try await self.take(id) }
            try await self.compareMembers()
        }
        while stopped == nil, let line = try shelves.next(through: nil) {
            try await add((line.subject, line.used))
        }
        try await compareMembers()
        return stopped
    }

    /// Takes a subject, and before it those whom only files know.
    private func take(_ id: [UInt8]) async throws {
        var used = UsedAmounts()
        while stopped == nil, let line = try shelves.next(through: id) {
            if line.subject == id {
                used = line.used
            } else {
                try await add((line.subject, line.used))
            }
        }
        try await add((id, used))
    }

    private func add(_ member: Member) async throws {
        // Files are read from their beginning.
        if member.id.lexicographicallyPrecedes(start) { return }
        members.append(member)
        if members.count >= countPerCall { try await compareMembers() }
    }

    private func compareMembers() async throws {
        let members = members
        self.members = []
        guard stopped == nil, let first = members.first else { return }
        let found = try await self.differences(of: members)
        guard !found.isEmpty else { return }
        // Of a day that came or left meanwhile a part was not added up.
        if try await hasMoved() {
            stopped = first.id
        } else {
            for difference in found { context.report(difference) }
        }
    }

    // MARK: One instant

    private func differences(of members: [Member]) async throws -> [Difference] {
        for look in 0..<Self.triesMax {
            if look > 0 {
                for standing in standings {
                    _ = try await standing.board.read(.page(limit: 0, after: nil))
                }
            }
            let reading = try await read(members.map(\.id))
            guard
                reading.states.allSatisfy({ state in
                    guard let state else { return true }
                    return state.pending == nil && (look > 0 || isClose(state, reading))
                })
            else { continue }
            return try await differences(of: members, in: reading)
        }
        throw MeteringError.unavailable(.overloaded)
    }

    private func read(_ ids: [[UInt8]]) async throws -> Reading {
        let arrivals = follower.arrivals
        let logs = arrivals.map { keys.log(arrival: CivilDay(number: $0)) }
        writer.array(3)
        writer.array(standings.count)
        for standing in standings { writer.string(standing.id.name) }
        writer.integer(uses.count)
        writer.array(ids.count)
        for id in ids { writer.string(id) }
        let reply = try await context.run(
            ScriptLibrary.readStandings,
            [keys.subjects, keys.boards] + standings.map { keys.board($0.id) } + uses + logs,
            [writer.take()])
        let lists = reply.dropFirst().compactMap(\.elements)
        guard lists.count == 2 + standings.count + uses.count,
            let ends = reply[0].bytes.flatMap({ MessagePackValue($0) })?.integers,
            lists[0].count == standings.count,
            lists[1...(1 + standings.count)].allSatisfy({ $0.count == ids.count })
        else { throw RedisError.unexpectedReply("read_standings") }
        let states = try lists[0].map { value -> BoardState? in
            guard let packed = value.bytes else { return nil }
            guard let state = BoardState(packed) else {
                throw MeteringError.damaged(what: "boards")
            }
            let isFit = state.warnings == window.warnings && !follower.hasPassed(state.ends)
            return isFit ? state : nil
        }
        return Reading(
            arrivals: arrivals, ends: ends, states: states, records: lists[1],
            scores: Array(lists[2..<(2 + standings.count)]),
            uses: lists[(2 + standings.count)...].filter { $0.count == ids.count })
    }

    /// Whether little of the log is to be taken off, and all of it is of the days that are read.
    private func isClose(_ state: BoardState, _ reading: Reading) -> Bool {
        guard state.ends.floor >= reading.arrivals.lowerBound else { return false }
        let behind = zip(reading.arrivals, reading.ends).reduce(0) { sum, end in
            sum + max(0, end.1 - min(end.1, state.ends[end.0]))
        }
        return behind <= Self.behindMax
    }

    private func differences(
        of members: [Member], in reading: Reading
    ) async throws -> [Difference] {
        let table = MeterTable()
        let used = try members.indices.map { index in
            try self.used(members[index], index, reading, table)
        }
        var found: [Difference] = []
        for (place, standing) in standings.enumerated() {
            guard let state = reading.states[place] else { continue }
            let tail = BoardTail(
                follower, meter: standing.place, days: days, apart: [],
                from: LogEnds(
                    floor: reading.arrivals.lowerBound,
                    numbers: reading.arrivals.map { state.ends[$0] }))
            try await tail.follow(to: reading.ends)
            for (index, member) in members.enumerated() {
                let subject = ByteString(bytes: member.id)
                let value =
                    (used[index].amounts[standing.id.meter] ?? 0) &- (tail.sums[subject] ?? 0)
                let score = reading.scores[place][index].score
                guard value != -(score ?? 0) || value == 0 && score != nil else { continue }
                found.append(
                    Difference(
                        "board \(name) \(standing.id.meter.name)", subject.text,
                        expected: "\(value)", found: score.map { "\(-$0)" } ?? "not on it"))
            }
        }
        return found
    }

    /// What a subject had used in the window by then.
    private func used(
        _ member: Member, _ index: Int, _ reading: Reading, _ table: MeterTable
    ) throws -> UsedAmounts {
        let record = reading.records[index].bytes
        guard let window = window.days else {
            var used = UsedAmounts()
            guard let record else { return used }
            guard let usage = SubjectRecord(record) else { throw Self.damagedRecord }
            for meter in usage.meters { used.amounts[meter.meter] = meter.total }
            return used
        }
        var sums = DaySums()
        if let record {
            guard let day = PackedCursor.day(ofRecord: record) else { throw Self.damagedRecord }
            if window.contains(CivilDay(number: day)), !shelved.contains(day),
                PackedCursor.addRecord(record, to: &sums, table) == nil
            {
                throw Self.damagedRecord
            }
        }
        for day in reading.uses {
            guard let use = day[index].bytes else { continue }
            guard PackedCursor.addUse(use, to: &sums, table) != nil else {
                throw MeteringError.damaged(what: "what a subject used on a day")
            }
        }
        var used = member.cold
        used.add(table.used(sums))
        return used
    }

    private static let damagedRecord = MeteringError.damaged(what: "a subject's record")

    private var name: String {
        window.days.map { "\($0.lowerBound)..\($0.upperBound)" } ?? "lifetime"
    }
}
