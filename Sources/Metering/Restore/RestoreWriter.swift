// SPDX-License-Identifier: Apache-2.0

public import Redis

/// Writes what is restored, in small calls, as long as no other restore has begun.
final class RestoreWriter {
    /// Per call to Redis: some hundreds of microseconds.
    static let valuesPerCall = 200
    static let markField = Array("restoring".utf8)

    let keys: Keyspace
    let client: RedisClient
    private let token: [UInt8]
    let packer = MessagePackWriter()

    init(_ client: RedisClient, _ keys: Keyspace, _ token: RestoreToken) {
        self.client = client
        self.token = token.bytes
        self.keys = keys
    }

    /// How values of a hash or a sorted set are written.
    enum Kind: String {
        /// Packed once more, as scripts keep them.
        case packed
        /// As `packed`, for the fields that are not there.
        case missing
        case plain
        case scores
        /// Of a set; values are not looked at.
        case members
    }

    /// Whether Redis holds nothing of the workspace but what an interrupted restore has left, or a deletion.
    func isEmpty() async throws -> Bool {
        if try await send(RedisCommand("HEXISTS", [keys.meta, Self.markField])).integer == 1 {
            return true
        }
        let version = try await send(RedisCommand("HGET", [keys.rules, Rules.versionField]))
        let left = version.bytes == Rules.deleted ? keys.rules : nil
        var cursor = Array("0".utf8)
        repeat {
            let (next, names) = try await someKeys(from: cursor)
            if names.contains(where: { $0 != left }) { return false }
            cursor = next
        } while cursor != Array("0".utf8)
        return true
    }

    /// Takes the right to write, and takes away what is there.
    ///
    /// - Parameter other: a birth of the workspace under which a restore that broke off may have left
    ///   something; nil for none.
    func begin(leaving other: String?) async throws {
        try await endDeletion(other)
        _ = try await run(ScriptLibrary.beginRestore, [keys.meta], [])
        try await removeAPIKeys()
        var cursor = Array("0".utf8)
        repeat {
            let (next, names) = try await someKeys(from: cursor)
            let others = names.filter { $0 != keys.meta }
            if !others.isEmpty { _ = try await send(RedisCommand("UNLINK", others)) }
            cursor = next
        } while cursor != Array("0".utf8)
    }

    /// From here on a service that is late with a deletion of the workspace removes nothing of it any more.
    private func endDeletion(_ other: String?) async throws {
        let name = Array(keys.workspace.text.utf8)
        let reply = try await send(RedisCommand("HGET", [DirectoryKeyspace.workspaces, name]))
        let doomed = reply.bytes.flatMap { DirectoryKeyspace.birth(ofDoomed: $0) }
        // What is left of others goes by the note.
        for birth in Set([doomed, other].compactMap { $0 }) where !birth.isEmpty {
            let left = DirectoryKeyspace.removed(keys.workspace, birth)
            _ = try await send(
                RedisCommand(
                    "HSET", [DirectoryKeyspace.removed, left, DirectoryKeyspace.restored]))
        }
        if doomed != nil {
            _ = try await send(RedisCommand("HDEL", [DirectoryKeyspace.workspaces, name]))
        }
        let mine = DirectoryKeyspace.removed(keys.workspace, keys.birth)
        _ = try await send(RedisCommand("HDEL", [DirectoryKeyspace.removed, mine]))
    }

    /// When the last one of others that had the workspace's id was removed, in ms; nil if there were none.
    func lastRemoval() async throws -> Int? {
        let scanning = [
            Array("MATCH".utf8), DirectoryKeyspace.removed(keys.workspace, "*"),
            Array("COUNT".utf8), Array("500".utf8),
        ]
        var (cursor, last) = (Array("0".utf8), 0)
        repeat {
            let reply = try await send(
                RedisCommand("HSCAN", [DirectoryKeyspace.removed, cursor] + scanning))
            guard let parts = reply.elements, parts.count == 2, let next = parts[0].bytes,
                let fields = parts[1].elements
            else { throw RedisError.unexpectedReply("HSCAN") }
            for index in stride(from: 1, to: fields.count, by: 2) {
                last = max(last, fields[index].text.flatMap { Int($0) } ?? 0)
            }
            cursor = next
        } while cursor != Array("0".utf8)
        return last > 0 ? last : nil
    }

    /// The records of the workspace's API keys belong to no workspace; the list of them does.
    private func removeAPIKeys() async throws {
        let range = ["0", "\(Self.valuesPerCall - 1)"].map { Array($0.utf8) }
        while true {
            let reply = try await send(RedisCommand("ZRANGE", [keys.apiKeys] + range))
            let ids = (reply.elements ?? []).compactMap(\.bytes)
            if ids.isEmpty { return }
            let records = try await send(RedisCommand("HMGET", [DirectoryKeyspace.apiKeys] + ids))
            // One that stands in this list by mistake goes on opening its own workspace.
            let mine = zip(ids, records.elements ?? []).filter { _, record in
                record.bytes.flatMap { APIKeyRecord.workspace(of: $0) } == keys.workspace.text
            }.map(\.0)
            if !mine.isEmpty {
                _ = try await send(RedisCommand("HDEL", [DirectoryKeyspace.apiKeys] + mine))
                _ = try await send(RedisCommand("HDEL", [DirectoryKeyspace.apiKeysUsed] + mine))
            }
            _ = try await send(RedisCommand("ZREM", [keys.apiKeys] + ids))
        }
    }

