// SPDX-License-Identifier: Apache-2.0
//
// A batch adds its events up, once per batch and not once per event in the script, which Redis runs
// on its only thread. Sums lie flat in a few arrays: a batch of thirty events would else be made of
// hundreds of small ones.

/// A batch of events on its way to Redis.
final class EventBatch {
    /// The most events of one script call: a bound on how long the script holds Redis.
    static let eventCountMax = 512

    /// 2^53 − 1, the largest integer that doubles, and so Lua, count up to exactly.
    static let exactIntegerMax = 9_007_199_254_740_991

    /// What the batch was made of, in the order of arrival.
    let items: [Pending]
    /// What its events were priced by.
    let rules: Rules
    /// The events of the items, with what the rules make of them.
    private(set) var events: [PendingEvent] = []
    /// Made when the batch is sent first, and kept when it is sent again.
    var decisions: DecisionList?
    /// Subjects in the order of their first event.
    private(set) var subjects: [ByteString] = []
    /// Lists of meters that events have together; mostly there is one.
    private(set) var sets: [[Meter]] = []
    private(set) var days: [Day] = []
    private(set) var rows: [Row] = []
    private(set) var cells: [Cell] = []
    /// For each event, the indexes of its row and its cell.
    private(set) var placeOfEvent: [(row: Int, cell: Int)] = []
    /// The amounts of all rows, and of all cells, one behind the other.
    private(set) var rowAmounts: [Int] = []
    private(set) var cellAmounts: [Int] = []

    private var indexOfSubject: [ByteString: Int] = [:]
    /// Per subject, its row that was made last.
    private var lastRow: [Int] = []
    private var indexOfCell: [CellKey: Int] = [:]

    /// What a subject used on one day of one set of meters.
    struct Row {
        let subject: Int
        let day: Int
        let set: Int
        /// -1 for a row of events that undo others: counts do not cancel out unseen.
        let sign: Int
        var count = 0
        /// Milliseconds since 1970.
        var first: Int
        var last: Int
        /// Where its amounts begin.
        let base: Int
        /// Another row of the subject, -1 for none.
        let next: Int
    }

    /// Sums of one hour, action and model, of one set of meters.
    struct Cell {
        let key: CellKey
        /// Indexes of its fields in the day's hashes.
        let hourField: Int
        let dayField: Int
        var count = 0
        let base: Int
    }

    struct CellKey: Hashable {
        let day: Int
        /// Start of the hour, seconds since 1970.
        let hour: Int
        let set: Int
        let sign: Int
        let action: ByteString
        let model: ByteString
    }

    /// A day of the batch, and the rollups of it that the batch adds to.
    struct Day {
        let day: CivilDay
        var hourFields: [RollupField] = []
        var dayFields: [RollupField] = []
    }

    /// Prices the events and adds them up. Their ids, where they have one, must differ. An event
    /// that cannot be priced, or a decision about what these rules do not know (which may have been
    /// known when it was asked for), is left out, and told so.
    init(_ items: [Pending], _ rules: Rules) {
        self.rules = rules
        placeOfEvent.reserveCapacity(items.count)
        subjects.reserveCapacity(items.count)
        lastRow.reserveCapacity(items.count)
        rows.reserveCapacity(items.count)
        rowAmounts.reserveCapacity(items.count * 4)
        indexOfSubject.reserveCapacity(items.count)
        events.reserveCapacity(items.count)
        var unfit = false
        for item in items {
            switch item {
            case .event(var pending):
                if Self.price(&pending, rules) { events.append(pending) } else { unfit = true }
            case .decision(let pending):
                guard let rejection = rules.rejection(of: pending.decision) else { continue }
                unfit = true
                pending.resolve(.rejected(rejection))
            }
        }
        self.items = unfit ? items.filter { Self.isFit($0, rules) } : items
        for event in events {
            let day = dayIndex(event.day)
            let set = setIndex(event.event.amounts)
            placeOfEvent.append((addToRow(event, day, set), addToCell(event, day, set)))
        }
    }

