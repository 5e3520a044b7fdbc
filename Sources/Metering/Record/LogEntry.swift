// SPDX-License-Identifier: Apache-2.0
//
// The log holds every event, a batch an entry. An entry has up to four fields: `b`, the events as the
// batch was built, and by which rules; `r`, what the script made of them (per subject the position of its previous
// entry, which links the entries of a subject into a list, then per row the subject's totals); `x`,
// the events of the batch that did not count; `c`, what the batch added to ledgers. The script reads `b` only to take an event out.

internal import Redis

/// One entry of the log, read back.
struct LogEntry {
    static let version = 1
    /// How many parts the blob of an entry's events has: an earlier build wrote one less.
    static let partCounts = 6...7
    /// Flags of an event that moves what was counted, as in lua/include/constants.lua: that it does,
    /// that it moves it away, and in units of the third how many events it stands for.
    fileprivate static let moveFlag = 8
    fileprivate static let awayFlag = 16
    fileprivate static let movedEvents = 32
    /// Flags of any other event: that limits had to allow it, and in units of the second how late it came, or was
    /// decided about, in ms: twice as much, and one less if that was so much before its time.
    fileprivate static let enforcedFlag = 16
    fileprivate static let latenessUnit = 32

    /// An event of the entry.
    struct Logged {
        /// Counted from 1, as the script does.
        let place: Int
        let row: Int
        let subject: Int
        let event: UsageEvent
        let time: Timestamp
        /// When it came, which is its time unless the client gave that; when it was decided about, if it
        /// counts in the windows of then.
        let arrived: Timestamp
        /// Whether limits had to allow it.
        let isEnforced: Bool
        /// Whether it moves what was counted before from a guest to a user.
        let isMove: Bool
        /// What it adds to counts of events.
        let count: Int
    }

    let position: LogPosition
    /// Of the rules that it was counted by; 0 before any were set, and where an earlier build wrote it.
    let rulesNumber: Int
    let subjects: [ByteString]
    /// All of them, by their places; or those of some subjects.
    let events: [Logged]
    /// Places of the events that did not count.
    let excluded: Set<Int>
    /// Flat: subject, packed position of its lines before, lines.
    let ledger: [MessagePackValue]
    /// Per subject the packed position of its entry before this one, 0 for none; then per row the totals of its
    /// subject after the entry, for the meters of its set.
    private let results: [Int]
    /// Per row, where its totals begin; at last, where the last ones end.
    private let starts: [Int]

    /// The events of a batch: `[version, subjects, sets of meters, rows, cells, events, number of the rules]`;
    /// rows are flat pairs of subject and set, cells flat pairs of action and model, since these repeat a lot.
    ///
    /// - Parameter decided: needed if some of the events count in the windows of then.
    static func encode(
        _ batch: EventBatch, at decided: Timestamp? = nil, _ writer: MessagePackWriter
    ) -> [UInt8] {
        writer.array(7)
        writer.integer(version)
        writer.array(batch.sums.subjects.count)
        for subject in batch.sums.subjects { writer.string(subject.bytes) }
        batch.writeSets(writer)
        writer.array(2 * batch.sums.rows.count)
        for row in batch.sums.rows {
            writer.integer(row.subject + 1)
            writer.integer(row.set + 1)
        }
        writer.array(2 * batch.sums.cells.count)
        for cell in batch.sums.cells {
            writer.string(cell.key.action.bytes)
            writer.string(cell.key.model.bytes)
        }
        writer.array(batch.events.count)
        for index in batch.events.indices {
            encode(
                batch.events[index], batch.sums.placeOfEvent[index], decided, writer)
        }
        writer.integer(batch.rules.number)
        return writer.take()
    }

    /// `[row, cell, time, flags, id, description, amount per meter of the row's set]`; the flags are 1 if
    /// the client gave the time, 2 * what a price book made of it, and those above.
    private static func encode(
        _ pending: PendingEvent, _ place: (row: Int, cell: Int), _ decided: Timestamp?,
        _ writer: MessagePackWriter
    ) {
        let event = pending.event
        writer.array(6 + event.amounts.count)
        writer.integer(place.row + 1)
        writer.integer(place.cell + 1)
        writer.integer(pending.time.milliseconds)
        writer.integer(
            (event.time == nil ? 0 : 1) + 2 * Int(event.derived.rawValue)
                + pending.flags(decided))
        if let id = event.id { writer.string(id.bytes) } else { writer.null() }
        writer.string(event.description.bytes)
        for (_, amount) in event.amounts { writer.integer(amount) }
    }

