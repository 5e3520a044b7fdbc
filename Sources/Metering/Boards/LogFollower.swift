// SPDX-License-Identifier: Apache-2.0
//
// One reading of the log for all boards. What was read last is kept in memory; boards that are further
// behind read for themselves until they reach it.

internal import Redis

/// Follows the ends of the logs.
final class LogFollower {
    /// Kept in memory: some seconds of a busy service.
    private static let itemCountMax = 50_000
    private static let bytesPerRead = 262_144
    private static let restMS = 30_000

    /// Entries of one day of arrival, one behind the other without a gap.
    private struct Segment {
        /// The number before the first entry.
        var start: Int
        var entries: ArraySlice<LogItems> = []
        var itemCount = 0
        var end: Int { entries.last?.number ?? start }
    }

    private let client: RedisClient
    private let clock: any Clock
    private let keys: Keyspace
    private let reader: LogItemReader
    private let name: DatasetName
    private let laterLogs: LaterLogs
    private var segments: [Int: Segment] = [:]
    private var perRead = 20
    /// When the ends were reached last, by the monotonic clock.
    private var readMS = 0
    private var begun = 0
    private var done = 0
    private var isRunning = false
    private var waiting: [CheckedContinuation<Void, Never>] = []
    /// Changes when all that was read is forgotten.
    private(set) var generation = 0
    /// The last day that has a log, when that was looked at last.
    private var lastLog = Int.min
    /// The days of arrival that were read last, to their ends. What is remembered is of no day before.
    private(set) var lastRead = 0...0

    init(_ client: RedisClient, _ settings: WorkspaceSettings, _ clock: any Clock) {
        self.client = client
        self.clock = clock
        keys = Keyspace(settings)
        name = DatasetName(client, keys)
        laterLogs = LaterLogs(client, keys, clock)
        reader = LogItemReader(settings)
    }

    private var today: Int { clock.now.milliseconds.flooredQuotient(86_400_000) }

    /// Clocks of other processes may be ahead or behind by some minutes. What was counted while the
    /// clock was further ahead is in logs of days to come, which go on when these days are there.
    var arrivals: ClosedRange<Int> {
        let today = today
        return today - 1...max(today + 1, lastLog)
    }

    /// Whether something may arrive on days that were passed: the clock was ahead when they were. What
    /// has followed the logs to there cannot go on.
    func hasPassed(_ ends: LogEnds) -> Bool { ends.floor > today }

    /// Where the logs ended when they were read last.
    var ends: LogEnds {
        LogEnds(floor: lastRead.lowerBound, numbers: lastRead.map { segments[$0]?.end ?? 0 })
    }

    /// The name of the data that all of this is of.
    var dataset: [UInt8] { name.known }

    /// Forgets all: another connection may lead to other data.
    func reset() {
        segments = [:]
        generation += 1
    }

    /// Reads the logs up to where they end at a moment after the call.
    func advance() async throws(MeteringError) {
        let wanted = begun + 1
        while done < wanted {
            guard !isRunning else {
                // Tasks of others may be suspended on the way: the run may be over by now.
                await withCheckedContinuation {
                    if isRunning { waiting.append($0) } else { $0.resume() }
                }
                continue
            }
            isRunning = true
            begun += 1
            defer {
                isRunning = false
                let resumed = waiting
                waiting = []
                for continuation in resumed { continuation.resume() }
            }
            let run = begun
            try await readToTheEnds()
            done = run
        }
    }

    private func readToTheEnds() async throws(MeteringError) {
        let was = generation
        // After a long rest only the ends are of interest: boards read what lies between themselves.
        if clock.monotonicMS - readMS > Self.restMS { segments = [:] }
        // Days are new at the start, at midnight, and when the clock was set back.
        if !arrivals.allSatisfy({ segments[$0] != nil }) {
            laterLogs.forget()
            lastLog = try await laterLogs.last()
        }
        let days = arrivals
        if !segments.keys.allSatisfy(days.contains) {
            segments = segments.filter { days.contains($0.key) }
        }
        for day in days where segments[day] == nil {
            let reply = try await send(
                RedisCommand(
                    "XREVRANGE",
                    [keys.log(arrival: CivilDay(number: day))]
                        + ["+", "-", "COUNT", "1"].map {
                            Array($0.utf8)
                        }))
            guard generation == was else { throw Self.interrupted }
            let last = reply.elements?.first.flatMap { reader.items($0) }
            segments[day] = Segment(start: last?.number ?? 0)
        }
        var rest = Array(days)
        while !rest.isEmpty {
            let count = perRead
            let replies = try await readAll(rest, count)
            guard generation == was else { throw Self.interrupted }
            // Redis was emptied: what is remembered is of entries that are gone.
            guard let replies else {
                reset()
                return try await readToTheEnds()
            }
            var more: [Int] = []
            for (day, entries) in zip(rest, replies) {
                guard try append(entries, day) else { continue }
                if entries.count == count { more.append(day) }
            }
            rest = more
        }
        trim()
        lastRead = days
        readMS = clock.monotonicMS
    }

