// SPDX-License-Identifier: Apache-2.0
//
// The history is the log, read backwards. Nothing else is kept of single events, so what a question
// costs is what it has to read: a subject's entries are linked, others are read one by one.

internal import Redis

/// How much one answer may read.
public struct HistoryBounds: Sendable {
    /// Events, at least 1: a page that has read about as many ends, with what it found.
    public var read = 200_000
    /// Events: an order other than that of the log is refused for more.
    public var sorted = 1_000_000

    public init() {}
}

/// Tells single events of one workspace. On its loop's thread only.
final class EventHistory {
    private let client: RedisClient
    private let keys: Keyspace
    private let settings: WorkspaceSettings
    private let clock: any Clock
    private let laterLogs: LaterLogs
    private let bounds: HistoryBounds

    init(
        client: RedisClient, settings: WorkspaceSettings, clock: any Clock, laterLogs: LaterLogs,
        bounds: HistoryBounds
    ) {
        self.laterLogs = laterLogs
        self.bounds = bounds
        self.client = client
        self.settings = settings
        self.clock = clock
        keys = Keyspace(settings)
    }

    /// A page of at most `limit` events. O(events read), in pieces of at most 20 entries.
    ///
    /// - Throws: `EventRejection` when the cursor is none of this question's, or the range has too
    ///   many events to be sorted; `MeteringError`.
    func page(_ query: EventQuery, limit: Int, after text: String?) async throws -> EventPage {
        let cursor = try cursor(text, query)
        let (events, next) =
            switch query.order {
            case .newest: try await newest(query, limit, cursor, isWhole: false)
            case .credits: try await mostCredits(query, limit, cursor)
            }
        return EventPage(
            events: try await referred(marked(named(events, query))),
            next: next?.text(for: query, in: settings))
    }

    /// As `page`, newest first, but by whole entries: a few more events than `count`, so that none
    /// is read twice. Whether events were reversed is not looked up.
    func part(_ query: EventQuery, count: Int, after text: String?) async throws -> EventPage {
        let (events, next) = try await newest(
            query, count, try cursor(text, query), isWhole: true)
        return EventPage(
            events: try await referred(named(events, query)),
            next: next?.text(for: query, in: settings))
    }

    private func cursor(
        _ text: String?, _ query: EventQuery
    ) throws(EventRejection) -> EventCursor? {
        guard let text else { return nil }
        guard let cursor = EventCursor(text, for: query, in: settings) else {
            throw EventRejection(
                status: 400, code: "invalid_cursor", field: "cursor",
                detail: "the value of `next` of an answer to the same question")
        }
        return cursor
    }

    private func walk(
        _ query: EventQuery, from cursor: EventCursor?
    ) async throws(MeteringError) -> LogWalk {
        let today = clock.now.milliseconds.flooredQuotient(86_400_000)
        // The clock may have been set back: what arrived on days to come is read, too.
        let last = try await laterLogs.last()
        // A subject's entry of today may lead on to one of these days: none is too old to be read.
        let isOrdered = query.subject == nil || last == today
        let walk = LogWalk(
            client, keys, subject: query.subject?.id, from: isOrdered ? query.from : nil,
            days: today - settings.eventsDays...max(today + 1, last))
        try await walk.start(at: cursor)
        return walk
    }

    private func newest(
        _ query: EventQuery, _ limit: Int, _ cursor: EventCursor?, isWhole: Bool
    ) async throws(MeteringError) -> ([HistoryEvent], EventCursor?) {
        let walk = try await walk(query, from: cursor)
        var events: [HistoryEvent] = []
        var scanned = 0
        while let entry = try await walk.next() {
            scanned += entry.events.count
            let told = cursor?.position == entry.position ? cursor?.place : nil
            for logged in entry.asked(by: query, walk.names, before: told) {
                if events.count == limit, !isWhole, let last = events.last {
                    return (events, EventCursor(last.position, place: last.place))
                }
                events.append(HistoryEvent(entry, logged))
            }
            let isFull = isWhole && events.count >= limit
            if isFull || scanned >= bounds.read { return (events, walk.rest) }
        }
        return (events, nil)
    }