    /// Reads an entry as XRANGE gives it: `[id, [field, value, …]]`. Nil when it is damaged.
    ///
    /// - Parameter names: subjects whose events are read; nil for those of all.
    init?(_ value: RedisValue, arrival: CivilDay, eventsOf names: Set<ByteString>? = nil) {
        guard case .array(let pair) = value, pair.count == 2, let id = pair[0].bytes,
            case .array(let fields) = pair[1], fields.count == 6 || fields.count == 8,
            let number = String(decoding: id, as: UTF8.self).split(separator: "-").last.flatMap({
                Int($0)
            }),
            let blob = fields[1].bytes, let parts = Parts(blob, eventsOf: names),
            let results = fields[3].bytes.flatMap({ MessagePackView.read($0, \.integers) }),
            let excluded = fields[5].bytes.flatMap({ MessagePackValue($0) })?.array
        else { return nil }
        ledger = Self.ledger(fields)
        position = LogPosition(arrival.number * LogPosition.dayStride + number)
        rulesNumber = parts.rulesNumber
        subjects = parts.subjects
        events = parts.events
        self.excluded = Set(
            stride(from: 0, to: excluded.count, by: 2).compactMap { excluded[$0].integer })
        starts = parts.rows.reduce(into: [subjects.count]) { starts, row in
            starts.append(starts[starts.count - 1] + parts.sets[row.set].count)
        }
        self.results = results
        guard results.count == starts.last else { return nil }
    }

    /// The position of a subject's entry before this one; nil for its first.
    func previous(ofSubject index: Int) -> LogPosition? {
        results[index] == 0 ? nil : LogPosition(results[index])
    }

    /// The totals of a row's subject after the entry, for the meters of the row's set.
    func totals(ofRow row: Int) -> ArraySlice<Int> { results[starts[row]..<starts[row + 1]] }

    /// The ledger alone of an entry as XRANGE gives it. Nil when it is none.
    static func ledger(of value: RedisValue) -> [MessagePackValue]? {
        guard case .array(let pair) = value, pair.count == 2, case .array(let fields) = pair[1],
            fields.count == 6 || fields.count == 8
        else { return nil }
        return ledger(fields)
    }

    private static func ledger(_ fields: [RedisValue]) -> [MessagePackValue] {
        fields.count == 8 ? fields[7].bytes.flatMap { MessagePackValue($0) }?.array ?? [] : []
    }

    /// A subject's lines of its ledger, and where those before them are; nil where it has none.
    func lines(of subject: SubjectID) -> (lines: [LedgerLine], previous: LogPosition?)? {
        for index in stride(from: 0, to: ledger.count - 2, by: 3)
        where ledger[index].bytes == subject.id.bytes {
            guard let previous = ledger[index + 1].integer, let lines = ledger[index + 2].array
            else { return nil }
            let read = LedgerLine.lines(lines) { place in
                guard events.indices.contains(place - 1) else { return nil }
                return events[place - 1].event.id ?? position.eventID(place: place)
            }
            return (read, previous == 0 ? nil : LogPosition(previous))
        }
        return nil
    }
}

/// What the blob of a batch's events holds.
private struct Parts {
    let rulesNumber: Int
    let subjects: [ByteString]
    let sets: [[Meter]]
    /// Indexes into `subjects` and `sets`.
    let rows: [(subject: Int, set: Int)]
    private let labels: [ByteString]
    private(set) var events: [LogEntry.Logged] = []

    init?(_ blob: [UInt8], eventsOf names: Set<ByteString>?) {
        let parts = MessagePackView.read(blob) { blob in
            blob.elements.flatMap { Self($0, names) }
        }
        guard let parts else { return nil }
        self = parts
    }

