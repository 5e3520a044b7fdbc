// SPDX-License-Identifier: Apache-2.0
//
// What is counted is in the log, so who watches reads the log. One reading does for all who watch: the
// last entries are kept, and each watcher has a place of its own among them. Nobody is waited for.

internal import Redis

/// Where a watcher is: behind how many of the entries that were read since the feed began.
public struct LivePlace: Sendable {
    fileprivate var generation: Int
    fileprivate var number: Int
    /// As long as somebody has it, there is somebody who watches.
    fileprivate let watch: LiveWatch
}

/// What all who watch have in common; the last of them takes it away.
private final class LiveWatch: Sendable {
    private let whenOver: @Sendable () -> Void

    init(whenOver: @escaping @Sendable () -> Void) { self.whenOver = whenOver }

    deinit { whenOver() }
}

/// Keeps the last entries of the log while there is somebody who watches. On its loop's thread only.
final class LiveFeed {
    /// Kept for slow ones: some seconds of a busy service.
    private static let eventCountMax = 50_000
    /// And no longer than that: who was in them may have been erased since.
    private static let keptMS = 10_000
    private static let markEveryMS = 500
    private static let staleMS = 2_000
    private static let entriesPerRead = 20
    private static let readsPerTurn = 50
    /// Entries of the log that a watcher who comes back may have missed.
    private static let missedEntryMax = 2_000

    private let client: RedisClient
    private let clock: any Clock
    private let keys: Keyspace
    private let name: DatasetName
    private let laterLogs: LaterLogs
    private var entries: ArraySlice<LogEntry> = []
    private var eventCount = 0
    /// How many entries were read before the first of `entries`.
    private var start = 0
    /// How far the logs were read, by their days.
    private var ends: [Int: Int] = [:]
    /// The last day whose log was looked for since the feed began: what is in a later one came since.
    private var lastSeen: Int?
    private var generation = 0
    private var isReading = false
    /// How many readings began, and which was the last one that was done.
    private var (begunCount, doneCount) = (0, 0)
    private var waiting: [CheckedContinuation<Void, Never>] = []
    /// When how many entries had been read.
    private var marks: ArraySlice<(ms: Int, number: Int)> = []
    private weak var watch: LiveWatch?
    private let whenOver: @Sendable () -> Void

    /// - Parameter whenOver: called, on any thread, when nobody watches any more.
    init(
        client: RedisClient, keys: Keyspace, clock: any Clock,
        whenOver: @escaping @Sendable () -> Void
    ) {
        self.whenOver = whenOver
        self.client = client
        self.clock = clock
        self.keys = keys
        name = DatasetName(client, keys)
        laterLogs = LaterLogs(client, keys, clock)
    }

    var isWatched: Bool { watch != nil }

    /// Forgets all: another connection may lead to other data.
    func reset() {
        generation += 1
        (entries, eventCount, start, ends, marks) = ([], 0, 0, [:], [])
        lastSeen = nil
        laterLogs.forget()
    }

    /// The end of the log at a moment after the call, and what came behind an entry before that.
    ///
    /// - Returns: nil when too much came since to be told, or it is not known what did.
    func begin(
        after position: LogPosition?
    ) async throws(MeteringError) -> (missed: [LogEntry], LivePlace)? {
        // Where nobody read on, what came since is not new.
        if watch == nil || isStale { reset() }
        let watch = watch ?? LiveWatch(whenOver: whenOver)
        self.watch = watch
        // A reading that began after the call is one for all who came before it.
        let wanted = begunCount + 1
        while doneCount < wanted {
            if isReading {
                await withCheckedContinuation { waiting.append($0) }
            } else {
                try await advance()
            }
        }
        let place = LivePlace(
            generation: generation, number: start + entries.count, watch: watch)
        guard let position else { return ([], place) }
        if let index = entries.lastIndex(where: { $0.position == position }) {
            let missed = entries[index...]
            return missed.count > Self.missedEntryMax ? nil : (try await present(missed), place)
        }
        // From here on by days: what lies on a day to come may have come before the entry or behind it.
        let today = clock.now.milliseconds.flooredQuotient(86_400_000)
        let known = ends
        guard known[position.day.number] != nil, position.day.number <= today + 1,
            !known.contains(where: { $0.key > today + 1 && $0.value > 0 })
        else { return nil }
        var missed: [LogEntry] = []
        for day in known.keys.sorted() where day >= position.day.number {
            let first = day == position.day.number ? position.number : 1
            missed += try await read(day, first, through: known[day] ?? 0)
            if missed.count > Self.missedEntryMax { return nil }
        }
        return (missed, place)
    }

