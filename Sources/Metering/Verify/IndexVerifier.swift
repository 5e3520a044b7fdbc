// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// A key of Redis in which some records of a hash are found by something else than their ids.
struct RecordIndex<Record> {
    /// What stands with a member of it.
    enum Value {
        /// The value of a hash's field.
        case bytes([UInt8])
        case score(Double)
        /// Whatever it is.
        case any

        func equals(_ found: [UInt8]) -> Bool {
            switch self {
            case .bytes(let bytes): bytes == found
            case .score(let score): Double(String(decoding: found, as: UTF8.self)) == score
            case .any: true
            }
        }
    }

    enum Kind {
        case hash, sortedSet, set

        var scan: StaticString {
            switch self {
            case .hash: "HSCAN"
            case .sortedSet: "ZSCAN"
            case .set: "SSCAN"
            }
        }

        /// Reads what stands with members.
        var read: StaticString {
            switch self {
            case .hash: "HMGET"
            case .sortedSet: "ZMSCORE"
            case .set: "SMISMEMBER"
            }
        }
    }

    let name: String
    let key: [UInt8]
    let kind: Kind
    /// Members that need no record, as it is when one of them was found.
    var others: () async throws -> Set<[UInt8]> = { [] }
    /// Whose a member is. Nil where several records have one member: what has none is not looked for.
    let owner: ((_ member: [UInt8], _ value: [UInt8]) -> [UInt8])?
    /// What it has of a record; nil for nothing.
    let entry: (_ id: [UInt8], Record) -> (member: [UInt8], value: Value)?
}

/// Verifies that indexes have what the records of a hash say, and nothing else.
struct IndexVerifier<Record> {
    private static var idsPerCall: Int { 200 }

    let context: VerifyContext
    /// What a record is called.
    let noun: String
    /// The hash of the records.
    let records: [UInt8]
    /// Nil for a record that is damaged.
    let read: (_ id: [UInt8], _ packed: [UInt8]) -> Record?

    /// O(records * indexes). A script writes a record together with its indexes: a difference that
    /// stays is one.
    func run(_ indexes: [RecordIndex<Record>]) async throws {
        try await context.each(records, by: Self.idsPerCall) { ids in
            try await self.context.settled { try await self.missing(of: ids, in: indexes) }
        }
        for index in indexes where index.owner != nil {
            try await context.each(index.key, by: Self.idsPerCall, index.kind.scan) { members in
                try await self.context.settled { try await self.foreign(members, in: index) }
            }
        }
    }

    /// What records have and indexes have not.
    private func missing(
        of ids: [[UInt8]], in indexes: [RecordIndex<Record>]
    ) async throws -> [Difference] {
        var found: [Difference] = []
        var known: [(id: [UInt8], record: Record)] = []
        for (id, packed) in zip(ids, try await context.hash.values(records, of: ids)) {
            // Gone since it was listed.
            guard let packed else { continue }
            if let record = read(id, packed) {
                known.append((id, record))
            } else {
                found.append(
                    Difference(name(id), "record", expected: "a \(noun)", found: "something else"))
            }
        }
        for index in indexes {
            let wanted = known.compactMap { id, record in
                index.entry(id, record).map { (id: id, member: $0.member, value: $0.value) }
            }
            let values = try await values(of: wanted.map(\.member), in: index)
            for (entry, value) in zip(wanted, values) {
                if let value, entry.value.equals(value) { continue }
                found.append(
                    Difference(
                        name(entry.id), "its place in \(index.name)", expected: "it",
                        found: value == nil ? "nothing of it" : "another"))
            }
        }
        return found
    }

    /// What an index has and no record has.
    private func foreign(
        _ members: [[UInt8]], in index: RecordIndex<Record>
    ) async throws -> [Difference] {
        guard let owner = index.owner else { return [] }
        let owned = zip(members, try await values(of: members, in: index)).compactMap {
            member, value in value.map { (member: member, id: owner(member, $0)) }
        }
        let packed = try await context.hash.values(records, of: owned.map(\.id))
        let others = packed.contains { $0 == nil } ? try await index.others() : []
        return zip(owned, packed).compactMap { entry, packed in
            let record = packed.flatMap { read(entry.id, $0) }
            // A damaged one was told with the records.
            if packed != nil, record == nil { return nil }
            if record == nil, others.contains(entry.member) { return nil }
            if record.flatMap({ index.entry(entry.id, $0) })?.member == entry.member { return nil }
            return Difference(
                name(entry.id), "a place in \(index.name)", expected: "none",
                found: record == nil ? "one, without a \(noun)" : "one that is not its own")
        }
    }

    private func values(
        of members: [[UInt8]], in index: RecordIndex<Record>
    ) async throws -> [[UInt8]?] {
        guard !members.isEmpty else { return [] }
        let reply = try await context.send(
            RedisCommand(index.kind.read, [index.key] + members))
        guard let values = reply.elements, values.count == members.count else {
            throw RedisError.unexpectedReply("\(index.kind.read)")
        }
        return values.map { value in
            if case .set = index.kind { return value.integer == 1 ? [] : nil }
            return value.bytes
        }
    }

    private func name(_ id: [UInt8]) -> String { "\(noun) \(ByteString(bytes: id).text)" }
}