    /// Whether it went; if not, the event's caller has been told why.
    private static func price(_ pending: inout PendingEvent, _ rules: Rules) -> Bool {
        if case .reverse = pending.purpose { return true }
        do throws(EventRejection) {
            pending.event = try pending.event.priced(by: rules.prices)
            if case .settle(_, .cap, let held?) = pending.purpose {
                pending.event.amounts.cap(.creditsMicro, at: held)
            }
            return true
        } catch {
            pending.resolve(.rejected(error))
            return false
        }
    }

    private static func isFit(_ item: Pending, _ rules: Rules) -> Bool {
        switch item {
        case .event(var pending): price(&pending, rules)
        case .decision(let pending): rules.rejection(of: pending.decision) == nil
        }
    }

    /// The other rows of a row's subject; mostly there is none.
    func rowsBeside(_ index: Int) -> [Int] {
        var others: [Int] = []
        var other = lastRow[rows[index].subject]
        while other >= 0 {
            if other != index { others.append(other) }
            other = rows[other].next
        }
        return others
    }

    private func dayIndex(_ day: CivilDay) -> Int {
        if let index = days.firstIndex(where: { $0.day == day }) { return index }
        days.append(Day(day: day))
        return days.count - 1
    }

    private func setIndex(_ amounts: [(Meter, Int)]) -> Int {
        for (index, set) in sets.enumerated()
        where set.count == amounts.count
            && set.indices.allSatisfy({ set[$0] == amounts[$0].0 })
        {
            return index
        }
        sets.append(amounts.map(\.0))
        return sets.count - 1
    }

    private func addToRow(_ pending: PendingEvent, _ day: Int, _ set: Int) -> Int {
        let time = pending.time.milliseconds
        let subject = subjectIndex(pending.event.subject.id)
        var index = lastRow[subject]
        while index >= 0,
            rows[index].day != day || rows[index].set != set || rows[index].sign != pending.sign
        {
            index = rows[index].next
        }
        let amounts = pending.event.amounts
        if index < 0 {
            index = rows.count
            rows.append(
                Row(
                    subject: subject, day: day, set: set, sign: pending.sign, first: time,
                    last: time,
                    base: rowAmounts.count, next: lastRow[subject]))
            lastRow[subject] = index
            for (_, amount) in amounts { rowAmounts.append(amount) }
        } else {
            let base = rows[index].base
            for place in amounts.indices { rowAmounts[base + place] += amounts[place].1 }
        }
        rows[index].count += pending.sign
        rows[index].first = min(rows[index].first, time)
        rows[index].last = max(rows[index].last, time)
        return index
    }

    private func subjectIndex(_ id: ByteString) -> Int {
        if let index = indexOfSubject[id] { return index }
        indexOfSubject[id] = subjects.count
        subjects.append(id)
        lastRow.append(-1)
        return subjects.count - 1
    }

    private func addToCell(_ pending: PendingEvent, _ day: Int, _ set: Int) -> Int {
        let event = pending.event
        let key = CellKey(
            day: day, hour: pending.hour, set: set, sign: pending.sign, action: event.action,
            model: event.model)
        let index: Int
        if let known = indexOfCell[key] {
            index = known
            let base = cells[index].base
            for place in event.amounts.indices {
                cellAmounts[base + place] += event.amounts[place].1
            }
        } else {
            index = cells.count
            indexOfCell[key] = index
            let hour = RollupField(hour: key.hour, action: key.action, model: key.model)
            let whole = RollupField(hour: nil, action: key.action, model: key.model)
            cells.append(
                Cell(
                    key: key, hourField: days[day].hourFields.place(of: hour),
                    dayField: days[day].dayFields.place(of: whole), base: cellAmounts.count))
            for (_, amount) in event.amounts { cellAmounts.append(amount) }
        }
        cells[index].count += pending.sign
        return index
    }
}

extension PendingEvent {
    /// What it adds to a count of events.
    var sign: Int { if case .reverse = purpose { -1 } else { 1 } }
}

extension [RollupField] {
    /// The index of the field, which is appended if it is new.
    fileprivate mutating func place(of field: RollupField) -> Int {
        if let index = firstIndex(of: field) { return index }
        append(field)
        return count - 1
    }
}