    /// The range is read whole for each page; no more than two pages are held.
    private func mostCredits(
        _ query: EventQuery, _ limit: Int, _ cursor: EventCursor?
    ) async throws -> ([HistoryEvent], EventCursor?) {
        let walk = try await walk(query, from: nil)
        var best = BestEvents(count: limit + 1)
        var scanned = 0
        var ceiling = LogPosition(0)
        while let entry = try await walk.next() {
            scanned += entry.events.count
            guard scanned <= bounds.sorted else {
                throw EventRejection(
                    code: "range_too_wide", field: "",
                    detail: "more than \(bounds.sorted) events would have to be sorted by "
                        + "credits; narrow it by from, or ask for one subject")
            }
            if let last = cursor?.ranking?.ceiling, entry.position.packed > last.packed { continue }
            if entry.position.packed > ceiling.packed { ceiling = entry.position }
            for logged in entry.asked(by: query, walk.names, before: nil) {
                let event = HistoryEvent(entry, logged)
                if let cursor, !event.isBehind(cursor) { continue }
                best.offer(event)
            }
        }
        var events = best.sorted()
        guard events.count > limit else { return (events, nil) }
        events.removeLast(events.count - limit)
        guard let last = events.last else { return ([], nil) }
        let ranking = EventCursor.Ranking(
            credits: last.credits ?? 0, ceiling: cursor?.ranking?.ceiling ?? ceiling)
        return (events, EventCursor(last.position, place: last.place, ranking: ranking))
    }

    /// The events, with users in the place of guests that were merged into them.
    private func named(
        _ events: [HistoryEvent], _ query: EventQuery
    ) async throws(MeteringError) -> [HistoryEvent] {
        var events = events
        if let subject = query.subject {
            for index in events.indices { events[index].recorded.subject = subject.id }
            return events
        }
        let guests = events.indices.filter {
            SubjectID(stored: events[$0].recorded.subject).kind == .guest
        }
        guard !guests.isEmpty else { return events }
        let reply: RedisValue
        do {
            reply = try await client.send(
                RedisCommand(
                    "HMGET", [keys.merged] + guests.map { events[$0].recorded.subject.bytes }))
        } catch {
            throw .unavailable(error)
        }
        for (index, value) in zip(guests, reply.elements ?? []) {
            guard let user = value.bytes else { continue }
            events[index].recorded.subject = ByteString(bytes: user)
        }
        return events
    }

    /// The events, with whether they were undone: one look for all of them.
    private func marked(_ events: [HistoryEvent]) async throws(MeteringError) -> [HistoryEvent] {
        guard !events.isEmpty else { return events }
        let fields = events.map { $0.position.pointer(place: $0.place).bytes }
        let reply: RedisValue
        do {
            reply = try await client.send(RedisCommand("HMGET", [keys.reversed] + fields))
        } catch {
            throw .unavailable(error)
        }
        var events = events
        for (index, value) in (reply.elements ?? []).enumerated()
        where value.bytes != nil && events.indices.contains(index) {
            events[index].isReversed = true
        }
        return events
    }

    /// How many entries are read at a time to look up what was undone: each may be of 10,000 events.
    private static let lookup = 8

