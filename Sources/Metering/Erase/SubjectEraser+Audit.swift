// SPDX-License-Identifier: Apache-2.0

internal import JSON
internal import Redis

extension SubjectEraser {
    /// Takes the subject out of the log of what administrators did: that they did it stays.
    func eraseAudit() async throws {
        // No file may be written of what is counted as changed, and is not changed yet.
        try await holdSnapshots()
        let redaction = try AuditRedaction(erasure)
        let rewriter = StreamRewriter(client, keys, lease)
        var stands = false
        var changed: Set<[UInt8]> = []
        try await rewriter.each(keys.audit, holding: []) { found in
            for entry in found where redaction.fields(of: entry.fields) != nil {
                stands = true
                changed.insert(entry.id)
            }
            try await self.eraseOutcomes(of: found.map(\.id), redaction, &changed)
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
        of ids: [[UInt8]], _ redaction: AuditRedaction, _ changed: inout Set<[UInt8]>
    ) async throws {
        let values = try await send("HMGET", [keys.auditOutcomes] + ids).elements ?? []
        for (id, value) in zip(ids, values) {
            guard var parts = value.bytes.flatMap({ MessagePackValue($0)?.array }),
                parts.count == 3, let after = parts[2].bytes, redaction.isNamed(in: after)
            else { continue }
            try await countChanges(of: [id])
            parts[2] = .string([])
            writer.value(.array(parts))
            _ = try await send("HSET", [keys.auditOutcomes, id, writer.take()])
            changed.insert(id)
        }
    }
}

/// What an act tells of an erased subject, and how it reads without.
private struct AuditRedaction {
    private let names: Set<ByteString>
    /// What else tells who it was.
    private let texts: Set<ByteString>
    private let anonymous: SubjectID
    private let json: JSONReader

    init(_ erasure: Erasure) throws {
        names = Set(erasure.names)
        texts = Set(erasure.texts)
        anonymous = erasure.anonymous
        json = try JSONReader()
    }

    /// The fields of an entry as they read without the subject; nil when they do not name it.
    func fields(of old: [[UInt8]]) -> [[UInt8]]? {
        var fields: [[UInt8]] = []
        var isChanged = false
        for index in stride(from: 0, to: old.count - 1, by: 2) {
            let (name, value) = (old[index], old[index + 1])
            var new: [UInt8]? = value
            switch String(decoding: name, as: UTF8.self) {
            case "path": new = path(value)
            case "actor": new = actor(value)
            case "before": if isNamed(in: value) { new = nil }
            default: break
            }
            if new != value { isChanged = true }
            if let new { fields += [name, new] }
        }
        return isChanged ? fields : nil
    }

    private func path(_ path: [UInt8]) -> [UInt8] {
        let slash = UInt8(ascii: "/")
        let parts = path.split(separator: slash, omittingEmptySubsequences: false).map { part in
            names.contains(ByteString(bytes: Self.decoded(part))) ? anonymous.id.bytes : Array(part)
        }
        return Array(parts.joined(separator: [slash]))
    }

    /// Whoever acts by a token is named by it.
    private func actor(_ actor: [UInt8]) -> [UInt8] {
        let prefix = Array("token:".utf8)
        guard actor.starts(with: prefix),
            names.contains(ByteString(bytes: Array(actor.dropFirst(prefix.count))))
        else { return actor }
        return prefix + anonymous.id.bytes
    }

    private static func decoded(_ part: ArraySlice<UInt8>) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = part
        while let byte = rest.popFirst() {
            let digits = String(decoding: rest.prefix(2), as: UTF8.self)
            if byte == UInt8(ascii: "%"), digits.utf8.count == 2,
                let value = UInt8(digits, radix: 16)
            {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return bytes
    }

    /// Whether some JSON names the subject. What cannot be read may do so.
    func isNamed(in bytes: [UInt8]) -> Bool {
        guard !bytes.isEmpty else { return false }
        guard let value = try? json.read(bytes) else { return true }
        return isNamed(in: value)
    }

    private func isNamed(in value: JSONValue, of member: String = "") -> Bool {
        switch value.kind {
        case .string:
            guard let text = value.string.map({ ByteString(bytes: Array($0)) }) else {
                return false
            }
            return names.contains(text) || texts.contains(text)
        case .number:
            // Applications whose users are numbers tell them so; other numbers are none.
            return member.hasSuffix("id")
                && value.number.map { names.contains(ByteString(bytes: Array($0))) } ?? false
        case .array: return value.elements.contains { isNamed(in: $0, of: member) }
        case .object:
            return value.members.contains { name, member in
                names.contains(ByteString(bytes: Array(name.bytes)))
                    || isNamed(in: member, of: name.text)
            }
        case .null, .true, .false: return false
        }
    }
}
