// SPDX-License-Identifier: Apache-2.0
//
// An act is noted twice: in the stream before it is done, and in the hash of outcomes after it. Both
// are written once, and changed by an erasure only, so that a process that is killed in between leaves
// an act without an outcome. Each time it is counted for the act's day, for the day's file (AuditSnapshot):
// whoever changes something of the log counts it, too.

internal import Redis

/// Notes administrative acts, and tells of them. On its loop's thread only.
final class AuditLog {
    private static let sliceCount = 100
    /// Entries that one page looks at: filters may pass few of them.
    private static let scanCountMax = 20_000

    private let client: RedisClient
    private let keys: Keyspace

    init(_ client: RedisClient, _ keys: Keyspace) {
        self.client = client
        self.keys = keys
    }

    /// Notes an act that is about to be done.
    func begin(_ act: AuditAct, at now: Timestamp) async throws(MeteringError) -> AuditPosition {
        let now = Array("\(max(1, now.milliseconds))".utf8)
        let reply = try await run(
            ScriptLibrary.beginAct, [keys.audit, keys.auditChanges], [now] + act.fields)
        guard let id = reply.text.flatMap({ AuditPosition($0) }) else { throw Self.damaged }
        return id
    }

    /// Notes how an act went; what was noted before stays.
    func end(_ id: AuditPosition, _ outcome: AuditOutcome) async throws(MeteringError) {
        _ = try await run(
            ScriptLibrary.endAct, [keys.auditOutcomes, keys.auditChanges],
            [Array(id.text.utf8), outcome.packed(MessagePackWriter())])
    }

    /// Acts of a day (UTC), the oldest first.
    func entries(
        of day: CivilDay, after last: AuditPosition?, limit: Int
    ) async throws(MeteringError) -> [AuditEntry] {
        let start = last.map { "(\($0.text)" } ?? "\(day.number * 86_400_000)"
        let end = "\((day.number + 1) * 86_400_000 - 1)"
        var entries = try await slice("XRANGE", start, end, limit)
        try await addOutcomes(&entries)
        return entries
    }

    /// Acts behind a cursor, the newest first. O(entries looked at), 20,000 at most.
    ///
    /// - Parameter limit: 1 or more.
    func page(
        _ query: AuditQuery, limit: Int, after cursor: AuditPosition?
    ) async throws(MeteringError) -> AuditPage {
        var page = AuditPage()
        // Ids begin at 0: what is asked for before that is nothing.
        let from = max(0, query.from?.milliseconds ?? 0)
        if let until = query.until, until.milliseconds <= from { return page }
        var end = query.until.map { "\($0.milliseconds - 1)" } ?? "+"
        if let cursor, cursor.milliseconds < query.until?.milliseconds ?? .max {
            end = "(\(cursor.text)"
        }
        var scanned = 0
        while true {
            let slice = try await slice("XREVRANGE", end, "\(from)", Self.sliceCount)
            for entry in slice where query.matches(entry.act) {
                page.entries.append(entry)
                if page.entries.count == limit { break }
            }
            scanned += slice.count
            let last = page.entries.count == limit ? page.entries.last : slice.last
            guard let last, page.entries.count == limit || slice.count == Self.sliceCount else {
                break
            }
            end = "(\(last.id.text)"
            if page.entries.count == limit || scanned >= Self.scanCountMax {
                page.next = last.id
                break
            }
        }
        try await addOutcomes(&page.entries)
        return page
    }

    private func slice(
        _ command: StaticString, _ first: String, _ last: String, _ count: Int
    ) async throws(MeteringError) -> [AuditEntry] {
        let reply = try await send(
            RedisCommand(
                command,
                [keys.audit] + [first, last, "COUNT", "\(count)"].map { Array($0.utf8) }))
        guard let elements = reply.elements else { throw Self.damaged }
        var entries: [AuditEntry] = []
        for element in elements {
            guard let entry = Self.entry(element) else { throw Self.damaged }
            entries.append(entry)
        }
        return entries
    }

    private static func entry(_ element: RedisValue) -> AuditEntry? {
        guard let parts = element.elements, parts.count == 2,
            let id = parts[0].text.flatMap({ AuditPosition($0) }), let fields = parts[1].elements
        else { return nil }
        var values: [String: [UInt8]] = [:]
        for index in stride(from: 0, to: fields.count - 1, by: 2) {
            guard let name = fields[index].text else { return nil }
            values[name] = fields[index + 1].bytes
        }
        func text(_ name: String) -> String {
            String(decoding: values[name] ?? [], as: UTF8.self)
        }
        guard let actor = values["actor"], values["method"] != nil, values["route"] != nil else {
            return nil
        }
        return AuditEntry(
            id: id,
            act: AuditAct(
                actor: ByteString(bytes: actor), role: text("role"), address: text("address"),
                method: text("method"), route: text("route"), path: text("path"),
                before: values["before"]))
    }

    private func addOutcomes(_ entries: inout [AuditEntry]) async throws(MeteringError) {
        for start in stride(from: 0, to: entries.count, by: Self.sliceCount) {
            let places = start..<min(start + Self.sliceCount, entries.count)
            let reply = try await send(
                RedisCommand(
                    "HMGET",
                    [keys.auditOutcomes] + places.map { Array(entries[$0].id.text.utf8) }))
            guard let values = reply.elements, values.count == places.count else {
                throw Self.damaged
            }
            for (place, value) in zip(places, values) {
                guard let bytes = value.bytes else { continue }
                guard let parts = MessagePackValue(bytes)?.array, parts.count == 3,
                    let ended = parts[0].integer, let status = parts[1].integer,
                    let after = parts[2].bytes
                else { throw Self.damaged }
                entries[place].outcome = AuditOutcome(
                    ended: Timestamp(milliseconds: ended), status: status,
                    after: after.isEmpty ? nil : after)
            }
        }
    }

    private func send(_ command: RedisCommand) async throws(MeteringError) -> RedisValue {
        do {
            return try await client.send(command)
        } catch {
            throw .unavailable(error)
        }
    }

    private func run(
        _ script: RedisScript, _ names: [[UInt8]], _ arguments: [[UInt8]]
    ) async throws(MeteringError) -> RedisValue {
        do {
            return try await client.run(script, keys: names, arguments: arguments)
        } catch {
            throw .unavailable(error)
        }
    }

    private static let damaged = MeteringError.damaged(what: "the audit log")
}

extension AuditAct {
    /// As an entry of the stream has it: names and values.
    var fields: [[UInt8]] {
        let texts = [
            ("role", role), ("address", address), ("method", method), ("route", route),
            ("path", path),
        ]
        return [Array("actor".utf8), actor.bytes]
            + texts.flatMap { [Array($0.0.utf8), Array($0.1.utf8)] }
            + (before.map { [Array("before".utf8), $0] } ?? [])
    }
}

extension AuditOutcome {
    /// As the hash of outcomes has it.
    func packed(_ writer: MessagePackWriter) -> [UInt8] {
        writer.array(3)
        writer.integer(ended.milliseconds)
        writer.integer(status)
        writer.string(after ?? [])
        return writer.take()
    }
}
