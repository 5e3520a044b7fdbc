// SPDX-License-Identifier: Apache-2.0

internal import JSON

/// Writes the audit log from the files of its days.
struct AuditRestorer {
    /// An act may have some ten thousand bytes.
    private static let actsPerCall = 20

    private let writer: RestoreWriter
    private let keys: Keyspace

    init(_ writer: RestoreWriter) {
        self.writer = writer
        keys = writer.keys
    }

    /// Writes the days, which are in their order.
    func run(
        _ days: [SnapshotSource.Day], advance: (_ readCount: Int) async throws -> Void
    ) async throws {
        for day in days {
            let pieces = try SnapshotPieces(day.path)
            var waiting: [AuditEntry] = []
            while let piece = try pieces.next() {
                guard case .element(let value) = piece else { continue }
                guard let entry = AuditRecord(value)?.entry, entry.id.day == day.day else {
                    throw pieces.fault("an act's line")
                }
                waiting.append(entry)
                if waiting.count == Self.actsPerCall { try await put(&waiting) }
            }
            try await put(&waiting)
            try await advance(pieces.lines.readCount)
        }
        try await writer.put(days, to: keys.auditChanges, .plain) { day, packer in
            packer.string("\(day.day.number)")
            packer.string("\(day.title.revision)")
        }
    }

    private func put(_ entries: inout [AuditEntry]) async throws {
        guard !entries.isEmpty else { return }
        let packer = writer.packer
        // Each is packed by itself, and then once more with the others.
        let outcomes = entries.map { $0.outcome?.packed(packer) ?? [] }
        packer.array(3 * entries.count)
        for (entry, outcome) in zip(entries, outcomes) {
            packer.string(entry.id.text)
            let fields = entry.act.fields
            packer.array(fields.count)
            for field in fields { packer.string(field) }
            packer.string(outcome)
        }
        try await writer.check(
            writer.run(
                ScriptLibrary.restoreAudit, [keys.meta, keys.audit, keys.auditOutcomes],
                [packer.take()]))
        entries = []
    }
}
