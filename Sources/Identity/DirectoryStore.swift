// SPDX-License-Identifier: Apache-2.0

public import JSON
public import Metering
public import Redis

/// Reads and changes workspaces and keys in Redis. On its loop's thread only.
public final class DirectoryStore {
    /// How often a key's last use is written, at most.
    private static let usedEveryMS = 60_000

    let client: RedisClient
    public let directory: Directory
    let clock: any Clock
    let json: JSONReader
    private var used: [String: Int] = [:]

    public init(client: RedisClient, directory: Directory, clock: any Clock, json: JSONReader) {
        (self.client, self.directory, self.clock, self.json) = (client, directory, clock, json)
    }

    /// Takes what another loop or process has changed. One small command where nothing has.
    ///
    /// - Parameter isOfAnotherRedis: whether the version that is known may be that of other data.
    public func refresh(isOfAnotherRedis: Bool = false) async throws(MeteringError) {
        let asked = clock.now
        let version = try await send(RedisCommand("GET"), DirectoryKeyspace.version).bytes ?? []
        guard isOfAnotherRedis || version != directory.version else {
            return directory.noteRefreshed(at: asked)
        }
        let entries = try await send(RedisCommand("HGETALL"), DirectoryKeyspace.workspaces)
        guard let fields = entries.array else { throw .damaged(what: "the list of workspaces") }
        var workspaces: [WorkspaceSettings] = []
        var doomed: [Directory.Doomed] = []
        var damaged: Set<String> = []
        for index in stride(from: 0, to: fields.count - 1, by: 2) {
            // One that cannot be read is its own workspace's matter.
            let name = fields[index].text ?? ""
            guard let id = WorkspaceID(name), let entry = fields[index + 1].bytes else {
                damaged.insert(name)
                continue
            }
            if let birth = DirectoryKeyspace.birth(ofDoomed: entry) {
                doomed.append(Directory.Doomed(id: id, birth: birth))
            } else if let settings = WorkspaceSettings(
                id, entry: entry, defaults: directory.defaults)
            {
                workspaces.append(settings)
            } else {
                damaged.insert(name)
            }
        }
        // A change in between has a higher version, and is taken the next time.
        directory.replace(workspaces, doomed: doomed, damaged: damaged, version: version)
        directory.noteRefreshed(at: asked)
    }

    /// Takes what was just changed here. What is done stays done where it cannot be read again now: the next
    /// refresh takes it.
    func refreshAfterChange() async { _ = try? await refresh() }

    /// - Throws: when a workspace has an entry that cannot be read.
    public func requireReadable(_ workspace: WorkspaceID) throws(MeteringError) {
        guard directory.isDamaged(workspace) else { return }
        throw .damaged(what: "the settings of the workspace")
    }

    // MARK: Keys

    /// Whose secret it is; nil when it is no key's, or one that is revoked or expired.
    public func principal(ofSecret secret: [UInt8]) async throws(MeteringError) -> Principal? {
        guard let id = APIKey.id(in: secret) else { return nil }
        if !directory.isFresh(at: clock.now) { try await refresh() }
        var version = directory.version
        guard var key = try await key(id) else { return nil }
        if !isInForce(key) {
            // Of a workspace that another process has just made, perhaps.
            try await refresh()
            version = directory.version
            guard let present = try await self.key(id) else { return nil }
            key = present
            if key.isSecret(secret), key.isValid(at: clock.now) {
                try requireReadable(key.workspace)
            }
        }
        directory.remember(key, version: version)
        return principal(of: key, secret)
    }

    /// As `principal(ofSecret:)`, from what is known: nil when it has to be looked up.
    public func knownPrincipal(ofSecret secret: [UInt8]) -> Principal?? {
        guard let id = APIKey.id(in: secret) else { return .some(nil) }
        // What is of long ago is asked for: whoever keeps it up may have lost Redis.
        guard directory.isFresh(at: clock.now), let key = directory.key(id) else { return nil }
        return .some(principal(of: key, secret))
    }

    private func principal(of key: APIKey, _ secret: [UInt8]) -> Principal? {
        let now = clock.now
        guard key.isSecret(secret), key.isValid(at: now), isInForce(key) else {
            return nil
        }
        note(key, now)
        return key.principal
    }

