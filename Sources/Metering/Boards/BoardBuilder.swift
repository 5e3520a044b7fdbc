// SPDX-License-Identifier: Apache-2.0
//
// A board is built as of one instant, which is where the logs end when it is begun. All subjects are
// gone through in small calls while events keep coming; each call tells where the logs end by then,
// and what they hold from the instant on is taken off what it read. From the instant on the board
// follows the log like any other.

internal import Observability
internal import Redis

/// Builds one board.
final class BoardBuilder {
    /// How a try ended.
    enum End {
        case built
        /// Somebody else builds it or has built it, or days have come or gone: look again.
        case again
    }

    /// From one call to the next; a file may take longer to be checked.
    private static let leaseMS = 3_000
    private static let archiveLeaseMS = 60_000
    private static let subjectsPerSlice = 200
    /// Days of so many subjects are read for themselves.
    private static let smallMax = 20_000
    /// Of such days, and of those that have left Redis, this many subjects are summed up before they
    /// are written.
    private static let gatheredMax = 50_000

    private let id: BoardID
    private let today: CivilDay
    private let client: RedisClient
    private let keys: Keyspace
    private let follower: LogFollower
    private let clock: any Clock
    private let logger: Logger
    private let archive: Archive?
    private let place: Int
    private let meter: PackedCursor.Value
    private let token: [UInt8]
    private let writer = MessagePackWriter()
    private var logs: [[UInt8]] = []
    /// Sums that have to be added to those of the board.
    private var gathered: [ByteString: Int] = [:]
    private var warnings: [String] = []
    private var subjectCount = 0
    private var toldMS: Int
    /// When the right to build was made longer last.
    private var keptMS: Int

    init(
        _ id: BoardID, place: Int, _ follower: LogFollower, _ reader: BoardReader,
        token: [UInt8], today: CivilDay, clock: any Clock, archive: Archive?, logger: Logger
    ) {
        self.id = id
        self.today = today
        self.place = place
        self.follower = follower
        client = reader.client
        keys = reader.keys
        self.clock = clock
        self.archive = archive
        self.logger = logger
        toldMS = clock.monotonicMS
        keptMS = toldMS
        meter = PackedCursor.Value(id.meter)
        self.token = token
    }

    /// Builds it, unless somebody else does.
    func build() async throws -> End {
        // The log that the board goes on along has to be that of the data that it is made of.
        try await follower.advance()
        let dataset = follower.dataset
        let arrivals = follower.arrivals
        logs = arrivals.map { keys.log(arrival: CivilDay(number: $0)) }
        let reply = try await run(
            ScriptLibrary.beginBoard,
            [
                keys.boardsBuilding, keys.newBoard(id), keys.boards, keys.cold, keys.changes,
                keys.meta,
            ] + logs, [Array(id.name.utf8), token, Self.text(Self.leaseMS)])
        guard let parts = reply.elements, parts.count == 5, parts[4].bytes == dataset,
            let ends = parts[0].bytes.flatMap({ MessagePackValue($0) })?.integers,
            let cold = parts[1].elements?.compactMap(\.decimal),
            let changed = parts[2].elements?.compactMap(\.decimal)
        else { return .again }
        let began = LogEnds(floor: arrivals.lowerBound, numbers: ends)
        var revisions: [Int: Int] = [:]
        for index in stride(from: 0, to: cold.count - 1, by: 2)
        where id.days?.contains(CivilDay(number: cold[index])) ?? false {
            revisions[cold[index]] = cold[index + 1]
        }
        // Days that change for the first time from now on hold nothing of the instant.
        let days = id.days.map { days in
            changed.filter { days.contains(CivilDay(number: $0)) && revisions[$0] == nil }.sorted()
        }
        let apart = try await small(days ?? [], closedBefore: parts[3].decimal ?? .min)
        let rest = days.map { Set($0).subtracting(apart) }
        let tail = BoardTail(follower, meter: place, days: rest, apart: apart, from: began)
        if rest?.isEmpty != true {
            guard try await addSubjects(rest?.sorted() ?? [], tail) else { return .again }
        }
        for day in apart {
            guard try await addSmall(day, tail) else { return .again }
        }
        guard try await add(gathered), try await addArchived(revisions) else { return .again }
        return try await finish(began, revisions)
    }

    /// The days that few subjects used something on, and that all of them have left: these are read
    /// for themselves. To look all subjects up in each of them would be far more work, above all in
    /// small hashes, which Redis keeps as lists.
    private func small(_ days: [Int], closedBefore: Int) async throws -> [Int] {
        // Where today was closed, the clock was ahead: subjects are on days before.
        let closed = closedBefore <= today.number ? days.filter { $0 < closedBefore } : []
        let counts = try await client.send(
            closed.map { RedisCommand("HLEN", [keys.use(CivilDay(number: $0))]) })
        return zip(closed, counts).filter { $1.integer ?? 0 <= Self.smallMax }.map(\.0)
    }

