// SPDX-License-Identifier: Apache-2.0

public import Metering
internal import Redis

extension DirectoryStore {
    /// What `change` needs of a workspace that has, or will have, no data.
    private static let names = [DirectoryKeyspace.workspaces, DirectoryKeyspace.version]

    private static func names(of settings: WorkspaceSettings) -> [[UInt8]] {
        names + [DirectoryKeyspace.changes(of: settings.id, settings.birth)]
    }

    /// Adds a workspace; false when there is one of its id.
    public func addWorkspace(_ settings: WorkspaceSettings) async throws(MeteringError) -> Bool {
        var settings = settings
        settings.birth = String(UInt64.random(in: .min ... .max), radix: 36)
        var isNew = false
        if settings.id != .default, try await entry(of: settings.id) == nil {
            settings.takenAt = try await wasOthers(settings.id) ? clock.now : nil
            isNew = try await change(
                Self.names(of: settings), settings.id.text, from: [], to: settings.entry)
        }
        try await refresh()
        return isNew
    }

    /// Whether others had an id before, whose tokens name it.
    private func wasOthers(_ id: WorkspaceID) async throws(MeteringError) -> Bool {
        var scan = RedisCommand("HSCAN")
        scan.append(DirectoryKeyspace.removed)
        var wasOthers = false
        let pattern = DirectoryKeyspace.removed(id, "*")
        try await eachPage(of: scan, matching: pattern) { (fields) async throws(MeteringError) in
            let times = stride(from: 1, to: fields.count, by: 2).lazy.map { fields[$0] }
            wasOthers = times.contains { $0 != DirectoryKeyspace.restored }
            return !wasOthers
        }
        return wasOthers
    }

    /// Changes a workspace; nil when there is none.
    ///
    /// - Parameter make: changes the settings as they are, once or more often.
    /// - Throws: what `make` throws; 409 `time_zone_in_use` for another zone once something was counted, or
    ///   somebody has an account;
    ///   `MeteringError`.
    public func changeWorkspace(
        _ id: WorkspaceID, _ make: (inout WorkspaceSettings) throws -> Void
    ) async throws -> WorkspaceSettings? {
        for _ in 0..<20 {
            let old = try await entry(of: id)
            try await refresh()
            try requireReadable(id)
            guard var settings = directory.settings(of: id) else { return nil }
            let zone = settings.calendar.zone
            try make(&settings)
            let changed =
                settings.calendar.zone == zone
                ? try await change(
                    Self.names(of: settings), id.text, from: old ?? [], to: settings.entry)
                : try await move(settings, from: old ?? [], zone)
            if changed {
                try await refresh()
                return settings
            }
        }
        throw MeteringError.postponed(reason: "others keep changing the workspace")
    }

    /// Changes a workspace to another zone: what others have cut into days of the old one, and not
    /// counted yet, is refused from then on.
    private func move(
        _ settings: WorkspaceSettings, from old: [UInt8], _ zone: String
    ) async throws -> Bool {
        let names = [
            DirectoryKeyspace.rules(of: settings.id, settings.birth),
            DirectoryKeyspace.subjects(of: settings),
            DirectoryKeyspace.accounts(of: settings),
        ]
        let reply = try await run(
            ScriptLibrary.changeDirectory, Self.names(of: settings) + names,
            [
                Array(settings.id.text.utf8), old, settings.entry, Array("0".utf8),
                Array(settings.calendar.zone.utf8),
            ])
        guard reply != 2 else {
            throw EventRejection(
                status: 409, code: "time_zone_in_use", field: "time_zone",
                detail: "events, limits or credits were counted by days of \(zone)")
        }
        return reply == 1
    }

