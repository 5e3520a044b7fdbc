// SPDX-License-Identifier: Apache-2.0

internal import Redis

extension SubjectEraser {
    /// Takes the subject out of the log of what administrators did: that they did it stays.
    func eraseAudit() async throws {
        // No file may be written of what is counted as changed, and is not changed yet.
        try await holdSnapshots()
        let redaction = try AuditRedaction(
            of: erasure.names, texts: erasure.texts, as: erasure.anonymous)
        let rewriter = StreamRewriter(client, keys, lease)
        var stands = false
        var changed: Set<[UInt8]> = []
        try await rewriter.each(keys.audit, holding: []) { found in
            for entry in found where redaction.fields(of: entry.fields) != nil {
                stands = true
                changed.insert(entry.id)
            }
            try await self.eraseOutcomes(of: found, redaction, &changed)
            return true
        }
        try await countChanges(of: changed)
        if stands {
            try await rewriter.rewrite(keys.audit, holding: []) { found in
                found.compactMap { entry in
                    redaction.fields(of: entry.fields).map { (entry.id, $0) }
                }
            }
        }
        try await countChanges(of: changed)
        await releaseSnapshots()
        erasure.add(changed.count, to: .auditEntries)
    }

    /// Has the files of the days of some acts written anew. Before and after the change: whoever goes on
    /// after a crash finds nothing to change any more.
    private func countChanges(of acts: Set<[UInt8]>) async throws {
        let days = Set(
            acts.compactMap { id in
                Int(String(decoding: id.prefix { $0 != UInt8(ascii: "-") }, as: UTF8.self))?
                    .flooredQuotient(86_400_000)
            })
        for day in days {
            _ = try await send(
                "HINCRBY", [keys.auditChanges, Array("\(day)".utf8), Array("1".utf8)])
        }
    }

    /// Takes away what was noted after some acts, where that names the subject.
    private func eraseOutcomes(
        of acts: [StreamRewriter.Entry], _ redaction: AuditRedaction,
        _ changed: inout Set<[UInt8]>
    ) async throws {
        let values =
            try await send("HMGET", [keys.auditOutcomes] + acts.map(\.id)).elements ?? []
        for (act, value) in zip(acts, values) {
            guard var parts = value.bytes.flatMap({ MessagePackValue($0)?.array }),
                parts.count == 3, let after = parts[2].bytes,
                redaction.erases(outcome: after, of: act.fields)
            else { continue }
            try await countChanges(of: [act.id])
            parts[2] = .string([])
            writer.value(.array(parts))
            _ = try await send("HSET", [keys.auditOutcomes, act.id, writer.take()])
            changed.insert(act.id)
        }
    }
}
