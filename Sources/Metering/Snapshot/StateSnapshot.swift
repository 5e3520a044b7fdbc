// SPDX-License-Identifier: Apache-2.0
//
// state.json: what the days' files do not tell. Grants are read before accounts and holds after
// them: a grant that comes meanwhile is in its account at least, and a hold that was ended
// meanwhile is open in its account, which is what counts.

internal import JSON
internal import Redis

/// Writes settings, rules, API keys, accounts, grants, holds, marks of reversals, profiles, receipts of
/// erasures and subjects' times to one file. Each account is as it was at an instant of its own.
final class StateSnapshot {
    /// An account may have a thousand holds.
    private static let accountsPerCall = 50
    /// In their order.
    static let lists = [
        "api_keys", "pool", "pool_keys", "pool_holders", "pool_providers", "grants", "accounts",
        "alerts_told", "holds", "reversed", "people", "merged", "erasures", "times",
    ]
    static let fieldsPerCall = 200

    private let context: FlushContext
    private let revision: Int
    let workspace: WorkspaceSettings
    let keys: Keyspace
    let hash: OrderedHash
    var json = JSONWriter(capacity: 4096)

    /// - Parameter revision: how many changes there were before it is begun.
    init(revision: Int, _ context: FlushContext) {
        self.revision = revision
        self.context = context
        workspace = context.settings
        keys = Keyspace(workspace)
        hash = OrderedHash(client: context.client, byteCountMax: context.idByteCountMax) {
            () async throws(FlushError) in try await context.checkpoint()
        }
    }

    /// Writes it and puts it in its place.
    func write() async throws(FlushError) {
        guard let fence = context.lease?.fence else { throw .leaseLost }
        let file = try context.folder.beginState(fence: fence)
        do throws(FlushError) {
            let head = try await copy(to: file)
            try await context.checkpoint(isLast: true)
            try context.folder.commitState(file, as: head, fence: fence)
            try await context.noteWritten(Keyspace.stateChanges, revision: head.revision)
        } catch {
            file.discard()
            throw error
        }
    }

    /// Writes it to a file, and lets that be.
    @discardableResult
    func copy(to file: SnapshotFile) async throws(FlushError) -> SnapshotHead {
        let head = SnapshotHead(revision: revision, isFinal: false, dataset: context.dataset)
        try write(head, to: file)
        try await writeSettings(to: file)
        try await writeAPIKeys(to: file)
        try await writePool(to: file)
        let grants = try await writeGrants(to: file)
        let accounts = try await writeAccounts(to: file)
        try await writeTold(to: file)
        let holds = try await writeHolds(to: file)
        let reversed = try await writeReversed(to: file)
        let people = try await writePeople(to: file)
        try await writeMerged(to: file)
        try await writeErasures(to: file)
        try await writeTimes(to: file)
        try await writeRules(to: file)
        json.beginObject()
        json.member("grant_count", grants)
        json.member("account_count", accounts)
        json.member("hold_count", holds)
        json.member("reversed_count", reversed)
        json.member("people_count", people)
        json.endObject()
        try file.append(Array(json.bytes.dropFirst().dropLast()))
        json.removeAll()
        try file.append(",\n")
        try file.finish()
        return head
    }

    private func write(_ head: SnapshotHead, to file: SnapshotFile) throws(FlushError) {
        json.beginObject()
        json.member("schema", head.schema)
        json.key("workspace")
        json.string(context.settings.id.text)
        json.key("zone")
        json.string(context.settings.calendar.zone)
        json.member("revision", head.revision)
        json.key("final")
        json.boolean(false)
        json.key("dataset")
        json.string(head.dataset)
        json.key("written_at")
        json.string(context.clock.now.text)
        json.member("lists", Self.lists.count)
        try put(to: file)
        try file.append(",\n")
    }

    func put(to file: SnapshotFile) throws(FlushError) {
        try file.append(json.bytes)
        json.removeAll()
    }

    /// Writes a list of lines, one per field of a hash for which `write` writes an object.
    func list(
        _ name: StaticString, _ key: [UInt8], by count: Int, to file: SnapshotFile,
        _ write: (
            [[UInt8]], [[UInt8]?],
            (_ line: (inout JSONWriter) -> Void) throws(FlushError)
                -> Void
        ) async throws(FlushError) -> Void
    ) async throws(FlushError) -> Int {
        var written = 0
        try file.append(name)
        try await hash.each(key, by: count) { (fields) async throws(FlushError) in
            let values = try await hash.values(key, of: fields)
            try await write(fields, values) { (line) throws(FlushError) in
                try file.append(written == 0 ? "\n" : ",\n")
                written += 1
                line(&json)
                try put(to: file)
            }
        }
        try file.append("\n],\n")
        return written
    }

    private func writeGrants(to file: SnapshotFile) async throws(FlushError) -> Int {
        try await list("\"grants\":[", keys.grants, by: Self.fieldsPerCall, to: file) {
            (names, values, line) async throws(FlushError) in
            for (name, value) in zip(names, values) {
                guard let value else { continue }
                guard let grant = GrantRecord(name: name, packed: value) else {
                    throw .damaged("a grant")
                }
                try line { grant.write(&$0) }
            }
        }
    }

