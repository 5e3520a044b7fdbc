// SPDX-License-Identifier: Apache-2.0

public import Metering
internal import Redis

/// The place of a key in the list of a workspace's keys; it stays when others are revoked.
public struct APIKeyPosition: Sendable {
    let createdMS: Int
    let id: [UInt8]

    public var text: String { "\(createdMS)-\(String(decoding: id, as: UTF8.self))" }

    /// Reads what `text` writes.
    public init?(_ text: String) {
        let parts = text.split(separator: "-", maxSplits: 1)
        guard parts.count == 2, let createdMS = Int(parts[0]) else { return nil }
        self.init(createdMS, Array(parts[1].utf8))
    }

    init(_ createdMS: Int, _ id: [UInt8]) { (self.createdMS, self.id) = (createdMS, id) }

    /// Whether it comes after another one, where the newest is the first.
    func isBehind(_ other: APIKeyPosition) -> Bool {
        createdMS == other.createdMS
            ? id.lexicographicallyPrecedes(other.id) : createdMS < other.createdMS
    }
}

/// Some keys, the newest first, with the milliseconds of their last use.
public struct APIKeyPage: Sendable {
    public internal(set) var keys: [(key: APIKey, usedMS: Int?)] = []
    /// Where to go on; nil at the end.
    public internal(set) var next: APIKeyPosition?
}

extension DirectoryStore {
    /// Keys of a workspace. A page has fewer than `limit` where records are gone, and a next one all the same.
    ///
    /// - Parameters:
    ///   - limit: 1 to 1,000.
    ///   - cursor: `next` of the page before, nil for the first.
    public func keys(
        of workspace: WorkspaceSettings, limit: Int, after cursor: APIKeyPosition?
    ) async throws(MeteringError) -> APIKeyPage {
        let positions = try await positions(of: workspace, count: limit + 1, after: cursor)
        var page = APIKeyPage()
        guard !positions.isEmpty else { return page }
        let listed = positions.prefix(limit)
        if positions.count > limit { page.next = listed.last }
        var (records, times) = (RedisCommand("HMGET"), RedisCommand("HMGET"))
        records.append(DirectoryKeyspace.apiKeys)
        times.append(DirectoryKeyspace.apiKeysUsed)
        for position in listed {
            records.append(position.id)
            times.append(position.id)
        }
        let found = try await send(records).array ?? []
        let used = try await send(times).array ?? []
        for (index, position) in listed.enumerated()
        where index < found.count && index < used.count {
            guard let record = found[index].bytes,
                let key = APIKey(
                    id: String(decoding: position.id, as: UTF8.self), record: record, json),
                key.isOf(workspace)
            else { continue }
            page.keys.append((key, used[index].text.flatMap { Int($0) }))
        }
        return page
    }

    /// The next places of the list.
    private func positions(
        of workspace: WorkspaceSettings, count: Int, after cursor: APIKeyPosition?
    ) async throws(MeteringError) -> [APIKeyPosition] {
        let list = DirectoryKeyspace.apiKeys(of: workspace.id, workspace.birth)
        var range = RedisCommand("ZREVRANGEBYSCORE")
        range.append(list)
        var besides = 0
        if let cursor {
            // Of its millisecond some were told already.
            var among = RedisCommand("ZCOUNT")
            among.append(list)
            among.append(cursor.createdMS)
            among.append(cursor.createdMS)
            besides = try await send(among).integer ?? 0
            range.append(cursor.createdMS)
        } else {
            range.append("+inf")
        }
        range.append("-inf")
        range.append("WITHSCORES")
        range.append("LIMIT")
        range.append(0)
        range.append(count + besides)
        let values = try await send(range).array ?? []
        var positions: [APIKeyPosition] = []
        for index in stride(from: 0, to: values.count - 1, by: 2) {
            guard let id = values[index].bytes,
                let score = values[index + 1].text.flatMap({ Double($0) }).flatMap({
                    Int(exactly: $0)
                })
            else { throw .damaged(what: "the list of keys") }
            let position = APIKeyPosition(score, id)
            if cursor.map({ position.isBehind($0) }) ?? true { positions.append(position) }
        }
        return Array(positions.prefix(count))
    }
}
