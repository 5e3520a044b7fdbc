// SPDX-License-Identifier: Apache-2.0

internal import JSON
internal import Redis

/// Writes what a day's file holds.
final class DayRestorer {
    /// Longer than a day stays open behind a restore, in seconds.
    private static let seenTTL = 40 * 86_400
    /// LARGE of lua/include/constants.lua.
    private static let largeSum = 1 << 40

    private let day: SnapshotSource.Day
    private let isHot: Bool
    private let floor: CivilDay
    private let calendar: WorkspaceCalendar
    private let writer: RestoreWriter
    private let keys: Keyspace
    private var count = 0
    private var rows: [Row] = []
    private var boards: [Meter] = []

    private struct Row {
        let subject: [UInt8]
        let used: UsedAmounts
        let first: Int
        let last: Int
    }

    /// - Parameter floor: the first day that records are on.
    init(
        _ day: SnapshotSource.Day, isHot: Bool, floor: CivilDay, _ calendar: WorkspaceCalendar,
        _ writer: RestoreWriter
    ) {
        self.day = day
        self.isHot = isHot
        self.floor = floor
        self.calendar = calendar
        self.writer = writer
        keys = writer.keys
    }

    /// Returns how many subjects the day has.
    func run(_ advance: (_ readCount: Int) async throws -> Void) async throws -> Int {
        boards = isHot ? try Self.rankedMeters(of: day.path) : []
        let pieces = try SnapshotPieces(day.path)
        var list = ""
        var cells: [(RollupField, UsedAmounts)] = []
        var sums: [RollupField: UsedAmounts] = [:]
        var seen = 0
        while let piece = try pieces.next() {
            switch piece {
            case .list(let name): list = name
            case .element(let value) where list == "cells":
                let (field, used) = try cell(value, pieces)
                let ofDay = RollupField(hour: nil, action: field.action, model: field.model)
                sums[ofDay, default: UsedAmounts()].add(used)
                if isHot { cells.append((field, used)) }
                if cells.count == RestoreWriter.valuesPerCall {
                    try await put(cells, to: keys.hours(day.day))
                    cells = []
                }
            case .element(let value) where list == "subjects":
                rows.append(try row(value, pieces))
                if rows.count == RestoreWriter.valuesPerCall { try await writeRows() }
            default: break
            }
            if pieces.lines.readCount - seen >= 1 << 20 {
                try await advance(pieces.lines.readCount - seen)
                seen = pieces.lines.readCount
            }
        }
        try await put(cells, to: keys.hours(day.day))
        try await writeRows()
        if isHot { try await put(sums.map { ($0.key, $0.value) }, to: keys.day(day.day)) }
        try await markLarge(sums.values)
        try await advance(pieces.lines.readCount - seen)
        return count
    }

    /// The meters that a day has boards of, in the order of the file, where they stand behind the
    /// subjects.
    static func rankedMeters(of path: String) throws -> [Meter] {
        let lines = try SnapshotLines(path)
        let reader = try JSONReader()
        var meters: [Meter] = []
        while let line = try lines.next() {
            guard line.starts(with: #""subject_count":"#.utf8) else { continue }
            let json = [UInt8(ascii: "{")] + line.dropLast(2) + [UInt8(ascii: "}")]
            guard let ranks = try reader.read(json)["ranks"] else { continue }
            for (name, _) in ranks.members {
                if let meter = Meter(name: name.bytes) { meters.append(meter) }
            }
        }
        return meters
    }

    // MARK: Subjects

    private func row(_ value: JSONValue, _ pieces: SnapshotPieces) throws -> Row {
        guard let subject = value["subject"]?.string, let used = UsedAmounts(value) else {
            throw pieces.fault("a subject's line is not what a snapshot has")
        }
        let start = calendar.start(of: day.day) * 1000
        func time(_ name: StaticString) -> Int {
            value[name]?.text.flatMap { Timestamp($0) }?.milliseconds ?? start
        }
        return Row(subject: Array(subject), used: used, first: time("first"), last: time("last"))
    }

    private func writeRows() async throws {
        guard !rows.isEmpty else { return }
        count += rows.count
        let packer = writer.packer
        packer.array(4)
        packer.integer(day.day.number)
        packer.integer(isHot ? 1 : 0)
        packer.integer(floor.number)
        packer.array(5 * rows.count)
        for row in rows {
            packer.string(row.subject)
            packer.integer(row.used.events)
            packer.integer(row.first)
            packer.integer(row.last)
            packer.amounts(row.used)
        }
        try await writer.check(
            writer.run(
                ScriptLibrary.restoreSubjects,
                [keys.meta, keys.subjects, keys.use(day.day), keys.guests],
                [packer.take()]))
        try await noteSeen()
        for meter in boards {
            let ranked = rows.compactMap { row in
                row.used.amounts[meter].flatMap { $0 > 0 ? (row.subject, $0) : nil }
            }
            try await writer.put(
                ranked, to: keys.board(day.day, meter), .scores
            ) { entry, packer in
                packer.string(entry.0)
                packer.integer(-entry.1)
            }
        }
        rows = []
    }

    /// Who was seen in the month, and on a day whose subjects are counted by that until it is closed.
    private func noteSeen() async throws {
        let isOpen = day.day >= floor
        let names = [keys.seen(month: day.day)] + (isOpen ? [keys.seen(day: day.day)] : [])
        writer.packer.integers(isOpen ? [0, Self.seenTTL] : [0])
        writer.packer.array(rows.count)
        for row in rows { writer.packer.string(row.subject) }
        try await writer.check(
            writer.run(
                ScriptLibrary.restoreSeen, [keys.meta, keys.merged] + names, [writer.packer.take()])
        )
    }

    // MARK: Sums

    private func cell(
        _ value: JSONValue, _ pieces: SnapshotPieces
    ) throws -> (RollupField, UsedAmounts) {
        guard let used = UsedAmounts(value), let action = value["action"]?.string,
            let model = value["model"]?.string,
            let hour = value["hour"]?.text.flatMap({ Timestamp($0) })
        else { throw pieces.fault("a cell's line is not what a snapshot has") }
        let field = RollupField(
            hour: hour.milliseconds.flooredQuotient(1000), action: ByteString(action),
            model: ByteString(model))
        return (field, used)
    }

    /// Has the sums of the day looked at from now on, if they are large: what comes late shall not take them
    /// past what is counted exactly.
    private func markLarge(_ sums: some Sequence<UsedAmounts>) async throws {
        var sum = UsedAmounts()
        for part in sums { sum.add(part) }
        guard sum.amounts.values.contains(where: { $0 > Self.largeSum }) else { return }
        try await writer.put([day.day], to: keys.large, .plain) { day, packer in
            packer.string("\(day.number)")
            packer.string("1")
        }
    }

    private func put(_ cells: [(RollupField, UsedAmounts)], to key: [UInt8]) async throws {
        try await writer.put(cells, to: key, .packed) {
            cell, packer in
            packer.string(cell.0.bytes)
            let used = cell.1
            packer.array(1 + 2 * used.amounts.count)
            packer.integer(used.events)
            packer.flat(used)
        }
    }
}

extension MessagePackWriter {
    /// An array of meters and amounts.
    fileprivate func amounts(_ used: UsedAmounts) {
        array(2 * used.amounts.count)
        flat(used)
    }

    fileprivate func flat(_ used: UsedAmounts) {
        for (meter, amount) in used.amounts.sorted(by: { Meter.precedes($0.key, $1.key) }) {
            self.meter(meter)
            integer(amount)
        }
    }
}
