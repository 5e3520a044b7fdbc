// SPDX-License-Identifier: Apache-2.0
//
// The arguments of lua/record_events.lua, built from the events of a batch. What is added up here
// is added up once per batch and not once per event in the script, which Redis runs on its only
// thread. Places in flat arrays are counted from 1, as Lua does.

/// A batch of events on its way to Redis.
final class EventBatch {
    /// The most events of one script call: a bound on how long the script holds Redis.
    static let eventCountMax = 512

    /// 2^53 − 1, the largest integer that doubles, and so Lua, count up to exactly.
    static let exactIntegerMax = 9_007_199_254_740_991

    let events: [PendingEvent]
    /// Subjects in the order of their first event.
    private(set) var subjects: [SubjectSum] = []
    /// For each event, the index of its subject.
    private(set) var subjectOfEvent: [Int] = []
    /// For each event, the indexes of its day and of its rollups there.
    private(set) var cellsOfEvent: [(day: Int, hour: Int, cell: Int)] = []
    private var subjectIndex: [ByteString: Int] = [:]
    var days: [DaySum] = []

    /// The sums of one subject.
    struct SubjectSum {
        let id: ByteString
        var first: Int
        var last: Int
        var meters: [Meter]
        var parts: [Part]
        /// Place of its first number in the flat sums.
        var base = 0
    }

    /// What a subject used on one day.
    struct Part {
        let day: Int
        var count: Int
        /// In the order of the subject's meters.
        var amounts: [Int]
    }

    /// The rollups of one day.
    struct DaySum {
        let day: CivilDay
        var hours = CellList()
        var cells = CellList()
    }

    /// Sums by field of a rollup hash.
    struct CellList {
        var cells: [Cell] = []
        private var indexByField: [CellKey: Int] = [:]

        /// The index of the cell, made if need be; events of a batch mostly share few.
        mutating func index(of key: CellKey) -> Int {
            if let last = cells.last, last.key == key { return cells.count - 1 }
            if let index = indexByField[key] { return index }
            indexByField[key] = cells.count
            cells.append(Cell(key: key))
            return cells.count - 1
        }
    }

    /// Which rollup an event belongs to; `hour` is 0 in rollups of a whole day.
    struct CellKey: Hashable {
        let hour: Int
        let action: ByteString
        let model: ByteString
    }

    struct Cell {
        let key: CellKey
        var count = 0
        var meters: [Meter] = []
        var amounts: [Int] = []
        /// Place of its event count in the flat sums.
        var base = 0

        mutating func add(_ amounts: [(Meter, Int)]) {
            count += 1
            for (meter, amount) in amounts {
                let place = meters.place(of: meter)
                if place == self.amounts.count { self.amounts.append(0) }
                self.amounts[place] += amount
            }
        }
    }

    /// Adds the events up. Their ids, where they have one, must differ.
    init(_ events: [PendingEvent]) {
        self.events = events
        subjectOfEvent.reserveCapacity(events.count)
        cellsOfEvent.reserveCapacity(events.count)
        for event in events {
            let day = dayIndex(event.day)
            subjectOfEvent.append(addToSubject(event, day))
            let hourKey = CellKey(
                hour: event.hour, action: event.event.action, model: event.event.model)
            let dayKey = CellKey(hour: 0, action: event.event.action, model: event.event.model)
            let hour = days[day].hours.index(of: hourKey)
            days[day].hours.cells[hour].add(event.event.amounts)
            let cell = days[day].cells.index(of: dayKey)
            days[day].cells.cells[cell].add(event.event.amounts)
            cellsOfEvent.append((day, hour, cell))
        }
        // A subject leaves a day for a later one, so its days come in order.
        for index in subjects.indices where subjects[index].parts.count > 1 {
            subjects[index].parts.sort { days[$0.day].day < days[$1.day].day }
        }
    }

    func setBase(_ place: Int, ofSubject index: Int) { subjects[index].base = place }

    private func dayIndex(_ day: CivilDay) -> Int {
        if let index = days.firstIndex(where: { $0.day == day }) { return index }
        days.append(DaySum(day: day))
        return days.count - 1
    }

    private func addToSubject(_ event: PendingEvent, _ day: Int) -> Int {
        let time = event.time.milliseconds
        let id = event.event.subject.id
        let index: Int
        if let known = subjectIndex[id] {
            index = known
        } else {
            index = subjects.count
            subjectIndex[id] = index
            subjects.append(SubjectSum(id: id, first: time, last: time, meters: [], parts: []))
        }
        subjects[index].add(event.event.amounts, time: time, day: day)
        return index
    }
}

extension EventBatch.SubjectSum {
    fileprivate mutating func add(_ added: [(Meter, Int)], time: Int, day: Int) {
        first = min(first, time)
        last = max(last, time)
        let part: Int
        if let known = parts.firstIndex(where: { $0.day == day }) {
            part = known
        } else {
            part = parts.count
            let none = [Int](repeating: 0, count: meters.count)
            parts.append(EventBatch.Part(day: day, count: 0, amounts: none))
        }
        parts[part].count += 1
        for (meter, amount) in added {
            let place = meters.place(of: meter)
            for index in parts.indices where parts[index].amounts.count == place {
                parts[index].amounts.append(0)
            }
            parts[part].amounts[place] += amount
        }
    }
}

extension [Meter] {
    /// The index of the meter, which is appended if it is new. Lists are a few long.
    mutating func place(of meter: Meter) -> Int {
        if let index = firstIndex(of: meter) { return index }
        append(meter)
        return count - 1
    }
}
