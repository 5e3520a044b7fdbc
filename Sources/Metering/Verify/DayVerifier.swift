// SPDX-License-Identifier: Apache-2.0
//
// What Redis holds of a day is written once more, as a snapshot of one instant, to a file that nobody
// sees. That file is compared: its parts with each other, and all of it with the day's snapshot if
// both are of the same revision. So a service may count on meanwhile.

internal import Glibc
internal import JSON
internal import Redis

/// Verifies a day whose detail is in Redis.
final class DayVerifier {
    private static let subjectsPerCall = 200
    /// More times that differ are not told.
    private static let timesMax = 1_000

    private let day: CivilDay
    private let file: SnapshotSource.Day?
    private let context: VerifyContext
    private let ranked: [Meter]
    private var place: String { "day \(day)" }

    /// - Parameter ranked: the meters that have boards of the day.
    init(_ day: CivilDay, _ file: SnapshotSource.Day?, ranked: [Meter], _ context: VerifyContext) {
        self.day = day
        self.file = file
        self.ranked = ranked
        self.context = context
    }

    func run() async throws {
        let path = "\(context.scratch)/\(day).json"
        unlink(path)
        let copy = try SnapshotFile(path: path)
        defer { copy.discard() }
        let snapshot = DaySnapshot(
            of: day, isFinal: file?.title.isFinal ?? false,
            context.flushContext(
                ranked: try file.map { try DayRestorer.rankedMeters(of: $0.path) } ?? ranked))
        let (revision, byAction, table, inequality) = try await snapshot.copy(to: copy)
        let source = SnapshotSource.Day(
            day: day, path: path, title: try SnapshotTitle(path: path))
        try await compareDay(byAction, table, path)
        if inequality != nil {
            var verifier = FileVerifier(source) { [self] difference in
                context.report(
                    Difference(
                        place, difference.what, expected: difference.expected,
                        found: difference.found))
            }
            try await verifier.run { _ in await context.pause() }
        }
        if let file {
            if file.title.revision == revision {
                var comparison = SnapshotComparison(
                    place: "\(place) against \(file.path)", report: context.report)
                var times: [Difference] = []
                comparison.otherwise = { if times.count < Self.timesMax { times.append($0) } }
                try await comparison.run(
                    file.path, path, lists: ["hours", "actions", "models", "cells", "subjects"]
                ) {
                    await context.pause()
                }
                // Sums are of the instant of the copy; first and last times are of when a subject was read.
                if try await self.changes() == revision { times.forEach(context.report) }
            } else if file.title.revision > revision {
                context.report(
                    Difference(
                        place, "changes of \(file.path)", expected: file.title.revision,
                        found: revision))
            }
        }
        try await verifyBoards(path)
    }

    private func changes() async throws -> Int? {
        try await context.send(
            RedisCommand("HGET", [context.keys.changes, Array("\(day.number)".utf8)])
        ).decimal
    }

    /// The sums by action and model, which Redis keeps, against those by hour.
    private func compareDay(
        _ byAction: [RollupField: DaySums], _ table: MeterTable, _ path: String
    ) async throws {
        var sums: [RollupField: UsedAmounts] = [:]
        let pieces = try SnapshotPieces(path)
        var list = ""
        while let piece = try pieces.next() {
            if case .list(let name) = piece { list = name }
            if list == "subjects" { break }
            guard case .element(let value) = piece, list == "cells",
                let used = UsedAmounts(value), let action = value["action"]?.string,
                let model = value["model"]?.string
            else { continue }
            let field = RollupField(
                hour: nil, action: ByteString(action), model: ByteString(model))
            sums[field, default: UsedAmounts()].add(used)
        }
        for field in Set(sums.keys).union(byAction.keys).sorted() {
            let kept = byAction[field].map { table.used($0) } ?? UsedAmounts()
            for difference in (sums[field] ?? UsedAmounts()).differences(from: kept) {
                context.report(
                    Difference(
                        place,
                        "\(difference.name) of \(field.action.text) \(field.model.text) by day",
                        expected: difference.mine, found: difference.other))
            }
        }
    }

    // MARK: Boards

    /// Each subject of the day against its places on the boards, and the other way round.
    private func verifyBoards(_ path: String) async throws {
        let seen = try await SeenVerifier(day, context)
        var (ids, count) = ([[UInt8]](), 0)
        func finish() async throws {
            try await verify(ids)
            try await seen?.verify(ids)
            count += ids.count
            ids = []
        }
        let pieces = try SnapshotPieces(path)
        var list = ""
        while let piece = try pieces.next() {
            if case .list(let name) = piece { list = name }
            guard case .element(let value) = piece, list == "subjects",
                let subject = value["subject"]?.string
            else { continue }
            ids.append(Array(subject))
            if ids.count == Self.subjectsPerCall { try await finish() }
        }
        try await finish()
        try await seen?.finish(count: count)
        for meter in ranked {
            try await context.each(
                context.keys.board(day, meter), by: Self.subjectsPerCall, "ZSCAN"
            ) { try await self.verify($0, only: meter) }
        }
    }

    /// Compares what some subjects used with their scores, at one instant.
    private func verify(_ ids: [[UInt8]], only: Meter? = nil) async throws {
        guard !ids.isEmpty else { return }
        let meters = only.map { [$0] } ?? ranked
        let keys = context.keys
        let reply = try await context.run(
            ScriptLibrary.readRanks,
            [keys.subjects, keys.use(day)] + meters.map { keys.board(day, $0) }, ids)
        let columns = reply.compactMap(\.elements)
        guard columns.count == 2 + meters.count, columns.allSatisfy({ $0.count == ids.count })
        else { throw RedisError.unexpectedReply("read_ranks") }
        let table = MeterTable()
        for (index, id) in ids.enumerated() {
            let name = ByteString(bytes: id).text
            guard let record = columns[0][index].bytes else {
                // An erasure has taken it out since it was listed: it is nowhere then.
                if columns.allSatisfy({ $0[index].bytes == nil }) { continue }
                context.report(
                    Difference(place, "record of \(name)", expected: "one", found: "none"))
                continue
            }
            var sums = DaySums()
            if PackedCursor.day(ofRecord: record) == day.number {
                _ = PackedCursor.addRecord(record, to: &sums, table)
            } else if let use = columns[1][index].bytes {
                _ = PackedCursor.addUse(use, to: &sums, table)
            }
            let used = table.used(sums)
            for (column, meter) in meters.enumerated() {
                let score = columns[2 + column][index].score
                let value = used.amounts[meter] ?? 0
                if value != -(score ?? 0) || value == 0 && score != nil {
                    context.report(
                        Difference(
                            "board \(day) \(meter.name)", name, expected: "\(value)",
                            found: score.map { "\(-$0)" } ?? "not on it"))
                }
            }
        }
    }
}

extension MeterTable {
    /// Sums by the meters themselves.
    func used(_ sums: DaySums) -> UsedAmounts {
        var used = UsedAmounts()
        used.events = sums.events
        for (place, amount) in sums.amounts.enumerated() where amount != 0 {
            if let meter = meter(at: place) { used.amounts[meter] = amount }
        }
        return used
    }
}
