// SPDX-License-Identifier: Apache-2.0
//
// Sums lie flat in a few arrays: a batch of thirty events would else be made of hundreds of small
// ones. They are a value of their own, which is built in a variable and then stored: a class checks
// each access to what it holds.

/// What a batch's events add up to.
struct EventSums {
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
    /// The cell of the event before: mostly that of the next one too.
    private var lastCell = -1

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

    init(_ events: [PendingEvent]) {
        placeOfEvent.reserveCapacity(events.count)
        subjects.reserveCapacity(events.count)
        lastRow.reserveCapacity(events.count)
        rows.reserveCapacity(events.count)
        rowAmounts.reserveCapacity(events.count * 4)
        indexOfSubject.reserveCapacity(events.count)
        for event in events {
            let day = dayIndex(event.day)
            let set = setIndex(event.event.amounts)
            placeOfEvent.append((addToRow(event, day, set), addToCell(event, day, set)))
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

    private mutating func dayIndex(_ day: CivilDay) -> Int {
        for index in days.indices where days[index].day == day { return index }
        days.append(Day(day: day))
        return days.count - 1
    }

    private mutating func setIndex(_ amounts: [(Meter, Int)]) -> Int {
        for index in sets.indices where Self.isSet(sets[index], of: amounts) { return index }
        sets.append(amounts.map(\.0))
        return sets.count - 1
    }

    private static func isSet(_ set: [Meter], of amounts: [(Meter, Int)]) -> Bool {
        guard set.count == amounts.count else { return false }
        for place in set.indices where set[place] != amounts[place].0 { return false }
        return true
    }

    private mutating func addToRow(_ pending: PendingEvent, _ day: Int, _ set: Int) -> Int {
        let time = pending.time.milliseconds
        let sign = pending.sign
        let subject = subjectIndex(pending.event.subject.id)
        var index = lastRow[subject]
        while index >= 0,
            rows[index].day != day || rows[index].set != set || rows[index].sign != sign
        {
            index = rows[index].next
        }
        if index < 0 {
            index = rows.count
            rows.append(
                Row(
                    subject: subject, day: day, set: set, sign: sign, first: time, last: time,
                    base: rowAmounts.count, next: lastRow[subject]))
            lastRow[subject] = index
            for (_, amount) in pending.event.amounts { rowAmounts.append(amount) }
        } else {
            var place = rows[index].base
            for (_, amount) in pending.event.amounts {
                rowAmounts[place] += amount
                place += 1
            }
        }
        rows[index].count += pending.eventCount
        rows[index].first = min(rows[index].first, time)
        rows[index].last = max(rows[index].last, time)
        return index
    }

    private mutating func subjectIndex(_ id: ByteString) -> Int {
        let next = subjects.count
        let index = { (index: inout Int) in index }(&indexOfSubject[id, default: next])
        if index == next {
            subjects.append(id)
            lastRow.append(-1)
        }
        return index
    }

    private mutating func addToCell(_ pending: PendingEvent, _ day: Int, _ set: Int) -> Int {
        let sign = pending.sign
        let index = cellIndex(pending, day, set, sign)
        lastCell = index
        var place = cells[index].base
        for (_, amount) in pending.event.amounts {
            cellAmounts[place] += amount
            place += 1
        }
        cells[index].count += pending.eventCount
        return index
    }

    private mutating func cellIndex(
        _ pending: PendingEvent, _ day: Int, _ set: Int, _ sign: Int
    ) -> Int {
        let event = pending.event
        let key = CellKey(
            day: day, hour: pending.hour, set: set, sign: sign, action: event.action,
            model: event.model)
        if lastCell >= 0, cells[lastCell].key == key { return lastCell }
        if let known = indexOfCell[key] { return known }
        indexOfCell[key] = cells.count
        let hour = RollupField(hour: key.hour, action: key.action, model: key.model)
        let whole = RollupField(hour: nil, action: key.action, model: key.model)
        cells.append(
            Cell(
                key: key, hourField: days[day].hourFields.place(of: hour),
                dayField: days[day].dayFields.place(of: whole), base: cellAmounts.count))
        for _ in event.amounts { cellAmounts.append(0) }
        return cells.count - 1
    }
}

extension PendingEvent {
    /// What it adds to a count of events.
    var eventCount: Int {
        switch purpose {
        case .record, .enforce, .settle: 1
        case .reverse: -1
        case .move(let count): count
        }
    }

    fileprivate var sign: Int { eventCount < 0 ? -1 : 1 }
}

extension [RollupField] {
    /// The index of the field, which is appended if it is new.
    fileprivate mutating func place(of field: RollupField) -> Int {
        if let index = firstIndex(of: field) { return index }
        append(field)
        return count - 1
    }
}
