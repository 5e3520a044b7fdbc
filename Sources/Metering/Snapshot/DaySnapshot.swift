// SPDX-License-Identifier: Apache-2.0
//
// One snapshot of one day, from the cut to the rename. docs/snapshots.md says what stands in it.

internal import JSON
internal import Observability
internal import Redis

/// Who writes, and how much at once.
struct FlushContext {
    let client: RedisClient
    let settings: WorkspaceSettings
    let folder: SnapshotFolder
    let clock: any Clock
    /// Nil for who compares only.
    let lease: FlushLease?
    /// The name of the data in Redis.
    let dataset: String
    /// Of the monotonic clock.
    let deadlineMS: Int
    /// Room for ids of subjects; with more of them the subjects are gone through again.
    let idByteCountMax: Int
    /// Told of what takes long; nil for who compares only.
    var logger: Logger?

    /// Throws when the work is to end: the lease was lost, or the time is over.
    func checkpoint(isLast: Bool = false) async throws(FlushError) {
        if clock.monotonicMS > deadlineMS { throw .outOfTime }
        try await lease?.keep(now: isLast)
    }

    /// Notes that a file is in its place, so that its lack can be told from one that is not due yet.
    func noteWritten(_ field: [UInt8], revision: Int) async throws(FlushError) {
        do {
            _ = try await client.send(
                RedisCommand(
                    "HSET", [Keyspace(settings).snapshots, field, Array("\(revision)".utf8)]))
        } catch {
            throw .redis(error)
        }
    }
}

/// Writes a snapshot of a day.
final class DaySnapshot {
    /// Per call to Redis: some hundreds of microseconds.
    private static let subjectsPerCall = 200
    static let cellsPerCall = 100
    /// How often it is told how far a day is that takes long.
    private static let tellingMS = 5_000

    let context: FlushContext
    let day: CivilDay
    let isFinal: Bool
    let keys: Keyspace
    /// Days of arrival whose logs may grow; known once it was begun.
    private(set) var arrivals: [CivilDay] = []
    let packer = MessagePackWriter()
    private var json = JSONWriter(capacity: 4096)
    private var totals = DaySums()
    /// Of a copy: where its sums do not agree.
    var inequality: String?
    var isCopy = false
    /// Whether no subject's record is on the day any more, nor comes to be: `use` has it all.
    private(set) var isClosed = false

    /// Whether all records are looked at though the day is closed: a clock that is far behind may have
    /// put one there.
    private let isThorough: Bool

    init(of day: CivilDay, isFinal: Bool, isThorough: Bool = true, _ context: FlushContext) {
        self.day = day
        self.isFinal = isFinal
        self.isThorough = isThorough
        self.context = context
        keys = Keyspace(context.settings)
    }

    /// Clocks of other processes may be ahead or behind by some minutes. One that is further ahead counts
    /// into the log of a day to come.
    func findLogs() async throws(FlushError) {
        let today = context.clock.now.milliseconds.flooredQuotient(86_400_000)
        do throws(MeteringError) {
            let last = try await LaterLogs(context.client, keys, context.clock).last()
            arrivals = (today - 1...max(today + 1, last)).map { CivilDay(number: $0) }
        } catch {
            guard case .unavailable(let reason) = error else { throw .damaged("\(error)") }
            throw .redis(reason)
        }
    }

    var logs: [[UInt8]] { arrivals.map { keys.log(arrival: $0) } }

    /// Writes it and puts it in its place.
    func write() async throws(FlushError) {
        let (tail, began) = try await cut()
        let head = SnapshotHead(
            revision: tail.changes, isFinal: isFinal, dataset: context.dataset)
        guard let fence = context.lease?.fence else { throw .leaseLost }
        let file = try context.folder.begin(day, fence: fence)
        do throws(FlushError) {
            try write(head, began, to: file)
            try writeSums(try await hours(tail), tail.table, to: file)
            tail.dropCells()
            try await writeSubjects(tail, to: file)
            try file.finish()
            try await context.checkpoint(isLast: true)
            try context.folder.commit(file, as: head, of: day, fence: fence)
        } catch {
            file.discard()
            throw error
        }
    }

    // MARK: Reading

    func run(
        _ script: RedisScript, _ names: [[UInt8]]
    ) async throws(FlushError) -> [RedisValue] {
        do {
            let reply = try await context.client.run(
                script, keys: names, arguments: [packer.take()])
            guard let values = reply.elements else { throw RedisError.unexpectedReply(script.name) }
            return values
        } catch let error as RedisError {
            throw .redis(error)
        } catch {
            throw .damaged("\(error)")
        }
    }

