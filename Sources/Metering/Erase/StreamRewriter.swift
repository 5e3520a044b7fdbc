// SPDX-License-Identifier: Apache-2.0
//
// Entries of a stream cannot be changed. So a stream is copied, entry by entry under the same ids, with the
// changed ones in their places, and the copy takes its place in the one call in which nothing is left to copy.

internal import Redis

/// Changes entries of streams. On its loop's thread only.
final class StreamRewriter {
    /// Per call: less than a millisecond of Redis.
    private static let entriesPerCall = 200
    private static let bytesPerCall = 262_144
    private static let zero = Array("0".utf8)

    /// An entry as XRANGE tells it: names and values of its fields.
    struct Entry {
        let id: [UInt8]
        let fields: [[UInt8]]
    }

    private let client: RedisClient
    private let keys: Keyspace
    private let lease: FlushLease
    private let writer = MessagePackWriter()

    /// - Parameter lease: whoever has it may rewrite.
    init(_ client: RedisClient, _ keys: Keyspace, _ lease: FlushLease) {
        self.client = client
        self.keys = keys
        self.lease = lease
    }

    /// Hands over the entries of a stream, in order, in which one of some texts stands; all of them for no
    /// texts.
    ///
    /// - Parameter body: called with the entries of a slice; false ends it.
    func each(
        _ stream: [UInt8], holding texts: [[UInt8]],
        _ body: ([Entry]) async throws -> Bool
    ) async throws {
        var after: [UInt8] = []
        while true {
            let slice = try await find(stream, after: after, texts)
            guard !slice.last.isEmpty, try await body(slice.found) else { return }
            after = slice.last
            try await lease.keep(now: false)
        }
    }

    /// Copies a stream with some of its entries changed, and puts the copy in its place.
    ///
    /// - Parameter change: the new fields of the entries of a slice that change, by their ids. It may be
    ///   called again for the same entries when something fails.
    func rewrite(
        _ stream: [UInt8], holding texts: [[UInt8]],
        _ change: ([Entry]) async throws -> [(id: [UInt8], fields: [[UInt8]])]
    ) async throws {
        var after: [UInt8] = []
        while true {
            let slice = try await find(stream, after: after, texts)
            let changed = try await change(slice.found)
            writer.array(2 * changed.count)
            for (id, fields) in changed {
                writer.string(id)
                writer.array(fields.count)
                for field in fields { writer.string(field) }
            }
            try await lease.keep(now: false)
            let reply = try await client.run(
                ScriptLibrary.copyEntries,
                keys: [keys.eraseLease, stream, keys.copy(of: stream)],
                arguments: [Array(lease.token.utf8), after, slice.last, writer.take()])
            switch reply.integer {
            case 1: return
            case 0: if !slice.last.isEmpty { after = slice.last }
            default: throw FlushError.leaseLost
            }
        }
    }

    private func find(
        _ stream: [UInt8], after: [UInt8], _ texts: [[UInt8]]
    ) async throws -> (last: [UInt8], found: [Entry]) {
        writer.array(texts.count)
        for text in texts { writer.string(text) }
        let reply = try await client.run(
            ScriptLibrary.findEntries, keys: [stream],
            arguments: [
                after, writer.take(), Array("\(Self.entriesPerCall)".utf8),
                Array("\(Self.bytesPerCall)".utf8),
            ])
        guard let parts = reply.elements, parts.count == 2, let last = parts[0].bytes,
            let found = parts[1].elements
        else { throw RedisError.unexpectedReply("find_entries") }
        return (
            last,
            try found.map { element in
                guard let pair = element.elements, pair.count == 2, let id = pair[0].bytes,
                    let fields = pair[1].elements?.compactMap(\.bytes), fields.count % 2 == 0
                else { throw RedisError.unexpectedReply("find_entries") }
                return Entry(id: id, fields: fields)
            }
        )
    }
}
