// SPDX-License-Identifier: Apache-2.0

public import Metering
internal import Redis

extension DirectoryStore {
    /// What `change` needs of a workspace that has, or will have, no data.
    private static let names = [DirectoryKeyspace.workspaces, DirectoryKeyspace.version]

    private static func names(of workspace: WorkspaceID) -> [[UInt8]] {
        names + [DirectoryKeyspace.changes(of: workspace)]
    }

    /// Adds a workspace; false when there is one of its id.
    public func addWorkspace(_ settings: WorkspaceSettings) async throws(MeteringError) -> Bool {
        let entry = settings.entry
        let isNew =
            settings.id != .default
            ? try await change(
                Self.names(of: settings.id), settings.id.text, from: [], to: entry) : false
        try await refresh()
        return isNew
    }

    /// Changes a workspace; nil when there is none.
    ///
    /// - Parameter make: changes the settings as they are, once or more often.
    public func changeWorkspace(
        _ id: WorkspaceID, _ make: (inout WorkspaceSettings) throws -> Void
    ) async throws -> WorkspaceSettings? {
        for _ in 0..<20 {
            var command = RedisCommand("HGET")
            command.append(DirectoryKeyspace.workspaces)
            command.append(id.text)
            let old = try await send(command).bytes
            try await refresh()
            guard var settings = directory.settings(of: id) else { return nil }
            try make(&settings)
            if try await change(
                Self.names(of: id), id.text, from: old ?? [], to: settings.entry)
            {
                try await refresh()
                return settings
            }
        }
        throw MeteringError.undecided(reason: "others keep changing the workspace")
    }

    /// Takes a workspace out of the directory with its keys; false when there is none. Its id is
    /// not free before `removeData` has removed what it had.
    public func removeWorkspace(_ id: WorkspaceID) async throws(MeteringError) -> Bool {
        var command = RedisCommand("HGET")
        command.append(DirectoryKeyspace.workspaces)
        command.append(id.text)
        guard id != .default, let old = try await send(command).bytes,
            old != DirectoryKeyspace.doomed
        else { return false }
        let isRemoved = try await change(
            Self.names, id.text, from: old, to: DirectoryKeyspace.doomed)
        while isRemoved {
            let keys = try await keys(of: id, offset: 0, limit: 500)
            if keys.isEmpty { break }
            for (key, _) in keys { _ = try await revokeKey(key.id, of: id) }
        }
        try await refresh()
        return isRemoved
    }

    /// Removes all that a deleted workspace has in Redis, in small steps, and frees its id.
    public func removeData(of id: WorkspaceID) async throws(MeteringError) {
        var cursor = Array("0".utf8)
        repeat {
            var scan = RedisCommand("SCAN")
            scan.append(cursor)
            scan.append("MATCH")
            scan.append(DirectoryKeyspace.pattern(of: id))
            scan.append("COUNT")
            scan.append(500)
            guard let page = try await send(scan).array, page.count == 2,
                let next = page[0].bytes, let names = page[1].array
            else { throw .damaged(what: "SCAN") }
            cursor = next
            var unlink = RedisCommand("UNLINK")
            for name in names.compactMap(\.bytes) { unlink.append(name) }
            if !names.isEmpty { _ = try await send(unlink) }
        } while cursor != Array("0".utf8)
        _ = try await change(Self.names, id.text, from: DirectoryKeyspace.doomed, to: [])
        try await refresh()
    }
}