    private func finish(_ began: LogEnds, _ revisions: [Int: Int]) async throws -> End {
        let state = BoardState(ends: began, warnings: warnings).packed(writer)
        let span = id.days.map { ($0.lowerBound.number, $0.upperBound.number) } ?? (1, 0)
        writer.integers(
            [span.0, span.1] + revisions.sorted { $0.key < $1.key }.flatMap { [$0.key, $0.value] })
        let reply = try await run(
            ScriptLibrary.finishBoard,
            [
                keys.boardsBuilding, keys.newBoard(id), keys.board(id), keys.boards,
                keys.boardsUsed, keys.cold,
            ],
            [
                Array(id.name.utf8), token, state, Self.text(clock.now.milliseconds),
                writer.take(),
            ])
        return reply.integer == 1 ? .built : .again
    }

    // MARK: Days in Redis

    /// Whether the right to build was kept.
    private func addSubjects(_ days: [Int], _ tail: BoardTail) async throws -> Bool {
        let names = days.map { keys.use(CivilDay(number: $0)) }
        let perCall = try await BoardReader.subjectsPerCall(names, client)
        let zero = Array("0".utf8)
        var cursor = zero
        var gathered: [(ByteString, Int)] = []
        repeat {
            let reply = try await client.send(
                RedisCommand(
                    "HSCAN", [keys.subjects, cursor, Array("COUNT".utf8), Self.text(400)]))
            guard let parts = reply.elements, parts.count == 2, let next = parts[0].bytes,
                let pairs = parts[1].elements
            else { throw MeteringError.damaged(what: "the subjects") }
            let ids = stride(from: 0, to: pairs.count, by: 2).compactMap { pairs[$0].bytes }
            for start in stride(from: 0, to: ids.count, by: perCall) {
                let some = ids[start..<min(start + perCall, ids.count)]
                gathered += try await values(of: some, days, names, tail)
                while gathered.count >= Self.subjectsPerSlice {
                    let slice = gathered.suffix(Self.subjectsPerSlice)
                    guard try await fill(slice, adds: false) else { return false }
                    gathered.removeLast(slice.count)
                }
            }
            subjectCount += ids.count
            tellProgress()
            cursor = next
        } while cursor != zero
        return try await fill(gathered[...], adds: false)
    }

    /// What some subjects had used at the instant of the board; not those without use.
    private func values(
        of ids: ArraySlice<[UInt8]>, _ days: [Int], _ names: [[UInt8]], _ tail: BoardTail
    ) async throws -> [(ByteString, Int)] {
        writer.array(2)
        writer.array(ids.count)
        for id in ids { writer.string(id) }
        writer.integer(names.count)
        let reply = try await run(
            ScriptLibrary.readWindow, [keys.subjects] + names + logs, [writer.take()])
        guard let parts = reply.elements, parts.count == 2 + names.count,
            let ends = parts[0].bytes.flatMap({ MessagePackValue($0) })?.integers,
            let records = parts[1].elements, records.count == ids.count
        else { throw MeteringError.damaged(what: "the subjects") }
        try await tail.follow(to: ends)
        let entries = parts.dropFirst(2).compactMap(\.elements).filter { !$0.isEmpty }
        var values: [(ByteString, Int)] = []
        for (index, id) in ids.enumerated() {
            var sum = 0
            if let record = records[index].bytes {
                guard let amounts = PackedCursor.amounts(ofRecord: record, meter) else {
                    throw MeteringError.damaged(what: "a subject's record")
                }
                if self.id.days == nil {
                    sum = amounts.lifetime
                } else if Self.contains(days, amounts.day) {
                    sum = amounts.ofDay
                }
            }
            for day in entries where index < day.count {
                guard let entry = day[index].bytes else { continue }
                guard let amount = PackedCursor.amount(ofUse: entry, meter) else {
                    throw MeteringError.damaged(what: "what a subject used on a day")
                }
                sum += amount
            }
            let subject = ByteString(bytes: id)
            sum -= tail.sums[subject] ?? 0
            if sum != 0 { values.append((subject, sum)) }
        }
        return values
    }

    /// Binary search: days are sorted.
    private static func contains(_ days: [Int], _ day: Int) -> Bool {
        var range = 0..<days.count
        while !range.isEmpty {
            let middle = (range.lowerBound + range.upperBound) / 2
            if days[middle] == day { return true }
            range = days[middle] < day ? middle + 1..<range.upperBound : range.lowerBound..<middle
        }
        return false
    }