    private func cut() async throws(FlushError) -> (DayTail, began: Timestamp) {
        try await findLogs()
        var reply = try await cut(mayBeEmpty: false)
        // A day on which all was undone has no hours once it came from a file.
        if reply.isEmpty, try context.folder.isWithoutSums(day) {
            reply = try await cut(mayBeEmpty: true)
        }
        if reply.isEmpty { throw .incomplete }
        guard reply.count == 4, let changes = reply[0].integer,
            let ends = reply[1].bytes.flatMap({ MessagePackValue($0) })?.integers,
            ends.count == arrivals.count,
            let began = reply[2].bytes.flatMap({ Int(String(decoding: $0, as: UTF8.self)) }),
            let closed = reply[3].integer
        else { throw .redis(.unexpectedReply("cut_day")) }
        isClosed = closed == 1 && !isThorough
        let tail = DayTail(
            of: day, changes: changes, ends: ends, arrivals: arrivals, context.client,
            context.settings)
        return (tail, Timestamp(milliseconds: began))
    }

    private func cut(mayBeEmpty: Bool) async throws(FlushError) -> [RedisValue] {
        packer.integers([
            day.number, isFinal ? 1 : 0, context.clock.now.milliseconds, mayBeEmpty ? 1 : 0,
        ])
        return try await run(
            ScriptLibrary.cutDay,
            [keys.changes, keys.snapshots, keys.hours(day), keys.cold, keys.meta] + logs)
    }

    /// The day's sums by hour, action and model, as they were at the cut.
    func hours(_ tail: DayTail) async throws(FlushError) -> [RollupField: DaySums] {
        var cells: [RollupField: DaySums] = [:]
        try await scanSums(keys.hours(day), tail) { (name, entry) throws(FlushError) in
            var sums = DaySums()
            guard let field = RollupField(name, isHourly: true),
                PackedCursor.addEntry(entry, to: &sums, tail.table)
            else { throw .damaged("an hourly rollup") }
            if let late = tail.cells?[field] { sums.add(late, sign: -1) }
            // A scan may tell a field twice; both are the same, at the cut.
            cells[field] = sums.isZero ? nil : sums
        }
        return cells
    }

    // MARK: Writing

    /// Hands over what the writer holds.
    private func put(to file: SnapshotFile) throws(FlushError) {
        try file.append(json.bytes)
        json.removeAll()
    }

    func write(
        _ head: SnapshotHead, _ began: Timestamp, to file: SnapshotFile
    ) throws(FlushError) {
        json.beginObject()
        json.key("schema")
        json.integer(head.schema)
        json.key("workspace")
        json.string(context.settings.id.text)
        json.key("date")
        json.string("\(day)")
        json.key("zone")
        json.string(context.settings.calendar.zone)
        json.key("revision")
        json.integer(head.revision)
        json.key("final")
        json.boolean(head.isFinal)
        json.key("dataset")
        json.string(head.dataset)
        json.key("written_at")
        json.string(began.text)
        try put(to: file)
        try file.append(",\n")
    }

    /// The totals, then the sums by hour, action, model, and all three together.
    func writeSums(
        _ cells: [RollupField: DaySums], _ table: MeterTable, to file: SnapshotFile
    ) throws(FlushError) {
        for sums in cells.values { totals.add(sums) }
        json.beginObject()
        table.write(totals, &json)
        json.endObject()
        try file.append(Array(json.bytes.dropFirst().dropLast()))
        json.removeAll()
        try file.append(",\n")
        try list("\"hours\":[", cells, table, to: file) {
            RollupField(hour: $0.hour, action: .empty, model: .empty)
        } write: {
            $1.hour($0)
        }
        try list("\"actions\":[", cells, table, to: file) {
            RollupField(hour: nil, action: $0.action, model: .empty)
        } write: {
            $1.label("action", $0.action)
        }
        try list("\"models\":[", cells, table, to: file) {
            RollupField(hour: nil, action: .empty, model: $0.model)
        } write: {
            $1.label("model", $0.model)
        }
        try list("\"cells\":[", cells, table, to: file) {
            $0
        } write: { field, json in
            json.hour(field)
            json.label("action", field.action)
            json.label("model", field.model)
        }
    }

    private func list(
        _ name: StaticString, _ cells: [RollupField: DaySums], _ table: MeterTable,
        to file: SnapshotFile, by group: (RollupField) -> RollupField,
        write: (RollupField, inout JSONWriter) -> Void
    ) throws(FlushError) {
        var sums: [RollupField: DaySums] = [:]
        for (field, cell) in cells { sums[group(field), default: DaySums()].add(cell) }
        try file.append(name)
        var isFirst = true
        for (field, sum) in sums.sorted(by: { $0.key < $1.key }) {
            try file.append(isFirst ? "\n" : ",\n")
            isFirst = false
            json.beginObject()
            write(field, &json)
            table.write(sum, &json)
            json.endObject()
            try put(to: file)
        }
        try file.append("\n],\n")
    }

