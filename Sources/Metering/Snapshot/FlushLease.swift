// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// The right to write snapshots, or to do something else that one process does at a time. It ends by
/// itself when its holder dies or stands still; the number that it comes with tells a folder who was overtaken.
final class FlushLease {
    private let client: RedisClient
    private let keys: Keyspace
    private let key: [UInt8]
    private let lengthMS: Int
    private let clock: any Clock
    /// What the key holds while it is ours.
    let token = DatasetName.random()
    private var renewedMS = 0
    private(set) var fence = 0
    /// The name of the data in Redis. Another Redis, or an emptied one, has another.
    private(set) var dataset = ""

    /// - Parameter key: where it is kept; nil for that of snapshots.
    init(
        _ client: RedisClient, _ keys: Keyspace, lengthMS: Int, _ clock: any Clock,
        key: [UInt8]? = nil
    ) {
        self.key = key ?? keys.flushLease
        self.client = client
        self.keys = keys
        self.lengthMS = lengthMS
        self.clock = clock
    }

    /// Whether it is ours now.
    func take() async throws(FlushError) -> Bool {
        let asked = clock.monotonicMS
        let reply = try await ask(lengthMS)
        guard reply.count == 2, let fence = reply[0].integer, let name = reply[1].bytes else {
            return false
        }
        (self.fence, dataset, renewedMS) = (fence, String(decoding: name, as: UTF8.self), asked)
        return true
    }

    /// Takes it for longer when a third of it is over, or at once.
    func keep(now: Bool) async throws(FlushError) {
        guard now || clock.monotonicMS - renewedMS > lengthMS / 3 else { return }
        let had = fence
        // A disk may be slower than the lease is long. It was nobody else's if our new number is the
        // next one.
        guard try await take(), fence <= had + 1 else { throw .leaseLost }
    }

    /// Gives it back; if that fails it ends by itself.
    func giveBack() async { _ = try? await ask(0) }

    private func ask(_ milliseconds: Int) async throws(FlushError) -> [RedisValue] {
        do {
            let reply = try await client.run(
                ScriptLibrary.leaseFlush,
                keys: [key, keys.meta, DirectoryKeyspace.workspaces],
                arguments: [
                    Array(token.utf8), Array("\(milliseconds)".utf8),
                    Array(DatasetName.random().utf8),
                    Array(keys.workspace.text.utf8), Array(keys.birth.utf8),
                ])
            return reply.elements ?? []
        } catch {
            throw .redis(error)
        }
    }
}