    /// The events, with what those of them undid that are reversals. Those of one batch need its entry
    /// once.
    private func referred(_ events: [HistoryEvent]) async throws(MeteringError) -> [HistoryEvent] {
        var undone: [(position: LogPosition, reversals: [(index: Int, place: Int)])] = []
        var order: [Int: Int] = [:]
        for (index, event) in events.enumerated() where event.isReversal {
            guard let (position, place) = LogPosition.parse(reversalID: event.recorded.id) else {
                continue
            }
            if let known = order[position.packed] {
                undone[known].reversals.append((index, place))
            } else {
                order[position.packed] = undone.count
                undone.append((position, [(index, place)]))
            }
        }
        var events = events
        for start in stride(from: 0, to: undone.count, by: Self.lookup) {
            let part = undone[start..<min(start + Self.lookup, undone.count)]
            let replies: [RedisValue]
            do {
                replies = try await client.send(
                    part.map { .readLogEntry(keys.log(arrival: $0.position.day), $0.position) })
            } catch {
                throw .unavailable(error)
            }
            for ((position, reversals), reply) in zip(part, replies) {
                // Its day may have left the log.
                guard let found = reply.elements?.first,
                    let entry = LogEntry(found, arrival: position.day)
                else { continue }
                for (index, place) in reversals where entry.events.indices.contains(place - 1) {
                    let event = entry.events[place - 1].event
                    if event.subject.isErased { continue }
                    events[index].reverses = event.id ?? position.eventID(place: place)
                }
            }
        }
        return events
    }
}

/// The first of many events in the order by credits.
private struct BestEvents {
    private let count: Int
    private var events: [HistoryEvent] = []
    /// Once there are enough: what does not come before it is not among the first.
    private var last: HistoryEvent?

    init(count: Int) { self.count = count }

    mutating func offer(_ event: HistoryEvent) {
        if let last, !event.precedes(last) { return }
        events.append(event)
        if events.count >= 2 * count { cut() }
    }

    mutating func sorted() -> [HistoryEvent] {
        cut()
        return events
    }

    private mutating func cut() {
        events.sort { $0.precedes($1) }
        guard events.count >= count else { return }
        events.removeLast(events.count - count)
        last = events.last
    }
}

extension HistoryEvent {
    private var rank: (Int, Int, Int) { (credits ?? 0, position.packed, place) }

    fileprivate func precedes(_ other: HistoryEvent) -> Bool { rank > other.rank }

    fileprivate func isBehind(_ cursor: EventCursor) -> Bool {
        guard let ranking = cursor.ranking else { return true }
        return rank < (ranking.credits, cursor.position.packed, cursor.place)
    }
}

extension LogEntry {
    /// Those of its events that count and are asked for, the last first.
    fileprivate func asked(
        by query: EventQuery, _ names: Set<ByteString>, before place: Int?
    ) -> [Logged] {
        events.reversed().filter { logged in
            logged.place < place ?? .max && !excluded.contains(logged.place)
                && (query.subject == nil || names.contains(subjects[logged.subject]))
                && query.matches(logged, of: subjects[logged.subject])
        }
    }
}

extension QueryEngine {
    /// Events that were counted, at most `limit`. A page may end early, even empty, when much was
    /// read and little found: it has a `next` then.
    ///
    /// - Throws: `EventRejection` for a cursor that is none of this question's (`invalid_cursor`) and
    ///   for too many events to sort (`range_too_wide`); `MeteringError`.
    public func events(
        _ query: EventQuery, limit: Int, after cursor: String? = nil,
        bounds: HistoryBounds = HistoryBounds()
    ) async throws -> EventPage {
        try await history(bounds).page(query, limit: limit, after: cursor)
    }

    /// As `events`, newest first, for reading all of them: about `count` at a time, by what is
    /// cheapest to read.
    public func eventPart(
        _ query: EventQuery, count: Int, after cursor: String?,
        bounds: HistoryBounds = HistoryBounds()
    ) async throws -> EventPage {
        try await history(bounds).part(query, count: count, after: cursor)
    }

    /// Tells single events.
    func history(
        _ bounds: HistoryBounds = HistoryBounds()
    ) throws(MeteringError) -> EventHistory {
        EventHistory(
            client: try client, settings: settings, clock: clock, laterLogs: try laterLogs,
            bounds: bounds)
    }
}
