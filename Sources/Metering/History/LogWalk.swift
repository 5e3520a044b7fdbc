// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// Goes back through the log, entry by entry, the last counted first: through all of it, or through
/// the entries of one subject, which are linked. On its loop's thread only.
final class LogWalk {
    private static let entriesPerRead = 20
    /// How much later than an event's time it arrived at least: events are taken up to 5 minutes
    /// before their time, by clocks that may be 10 minutes apart.
    private static let earlyMS = 15 * 60_000

    private let client: RedisClient
    private let keys: Keyspace
    private let subject: ByteString?
    private let from: Timestamp?
    private let days: ClosedRange<Int>
    /// Where the log is read next: a day, and the end of what is left of it.
    private var day: Int
    private var end: String
    private var readCount = 2
    /// Read and not told yet, the next one last.
    private var waiting: [LogEntry] = []
    /// The next entries of the subject, and of the guests that were merged into it.
    private var links: [(position: LogPosition, subject: ByteString)] = []
    /// Those that were told, where guests were merged: an entry of several of them stands on the way of
    /// each, and they come to it one by one if the clock was set back.
    private var told: Set<LogPosition> = []
    /// Whose events are told: the subject and its guests.
    private(set) var names: Set<ByteString> = []
    /// From where a walk goes on behind the last entry told; nil at the end.
    private(set) var rest: EventCursor?

    /// - Parameters:
    ///   - from: entries that hold nothing as late as this may be left out.
    ///   - days: of arrival.
    init(
        _ client: RedisClient, _ keys: Keyspace, subject: ByteString?, from: Timestamp?,
        days: ClosedRange<Int>
    ) {
        self.client = client
        self.keys = keys
        self.subject = subject
        self.from = from
        var first = days.lowerBound
        if let from {
            first = max(first, (from.milliseconds - Self.earlyMS).flooredQuotient(86_400_000))
        }
        self.days = min(first, days.upperBound)...days.upperBound
        day = days.upperBound
        end = "+"
    }

    /// Begins with the last entry, or with that of a cursor.
    func start(at cursor: EventCursor?) async throws(MeteringError) {
        rest = nil
        if let cursor {
            if let subject { return try await startLinks(of: subject, at: cursor.position) }
            // A later log that has left Redis meanwhile.
            guard cursor.position.day.number <= days.upperBound else { return }
            day = cursor.position.day.number
            // Of an entry whose first event was told nothing is left.
            end = (cursor.place == 1 ? "(" : "") + "0-\(cursor.position.number)"
        } else if let subject {
            try await startLinks(of: subject, at: nil)
        }
    }

    /// Finds where the entries of a subject, and of its guests, begin that are not told yet.
    private func startLinks(
        of subject: ByteString, at cursor: LogPosition?
    ) async throws(MeteringError) {
        let names = [subject.bytes]
        let replies = try await send([
            RedisCommand("HGET", [keys.subjects] + names),
            RedisCommand("HGET", [keys.merges] + names),
            RedisCommand("HGET", [keys.merged] + names),
        ])
        // What a guest did that was merged into a user is the user's.
        guard replies.count == 3, let bytes = replies[0].bytes, replies[2].bytes == nil else {
            return
        }
        guard let record = SubjectRecord(bytes) else { throw .damaged(what: "a subject's record") }
        let merges = replies[1].bytes.flatMap { MessagePackValue($0) }?.array ?? []
        var links = [(position: record.latest, subject: subject)]
        for index in stride(from: 0, to: merges.count - 2, by: 3) {
            guard let guest = merges[index].bytes, let last = merges[index + 1].integer else {
                throw .damaged(what: "the merges of a subject")
            }
            links.append((LogPosition(last), ByteString(bytes: guest)))
        }
        self.names = Set(links.map(\.subject))
        self.links = links
        guard let cursor else { return }
        if links.count == 1 {
            self.links[0].position = cursor
            return
        }
        // Each of them has its own way to there, on which positions grow where the clock was set back.
        while let next = nextLink, next != cursor, try await nextLinked() != nil {}
    }

    /// The next entry; nil when there is no other that may hold what is asked for.
    func next() async throws(MeteringError) -> LogEntry? {
        let entry = subject == nil ? try await nextOfAll() : try await nextLinked()
        guard let entry else {
            rest = nil
            return nil
        }
        if subject == nil {
            rest = EventCursor(entry.position, place: 1)
        } else {
            rest = nextLink.map { EventCursor($0) }
        }
        if isBeforeRange(entry) {
            // Nothing older can be in the range; this one is looked at all the same.
            day = days.lowerBound - 1
            waiting = []
            links = []
            rest = nil
        }
        return entry
    }

    private func nextOfAll() async throws(MeteringError) -> LogEntry? {
        while waiting.isEmpty, day >= days.lowerBound {
            let arrival = CivilDay(number: day)
            let command = RedisCommand(
                "XREVRANGE",
                [
                    keys.log(arrival: arrival), Array(end.utf8), Array("-".utf8),
                    Array("COUNT".utf8), Array("\(readCount)".utf8),
                ])
            let elements = try await send(command).elements ?? []
            for element in elements.reversed() { waiting.append(try entry(element, arrival)) }
            if elements.count < readCount {
                day -= 1
                end = "+"
            } else if let last = waiting.first {
                end = "(0-\(last.position.number)"
            }
            readCount = min(2 * readCount, Self.entriesPerRead)
        }
        return waiting.popLast()
    }

    private func nextLinked() async throws(MeteringError) -> LogEntry? {
        var next: LogEntry?
        while let position = nextLink, position.day.number >= days.lowerBound {
            let isNew = !told.contains(position)
            // What was told is passed at once: a walk goes on from what was not.
            if isNew, next != nil { break }
            let reply = try await send(.readLogEntry(keys.log(arrival: position.day), position))
            let here = links.filter { $0.position == position }
            links.removeAll { $0.position == position }
            // Older entries have left the log.
            guard let element = reply.elements?.first else { continue }
            let entry = try entry(element, position.day)
            for (_, name) in here {
                guard let index = entry.subjects.firstIndex(of: name),
                    let previous = entry.previous(ofSubject: index)
                else { continue }
                links.append((previous, name))
            }
            guard isNew else { continue }
            next = entry
            if names.count > 1 { told.insert(position) }
        }
        return next
    }

    private var nextLink: LogPosition? {
        links.map(\.position).max { $0.packed < $1.packed }
    }

    private func entry(
        _ value: RedisValue, _ arrival: CivilDay
    ) throws(MeteringError) -> LogEntry {
        let asked = subject == nil ? nil : names
        guard let entry = LogEntry(value, arrival: arrival, eventsOf: asked) else {
            throw .damaged(what: "an entry of the log of \(arrival)")
        }
        return entry
    }

    /// Whether the entry, and so all older ones, arrived before anything of the range could. An
    /// event that came without a time has that of its arrival.
    private func isBeforeRange(_ entry: LogEntry) -> Bool {
        guard let from else { return false }
        return entry.events.contains { logged in
            logged.event.time == nil && logged.time.milliseconds < from.milliseconds - Self.earlyMS
        }
    }

    private func send(_ commands: [RedisCommand]) async throws(MeteringError) -> [RedisValue] {
        do {
            return try await client.send(commands)
        } catch {
            throw .unavailable(error)
        }
    }

    private func send(_ command: RedisCommand) async throws(MeteringError) -> RedisValue {
        do {
            return try await client.send(command)
        } catch {
            throw .unavailable(error)
        }
    }
}
