// SPDX-License-Identifier: Apache-2.0

extension EventBatch {
    /// What the script's arguments need beyond the events.
    struct Context {
        let sequence: Int
        let arrival: CivilDay
        let today: CivilDay
        let ranked: [Meter]
        let lifetimes: Lifetimes
        /// Days beyond those of the batch that subjects may have to leave.
        let rolls: [CivilDay]
        let idGenerationCount: Int
    }

    /// For how long what is dated stays in Redis, in seconds.
    struct Lifetimes {
        let log: Int
        let ids: Int
        let days: Int
    }

    /// The script's arguments, in its order.
    func arguments(_ context: Context, _ digest: IDDigest, _ writer: MessagePackWriter) -> [[UInt8]]
    {
        let named = events.indices.filter { events[$0].event.id != nil }
        writer.array(6)
        writeHead(context, writer)
        writer.array(subjects.count)
        for subject in subjects { writer.string(subject.id.bytes) }
        writeSums(writer)
        writer.array(named.count)
        for index in named { writer.string(digest.digest(events[index].event.id?.bytes ?? [])) }
        writer.integers(named.map { $0 + 1 })
        writeCells(writer)
        let ask = writer.take()
        // After the cells, which set the places that it names.
        if named.isEmpty { writer.array(0) } else { writeEvents(writer) }
        return [ask, writer.take(), LogEntry.encode(self, writer)]
    }

    private func writeHead(_ context: Context, _ writer: MessagePackWriter) {
        writer.array(8)
        writer.integer(context.sequence)
        writer.integer(context.arrival.number)
        writer.integer(context.today.number)
        writer.integers([context.lifetimes.log, context.lifetimes.ids, context.lifetimes.days])
        writer.array(context.ranked.count)
        for meter in context.ranked { writer.meter(meter) }
        writer.integers(days.map(\.day.number))
        writer.integers(context.rolls.map(\.number))
        writer.integer(context.idGenerationCount)
    }

    private func writeSums(_ writer: MessagePackWriter) {
        var place = 1
        for index in subjects.indices {
            let subject = subjects[index]
            setBase(place, ofSubject: index)
            place += 4 + subject.meters.count
            for part in subject.parts { place += 2 + part.amounts.count }
        }
        writer.array(place - 1)
        for subject in subjects {
            writer.integer(subject.first)
            writer.integer(subject.last)
            writer.integer(subject.meters.count)
            writer.integer(subject.parts.count)
            for meter in subject.meters { writer.meter(meter) }
            for part in subject.parts {
                writer.integer(part.day + 1)
                writer.integer(part.count)
                for amount in part.amounts { writer.integer(amount) }
            }
        }
    }

    private func writeCells(_ writer: MessagePackWriter) {
        writer.array(days.count)
        for index in days.indices {
            writer.array(4)
            writeCells(&days[index].hours, isHourly: true, writer)
            writeCells(&days[index].cells, isHourly: false, writer)
        }
    }

    private func writeCells(_ list: inout CellList, isHourly: Bool, _ writer: MessagePackWriter) {
        writer.array(list.cells.count)
        var place = 1
        for index in list.cells.indices {
            let cell = list.cells[index]
            writer.string(RollupField(cell.key, isHourly: isHourly).bytes)
            list.cells[index].base = place
            place += 2 + 2 * cell.meters.count
        }
        writer.array(place - 1)
        for cell in list.cells {
            writer.integer(cell.count)
            writer.integer(cell.meters.count)
            for (meter, amount) in zip(cell.meters, cell.amounts) {
                writer.meter(meter)
                writer.integer(amount)
            }
        }
    }

    /// Where each event went, for include/exclude_events.lua.
    private func writeEvents(_ writer: MessagePackWriter) {
        writer.array(events.count)
        for (index, event) in events.enumerated() {
            let subject = subjects[subjectOfEvent[index]]
            let amounts = event.event.amounts
            let (day, hour, cell) = cellsOfEvent[index]
            writer.array(7)
            writer.integer(subject.base)
            writer.integer(event.time.milliseconds)
            subject.writePlaces(of: amounts, day: day, writer)
            days[day].hours.cells[hour].writePlaces(of: amounts, writer)
            days[day].cells.cells[cell].writePlaces(of: amounts, writer)
            writer.array(1 + amounts.count)
            writer.integer(1)
            for (_, amount) in amounts { writer.integer(amount) }
            writer.integer(day + 1)
        }
    }
}

extension EventBatch.SubjectSum {
    /// Where a day's event count and the amounts of these meters stand in the flat sums.
    fileprivate func writePlaces(
        of amounts: [(Meter, Int)], day: Int, _ writer: MessagePackWriter
    ) {
        var place = base + 4 + meters.count
        for part in parts {
            if part.day == day { break }
            place += 2 + part.amounts.count
        }
        writer.array(1 + amounts.count)
        writer.integer(place + 1)
        for (meter, _) in amounts { writer.integer(place + 2 + meters.index(of: meter)) }
    }
}

extension EventBatch.Cell {
    fileprivate func writePlaces(of amounts: [(Meter, Int)], _ writer: MessagePackWriter) {
        writer.array(1 + amounts.count)
        writer.integer(base)
        for (meter, _) in amounts { writer.integer(base + 3 + 2 * meters.index(of: meter)) }
    }
}

extension [Meter] {
    /// The index of a meter that is known to be here.
    fileprivate func index(of meter: Meter) -> Int {
        guard let index = firstIndex(of: meter) else {
            preconditionFailure("a meter of an event is not in its batch's sums")
        }
        return index
    }
}

extension MessagePackWriter {
    /// A meter: its code when it is a standard one, else its name.
    func meter(_ meter: Meter) {
        if let code = meter.code { integer(code) } else { string(meter.name) }
    }
}

/// The field of a rollup hash: start of the hour, action, model. Neither may hold the separator,
/// which is a control character.
struct RollupField {
    static let separator: UInt8 = 0x1f
    let hour: Int?
    let action: ByteString
    let model: ByteString

    init(_ key: EventBatch.CellKey, isHourly: Bool) {
        hour = isHourly ? key.hour : nil
        action = key.action
        model = key.model
    }

    init?(_ bytes: [UInt8], isHourly: Bool) {
        let parts = bytes.split(separator: Self.separator, omittingEmptySubsequences: false)
        guard parts.count == (isHourly ? 3 : 2) else { return nil }
        hour = isHourly ? Int(String(decoding: parts[0], as: UTF8.self)) : nil
        action = ByteString(bytes: Array(parts[parts.count - 2]))
        model = ByteString(bytes: Array(parts[parts.count - 1]))
    }

    var bytes: [UInt8] {
        (hour.map { Array("\($0)".utf8) + [Self.separator] } ?? []) + action.bytes + [
            Self.separator
        ]
            + model.bytes
    }
}
