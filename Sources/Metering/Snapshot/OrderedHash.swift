// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// Goes through the fields of a hash in the order of their bytes, in bounded memory and by small
/// calls, while others write: a field that was there all the time is told once.
struct OrderedHash {
    private static let scanCount = Array("400".utf8)

    let client: RedisClient
    /// Room for fields; with more of them the hash is gone through again.
    let byteCountMax: Int
    /// Called between any two calls to Redis; throws when the work is to end.
    let checkpoint: () async throws(FlushError) -> Void

    /// Hands over the fields, or with `ZSCAN` and `SSCAN` the members of a set, at most `count` at a time.
    func each(
        _ key: [UInt8], by count: Int, _ command: StaticString = "HSCAN",
        _ body: ([[UInt8]]) async throws(FlushError) -> Void
    ) async throws(FlushError) {
        try await each([(key, command)], from: [], by: count, body)
    }

    /// Hands over what several hashes and sorted sets have, each field once, from one on.
    func each(
        _ lists: [(key: [UInt8], command: StaticString)], from start: [UInt8], by count: Int,
        _ body: ([[UInt8]]) async throws(FlushError) -> Void
    ) async throws(FlushError) {
        var lower: [UInt8]? = start
        while let from = lower {
            var list = SubjectList(from: from, byteCountMax: byteCountMax)
            for (key, command) in lists {
                try await scan(command, key) { list.add($0) }
            }
            list.sort()
            for start in stride(from: 0, to: list.count, by: count) {
                try await body((start..<min(start + count, list.count)).map { list[$0] })
                try await checkpoint()
            }
            lower = list.upper
        }
    }

    /// Hands over fields or members, in no order, some of them twice.
    private func scan(
        _ command: StaticString, _ key: [UInt8], _ body: ([UInt8]) -> Void
    ) async throws(FlushError) {
        var cursor = Array("0".utf8)
        repeat {
            let reply = try await send(
                RedisCommand(command, [key, cursor, Array("COUNT".utf8), Self.scanCount]))
            guard let parts = reply.elements, parts.count == 2, let next = parts[0].bytes,
                let pairs = parts[1].elements
            else { throw .damaged(String(decoding: key, as: UTF8.self)) }
            // A set's members come alone.
            let step = "\(command)" == "SSCAN" ? 1 : 2
            for index in stride(from: 0, to: pairs.count, by: step) {
                guard let field = pairs[index].bytes else {
                    throw .damaged(String(decoding: key, as: UTF8.self))
                }
                body(field)
            }
            try await checkpoint()
            cursor = next
        } while cursor != Array("0".utf8)
    }

    /// The values of some fields, nil for those that are not there.
    func values(_ key: [UInt8], of fields: [[UInt8]]) async throws(FlushError) -> [[UInt8]?] {
        guard !fields.isEmpty else { return [] }
        let reply = try await send(RedisCommand("HMGET", [key] + fields))
        guard let values = reply.elements, values.count == fields.count else {
            throw .damaged(String(decoding: key, as: UTF8.self))
        }
        return values.map(\.bytes)
    }

    func send(_ command: RedisCommand) async throws(FlushError) -> RedisValue {
        do {
            let reply = try await client.send(command)
            if case .error(_, let message) = reply { throw RedisError.unexpectedReply(message) }
            return reply
        } catch let error as RedisError {
            throw .redis(error)
        } catch {
            throw .damaged("\(error)")
        }
    }
}