    /// Adds entries to a segment; false when there were none.
    private func append(_ entries: [LogItems], _ day: Int) throws(MeteringError) -> Bool {
        guard !entries.isEmpty, var segment = segments[day] else { return false }
        segments[day] = nil
        for entry in entries where entry.number > segment.end {
            guard entry.number == segment.end + 1 else {
                reset()
                throw .damaged(what: "the log of \(CivilDay(number: day)) has a gap")
            }
            segment.entries.append(entry)
            segment.itemCount += entry.items.count + 1
        }
        segments[day] = segment
        return true
    }

    private func trim() {
        for day in segments.keys.sorted() {
            while segments[day]?.itemCount ?? 0 > Self.itemCountMax,
                let first = segments[day]?.entries.popFirst()
            {
                segments[day]?.start = first.number
                segments[day]?.itemCount -= first.items.count + 1
            }
        }
    }

    /// What is in memory behind an entry; nil when not all of it is.
    func remembered(_ day: Int, after number: Int) -> ArraySlice<LogItems>? {
        guard let segment = segments[day], number >= segment.start else { return nil }
        guard number < segment.end else { return [] }
        return segment.entries.dropFirst(number - segment.start)
    }

    /// Reads some of what comes behind an entry, up to another one.
    func read(
        _ day: Int, after number: Int, through last: Int = .max
    ) async throws(MeteringError) -> [LogItems] {
        if number >= last { return [] }
        if let entries = remembered(day, after: number), last != .max,
            entries.last.map({ $0.number >= last }) ?? false
        {
            return Array(entries.prefix { $0.number <= last })
        }
        return try entries(try await send(command(day, number, last, perRead)))
    }

    // MARK: Redis

    static let interrupted = MeteringError.unavailable(
        .disconnected(reason: "the connection was made anew"))

    private func command(_ day: Int, _ after: Int, _ last: Int, _ count: Int) -> RedisCommand {
        RedisCommand(
            "XRANGE",
            [
                keys.log(arrival: CivilDay(number: day)), Array("(0-\(after)".utf8),
                Array((last == .max ? "+" : "0-\(last)").utf8), Array("COUNT".utf8),
                Array("\(count)".utf8),
            ])
    }

    private func entries(_ reply: RedisValue) throws(MeteringError) -> [LogItems] {
        guard let elements = reply.elements else { throw .damaged(what: "a log") }
        var entries: [LogItems] = []
        entries.reserveCapacity(elements.count)
        var bytes = 0
        for element in elements {
            guard let entry = reader.items(element) else { throw .damaged(what: "a log's entry") }
            entries.append(entry)
            bytes +=
                element.elements?.last?.elements?.reduce(0) { $0 + ($1.bytes?.count ?? 0) } ?? 0
        }
        if entries.count > 3 {
            perRead = min(500, max(10, Self.bytesPerRead / max(1, bytes / entries.count)))
        }
        return entries
    }

    /// Reads behind the ends of some segments, all in one turn; nil when they are of other data.
    private func readAll(
        _ days: [Int], _ count: Int
    ) async throws(MeteringError) -> [[LogItems]]? {
        var replies: [RedisValue]
        do {
            replies = try await client.send(
                days.map { command($0, segments[$0]?.end ?? 0, .max, count) } + [name.question])
        } catch {
            throw .unavailable(error)
        }
        guard await name.isKnown(replies.removeLast()) else { return nil }
        var lists: [[LogItems]] = []
        for reply in replies { lists.append(try entries(reply)) }
        return lists
    }

    private func send(_ command: RedisCommand) async throws(MeteringError) -> RedisValue {
        do {
            return try await client.send(command)
        } catch {
            throw .unavailable(error)
        }
    }
}