    private func writeAccounts(to file: SnapshotFile) async throws(FlushError) -> Int {
        try await list("\"accounts\":[", keys.accounts, by: Self.accountsPerCall, to: file) {
            (subjects, values, line) async throws(FlushError) in
            for (subject, value) in zip(subjects, values) {
                guard let value else { continue }
                guard var account = AccountState(subject, packed: value) else {
                    throw .damaged("an account")
                }
                for start in stride(from: 0, to: account.holds.count, by: Self.fieldsPerCall) {
                    let end = min(start + Self.fieldsPerCall, account.holds.count)
                    let ids = account.holds[start..<end].map(\.id)
                    let holds = try await hash.values(keys.holds, of: ids)
                    for (index, hold) in zip(start..<end, holds) {
                        let record = hold.flatMap { HoldRecord(ids[index - start], packed: $0) }
                        account.holds[index].created = record?.created ?? 0
                        account.holds[index].asked = record?.asked ?? []
                        account.holds[index].askedCredits = record?.askedCredits
                    }
                }
                try line { account.write(&$0) }
            }
        }
    }

    /// Those that are over. Open ones stand in their accounts.
    private func writeHolds(to file: SnapshotFile) async throws(FlushError) -> Int {
        let now = context.clock.now.milliseconds
        return try await list("\"holds\":[", keys.holds, by: Self.fieldsPerCall, to: file) {
            (ids, values, line) async throws(FlushError) in
            for (id, value) in zip(ids, values) {
                guard let value else { continue }
                guard let hold = HoldRecord(id, packed: value) else { throw .damaged("a hold") }
                if hold.state == HoldRecord.open, hold.expires > now { continue }
                try line { hold.write(&$0) }
            }
        }
    }

    private func writeReversed(to file: SnapshotFile) async throws(FlushError) -> Int {
        try await list("\"reversed\":[", keys.reversed, by: Self.fieldsPerCall, to: file) {
            (pointers, values, line) async throws(FlushError) in
            for (pointer, value) in zip(pointers, values) {
                guard let value else { continue }
                guard pointer.count == 9,
                    let position = Int(String(decoding: value, as: UTF8.self))
                else { throw .damaged("a mark of a reversal") }
                let place = Int(pointer[7]) << 8 | Int(pointer[8])
                try line { json in
                    json.beginObject()
                    json.member("event", LogPosition(pointer).eventID(place: place).bytes)
                    json.member("reversal", position)
                    json.endObject()
                }
            }
        }
    }

    private func writePeople(to file: SnapshotFile) async throws(FlushError) -> Int {
        try await list("\"people\":[", keys.people, by: Self.fieldsPerCall, to: file) {
            (subjects, values, line) async throws(FlushError) in
            for (subject, value) in zip(subjects, values) {
                guard let value else { continue }
                let id = SubjectID(stored: ByteString(bytes: subject))
                guard let profile = Profile(id, packed: value) else { throw .damaged("a profile") }
                try line { profile.write(&$0) }
            }
        }
    }

    private func writeMerged(to file: SnapshotFile) async throws(FlushError) {
        _ = try await list("\"merged\":[", keys.merged, by: Self.fieldsPerCall, to: file) {
            (guests, users, line) async throws(FlushError) in
            for (guest, user) in zip(guests, users) {
                guard let user else { continue }
                try line { json in
                    json.beginObject()
                    json.member("subject", guest)
                    json.member("user", user)
                    json.endObject()
                }
            }
        }
    }

    /// Those that are done: one that is under way knows the person, and whoever restores erases again.
    private func writeErasures(to file: SnapshotFile) async throws(FlushError) {
        _ = try await list("\"erasures\":[", keys.erasures, by: Self.fieldsPerCall, to: file) {
            (ids, values, line) async throws(FlushError) in
            for (id, value) in zip(ids, values) {
                guard let value else { continue }
                guard let erasure = Erasure(String(decoding: id, as: UTF8.self), packed: value)
                else { throw .damaged("an erasure") }
                guard erasure.isDone else { continue }
                try line { erasure.writeReceipt(&$0) }
            }
        }
    }

    private func writeTimes(to file: SnapshotFile) async throws(FlushError) {
        _ = try await list("\"times\":[", keys.activity, by: Self.fieldsPerCall, to: file) {
            (subjects, values, line) async throws(FlushError) in
            for (subject, value) in zip(subjects, values) {
                guard let value else { continue }
                guard let record = ActivityRecord(subject, packed: value) else {
                    throw .damaged("the times of a subject")
                }
                try line { record.write(&$0) }
            }
        }
    }

    /// The parts of the rules, a line each, in their order.
    private func writeRules(to file: SnapshotFile) async throws(FlushError) {
        let names = ["version", "prices", "limits", "credits", "alerts"]
        let values = try await hash.values(keys.rules, of: names.map { Array($0.utf8) })
        // Of a workspace that was deleted meanwhile there is nothing to write.
        if values.first == Rules.deleted { throw .leaseLost }
        for (name, value) in zip(names, values) {
            guard let value, !value.contains(UInt8(ascii: "\n")) else { continue }
            try file.append(Array("\"\(name == "version" ? "rules_version" : name)\":".utf8))
            try file.append(value)
            try file.append(",\n")
        }
    }
}
