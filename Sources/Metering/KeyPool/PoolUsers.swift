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

    fileprivate mutating func take(_ profile: Profile) {
        func known(_ text: ByteString) -> ByteString? { text.bytes.isEmpty ? nil : text }
        username = known(profile.username)
        email = known(profile.email)
        role = known(profile.role)
        isActive = profile.isActive
        since = profile.createdAt
    }
}

/// Reads people with what pools know of them. On its loop's thread only.
final class PoolUsers {
    private static let idsPerCall = 200

    private let client: RedisClient
    private let keys: Keyspace
    private let reader: PoolReader
    private let people: ProfileReader

    init(client: RedisClient, settings: WorkspaceSettings) {
        self.client = client
        keys = Keyspace(settings)
        reader = PoolReader(client: client, settings: settings)
        people = ProfileReader(client: client, keys: keys)
    }

    /// All users with a profile, and all who ever got a key; numbers first, in their order, then
    /// other ids in that of bytes.
    func all() async throws(MeteringError) -> [PoolUser] {
        let holders = try await fields(of: keys.poolHolders)
        let known = try await fields(of: keys.people) { id, packed throws(MeteringError) in
            let subject = SubjectID(stored: id)
            return try ProfileReader.profile(subject, packed).kind == .user
        }
        let ids = holders.union(known).map { (number: $0.number, id: $0) }
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
        let profiles = try await people.profiles(of: ids)
        let records = try await send(RedisCommand("HMGET", [keys.subjects] + ids.map(\.id.bytes)))
        guard let records = records.elements, records.count == ids.count else {
            throw .damaged(what: "the subjects")
        }
        return ids.indices.map { index in
            var user = PoolUser(ids[index])
            if let holder = holders[index] { user.holder = holder }
            if let profile = profiles[index] {
                user.take(profile)
            } else {
                user.since = records[index].bytes.flatMap { SubjectRecord($0) }?.first
            }
            return (user, holders[index] != nil || user.since != nil)
        }
    }

    /// The fields of a hash whose values pass.
    private func fields(
        of key: [UInt8],
        where passes: (ByteString, [UInt8]) throws(MeteringError) -> Bool = { _, _ in true }
    ) async throws(MeteringError) -> Set<ByteString> {
        var found: Set<ByteString> = []
        var cursor = Array("0".utf8)
        repeat {
            let reply = try await send(
                RedisCommand("HSCAN", [key, cursor, Array("COUNT".utf8), Array("400".utf8)]))
            guard let parts = reply.elements, parts.count == 2, let next = parts[0].bytes,
                let pairs = parts[1].elements
            else { throw .damaged(what: "the holders of keys") }
            for index in stride(from: 0, to: pairs.count, by: 2) {
                guard index + 1 < pairs.count, let field = pairs[index].bytes,
                    let value = pairs[index + 1].bytes
                else { throw .damaged(what: "the holders of keys") }
                let id = ByteString(bytes: field)
                if try passes(id, value) { found.insert(id) }
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