    /// Entries as Redis has them: who was in them may have been erased since they were read here.
    private func present(_ kept: ArraySlice<LogEntry>) async throws(MeteringError) -> [LogEntry] {
        var found: [LogPosition: LogEntry] = [:]
        for (day, some) in Dictionary(grouping: kept, by: \.position.day.number) {
            let numbers = some.map(\.position.number)
            let read = try await read(day, numbers.min() ?? 1, through: numbers.max() ?? 0)
            for entry in read { found[entry.position] = entry }
        }
        return kept.compactMap { found[$0.position] }
    }

    /// Entries of a day, and no more than a few beyond those that a watcher may have missed.
    private func read(
        _ day: Int, _ first: Int, through last: Int
    ) async throws(MeteringError) -> [LogEntry] {
        var (found, number): ([LogEntry], Int) = ([], first - 1)
        while number < last, found.count <= Self.missedEntryMax {
            let read = try await read(day, after: number)
            guard let end = read.last else { break }
            found += read.filter { $0.position.number <= last }
            number = end.position.number
        }
        return found
    }

    /// The entries behind a place, which moves.
    ///
    /// - Returns: nil when some of them are not kept any more.
    func next(_ place: inout LivePlace) async throws(MeteringError) -> ArraySlice<LogEntry>? {
        try await advance()
        guard place.generation == generation, place.number >= start else { return nil }
        let found = entries.dropFirst(place.number - start)
        place.number = start + entries.count
        return found
    }

    /// Reads what is new. Whoever comes while that goes on has it with the next call.
    private func advance() async throws(MeteringError) {
        guard !isReading else { return }
        isReading = true
        begunCount += 1
        defer {
            isReading = false
            for one in waiting { one.resume() }
            waiting = []
        }
        // Redis may have been emptied.
        if try await !name.isKnown() { reset() }
        let today = clock.now.milliseconds.flooredQuotient(86_400_000)
        let was = generation
        // Clocks of other processes may be ahead or behind by some minutes. What was counted while one was
        // further ahead is in logs of days to come.
        let last = max(today + 1, try await laterLogs.last())
        guard generation == was else { return }
        if let lastSeen, lastSeen < last {
            for day in lastSeen + 1...last { ends[day] = 0 }
        }
        lastSeen = max(last, lastSeen ?? last)
        for day in today - 1...last { try await advance(day) }
        forgetOld()
        doneCount = begunCount
    }

    /// Whether those who watch have not asked for a while: they are slow ones.
    private var isStale: Bool {
        marks.last.map { abs(clock.now.milliseconds - $0.ms) > Self.staleMS } ?? false
    }

    private func forgetOld() {
        // A clock that was set back keeps nothing longer.
        let now = clock.now.milliseconds
        if abs(now - (marks.last?.ms ?? 0)) >= Self.markEveryMS {
            marks.append((now, start + entries.count))
        }
        var least = start
        while let mark = marks.first, abs(now - mark.ms) > Self.keptMS {
            least = mark.number
            marks.removeFirst()
        }
        while start < least || eventCount > Self.eventCountMax, let first = entries.popFirst() {
            eventCount -= first.events.count
            start += 1
        }
    }

    private func advance(_ day: Int) async throws(MeteringError) {
        let was = generation
        guard let end = ends[day] else {
            let reply = try await send(
                RedisCommand(
                    "XREVRANGE",
                    [keys.log(arrival: CivilDay(number: day))]
                        + ["+", "-", "COUNT", "1"].map { Array($0.utf8) }))
            guard generation == was else { return }
            ends[day] = try entries(reply, day).last?.position.number ?? 0
            return
        }
        var number = end
        for _ in 0..<Self.readsPerTurn {
            let read = try await read(day, after: number)
            guard generation == was, let last = read.last else { return }
            entries.append(contentsOf: read)
            eventCount += read.reduce(0) { $0 + $1.events.count }
            number = last.position.number
            ends[day] = number
            if read.count < Self.entriesPerRead { return }
        }
    }

    private func read(_ day: Int, after number: Int) async throws(MeteringError) -> [LogEntry] {
        let reply = try await send(
            RedisCommand(
                "XRANGE",
                [
                    keys.log(arrival: CivilDay(number: day)), Array("(0-\(number)".utf8),
                    Array("+".utf8), Array("COUNT".utf8), Array("\(Self.entriesPerRead)".utf8),
                ]))
        return try entries(reply, day)
    }

    private func entries(
        _ reply: RedisValue, _ day: Int
    ) throws(MeteringError) -> [LogEntry] {
        var entries: [LogEntry] = []
        for element in reply.elements ?? [] {
            guard let entry = LogEntry(element, arrival: CivilDay(number: day)) else {
                throw .damaged(what: "an entry of the log")
            }
            entries.append(entry)
        }
        return entries
    }

    private func send(_ command: RedisCommand) async throws(MeteringError) -> RedisValue {
        do {
            return try await client.send(command)
        } catch {
            throw .unavailable(error)
        }
    }
}