    private init?(_ blob: MessagePackView.Elements, _ names: Set<ByteString>?) {
        guard LogEntry.partCounts.contains(blob.count), blob[0].integer == LogEntry.version,
            let subjects = blob[1].array(\.byteString),
            let sets = blob[2].array({ $0.array { Meter($0) } }),
            let rows = blob[3].integers, let labels = blob[4].array(\.byteString),
            let events = blob[5].elements
        else { return nil }
        rulesNumber = blob.count > 6 ? blob[6].integer ?? 0 : 0
        self.subjects = subjects
        self.sets = sets
        self.labels = labels
        self.rows = stride(from: 0, to: rows.count - 1, by: 2).map {
            (rows[$0] - 1, rows[$0 + 1] - 1)
        }
        guard
            self.rows.allSatisfy({
                subjects.indices.contains($0.subject) && sets.indices.contains($0.set)
            })
        else { return nil }
        let isAsked = names.map { names in subjects.map { names.contains($0) } }
        if isAsked == nil { self.events.reserveCapacity(events.count) }
        for (index, view) in events.enumerated() {
            guard let fields = view.elements, fields.count >= 6,
                let row = fields[0].integer, self.rows.indices.contains(row - 1)
            else { return nil }
            if let isAsked, !isAsked[self.rows[row - 1].subject] { continue }
            guard let event = event(fields, row: row - 1, place: index + 1) else { return nil }
            self.events.append(event)
        }
    }

    private func event(
        _ fields: MessagePackView.Elements, row: Int, place: Int
    ) -> LogEntry.Logged? {
        guard let cell = fields[1].integer, labels.indices.contains(2 * cell - 1), cell > 0,
            let milliseconds = fields[2].integer, let flags = fields[3].integer, flags >= 0,
            let description = fields[5].byteString
        else { return nil }
        let (subject, set) = rows[row]
        let meters = sets[set]
        guard fields.count == 6 + meters.count else { return nil }
        var amounts: [(Meter, Int)] = []
        amounts.reserveCapacity(meters.count)
        for (index, meter) in meters.enumerated() {
            guard let amount = fields[6 + index].integer else { return nil }
            amounts.append((meter, amount))
        }
        let time = Timestamp(milliseconds: milliseconds)
        let event = UsageEvent(
            id: fields[4].byteString, time: flags & 1 == 1 ? time : nil,
            subject: SubjectID(stored: subjects[subject]), action: labels[2 * cell - 2],
            model: labels[2 * cell - 1], description: description, amounts: amounts,
            derived: DerivedAmounts(rawValue: UInt8(flags >> 1 & 3)))
        let isMove = flags & LogEntry.moveFlag != 0
        let late = isMove ? 0 : flags / LogEntry.latenessUnit
        let moved = (flags & LogEntry.awayFlag != 0 ? -1 : 1) * (flags / LogEntry.movedEvents)
        return LogEntry.Logged(
            place: place, row: row, subject: subject, event: event, time: time,
            arrived: Timestamp(
                milliseconds: milliseconds + (late & 1 == 1 ? -(late + 1) / 2 : late / 2)),
            isEnforced: !isMove && flags & LogEntry.enforcedFlag != 0, isMove: isMove,
            count: isMove ? moved : event.isReversal ? -1 : 1)
    }
}

extension Meter {
    /// A meter as scripts name it: by code, or by name.
    fileprivate init?(_ view: MessagePackView) {
        if let code = view.integer {
            self.init(code: code)
        } else if let name = view.bytes {
            self.init(name: Array(name))
        } else {
            return nil
        }
    }

    /// As above, of a value that was copied.
    init?(_ value: MessagePackValue) {
        switch value {
        case .integer(let code): self.init(code: code)
        case .string(let name): self.init(name: name)
        default: return nil
        }
    }
}

extension PendingEvent {
    /// The flags that depend on what it is recorded for, and when.
    fileprivate func flags(_ decided: Timestamp?) -> Int {
        if case .move(let count) = purpose {
            return LogEntry.moveFlag + (count < 0 ? LogEntry.awayFlag : 0)
                + LogEntry.movedEvents * abs(count)
        }
        let seen = countsWhenDecided ? decided ?? arrived : arrived
        let late = seen.milliseconds - time.milliseconds
        return (isEnforced ? LogEntry.enforcedFlag : 0)
            + LogEntry.latenessUnit * (late < 0 ? -2 * late - 1 : 2 * late)
    }
}
