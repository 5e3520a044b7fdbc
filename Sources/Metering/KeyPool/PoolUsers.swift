// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// A person, and the keys of pools that it has and had.
public struct PoolUser: Sendable {
    public let id: SubjectID
    /// Nil where nobody has told it.
    public var username: ByteString?
    public var email: ByteString?
    public var role: ByteString?
    public var isActive = true
    /// When it was made known, or else had its first event; nil when it had none.
    public var since: Timestamp?
    public var holder = PoolHolder()

    init(_ id: SubjectID) { self.id = id }
}

/// Reads people with what pools know of them. On its loop's thread only.
final class PoolUsers {
    private static let idsPerCall = 200

    private let client: RedisClient
    private let keys: Keyspace
    private let reader: PoolReader

    init(client: RedisClient, settings: WorkspaceSettings) {
        self.client = client
        keys = Keyspace(workspace: settings.id)
        reader = PoolReader(client: client, settings: settings)
    }

    /// All who ever got a key; numbers first, in their order, then other ids in that of bytes.
    func all() async throws(MeteringError) -> [PoolUser] {
        let ids = try await fields(of: keys.poolHolders).map { (number: $0.number, id: $0) }
            .sorted { left, right in
                switch (left.number, right.number) {
                case (let left?, let right?): left < right
                case (nil, nil): left.id < right.id
                default: left.number != nil
                }
            }
        var users: [PoolUser] = []
        users.reserveCapacity(ids.count)
        for start in stride(from: 0, to: ids.count, by: Self.idsPerCall) {
            let slice = ids[start..<min(start + Self.idsPerCall, ids.count)]
            users += try await read(slice.map { SubjectID(stored: $0.id) }).map(\.user)
        }
        return users
    }

    /// A person; nil when nothing is known of it.
    func user(_ id: SubjectID) async throws(MeteringError) -> PoolUser? {
        let found = try await read([id])[0]
        return found.isKnown ? found.user : nil
    }

    private func read(
        _ ids: [SubjectID]
    ) async throws(MeteringError) -> [(user: PoolUser, isKnown: Bool)] {
        let holders = try await reader.holders(ids)
        let records = try await send(RedisCommand("HMGET", [keys.subjects] + ids.map(\.id.bytes)))
        guard let records = records.elements, records.count == ids.count else {
            throw .damaged(what: "the subjects")
        }
        return zip(ids, zip(holders, records)).map { id, values in
            let (holder, record) = values
            var user = PoolUser(id)
            if let holder { user.holder = holder }
            user.since = record.bytes.flatMap { SubjectRecord($0) }?.first
            return (user, holder != nil || user.since != nil)
        }
    }

    private func fields(of key: [UInt8]) async throws(MeteringError) -> Set<ByteString> {
        var found: Set<ByteString> = []
        var cursor = Array("0".utf8)
        repeat {
            let reply = try await send(
                RedisCommand("HSCAN", [key, cursor, Array("COUNT".utf8), Array("400".utf8)]))
            guard let parts = reply.elements, parts.count == 2, let next = parts[0].bytes,
                let pairs = parts[1].elements
            else { throw .damaged(what: "the holders of keys") }
            for index in stride(from: 0, to: pairs.count, by: 2) {
                if let field = pairs[index].bytes { found.insert(ByteString(bytes: field)) }
            }
            cursor = next
        } while cursor != Array("0".utf8)
        return found
    }

    private func send(_ command: RedisCommand) async throws(MeteringError) -> RedisValue {
        do {
            return try await client.send(command)
        } catch {
            throw .unavailable(error)
        }
    }
}

extension ByteString {
    /// The integer that this is the plain text of, up to 2^53 - 1 either way; nil for all else, such as
    /// `007`.
    public var number: Int? {
        guard bytes.count <= 17, let number = Int(text), "\(number)" == text,
            PoolField.balances.contains(number)
        else { return nil }
        return number
    }
}
