// SPDX-License-Identifier: Apache-2.0
//
// rollups/<workspace>/audit/<YYYY-MM-DD>.json: the administrative acts that were begun on a day (UTC),
// one a line. A day's file is written anew when something of the day was noted since; `audit:changes`
// counts that, by day.

internal import Glibc
internal import JSON
internal import Redis

/// Writes the audit log to files, and lets old acts leave.
struct AuditSnapshot {
    static let lists = ["entries"]
    private static let actsPerCall = 50

    private let context: FlushContext
    private let keys: Keyspace
    private let log: AuditLog

    init(_ context: FlushContext) {
        self.context = context
        keys = Keyspace(context.settings)
        log = AuditLog(context.client, keys)
    }

    /// Writes the days that changed.
    ///
    /// - Parameter report: called with what keeps one of them from being written.
    func flush(_ report: (CivilDay, FlushError) -> Void) async throws(FlushError) {
        try await trim()
        for (day, changes) in try await Self.changes(context.client, keys) {
            do throws(FlushError) {
                try await flush(day, changes)
            } catch {
                guard error.concernsOneFile else { throw error }
                report(day, error)
            }
        }
    }

    /// Days with acts, and how often something of them was noted.
    static func changes(
        _ client: RedisClient, _ keys: Keyspace
    ) async throws(FlushError) -> [(day: CivilDay, count: Int)] {
        let reply: RedisValue
        do {
            reply = try await client.send(RedisCommand("HGETALL", [keys.auditChanges]))
        } catch {
            throw .redis(error)
        }
        guard let fields = reply.elements else { throw .damaged("the days of the audit log") }
        var days: [(day: CivilDay, count: Int)] = []
        for index in stride(from: 0, to: fields.count - 1, by: 2) {
            guard let day = fields[index].text.flatMap({ Int($0) }),
                let count = fields[index + 1].text.flatMap({ Int($0) })
            else { throw .damaged("the days of the audit log") }
            days.append((CivilDay(number: day), count))
        }
        return days.sorted { $0.day < $1.day }
    }

    /// Acts and files that are older than the workspace keeps them.
    private func trim() async throws(FlushError) {
        let today = context.clock.now.milliseconds.flooredQuotient(86_400_000)
        let floor = CivilDay(number: today - context.settings.auditDays)
        var count = 0
        repeat {
            do {
                let reply = try await context.client.run(
                    ScriptLibrary.trimAudit,
                    keys: [keys.audit, keys.auditOutcomes, keys.auditChanges, keys.snapshots],
                    arguments: ["\(floor.number)", "\(Self.actsPerCall)"].map { Array($0.utf8) })
                count = reply.integer ?? 0
            } catch {
                throw .redis(error)
            }
            try await context.checkpoint()
        } while count == Self.actsPerCall
        try context.folder.removeAudit(before: floor, dataset: context.dataset)
    }

    private func flush(_ day: CivilDay, _ changes: Int) async throws(FlushError) {
        guard let fence = context.lease?.fence else { throw .leaseLost }
        var revision = changes
        if let head = try context.folder.auditHead(day) {
            guard head.dataset == context.dataset else {
                throw .foreign(SnapshotFolder.foreign(context.folder.auditFile(day)))
            }
            if head.revision == changes { return }
            if head.revision > changes {
                // As for days: Redis has lost its last moments.
                revision = head.revision + 1
                try await raise(day, by: revision - changes)
            }
        }
        let file = try context.folder.beginAudit(day, fence: fence)
        do throws(FlushError) {
            let head = try await copy(day, revision: revision, to: file)
            try await context.checkpoint(isLast: true)
            try context.folder.commitAudit(file, as: head, of: day, fence: fence)
            try await context.noteWritten(Keyspace.auditWritten(day), revision: head.revision)
        } catch {
            file.discard()
            throw error
        }
    }

    private func raise(_ day: CivilDay, by count: Int) async throws(FlushError) {
        do {
            _ = try await context.client.send(
                RedisCommand(
                    "HINCRBY",
                    [keys.auditChanges, Array("\(day.number)".utf8), Array("\(count)".utf8)]))
        } catch {
            throw .redis(error)
        }
    }

    /// Writes a day to a file, and lets that be.
    @discardableResult
    func copy(
        _ day: CivilDay, revision: Int, to file: SnapshotFile
    ) async throws(FlushError) -> SnapshotHead {
        guard let reader = try? JSONReader() else { throw .damaged("no memory") }
        let head = SnapshotHead(revision: revision, isFinal: false, dataset: context.dataset)
        var json = JSONWriter(capacity: 4096)
        write(head, day, &json)
        try file.append(json.bytes)
        try file.append(",\n\"entries\":[")
        var count = 0
        var last: AuditPosition?
        repeat {
            let slice = try await entries(of: day, after: last)
            for entry in slice {
                json.removeAll()
                guard AuditRecord(entry).write(&json, reader) else {
                    throw .damaged("an act of the audit log")
                }
                try file.append(count == 0 ? "\n" : ",\n")
                try file.append(json.bytes)
                count += 1
            }
            last = slice.last?.id
            try await context.checkpoint()
        } while last != nil
        try file.append(Array("\n],\n\"entry_count\":\(count),\n".utf8))
        try file.finish()
        return head
    }

    private func write(_ head: SnapshotHead, _ day: CivilDay, _ json: inout JSONWriter) {
        json.beginObject()
        json.member("schema", head.schema)
        json.key("workspace")
        json.string(context.settings.id.text)
        json.key("date")
        json.string("\(day)")
        json.key("zone")
        json.string("UTC")
        json.member("revision", head.revision)
        json.key("final")
        json.boolean(false)
        json.key("dataset")
        json.string(head.dataset)
        json.key("written_at")
        json.string(context.clock.now.text)
    }

    private func entries(
        of day: CivilDay, after last: AuditPosition?
    ) async throws(FlushError) -> [AuditEntry] {
        do throws(MeteringError) {
            return try await log.entries(of: day, after: last, limit: Self.actsPerCall)
        } catch .unavailable(let error) {
            throw .redis(error)
        } catch {
            throw .damaged("\(error)")
        }
    }
}

extension SnapshotFolder {
    private var auditFolder: String { "\(path)/\(Self.auditName)" }

    func auditFile(_ day: CivilDay) -> String { "\(auditFolder)/\(day).json" }

    /// What is said of a day's acts; nil when there is no file that is whole enough to say it.
    func auditHead(_ day: CivilDay) throws(FlushError) -> SnapshotHead? {
        try SnapshotHead(path: auditFile(day))
    }

    /// A new file for a day's acts, beside the one that it is to replace.
    func beginAudit(_ day: CivilDay, fence: Int) throws(FlushError) -> SnapshotFile {
        try makeRoot()
        try make(auditFolder)
        return try begin("\(day)", in: auditFolder, fence)
    }

    /// Puts a finished file in the place of the day's, unless that is newer.
    func commitAudit(
        _ file: SnapshotFile, as head: SnapshotHead, of day: CivilDay, fence: Int
    ) throws(FlushError) {
        try commit(file, as: head, at: auditFile(day), in: auditFolder, fence)
    }

    /// Takes away the files of days before one, if they are of these data.
    func removeAudit(before floor: CivilDay, dataset: String) throws(FlushError) {
        for name in (try? SnapshotFolder.names(auditFolder)) ?? [] where name.hasSuffix(".json") {
            guard let day = CivilDay(String(name.dropLast(5))), day < floor,
                let head = try auditHead(day), head.dataset == dataset
            else { continue }
            unlink(auditFile(day))
        }
    }
}
