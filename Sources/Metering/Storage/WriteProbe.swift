// SPDX-License-Identifier: Apache-2.0

public import Redis

/// Finds out whether Redis takes writes, by a small one. On its loop's thread only.
public final class WriteProbe {
    public enum Finding: Sendable, Equatable {
        case taken
        /// Redis is there and refuses all writes for now, with its reason.
        case refused(reason: String)
        /// It did not answer.
        case unknown
    }

    private let client: RedisClient
    private let key: [UInt8]
    /// Others' differ, so that it is seen that somebody goes on writing: `QueryEngine.isServed`.
    private let name = DatasetName.random()
    private var count = 0

    public init(client: RedisClient, settings: WorkspaceSettings) {
        self.client = client
        key = Keyspace(settings).probe
    }

    /// Writes once.
    public func find() async -> Finding {
        count += 1
        let value = Array("\(name)-\(count)".utf8)
        do throws(RedisError) {
            _ = try await client.send(
                RedisCommand("SET", [key, value, Array("EX".utf8), Array("10".utf8)]))
            return .taken
        } catch {
            // No memory left, data that could not be saved, a replica, a script of somebody else: whatever
            // forbids this one forbids the others.
            guard case .server(let code, let message) = error else { return .unknown }
            return .refused(reason: "\(code) \(message)")
        }
    }
}