    /// Notes that a key was used, now and then; that it was is worth no waiting.
    private func note(_ key: APIKey, _ now: Timestamp) {
        if let last = used[key.id], now.milliseconds - last < Self.usedEveryMS { return }
        if used.count >= 100_000 { used.removeAll() }
        used[key.id] = now.milliseconds
        var command = RedisCommand("HSET")
        command.append(DirectoryKeyspace.apiKeysUsed)
        command.append(key.id)
        command.append(now.milliseconds / Self.usedEveryMS * Self.usedEveryMS)
        client.send(command) { _ in }
    }

    func key(_ id: String) async throws(MeteringError) -> APIKey? {
        try await keyAndRecord(id)?.key
    }

    /// A key, and its record as Redis has it.
    private func keyAndRecord(
        _ id: String
    ) async throws(MeteringError) -> (key: APIKey, record: [UInt8])? {
        var command = RedisCommand("HGET")
        command.append(DirectoryKeyspace.apiKeys)
        command.append(id)
        guard let record = try await send(command).bytes else { return nil }
        guard let key = APIKey(id: id, record: record, json) else {
            throw .damaged(what: "the key \(id)")
        }
        return (key, record)
    }

    /// Makes a key; its secret is not kept.
    public func makeKey(
        name: String, role: Role, in workspace: WorkspaceSettings, subject: SubjectID?,
        expiresAt: Timestamp?
    ) async throws(MeteringError) -> (key: APIKey, secret: String) {
        let made = APIKey.make(
            name: name, role: role, workspace: workspace.id, birth: workspace.birth,
            subject: subject, now: clock.now, expiresAt: expiresAt)
        guard
            try await change(
                Self.names(of: made.key), made.key.id, from: [], to: made.key.record,
                score: made.key.createdAt.milliseconds)
        else { throw .postponed(reason: "another key has its id") }
        // Its secret is told now or never.
        await refreshAfterChange()
        return made
    }

    /// What `change` needs to change a key.
    private static func names(of key: APIKey) -> [[UInt8]] {
        [
            DirectoryKeyspace.apiKeys, DirectoryKeyspace.version,
            DirectoryKeyspace.changes(of: key.workspace, key.birth),
            DirectoryKeyspace.apiKeys(of: key.workspace, key.birth),
        ]
    }

    /// Revokes a key of a workspace; false when it has none of this id.
    public func revokeKey(
        _ id: String, of workspace: WorkspaceSettings
    ) async throws(MeteringError) -> Bool {
        for _ in 0..<20 {
            // Compared as it was read: the same key may be written down in more ways than one.
            guard let (key, record) = try await keyAndRecord(id), key.isOf(workspace) else {
                return false
            }
            guard try await change(Self.names(of: key), key.id, from: record, to: []) else {
                continue
            }
            directory.forgetKey(id)
            _ = try? await send(
                RedisCommand("HDEL"), DirectoryKeyspace.apiKeysUsed, Array(id.utf8))
            await refreshAfterChange()
            return true
        }
        throw .postponed(reason: "others keep changing the key")
    }

    /// A key outlives its workspace for a moment.
    private func isInForce(_ key: APIKey) -> Bool {
        directory.settings(of: key.workspace).map { key.isOf($0) } ?? false
    }

    /// A key of a workspace, with the milliseconds of its last use; nil when it has none of this id.
    public func key(
        _ id: String, of workspace: WorkspaceSettings
    ) async throws(MeteringError) -> (key: APIKey, usedMS: Int?)? {
        guard let key = try await key(id), key.isOf(workspace) else { return nil }
        let used = try await send(
            RedisCommand("HGET"), DirectoryKeyspace.apiKeysUsed, Array(id.utf8))
        return (key, used.text.flatMap { Int($0) })
    }

    // MARK: Redis

    /// Puts an entry in the place of another; false when that has changed since it was read.
    func change(
        _ names: [[UInt8]], _ field: String, from old: [UInt8], to new: [UInt8], score: Int = 0
    ) async throws(MeteringError) -> Bool {
        try await run(
            ScriptLibrary.changeDirectory, names,
            [Array(field.utf8), old, new, Array("\(score)".utf8)]) == 1
    }

    func run(
        _ script: RedisScript, _ names: [[UInt8]], _ arguments: [[UInt8]]
    ) async throws(MeteringError) -> Int? {
        do {
            return try await client.run(script, keys: names, arguments: arguments).integer
        } catch {
            throw .unavailable(error)
        }
    }

    func send(
        _ command: RedisCommand, _ arguments: [UInt8]...
    ) async throws(MeteringError) -> RedisValue {
        var command = command
        for argument in arguments { command.append(argument) }
        do {
            return try await client.send(command)
        } catch {
            throw .unavailable(error)
        }
    }
}
