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

    /// All users with a profile, and all who ever got a key, in no order.
    func ids() async throws(MeteringError) -> [ByteString] {
        var ids: Set<ByteString> = []
        try await add(to: &ids, fieldsOf: keys.poolHolders)
        try await add(to: &ids, fieldsOf: keys.people) { id, packed throws(MeteringError) in
            let subject = SubjectID(stored: id)
            return try ProfileReader.profile(subject, packed).kind == .user
        }
        return Array(ids)
    }

    /// Some people, in the order of their ids, without those of whom nothing is known any more.
    func users(_ ids: [SubjectID]) async throws(MeteringError) -> [PoolUser] {
        var users: [PoolUser] = []
        for start in stride(from: 0, to: ids.count, by: Self.idsPerCall) {
            let slice = ids[start..<min(start + Self.idsPerCall, ids.count)]
            users += try await read(Array(slice)).filter(\.isKnown).map(\.user)
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

    /// Adds the fields of a hash whose values pass.
    private func add(
        to found: inout Set<ByteString>, fieldsOf key: [UInt8],
        where passes: (ByteString, [UInt8]) throws(MeteringError) -> Bool = { _, _ in true }
    ) async throws(MeteringError) {
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
    }

    private func send(_ command: RedisCommand) async throws(MeteringError) -> RedisValue {
        do {
            return try await client.send(command)
        } catch {
            throw .unavailable(error)
        }
    }
}

/// Where an id stands among others: numbers first, in their order, then other ids in that of bytes.
struct PoolUserPlace: Comparable {
    let id: ByteString
    private let number: Int?

    init(_ id: ByteString) { (self.id, number) = (id, id.number) }

    static func < (left: PoolUserPlace, right: PoolUserPlace) -> Bool {
        switch (left.number, right.number) {
        case (let left?, let right?): left < right
        case (nil, nil): left.id < right.id
        default: left.number != nil
        }
    }

    /// One ordered list of two.
    static func merge(_ left: [PoolUserPlace], _ right: [PoolUserPlace]) -> [PoolUserPlace] {
        var merged: [PoolUserPlace] = []
        merged.reserveCapacity(left.count + right.count)
        var place = 0
        for next in right {
            while place < left.count, left[place] < next {
                merged.append(left[place])
                place += 1
            }
            merged.append(next)
        }
        return merged + left[place...]
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
