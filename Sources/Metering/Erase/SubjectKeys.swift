// SPDX-License-Identifier: Apache-2.0

internal import JSON
internal import Redis

/// The API keys that some subjects have for themselves.
struct SubjectKeys {
    private static let pageCount = Array("500".utf8)

    let client: RedisClient
    let keys: Keyspace

    /// Whether they have any.
    ///
    /// - Complexity: O(keys of the workspace), in slices.
    func areThere(of subjects: Set<ByteString>) async throws -> Bool {
        var count = 0
        try await each(of: subjects) { _, _ in count += 1 }
        return count > 0
    }

    /// Revokes them and counts them in the receipt of an erasure, each in one step; every process learns of it as
    /// of any other revocation. Those of a subject that was taken out by then are somebody else's.
    ///
    /// - Complexity: O(keys of the workspace), in slices.
    func revoke(of subjects: Set<ByteString>, for erasure: String) async throws {
        try await each(of: subjects) { id, record in
            _ = try await client.run(
                ScriptLibrary.revokeKey,
                keys: [
                    DirectoryKeyspace.apiKeys, DirectoryKeyspace.version, keys.changes,
                    keys.apiKeys, keys.erasures,
                ], arguments: [id, record, Array(erasure.utf8)])
        }
    }

    /// Goes through them, some of them twice.
    private func each(
        of subjects: Set<ByteString>,
        _ body: (_ id: [UInt8], _ record: [UInt8]) async throws -> Void
    ) async throws {
        let json = try JSONReader()
        var cursor = Array("0".utf8)
        repeat {
            let reply = try await client.send(
                RedisCommand(
                    "ZSCAN", [keys.apiKeys, cursor, Array("COUNT".utf8), Self.pageCount]))
            guard let parts = reply.elements, parts.count == 2, let next = parts[0].bytes,
                let pairs = parts[1].elements?.compactMap(\.bytes), pairs.count % 2 == 0
            else { throw RedisError.unexpectedReply("ZSCAN") }
            let ids = stride(from: 0, to: pairs.count, by: 2).map { pairs[$0] }
            for (id, record) in try await owned(by: subjects, ids, json) {
                try await body(id, record)
            }
            cursor = next
        } while cursor != Array("0".utf8)
    }

    private func owned(
        by subjects: Set<ByteString>, _ ids: [[UInt8]], _ json: JSONReader
    ) async throws -> [(id: [UInt8], record: [UInt8])] {
        if ids.isEmpty { return [] }
        let reply = try await client.send(
            RedisCommand("HMGET", [DirectoryKeyspace.apiKeys] + ids))
        guard let records = reply.elements, records.count == ids.count else {
            throw RedisError.unexpectedReply("HMGET")
        }
        var owned: [(id: [UInt8], record: [UInt8])] = []
        for (id, record) in zip(ids, records.map(\.bytes)) {
            guard let record else { continue }
            guard let value = try? json.read(record) else {
                throw MeteringError.damaged(what: "an API key")
            }
            // One that stands in this list by mistake is another workspace's.
            guard value["workspace"]?.text == keys.workspace.text,
                value["birth"]?.text ?? "" == keys.birth,
                let subject = value["subject"]?.string,
                subjects.contains(ByteString(bytes: Array(subject)))
            else { continue }
            owned.append((id, record))
        }
        return owned
    }
}
