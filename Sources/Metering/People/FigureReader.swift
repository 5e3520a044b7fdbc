// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// What a list shows beside a subject.
public struct SubjectFigures: Sendable {
    /// Events that were counted, ever.
    public var eventCount = 0
    /// Nil when there was none.
    public var lastEventAt: Timestamp?
    /// Lifetime totals, by the meters' names.
    public var totals: [(meter: Meter, total: Int)] = []
    /// The keys of pools that it has and had.
    public var holder = PoolHolder()
}

/// Reads the figures of some subjects at once. On its loop's thread only.
final class FigureReader {
    private static let idsPerCall = 200

    private let client: RedisClient
    private let keys: Keyspace
    private let pool: PoolReader

    init(client: RedisClient, settings: WorkspaceSettings) {
        self.client = client
        keys = Keyspace(settings)
        pool = PoolReader(client: client, settings: settings)
    }

    func figures(
        of ids: [SubjectID], _ parts: Set<SubjectFigures.Part>
    ) async throws(MeteringError) -> [SubjectFigures] {
        var found = Array(repeating: SubjectFigures(), count: ids.count)
        if parts.contains(.usage) { try await readRecords(of: ids, into: &found) }
        if parts.contains(.keys) {
            for (index, holder) in try await pool.holders(ids).enumerated() {
                if let holder { found[index].holder = holder }
            }
        }
        return found
    }

    private func readRecords(
        of ids: [SubjectID], into found: inout [SubjectFigures]
    ) async throws(MeteringError) {
        for start in stride(from: 0, to: ids.count, by: Self.idsPerCall) {
            let slice = ids[start..<min(start + Self.idsPerCall, ids.count)]
            let reply: RedisValue
            do {
                reply = try await client.send(
                    RedisCommand("HMGET", [keys.subjects] + slice.map(\.id.bytes)))
            } catch {
                throw .unavailable(error)
            }
            guard let records = reply.elements, records.count == slice.count else {
                throw .damaged(what: "the subjects")
            }
            for (index, value) in records.enumerated() {
                guard let bytes = value.bytes else { continue }
                guard let record = SubjectRecord(bytes) else {
                    throw .damaged(what: "a subject's record")
                }
                found[start + index].eventCount = record.eventCount
                found[start + index].lastEventAt = record.last
                found[start + index].totals = record.meters.map { ($0.meter, $0.total) }
                    .sorted { $0.meter.name < $1.meter.name }
            }
        }
    }
}

extension SubjectFigures {
    /// What may be asked for, each by itself.
    public enum Part: String, CaseIterable, Sendable {
        case usage, keys
    }
}

extension QueryEngine {
    /// Figures of subjects, in their order; zeros for those of whom nothing is known.
    ///
    /// - Complexity: O(ids), in calls of 200.
    public func figures(
        of ids: [SubjectID], _ parts: Set<SubjectFigures.Part>
    ) async throws(MeteringError) -> [SubjectFigures] {
        try await FigureReader(client: try client, settings: settings).figures(of: ids, parts)
    }
}
