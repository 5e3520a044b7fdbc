// SPDX-License-Identifier: Apache-2.0

internal import JSON
internal import Redis

/// Writes the workspace's entries of the directory: its settings and its API keys.
final class DirectoryRestorer {
    private let writer: RestoreWriter
    private let workspace: WorkspaceSettings
    /// Whether Redis had an entry of it at the start.
    private let isPresent: Bool
    /// In which the days of the files begin; nil where no file tells.
    private let zone: String?
    private let path: String
    private var settings: [UInt8]?
    private var waiting: [APIKeyRecord] = []
    private(set) var keyCount = 0
    /// Whether what is written differs from what the file says: the workspace that is there has
    /// another birth.
    private(set) var isChanged = false

    /// - Parameter workspace: its birth is what the keys of Redis have.
    init(
        _ writer: RestoreWriter, _ workspace: WorkspaceSettings, isPresent: Bool, zone: String?,
        path: String
    ) {
        self.isPresent = isPresent
        (self.writer, self.workspace, self.zone, self.path) = (writer, workspace, zone, path)
    }

    var isFull: Bool { waiting.count == RestoreWriter.valuesPerCall }

    /// Takes the settings as the file has them.
    func take(settings entry: [UInt8]) throws {
        guard var told = WorkspaceSettings(workspace.id, entry: entry) else {
            throw SnapshotFault(file: path, reason: "its settings are not those of a workspace")
        }
        guard workspace.id == .default || told.calendar.zone == zone else {
            throw SnapshotFault(
                file: path, reason: "its settings have another zone (\(told.calendar.zone))")
        }
        guard told.birth != workspace.birth else { return settings = entry }
        told.birth = workspace.birth
        settings = told.entry
        isChanged = true
    }

    /// Takes a line of `api_keys`; false when it is none of a key of this workspace.
    func take(_ value: JSONValue, _ line: [UInt8]) -> Bool {
        guard let id = value["id"]?.string,
            let key = APIKeyRecord(line: line, id: Array(id), of: workspace.id),
            let restored = key.given(workspace.birth)
        else { return false }
        waiting.append(restored)
        return true
    }

    /// Looks whether the places of the file's keys are free, or are made so by the restore, which takes away what
    /// is in the workspace's list. Writes nothing.
    func check() async throws {
        let pieces = try SnapshotPieces(path)
        // The keys are the first list.
        while let piece = try pieces.next() {
            switch piece {
            case .text("settings", let text): try take(settings: text)
            case .list(let name) where name != "api_keys": return try await checkWaiting()
            case .element(let value):
                guard take(value, pieces.line) else { throw pieces.fault("an API key's line") }
                if isFull { try await checkWaiting() }
            default: break
            }
        }
        try await checkWaiting()
    }

    private func checkWaiting() async throws {
        for (id, record) in try await taken() {
            let owner = APIKeyRecord.workspace(of: record)
            if owner == workspace.id.text {
                let score = try await writer.send(
                    RedisCommand("ZSCORE", [writer.keys.apiKeys, id]))
                if score.bytes != nil { continue }
            }
            throw RestoreError.keyTaken(
                id: String(decoding: id, as: UTF8.self), owner: owner, by: workspace.id.text)
        }
        waiting = []
    }

    /// Ids of keys that wait, and the records that have them. One of the same workspace by another birth is left of a
    /// restore that broke off, and in nobody's way.
    private func taken() async throws -> [(id: [UInt8], record: [UInt8])] {
        guard !waiting.isEmpty else { return [] }
        let reply = try await writer.send(
            RedisCommand("HMGET", [DirectoryKeyspace.apiKeys] + waiting.map(\.id)))
        guard let others = reply.elements, others.count == waiting.count else {
            throw RedisError.unexpectedReply("HMGET")
        }
        return zip(waiting, others).compactMap { key, other in
            guard let record = other.bytes,
                APIKeyRecord(id: key.id, record: record, of: workspace.id)?.birth
                    ?? workspace.birth == workspace.birth
            else { return nil }
            return (key.id, record)
        }
    }

    /// Writes the keys that wait. The list of the workspace's keys comes first: what is in it is
    /// taken away when a restore that was interrupted begins anew.
    func flush() async throws {
        guard !waiting.isEmpty else { return }
        // What was there before is gone by now.
        if let other = try await taken().first {
            let id = String(decoding: other.id, as: UTF8.self)
            throw SnapshotFault(
                file: path, reason: "the API key \(id) is there twice, or is another workspace's")
        }
        try await writer.put(waiting, to: writer.keys.apiKeys, .scores) {
            $1.string($0.id)
            $1.integer($0.createdMS)
        }
        try await writer.put(waiting, to: DirectoryKeyspace.apiKeys, .plain) {
            $1.string($0.id)
            $1.string($0.record)
        }
        keyCount += waiting.count
        waiting = []
    }

    /// Writes the settings, and has all processes read the directory anew.
    func finish() async throws {
        if workspace.id != .default {
            try await finishZone()
        } else if let zone {
            // An option of the service, which has to be the files'.
            try await note(zone)
        }
        if let settings {
            try await writer.put([settings], to: DirectoryKeyspace.workspaces, .plain) {
                $1.string(Array(workspace.id.text.utf8))
                $1.string($0)
            }
        }
        _ = try await writer.send(RedisCommand("INCR", [DirectoryKeyspace.version]))
    }

    /// Has nobody count by another zone than the one that the files' days were cut by: who still goes by
    /// what Redis had before is refused by the rules.
    private func finishZone() async throws {
        let reply = try await writer.send(
            RedisCommand(
                "HGET", [DirectoryKeyspace.workspaces, Array(workspace.id.text.utf8)]))
        let there = reply.bytes.flatMap { WorkspaceSettings(workspace.id, entry: $0) }
        guard there.map(\.birth) == (isPresent ? workspace.birth : nil) else {
            throw RestoreError.changed(workspace: workspace.id.text)
        }
        let told = settings.flatMap { WorkspaceSettings(workspace.id, entry: $0) }
        var last = told ?? there ?? WorkspaceSettings(id: workspace.id)
        if told == nil {
            // Files of before settings were written: without an entry nobody could call, and one of
            // another zone would have the days go on in that.
            last.birth = workspace.birth
            if let zone { last.calendar = WorkspaceCalendar(zone: zone) ?? .utc }
            if last != there { settings = last.entry }
        }
        let since = max(
            try await writer.lastRemoval() ?? 0, there?.takenAt?.milliseconds ?? 0)
        if since > last.takenAt?.milliseconds ?? 0 {
            // Tokens of those that had the id since it was saved are not its own.
            last.takenAt = Timestamp(milliseconds: since)
            settings = last.entry
            isChanged = true
        }
        try await note(last.calendar.zone)
    }

    private func note(_ zone: String) async throws {
        try await writer.put([zone], to: writer.keys.rules, .plain) {
            $1.string("zone")
            $1.string($0)
        }
    }
}