    /// Adds a day that all subjects have left.
    private func addSmall(_ day: Int, _ tail: BoardTail) async throws -> Bool {
        // A scan may tell a subject twice; at the instant of the board both are the same.
        var values: [ByteString: Int] = [:]
        let zero = Array("0".utf8)
        var cursor = zero
        repeat {
            let reply = try await run(
                ScriptLibrary.scanUse, [keys.use(CivilDay(number: day))] + logs,
                [cursor, Self.text(Self.subjectsPerSlice)])
            guard let parts = reply.elements, parts.count == 3,
                let ends = parts[0].bytes.flatMap({ MessagePackValue($0) })?.integers,
                let next = parts[1].bytes, let pairs = parts[2].elements
            else { throw MeteringError.damaged(what: "what was used on a day") }
            try await tail.follow(to: ends)
            for index in stride(from: 0, to: pairs.count - 1, by: 2) {
                guard let subject = pairs[index].bytes.map({ ByteString(bytes: $0) }),
                    let entry = pairs[index + 1].bytes,
                    let amount = PackedCursor.amount(ofUse: entry, meter)
                else { throw MeteringError.damaged(what: "what a subject used on a day") }
                values[subject] = amount - (tail.apart[day]?[subject] ?? 0)
            }
            cursor = next
        } while cursor != zero
        // Guests who have become users since the board was begun have left the day.
        for (subject, late) in tail.apart[day] ?? [:] where late < 0 && values[subject] == nil {
            values[subject] = -late
        }
        gathered.merge(values) { $0 + $1 }
        subjectCount += values.count
        tellProgress()
        return try await keepGathered()
    }

    /// Writes what was gathered if it is much, and keeps the right to build.
    private func keepGathered() async throws -> Bool {
        if gathered.count >= Self.gatheredMax {
            let sums = gathered
            gathered = [:]
            return try await add(sums)
        }
        guard clock.monotonicMS - keptMS > Self.leaseMS / 3 else { return true }
        return try await fill([], adds: true)
    }

    // MARK: Days that have left Redis

    private func addArchived(_ revisions: [Int: Int]) async throws -> Bool {
        gathered = [:]
        var isOurs = revisions.isEmpty ? true : try await fill([], adds: true)
        for (number, revision) in revisions.sorted(by: { $0.key < $1.key }) {
            let day = CivilDay(number: number)
            var isRead = false
            do {
                guard let archive else { throw ArchiveError.missing(file: "\(day)") }
                // Whether it left once more meanwhile, is looked at in the end.
                guard try await archive.revision(ofCold: day) == revision else { return false }
                try await archive.eachSubject(of: day) { subjects in
                    isRead = true
                    for entry in subjects {
                        let amount = entry.sums.amount(of: id.meter)
                        if amount != 0 { gathered[entry.subject, default: 0] += amount }
                    }
                    subjectCount += subjects.count
                    tellProgress()
                    isOurs = try await keepGathered() && isOurs
                }
            } catch let error as ArchiveError {
                // A day is counted as a whole or not at all.
                if isRead { throw error }
                warnings.append("\(error)")
            }
            guard isOurs else { return false }
        }
        return try await add(gathered)
    }

    private func add(_ sums: [ByteString: Int]) async throws -> Bool {
        let list = sums.map { ($0.key, $0.value) }
        for start in stride(from: 0, to: list.count, by: Self.subjectsPerSlice) {
            let slice = list[start..<min(start + Self.subjectsPerSlice, list.count)]
            guard try await fill(slice, adds: true) else { return false }
        }
        return true
    }

    // MARK: Parts

    /// Writes values; whether the right to build is still ours, which this keeps.
    private func fill(_ values: ArraySlice<(ByteString, Int)>, adds: Bool) async throws -> Bool {
        writer.array(2)
        writer.array(values.count)
        for (subject, _) in values { writer.string(subject.bytes) }
        writer.integers(values.map(\.1))
        keptMS = clock.monotonicMS
        let reply = try await run(
            ScriptLibrary.fillBoard, [keys.boardsBuilding, keys.newBoard(id)],
            [
                Array(id.name.utf8), token,
                Self.text(adds ? Self.archiveLeaseMS : Self.leaseMS),
                Array((adds ? "1" : "0").utf8),
                writer.take(),
            ])
        return reply.integer == 1
    }

    private func tellProgress() {
        guard clock.monotonicMS - toldMS > 5_000 else { return }
        toldMS = clock.monotonicMS
        logger.notice(
            "building a leaderboard", ["board": id.name, "subjects": "\(subjectCount)"])
    }

    private func run(
        _ script: RedisScript, _ names: [[UInt8]], _ arguments: [[UInt8]]
    ) async throws(RedisError) -> RedisValue {
        try await client.run(script, keys: names, arguments: arguments)
    }

    private static func text(_ number: Int) -> [UInt8] { Array("\(number)".utf8) }
}
