// SPDX-License-Identifier: Apache-2.0

internal import JSON
internal import Redis

/// Revokes the API keys that some subjects have for themselves.
struct SubjectKeys {
    private static let pageCount = Array("500".utf8)

    let client: RedisClient
    let keys: Keyspace

    /// Revokes them; every process learns of it as of any other revocation.
    ///
    /// - Returns: how many there were.
    /// - Complexity: O(keys of the workspace), in slices.
    func revoke(of subjects: Set<ByteString>) async throws -> Int {
        let json = try JSONReader()
        var count = 0
        var cursor = Array("0".utf8)
        repeat {
            let reply = try await client.send(
                RedisCommand(
                    "ZSCAN", [keys.apiKeys, cursor, Array("COUNT".utf8), Self.pageCount]))
            guard let parts = reply.elements, parts.count == 2, let next = parts[0].bytes,
                let pairs = parts[1].elements?.compactMap(\.bytes), pairs.count % 2 == 0
            else { throw RedisError.unexpectedReply("ZSCAN") }
            let ids = stride(from: 0, to: pairs.count, by: 2).map { pairs[$0] }
            if !ids.isEmpty { count += try await revoke(ids, of: subjects, json) }
            cursor = next
        } while cursor != Array("0".utf8)
        return count
    }

    private func revoke(
        _ ids: [[UInt8]], of subjects: Set<ByteString>, _ json: JSONReader
    ) async throws -> Int {
        let reply = try await client.send(
            RedisCommand("HMGET", [DirectoryKeyspace.apiKeys] + ids))
        guard let records = reply.elements, records.count == ids.count else {
            throw RedisError.unexpectedReply("HMGET")
        }
        var count = 0
        for (id, record) in zip(ids, records.map(\.bytes)) {
            guard let record else { continue }
            guard let value = try? json.read(record) else {
                throw MeteringError.damaged(what: "an API key")
            }
            guard let subject = value["subject"]?.string,
                subjects.contains(ByteString(bytes: Array(subject)))
            else { continue }
            let isRevoked = try await client.run(
                ScriptLibrary.changeDirectory,
                keys: [
                    DirectoryKeyspace.apiKeys, DirectoryKeyspace.version, keys.changes,
                    keys.apiKeys,
                ], arguments: [id, record, [], Array("0".utf8)])
            if isRevoked.integer == 1 { count += 1 }
        }
        return count
    }
}