    /// Writes values of a key, of which `packer` holds an array: field or member, value or score.
    func put(_ key: [UInt8], _ kind: Kind, ttlSeconds: Int = 0) async throws {
        try await check(
            run(
                ScriptLibrary.restoreValues, [keys.meta, key],
                [Array(kind.rawValue.utf8), Array("\(ttlSeconds)".utf8), packer.take()]))
    }

    /// Writes a list to a key, in slices.
    func put<Element>(
        _ list: [Element], to key: [UInt8], _ kind: Kind, ttlSeconds: Int = 0,
        _ write: (Element, MessagePackWriter) -> Void
    ) async throws {
        for start in stride(from: 0, to: list.count, by: Self.valuesPerCall) {
            let slice = list[start..<min(start + Self.valuesPerCall, list.count)]
            packer.array(2 * slice.count)
            for element in slice { write(element, packer) }
            try await put(key, kind, ttlSeconds: ttlSeconds)
        }
    }

    /// Ends it for all workspaces of the restore, whose `meta` are named: from now on the data are whole.
    func finish(_ metas: [[UInt8]], _ fields: [(name: String, value: String)]) async throws {
        let values = fields.flatMap { [Array($0.name.utf8), Array($0.value.utf8)] }
        try await check(run(ScriptLibrary.finishRestore, metas, values))
    }

    /// Runs a script that begins with the restore's token.
    func run(
        _ script: RedisScript, _ names: [[UInt8]], _ arguments: [[UInt8]]
    ) async throws -> RedisValue {
        try await client.run(script, keys: names, arguments: [token] + arguments)
    }

    /// Throws unless a script wrote.
    func check(_ reply: RedisValue) throws {
        switch reply {
        case .integer(1): return
        case .integer: throw RestoreError.overtaken
        case .array(let values):
            let subject = values.first?.bytes.map { ByteString(bytes: $0).text } ?? ""
            throw RestoreError.tooLarge(subject: subject)
        default: throw RedisError.unexpectedReply("restore")
        }
    }

    func send(_ command: RedisCommand) async throws -> RedisValue {
        try await client.send(command)
    }

    /// Some of the workspace's keys.
    private func someKeys(
        from start: [UInt8]
    ) async throws -> (next: [UInt8], names: [[UInt8]]) {
        var cursor = start
        repeat {
            let reply = try await send(
                RedisCommand(
                    "SCAN",
                    [cursor, Array("MATCH".utf8), keys.pattern, Array("COUNT".utf8)]
                        + [Array("500".utf8)]))
            guard let parts = reply.elements, parts.count == 2, let next = parts[0].bytes,
                let names = parts[1].elements?.compactMap(\.bytes)
            else { throw RedisError.unexpectedReply("SCAN") }
            if !names.isEmpty { return (next, names) }
            cursor = next
        } while cursor != Array("0".utf8)
        return (cursor, [])
    }
}

/// What tells one restore from another.
public struct RestoreToken: Sendable {
    let bytes: [UInt8]

    /// Another one each time.
    public init() { bytes = Array(String(UInt64.random(in: .min ... .max), radix: 16).utf8) }
}

/// The mark of data that are restored, and not whole yet.
public enum RestoreMark {
    /// Whether a workspace's data have it: no service may count on them.
    public static func isSet(
        _ client: RedisClient, _ workspace: WorkspaceSettings
    ) async throws(RedisError) -> Bool {
        let names = [Keyspace(workspace).meta, Array("restoring".utf8)]
        return try await client.send(RedisCommand("HEXISTS", names)).integer == 1
    }
}

/// Why nothing, or not all, was restored.
public enum RestoreError: Error, CustomStringConvertible {
    /// There are no snapshots in the folder.
    case nothing(folder: String)
    /// Redis holds data of the workspace.
    case notEmpty(workspace: String)
    /// Files of the folder do not belong together.
    case mixed(String)
    /// The folder of the snapshots has another file in a place where one is to be put.
    case occupied(String)
    /// A lifetime total would pass what is counted exactly.
    case tooLarge(subject: String)
    /// Another restore has begun.
    case overtaken
    /// The workspace was made, or deleted, since the restore began.
    case changed(workspace: String)
    /// The id of an API key of the files is that of another record, whose workspace is nil when it cannot be read.
    case keyTaken(id: String, owner: String?, by: String)
    case file(String)

    public var description: String {
        switch self {
        case .nothing(let folder): "\(folder): there are no snapshots"
        case .notEmpty(let workspace):
            "Redis holds data of the workspace \(workspace); --force deletes them first"
        case .mixed(let what): what
        case .occupied(let path): "\(path) is another file: move it away, or use --force"
        case .tooLarge(let subject): "a total of \(subject) passes 2^53 - 1"
        case .overtaken: "another restore has begun"
        case .changed(let workspace):
            "the workspace \(workspace) was made or deleted meanwhile; --force takes its place"
        case .keyTaken(let id, let owner?, let workspace) where owner == workspace:
            "the id of the API key \(id) is that of a key in Redis that is in no list of "
                + "\(workspace): revoke that one (DELETE /v1/keys/\(id)) and restore again"
        case .keyTaken(let id, let owner, let workspace):
            "the id of the API key \(id) of \(workspace) is that of "
                + (owner.map { "a key of the workspace \($0) in Redis: revoke that one there, or" }
                    ?? "something else in Redis:")
                + " take it out of t1:{@}:keys (HDEL), and restore again; or restore into another Redis"
        case .file(let what): what
        }
    }
}
