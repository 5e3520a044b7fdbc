// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// Compares the lifetime totals of all subjects with the sums of their days: those in Redis, and those
/// that only files have. Subjects come in order on both sides, so that little is kept in memory.
final class LifetimeVerifier {
    /// Fields that one call may look up.
    private static let fieldsPerCall = 2_000

    private let context: VerifyContext
    private let hot: [CivilDay]
    private let shelves: DayShelves

    /// - Parameters:
    ///   - hot: the days whose detail is in Redis.
    ///   - files: of all other days.
    init(hot: [CivilDay], files: [SnapshotSource.Day], _ context: VerifyContext) throws {
        self.hot = hot
        self.context = context
        shelves = try DayShelves(files)
    }

    /// Returns what differs; nothing is reported yet, since days may leave Redis meanwhile.
    func run(_ found: (Difference) -> Void) async throws {
        let count = max(1, min(200, Self.fieldsPerCall / (hot.count + 1)))
        try await context.each(context.keys.subjects, by: count) {
            try await self.verify($0, found)
        }
        while let line = try shelves.next(through: nil) { tellUnknown(line, found) }
    }

    /// Whom files know, and Redis does not.
    private func tellUnknown(_ line: DayShelves.Line, _ found: (Difference) -> Void) {
        for day in line.days {
            found(
                Difference(
                    "subject \(ByteString(bytes: line.subject).text)",
                    "record, since \(day) has it",
                    expected: "one", found: "none"))
        }
    }

    private func verify(_ ids: [[UInt8]], _ found: (Difference) -> Void) async throws {
        let keys = context.keys
        let reply = try await context.run(
            ScriptLibrary.readLifetimes, [keys.subjects] + hot.map { keys.use($0) }, ids)
        let columns = reply.compactMap(\.elements)
        guard columns.count == 1 + hot.count, columns.allSatisfy({ $0.count == ids.count }) else {
            throw RedisError.unexpectedReply("read_lifetimes")
        }
        let table = MeterTable()
        for (index, id) in ids.enumerated() {
            let place = "subject \(ByteString(bytes: id).text)"
            var expected = try coldSum(of: id, found)
            // Gone since it was listed: nothing takes a subject away but an erasure.
            guard let packed = columns[0][index].bytes else { continue }
            guard let record = SubjectRecord(packed) else {
                found(Difference(place, "record", expected: "one", found: "something else"))
                continue
            }
            var sums = DaySums()
            _ = PackedCursor.addRecord(packed, to: &sums, table)
            for column in columns.dropFirst() {
                guard let use = column[index].bytes else { continue }
                if PackedCursor.addUse(use, to: &sums, table) == nil {
                    found(Difference(place, "a day's use", expected: "sums", found: "else"))
                }
            }
            expected.add(table.used(sums))
            var kept = UsedAmounts()
            kept.events = record.eventCount
            for meter in record.meters { kept.amounts[meter.meter] = meter.total }
            for difference in expected.differences(from: kept) {
                found(
                    Difference(
                        place, "\(difference.name) ever", expected: difference.mine,
                        found: difference.other))
            }
        }
    }

    /// What the files say of a subject. Subjects are asked for in order.
    private func coldSum(
        of id: [UInt8], _ found: (Difference) -> Void
    ) throws -> UsedAmounts {
        while let line = try shelves.next(through: id) {
            if line.subject == id { return line.used }
            tellUnknown(line, found)
        }
        return UsedAmounts()
    }
}