    func writeSubjects(_ tail: DayTail, to file: SnapshotFile) async throws(FlushError) {
        var ranks = context.settings.rankedMeters.map { RankHead($0, tail.table) }
        var count = 0
        var sum = DaySums()
        var lower: [UInt8]? = []
        var (listed, toldMS) = (0, context.clock.monotonicMS)
        try file.append("\"subjects\":[")
        while let from = lower {
            let list = try await subjects(from: from, tail)
            listed += list.count
            for start in stride(from: 0, to: list.count, by: Self.subjectsPerCall) {
                let ids = (start..<min(start + Self.subjectsPerCall, list.count)).map { list[$0] }
                try await read(ids, tail) { (id, sums, times) throws(FlushError) in
                    sum.add(sums)
                    for index in ranks.indices { ranks[index].offer(sums, of: id) }
                    try file.append(count == 0 ? "\n" : ",\n")
                    count += 1
                    json.beginObject()
                    json.key("subject")
                    json.string(bytes: id)
                    if let times = DayTimes(day, first: times.first, last: times.last) {
                        json.key("first")
                        json.string(times.first.text)
                        json.key("last")
                        json.string(times.last.text)
                    }
                    tail.table.write(sums, &json)
                    json.endObject()
                    try put(to: file)
                }
                try await context.checkpoint()
                guard context.clock.monotonicMS - toldMS > Self.tellingMS else { continue }
                toldMS = context.clock.monotonicMS
                context.logger?.notice(
                    "writing the day \(day): \(count) of \(listed) subjects"
                        + (list.upper == nil ? "" : " or more"))
            }
            lower = list.upper
        }
        try file.append("\n],\n")
        if !(sum == totals) {
            let reason = "\(sum.events) events by subject, \(totals.events) by hour"
            guard isCopy else { throw .unequal(reason) }
            inequality = reason
        }
        try write(ranks, count, to: file)
    }

    /// Reads some subjects, and tells what each of them had used at the cut, and the times of its
    /// first and last event, of which the last may be of after the cut.
    private func read(
        _ ids: [[UInt8]], _ tail: DayTail,
        _ body: ([UInt8], DaySums, (first: Int, last: Int)) throws(FlushError) -> Void
    ) async throws(FlushError) {
        tail.drop(before: ids[0])
        let (records, uses) = try await entries(of: ids, tail)
        var sums = DaySums()
        for (index, id) in ids.enumerated() {
            sums.removeAll()
            let times: (first: Int, last: Int)?
            if let record = records[index].bytes, PackedCursor.day(ofRecord: record) == day.number {
                times = PackedCursor.addRecord(record, to: &sums, tail.table)
            } else if let use = uses[index].bytes {
                times = PackedCursor.addUse(use, to: &sums, tail.table)
            } else if tail.subjects[ByteString(bytes: id)] != nil {
                // A guest who has become a user since: what it had at the cut is in the log.
                times = (first: .max, last: .min)
            } else {
                continue
            }
            guard let times else { throw .damaged("what a subject used on a day") }
            var isSeen = times.first <= times.last
            if !tail.subjects.isEmpty, let late = tail.subjects[ByteString(bytes: id)] {
                sums.add(late, sign: -1)
                // It may have had no event before the cut.
                isSeen = false
            }
            // One whose events were all undone is listed: it was there.
            if isSeen || !sums.isZero { try body(id, sums, times) }
        }
    }

    private func write(
        _ ranks: [RankHead], _ count: Int, to file: SnapshotFile
    ) throws(FlushError) {
        json.beginObject()
        json.key("subject_count")
        json.integer(count)
        json.key("ranks")
        json.beginObject()
        for rank in ranks {
            json.key(bytes: Array(rank.meter.name.utf8))
            json.beginArray()
            for entry in rank.entries {
                json.beginObject()
                json.key("subject")
                json.string(bytes: entry.subject.bytes)
                json.key("value")
                json.integer(entry.value)
                json.endObject()
            }
            json.endArray()
        }
        json.endObject()
        json.endObject()
        try file.append(Array(json.bytes.dropFirst().dropLast()))
        json.removeAll()
        try file.append(",\n")
    }
}

extension JSONWriter {
    fileprivate mutating func hour(_ field: RollupField) {
        key("hour")
        string(Timestamp(milliseconds: (field.hour ?? 0) * 1000).text)
    }

    fileprivate mutating func label(_ name: StaticString, _ label: ByteString) {
        key(name)
        string(bytes: label.bytes)
    }
}