    /// Takes a workspace out of the directory with its keys; false when there is none. From then on nothing is
    /// counted in it, by processes that have not heard of that either. Its id is not free before `removeData` has
    /// removed what it had.
    public func removeWorkspace(_ id: WorkspaceID) async throws(MeteringError) -> Bool {
        guard id != .default, let old = try await entry(of: id), !DirectoryKeyspace.isDoomed(old)
        else { return false }
        guard let settings = WorkspaceSettings(id, entry: old, defaults: directory.defaults) else {
            throw .damaged(what: "the settings of the workspace")
        }
        // Its keys open nothing from then on: the workspace that they are of is not there.
        let reply = try await run(
            ScriptLibrary.deleteWorkspace,
            Self.names + [DirectoryKeyspace.rules(of: id, settings.birth)],
            [Array(id.text.utf8), old, DirectoryKeyspace.doomed(settings.birth)])
        await refreshAfterChange()
        return reply == 1
    }

    /// Whether a deleted workspace still has its place: nobody else has removed all of it.
    public func isHere(_ doomed: Directory.Doomed) async throws(MeteringError) -> Bool {
        try await entry(of: doomed.id) == doomed.entry
    }

    /// The name of the data that Redis has of the workspace of this id; nil when there is none, or it
    /// has none.
    public func dataset(of id: WorkspaceID) async throws(MeteringError) -> String? {
        try await refresh()
        try requireReadable(id)
        guard let settings = directory.settings(of: id) else { return nil }
        return try await dataset(of: id, birth: settings.birth)
    }

    /// The same, of one that was deleted.
    public func dataset(of doomed: Directory.Doomed) async throws(MeteringError) -> String? {
        try await dataset(of: doomed.id, birth: doomed.birth)
    }

    private func dataset(
        of id: WorkspaceID, birth: String
    ) async throws(MeteringError) -> String? {
        try await send(
            RedisCommand("HGET"), DirectoryKeyspace.meta(of: id, birth), Array("dataset".utf8)
        ).text
    }

    /// Whether files are those of a workspace that was deleted and removed. One that is merely not found may have been
    /// lost: its files are all that there is. Neither are they if the workspace that has its id now is of the
    /// same data, which a restore has brought, or may be bringing.
    public func isRemoved(
        _ id: WorkspaceID, birth: String, dataset: String
    ) async throws(MeteringError) -> Bool {
        try await refresh()
        try requireReadable(id)
        let next = directory.settings(of: id)
        guard next?.birth != birth,
            try await send(
                RedisCommand("HEXISTS"), DirectoryKeyspace.removed,
                DirectoryKeyspace.removed(id, birth)
            ).integer == 1
        else { return false }
        guard let next else { return true }
        let facts = try await send(
            RedisCommand("HMGET"), DirectoryKeyspace.meta(of: id, next.birth),
            Array("dataset".utf8), Array("restoring".utf8))
        guard let values = facts.array, values.count == 2 else { throw .damaged(what: "meta") }
        return values[1].bytes == nil && values[0].text != dataset
    }

    /// Removes all that a deleted workspace has in Redis, in small steps, and frees its id; its rules stay, and say
    /// that it was deleted. Several processes may do so at once; none touches what a restore has brought back since.
    public func removeData(of doomed: Directory.Doomed) async throws(MeteringError) {
        try await removeKeys(of: doomed)
        let pattern = DirectoryKeyspace.pattern(of: doomed.id, doomed.birth)
        try await eachPage(of: RedisCommand("SCAN"), matching: pattern) {
            (names) async throws(MeteringError) in
            guard !names.isEmpty else { return true }
            return try await unlink(names, of: doomed)
        }
        // Noted before the mark goes: what comes late for it is removed by this note.
        if try await isHere(doomed) {
            _ = try await send(
                RedisCommand("HSET"), DirectoryKeyspace.removed,
                DirectoryKeyspace.removed(doomed.id, doomed.birth),
                Array("\(clock.now.milliseconds)".utf8))
        }
        _ = try await change(Self.names, doomed.id.text, from: doomed.entry, to: [])
        try await refresh()
    }

