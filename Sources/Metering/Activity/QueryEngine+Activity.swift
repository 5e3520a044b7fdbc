// SPDX-License-Identifier: Apache-2.0

internal import Redis

extension QueryEngine {
    /// How long a question waits for what follows the log.
    private static let followMS = 5_000
    private static let peopleTriesMax = 3
    /// How many types of processing there may be: each is a counter of whoever uploads such files.
    private static let typeCountMax = 256
    private static let ownTypeCountMax = 32
    /// What further ones count as.
    private static let otherType = ByteString("other")

    /// What a subject did with files and calls; zeros when it was never seen.
    public func activity(of subject: SubjectID) async throws -> SubjectActivity {
        try await follow()
        return try await activityReader().activity(of: subject)
    }

    /// What everybody in the workspace did. O(days + merged guests), not O(subjects).
    ///
    /// - Throws: `EventRejection` when a sum passes 2^53 − 1; `MeteringError`.
    public func activity() async throws -> WorkspaceActivity {
        let reader = try activityReader()
        defer { coldSums = reader.coldSums }
        var people = try await reader.people()
        for _ in 0..<Self.peopleTriesMax {
            // Guests are known as far as the log was followed: of nobody who came behind it.
            try await follow()
            let before = people
            people = try await reader.people()
            if people.all == before.all { break }
        }
        return try await reader.activity(people)
    }

    /// The type of processing as it is counted: itself, or `other` when the workspace has as many
    /// types as it may. That a few more come in at the same moment does no harm.
    ///
    /// - Parameter isTrusted: whether a back end names it. Others may bring in fewer types, so that
    ///   they cannot make the counters of everybody long.
    public func processingType(
        _ type: ByteString, isTrusted: Bool
    ) async throws(MeteringError) -> ByteString {
        guard !knownTypes.contains(type), type != Self.otherType else { return type }
        if try await send(RedisCommand("SISMEMBER", [keys.types, type.bytes])).integer != 1 {
            let count = try await send(RedisCommand("SCARD", [keys.types])).integer ?? 0
            let most = isTrusted ? Self.typeCountMax : Self.ownTypeCountMax
            guard count < most else { return Self.otherType }
            _ = try await send(RedisCommand("SADD", [keys.types, type.bytes]))
        }
        knownTypes.insert(type)
        return type
    }

    private func activityReader() throws(MeteringError) -> ActivityReader {
        ActivityReader(
            client: try client, keys: keys, archive: try archive, rollups: try rollups,
            coldSums: coldSums)
    }

    /// Goes along the log to its end: first and last times come from it.
    private func follow() async throws(MeteringError) {
        guard try await usageFollower().catchUp(deadlineMS: clock.monotonicMS + Self.followMS)
        else {
            throw .unavailable(.unexpectedReply("the log is longer than can be followed now"))
        }
    }
}
