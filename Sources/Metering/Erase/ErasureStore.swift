// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// Reads and writes the erasures of a workspace. On its loop's thread only.
final class ErasureStore {
    private let client: RedisClient
    private let keys: Keyspace
    private let writer = MessagePackWriter()

    init(_ client: RedisClient, _ keys: Keyspace) {
        self.client = client
        self.keys = keys
    }

    /// Notes an erasure, unless its subject is being erased.
    ///
    /// - Returns: the id of the one that is under way by now.
    func begin(_ erasure: Erasure, of subject: SubjectID) async throws(MeteringError) -> String {
        let reply: RedisValue
        do {
            reply = try await client.run(
                ScriptLibrary.beginErasure,
                keys: [keys.erasures, keys.openErasures, keys.orderedErasures],
                arguments: [
                    Array(erasure.id.utf8), erasure.packed(writer), subject.id.bytes,
                    Array("\(erasure.requestedAt.milliseconds)".utf8),
                ])
        } catch {
            throw .unavailable(error)
        }
        guard let id = reply.text else { throw Self.damaged }
        return id
    }

    /// Nil when there is none of this id.
    func erasure(_ id: String) async throws(MeteringError) -> Erasure? {
        let reply = try await send("HGET", [keys.erasures, Array(id.utf8)])
        guard let packed = reply.bytes else { return nil }
        guard let erasure = Erasure(id, packed: packed) else { throw Self.damaged }
        return erasure
    }

    /// Some of them, the last first.
    func page(offset: Int, limit: Int) async throws(MeteringError) -> [Erasure] {
        let reply = try await send(
            "ZREVRANGE",
            [
                keys.orderedErasures, Array("\(offset)".utf8),
                Array("\(offset + limit - 1)".utf8),
            ])
        var erasures: [Erasure] = []
        for id in (reply.elements ?? []).compactMap(\.text) {
            if let erasure = try await erasure(id) { erasures.append(erasure) }
        }
        return erasures
    }

    /// Ids of those that are under way.
    func open() async throws(MeteringError) -> [String] {
        try await send("SMEMBERS", [keys.openErasures]).elements?.compactMap(\.text).sorted() ?? []
    }

    /// How many have gone through the log. As lua/include/give_back.lua counts them; never more, since whatever
    /// begins meanwhile is among the open ones only.
    func pastLogCount() async throws(MeteringError) -> Int {
        var count = try await send("ZCARD", [keys.orderedErasures]).integer ?? 0
        for id in try await open() {
            if let erasure = try await erasure(id),
                erasure.step.rawValue <= Erasure.Step.log.rawValue
            {
                count -= 1
            }
        }
        return count
    }

    /// Writes how far one is, as long as it is under way. Once it is done it is not, and the next snapshot of the
    /// state has its receipt.
    func save(_ erasure: Erasure) async throws(MeteringError) {
        do {
            _ = try await client.run(
                ScriptLibrary.saveErasure, keys: [keys.erasures, keys.openErasures, keys.changes],
                arguments: [Array(erasure.id.utf8), erasure.packed(writer)])
        } catch {
            throw .unavailable(error)
        }
    }

    private func send(
        _ name: StaticString, _ arguments: [[UInt8]]
    ) async throws(MeteringError) -> RedisValue {
        do {
            return try await client.send(RedisCommand(name, arguments))
        } catch {
            throw .unavailable(error)
        }
    }

    private static let damaged = MeteringError.damaged(what: "the erasures")
}
