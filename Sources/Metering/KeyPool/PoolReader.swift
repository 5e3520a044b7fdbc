// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// Which keys of a provider are asked for.
public struct PoolKeyFilter: Sendable {
    public var status: PoolKey.Status?
    /// Whether somebody holds them.
    public var isAssigned: Bool?
    public var holder: SubjectID?

    public init() {}

    func admits(_ key: PoolKey) -> Bool {
        (status == nil || key.status == status)
            && (isAssigned == nil || (key.holder != nil) == isAssigned)
            && (holder == nil || key.holder == holder)
    }
}

/// Reads the pools of a workspace. On its loop's thread only.
final class PoolReader {
    private static let keysPerCall = 200
    /// A bound on the work of one page: filters go through the keys of all.
    private static let callsMax = 20
    private static let subjectsPerCall = 200

    private let client: RedisClient
    private let keys: Keyspace

    init(client: RedisClient, settings: WorkspaceSettings) {
        self.client = client
        keys = Keyspace(settings)
    }

    /// A key; nil when there is no such key of the provider.
    func key(_ id: Int, of provider: PoolProvider) async throws(MeteringError) -> PoolKey? {
        let slice = try await slice(provider, after: id - 1, count: 1)
        return slice.first.flatMap { $0.id == id ? $0 : nil }
    }

    /// Keys of a provider by id, at most `limit`, and where the next ones begin.
    func page(
        of provider: PoolProvider, _ filter: PoolKeyFilter, limit: Int, after id: Int
    ) async throws(MeteringError) -> (keys: [PoolKey], next: Int?) {
        var found: [PoolKey] = []
        var place = id
        for _ in 0..<Self.callsMax {
            let slice = try await slice(provider, after: place, count: Self.keysPerCall)
            for key in slice {
                // One more than asked for, to know whether there is a next page.
                if found.count == limit, filter.admits(key) { return (found, place) }
                if filter.admits(key) { found.append(key) }
                place = key.id
            }
            if slice.count < Self.keysPerCall { return (found, nil) }
        }
        return (found, place)
    }

    private func slice(
        _ provider: PoolProvider, after id: Int, count: Int
    ) async throws(MeteringError) -> [PoolKey] {
        let reply = try await run(
            ScriptLibrary.listKeys, [keys.poolKeys, keys.poolSecrets, keys.poolListed(provider)],
            [Array("\(id)".utf8), Array("\(count)".utf8)])
        return try Self.keys(reply).filter { $0.provider == provider }
    }

    /// All keys of a provider that a subject holds, by id. What it gets or gives back meanwhile may
    /// be there or not.
    func held(
        by subject: SubjectID, of provider: PoolProvider
    ) async throws(MeteringError) -> [PoolKey] {
        var found: [PoolKey] = []
        var place = 0
        while true {
            let reply = try await run(
                ScriptLibrary.listHeldKeys, [keys.poolKeys, keys.poolSecrets, keys.poolHeld],
                [
                    subject.id.bytes, Array(provider.name.utf8), Array("\(place)".utf8),
                    Array("\(Self.keysPerCall)".utf8),
                ])
            let slice = try Self.keys(reply)
            found += slice.filter { $0.holder == subject }
            guard slice.count == Self.keysPerCall, let last = slice.last else { return found }
            place = last.id
        }
    }

    /// Keys that a subject holds and that were used, the last first.
    func recent(
        of subject: SubjectID, count: Int
    ) async throws(MeteringError) -> [PoolKey] {
        let reply = try await run(
            ScriptLibrary.listHeldKeys, [keys.poolKeys, keys.poolSecrets, keys.poolUsed],
            [subject.id.bytes, [], Array("0".utf8), Array("\(count)".utf8)])
        return try Self.keys(reply)
    }

    /// What the pool knows of subjects; nil where it knows nothing.
    func holders(_ subjects: [SubjectID]) async throws(MeteringError) -> [PoolHolder?] {
        var found: [PoolHolder?] = []
        found.reserveCapacity(subjects.count)
        while found.count < subjects.count {
            let end = min(found.count + Self.subjectsPerCall, subjects.count)
            let reply = try await run(
                ScriptLibrary.readHolders,
                [keys.poolHolders, keys.poolProviders, keys.poolReady],
                subjects[found.count..<end].map(\.id.bytes))
            guard let rows = reply.elements, !rows.isEmpty, rows.count % 2 == 0 else {
                throw .damaged(what: "the holders of keys")
            }
            for row in stride(from: 0, to: rows.count, by: 2) {
                guard let packed = rows[row].bytes, let ready = rows[row + 1].integer,
                    let holder = PoolHolder(packed: packed, ready: ready)
                else { throw .damaged(what: "the holders of keys") }
                found.append(packed.isEmpty ? nil : holder)
            }
        }
        return found
    }

    /// What balances of a provider's keys have to be above.
    func threshold(of provider: PoolProvider) async throws(MeteringError) -> Int {
        let reply: RedisValue
        do {
            reply = try await client.send(
                RedisCommand("HGET", [keys.poolProviders, Array(provider.name.utf8)]))
        } catch {
            throw .unavailable(error)
        }
        guard let text = reply.text else { return Self.defaultThreshold }
        guard let threshold = Int(text) else { throw .damaged(what: "a provider's threshold") }
        return threshold
    }

    /// THRESHOLD of `lua/include/pool_fields.lua`.
    private static let defaultThreshold = 800

    /// Reads `{id, key, sealed secret, ...}`.
    static func keys(_ reply: RedisValue) throws(MeteringError) -> [PoolKey] {
        guard let values = reply.elements, values.count % 3 == 0 else {
            throw .damaged(what: "the keys of a pool")
        }
        return try stride(from: 0, to: values.count, by: 3).map { index throws(MeteringError) in
            guard let id = values[index].text.flatMap({ Int($0) }),
                let packed = values[index + 1].bytes, let sealed = values[index + 2].bytes,
                let key = PoolKey(id: id, packed: packed, sealed: sealed)
            else { throw .damaged(what: "a key of a pool") }
            return key
        }
    }

    private func run(
        _ script: RedisScript, _ keys: [[UInt8]], _ arguments: [[UInt8]]
    ) async throws(MeteringError) -> RedisValue {
        do {
            return try await client.run(script, keys: keys, arguments: arguments)
        } catch {
            throw .unavailable(error)
        }
    }
}
