// SPDX-License-Identifier: Apache-2.0
//
// The workspace's entries of the directory, which belongs to no workspace: its settings and its API
// keys. Both stand in the file as Redis has them, byte for byte, since they are changed by comparing
// them with what was read.

internal import JSON

extension StateSnapshot {
    /// Writes the settings of the workspace, if it has others than the service was started with.
    func writeSettings(to file: SnapshotFile) async throws(FlushError) {
        let id = workspace.id.text
        let values = try await hash.values(DirectoryKeyspace.workspaces, of: [Array(id.utf8)])
        guard let entry = values[0], !DirectoryKeyspace.isDoomed(entry) else { return }
        guard !entry.contains(UInt8(ascii: "\n")),
            let settings = WorkspaceSettings(workspace.id, entry: entry)
        else {
            throw .damaged("the settings of the workspace")
        }
        // Of the next workspace of this id: this one is gone, and its state is no other's.
        guard settings.birth == workspace.birth else { throw .superseded }
        // They were changed a moment ago, and the next turn of the writer knows.
        guard settings.calendar.zone == workspace.calendar.zone || workspace.id == .default else {
            throw .superseded
        }
        try file.append("\"settings\":")
        try file.append(entry)
        try file.append(",\n")
    }

    /// Writes the API keys, by their ids.
    func writeAPIKeys(to file: SnapshotFile) async throws(FlushError) {
        try file.append("\"api_keys\":[")
        var isFirst = true
        try await hash.each(keys.apiKeys, by: Self.fieldsPerCall, "ZSCAN") {
            (ids) async throws(FlushError) in
            let records = try await hash.values(DirectoryKeyspace.apiKeys, of: ids)
            for (id, record) in zip(ids, records) {
                // One that has none was revoked meanwhile.
                guard let record else { continue }
                guard let key = APIKeyRecord(id: id, record: record, of: workspace.id) else {
                    throw .damaged("the API key \(ByteString(bytes: id).text)")
                }
                try file.append(isFirst ? "\n" : ",\n")
                isFirst = false
                try file.append(key.line)
            }
        }
        try file.append("\n],\n")
    }
}

/// An API key as the directory keeps it, in the parts that a snapshot has to know. Its secret is in
/// neither, but a digest of it.
struct APIKeyRecord {
    private static let roles: Set<String> = ["admin", "writer", "reader", "self"]

    let id: [UInt8]
    /// As Redis has it.
    let record: [UInt8]
    let createdMS: Int
    /// `WorkspaceSettings.birth` of its workspace.
    let birth: String

    /// Nil when it is no key's record, or another workspace's.
    init?(id: [UInt8], record: [UInt8], of workspace: WorkspaceID) {
        let isHexadecimal = id.allSatisfy {
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
        }
        guard !id.isEmpty, isHexadecimal, !record.contains(UInt8(ascii: "\n")),
            let reader = try? JSONReader(), let value = try? reader.read(record),
            value["workspace"]?.text == workspace.text,
            let role = value["role"]?.text, Self.roles.contains(role),
            let created = value["created_ms"]?.integer
        else { return nil }
        (self.id, self.record, createdMS) = (id, record, created)
        birth = value["birth"]?.text ?? ""
    }

    /// The workspace that a record names; nil when it cannot be read.
    static func workspace(of record: [UInt8]) -> String? {
        guard let reader = try? JSONReader(), let value = try? reader.read(record) else {
            return nil
        }
        return value["workspace"]?.text
    }

    /// Takes a line of a snapshot apart, without the comma behind it.
    init?(line: [UInt8], id: [UInt8], of workspace: WorkspaceID) {
        let start = Self.start(id)
        guard line.starts(with: start), line.last == UInt8(ascii: "}") else { return nil }
        self.init(id: id, record: Array(line.dropFirst(start.count).dropLast()), of: workspace)
    }

    /// The same key of the same workspace when that has another birth.
    func given(_ birth: String) -> APIKeyRecord? {
        if self.birth == birth { return self }
        guard let reader = try? JSONReader(), let value = try? reader.read(record),
            let workspace = value["workspace"]?.text.flatMap({ WorkspaceID($0) })
        else { return nil }
        var json = JSONWriter()
        json.beginObject()
        for (name, member) in value.members where name.text != "birth" {
            json.key(bytes: Array(name.bytes))
            json.value(member)
            // Where a new key has it.
            guard name.text == "workspace", !birth.isEmpty else { continue }
            json.key("birth")
            json.string(birth)
        }
        json.endObject()
        return APIKeyRecord(id: id, record: json.bytes, of: workspace)
    }

    /// As it stands in a snapshot.
    var line: [UInt8] { Self.start(id) + record + [UInt8(ascii: "}")] }

    private static func start(_ id: [UInt8]) -> [UInt8] {
        Array(#"{"id":""#.utf8) + id + Array(#"","key":"#.utf8)
    }
}
