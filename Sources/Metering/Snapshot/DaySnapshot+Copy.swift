// SPDX-License-Identifier: Apache-2.0

internal import Redis

extension DaySnapshot {
    /// Writes what the day's snapshot would hold to another file, and nothing to Redis: for who
    /// compares. It is of one instant, as a snapshot is.
    ///
    /// - Returns: how many batches had changed the day, the sums by action and model as Redis keeps
    ///   them, and where the sums of its parts do not agree.
    func copy(
        to file: SnapshotFile
    ) async throws(FlushError) -> (
        revision: Int, byAction: [RollupField: DaySums], table: MeterTable, inequality: String?
    ) {
        isCopy = true
        let tail = try await look()
        let head = SnapshotHead(revision: tail.changes, isFinal: isFinal, dataset: context.dataset)
        try write(head, context.clock.now, to: file)
        let cells = try await hours(tail)
        let byAction = try await actions(tail)
        try writeSums(cells, tail.table, to: file)
        tail.dropCells()
        try await writeSubjects(tail, to: file)
        try file.finish()
        return (head.revision, byAction, tail.table, inequality)
    }

    /// The day's totals at an instant, and what they are of.
    func totals() async throws(FlushError) -> DayCut {
        let tail = try await look()
        let ends = zip(arrivals, tail.ends).map { ($0.number, $1) }
        let revision = tail.changes
        var sums = DaySums()
        for cell in try await hours(tail).values { sums.add(cell) }
        return DayCut(
            revision: revision, ends: Dictionary(uniqueKeysWithValues: ends),
            used: tail.table.used(sums))
    }

    /// Where a copy begins: as `cut`, without a trace.
    private func look() async throws(FlushError) -> DayTail {
        try await findLogs()
        packer.array(4)
        packer.integer(day.number)
        packer.integer(-1)
        packer.string("0")
        packer.integer(1)
        let reply = try await run(ScriptLibrary.readHours, [keys.hours(day), keys.changes] + logs)
        guard reply.count == 4, let changes = reply[0].integer,
            let ends = reply[1].bytes.flatMap({ MessagePackValue($0) })?.integers,
            ends.count == arrivals.count
        else { throw .redis(.unexpectedReply("read_hours")) }
        return DayTail(
            of: day, changes: changes, ends: ends, arrivals: arrivals, context.client,
            context.settings)
    }

    /// The day's sums by action and model, as they were at the cut.
    private func actions(_ tail: DayTail) async throws(FlushError) -> [RollupField: DaySums] {
        var sums: [RollupField: DaySums] = [:]
        try await scanSums(keys.day(day), tail) { (name, entry) throws(FlushError) in
            // Other fields have no separator.
            guard let field = RollupField(name, isHourly: false) else { return }
            var sum = DaySums()
            guard PackedCursor.addEntry(entry, to: &sum, tail.table) else {
                throw .damaged("a daily rollup")
            }
            for (late, amounts) in tail.cells ?? [:]
            where late.action == field.action && late.model == field.model {
                sum.add(amounts, sign: -1)
            }
            sums[field] = sum.isZero ? nil : sum
        }
        return sums
    }

    /// Goes through a hash of sums; the tail is brought to each slice before it is handed over.
    func scanSums(
        _ key: [UInt8], _ tail: DayTail,
        _ body: (_ field: [UInt8], _ entry: [UInt8]) throws(FlushError) -> Void
    ) async throws(FlushError) {
        var cursor = Array("0".utf8)
        repeat {
            packer.array(4)
            packer.integer(day.number)
            packer.integer(tail.changes)
            packer.string(cursor)
            packer.integer(Self.cellsPerCall)
            let reply = try await run(ScriptLibrary.readHours, [key, keys.changes] + logs)
            guard reply.count == 4, let next = reply[2].bytes, let pairs = reply[3].elements else {
                throw .redis(.unexpectedReply("read_hours"))
            }
            try await tail.follow(reply.prefix(2))
            for index in stride(from: 0, to: pairs.count - 1, by: 2) {
                guard let name = pairs[index].bytes, let entry = pairs[index + 1].bytes else {
                    throw .damaged("a rollup")
                }
                try body(name, entry)
            }
            try await context.checkpoint()
            cursor = next
        } while cursor != Array("0".utf8)
    }
}
