// SPDX-License-Identifier: Apache-2.0

public import Redis

/// Notices that a restore has begun, or that Redis has lost the data which a process has seen in it: emptied
/// under it, or replaced by another one. Balances and rules would be none then, and be answered as that. Such a
/// process does not come back by itself. On its loop's thread only.
public final class DatasetWatch {
    private let client: RedisClient
    private let question: RedisCommand
    private let mayForget: Bool
    private var known: [UInt8]?
    private var seenCount = 0
    /// What is kept in memory of the data that were lost is not of those that a restore brings under their name.
    private var isLost = false
    /// A name that was given this moment may be among what a kill takes with it.
    private static let trustedCount = 5

    /// - Parameter mayForget: whether data that are gone are to be expected.
    public init(client: RedisClient, settings: WorkspaceSettings, mayForget: Bool) {
        self.client = client
        self.mayForget = mayForget
        question = RedisCommand(
            "HMGET", [Keyspace(settings).meta, DatasetName.field, RestoreWriter.markField])
    }

    /// Why these data may not be counted on; nil when they may.
    public func problem() async throws(RedisError) -> String? {
        guard let values = try await client.send(question).elements, values.count == 2 else {
            return nil  // What is no hash is told by whoever reads it.
        }
        if values[1].bytes != nil { return "a restore of these data has not ended: run it again" }
        let name = values[0].bytes
        if mayForget || seenCount < Self.trustedCount {
            seenCount = name == nil ? 0 : name == known ? seenCount + 1 : 1
            known = name
            return nil
        }
        isLost = isLost || name != known
        guard isLost else { return nil }
        return
            "Redis has lost its data, or is another one, since this service began: stop all services on it, "
            + "run tally restore and start them, or start them to begin without what was counted"
    }
}
