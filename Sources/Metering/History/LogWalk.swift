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
    /// The subject's next entry.
    private var link: LogPosition?
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
            guard subject == nil else {
                link = cursor.position
                return
            }
            day = min(cursor.position.day.number, days.upperBound)
            // Of an entry whose first event was told nothing is left.
            end = (cursor.place == 1 ? "(" : "") + "0-\(cursor.position.number)"
        } else if let subject {
            let reply = try await send(RedisCommand("HGET", [keys.subjects, subject.bytes]))
            guard let bytes = reply.bytes else { return }
            guard let record = SubjectRecord(bytes) else {
                throw .damaged(what: "a subject's record")
            }
            link = record.latest
        }
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
            rest = link.map { EventCursor($0) }
        }
        if isBeforeRange(entry) {
            // Nothing older can be in the range; this one is looked at all the same.
            day = days.lowerBound - 1
            waiting = []
            link = nil
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
        guard let position = link, position.day.number >= days.lowerBound else { return nil }
        let reply = try await send(.readLogEntry(keys.log(arrival: position.day), position))
        link = nil
        // Older entries have left the log.
        guard let element = reply.elements?.first else { return nil }
        let entry = try entry(element, position.day)
        if let subject, let index = entry.subjects.firstIndex(of: subject) {
            link = entry.previous[index]
        }
        return entry
    }

    private func entry(
        _ value: RedisValue, _ arrival: CivilDay
    ) throws(MeteringError) -> LogEntry {
        guard let entry = LogEntry(value, arrival: arrival) else {
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

    private func send(_ command: RedisCommand) async throws(MeteringError) -> RedisValue {
        do {
            return try await client.send(command)
        } catch {
            throw .unavailable(error)
        }
    }
}