    /// Removes what processes that were late have left of workspaces that were removed. O(keys of Redis), in
    /// slices.
    public func removeOrphans() async throws(MeteringError) {
        try await refresh()
        try await eachPage(of: RedisCommand("SCAN"), matching: DirectoryKeyspace.bornPattern) {
            (names) async throws(MeteringError) in
            var orphans: [Directory.Doomed: [[UInt8]]] = [:]
            for name in names {
                // Whose keys are those of one that cannot be read is not known.
                guard let (id, birth) = DirectoryKeyspace.owner(of: name),
                    !directory.isDamaged(id), directory.settings(of: id)?.birth != birth
                else { continue }
                let orphan = Directory.Doomed(id: id, birth: birth)
                // What is being removed has its time, and the rules stay.
                guard !directory.doomed.contains(orphan),
                    name != DirectoryKeyspace.rules(of: id, birth)
                else { continue }
                orphans[orphan, default: []].append(name)
            }
            // The script looks whether it was removed, and is not there by now.
            for (orphan, names) in orphans where try await unlink(names, of: orphan) {
                try await removeKeys(of: orphan)
            }
            return true
        }
    }

    /// False when there is a workspace of this id and birth: a restore has brought it back, or begun to.
    private func unlink(
        _ names: [[UInt8]], apiKeys: [[UInt8]] = [], of doomed: Directory.Doomed
    ) async throws(MeteringError) -> Bool {
        do {
            return try await client.run(
                ScriptLibrary.unlinkDoomed,
                keys: [
                    DirectoryKeyspace.workspaces, DirectoryKeyspace.removed,
                    DirectoryKeyspace.apiKeys, DirectoryKeyspace.apiKeysUsed,
                    DirectoryKeyspace.rules(of: doomed.id, doomed.birth),
                ] + names,
                arguments: [
                    Array(doomed.id.text.utf8), Array(doomed.birth.utf8), doomed.entry,
                    DirectoryKeyspace.removed(doomed.id, doomed.birth),
                ] + apiKeys
            ).integer == 1
        } catch {
            throw .unavailable(error)
        }
    }

    /// Removes its API keys, those too that are in no list.
    private func removeKeys(of doomed: Directory.Doomed) async throws(MeteringError) {
        var scan = RedisCommand("HSCAN")
        scan.append(DirectoryKeyspace.apiKeys)
        try await eachPage(of: scan, matching: nil) { (fields) async throws(MeteringError) in
            var ids: [[UInt8]] = []
            for index in stride(from: 0, to: fields.count - 1, by: 2) {
                let id = String(decoding: fields[index], as: UTF8.self)
                guard let key = APIKey(id: id, record: fields[index + 1], json),
                    key.workspace == doomed.id, key.birth == doomed.birth
                else { continue }
                ids.append(fields[index])
            }
            return ids.isEmpty ? true : try await unlink([], apiKeys: ids, of: doomed)
        }
    }

    /// Goes through what a scan finds, page by page, until it is told to stop.
    ///
    /// - Parameter body: false to stop.
    private func eachPage(
        of command: RedisCommand, matching pattern: [UInt8]?,
        _ body: ([[UInt8]]) async throws(MeteringError) -> Bool
    ) async throws(MeteringError) {
        var cursor = Array("0".utf8)
        repeat {
            var scan = command
            scan.append(cursor)
            if let pattern {
                scan.append("MATCH")
                scan.append(pattern)
            }
            scan.append("COUNT")
            scan.append(500)
            guard let page = try await send(scan).array, page.count == 2,
                let next = page[0].bytes, let names = page[1].array
            else { throw .damaged(what: "SCAN") }
            cursor = next
            guard try await body(names.compactMap(\.bytes)) else { return }
        } while cursor != Array("0".utf8)
    }

    private func entry(of id: WorkspaceID) async throws(MeteringError) -> [UInt8]? {
        var command = RedisCommand("HGET")
        command.append(DirectoryKeyspace.workspaces)
        command.append(id.text)
        return try await send(command).bytes
    }
}
