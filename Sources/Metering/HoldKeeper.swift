// SPDX-License-Identifier: Apache-2.0

public import Redis

/// Counts holds, and forgets those that were over long ago. Nothing depends on when
/// it runs: a hold expires by its own time.
public final class HoldKeeper {
    /// For how long a hold that is over can be looked at, in milliseconds.
    static let keptMS = 35 * 86_400_000
    /// Holds per script call: less than a millisecond of Redis.
    private static let sliceCount = 200

    private let client: RedisClient
    private let reader: AccountReader
    private let keys: Keyspace
    private let clock: any Clock
    /// How many holds were open, and how many had expired without an end, when it ran last.
    public private(set) var counts = (open: 0, expired: 0)

    public init(client: RedisClient, settings: WorkspaceSettings, clock: any Clock) {
        self.client = client
        self.clock = clock
        keys = Keyspace(settings)
        reader = AccountReader(client: client, settings: settings, clock: clock)
    }

    /// - Returns: how many holds were forgotten.
    @discardableResult
    public func keep() async throws(MeteringError) -> Int {
        counts = try await reader.holdCounts()
        let before = clock.now.milliseconds - Self.keptMS
        var forgotten = 0
        for key in [keys.endedHolds, keys.openHolds] {
            var count = 0
            repeat {
                count = try await forget(key, before)
                forgotten += count
            } while count == Self.sliceCount
        }
        return forgotten
    }

    private func forget(_ key: [UInt8], _ before: Int) async throws(MeteringError) -> Int {
        do {
            let reply = try await client.run(
                ScriptLibrary.forgetHolds, keys: [keys.holds, key],
                arguments: [Array("\(before)".utf8), Array("\(Self.sliceCount)".utf8)])
            return reply.integer ?? 0
        } catch {
            throw .unavailable(error)
        }
    }
}
