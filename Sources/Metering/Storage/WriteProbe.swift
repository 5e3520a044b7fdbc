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
    private let command: RedisCommand

    public init(client: RedisClient, settings: WorkspaceSettings) {
        self.client = client
        let keys = Keyspace(settings)
        command = RedisCommand(
            "SET", [keys.probe, Array("1".utf8), Array("EX".utf8), Array("10".utf8)])
    }

    /// Writes once.
    public func find() async -> Finding {
        do throws(RedisError) {
            _ = try await client.send(command)
            return .taken
        } catch {
            // No memory left, data that could not be saved, a replica, a script of somebody else: whatever
            // forbids this one forbids the others.
            guard case .server(let code, let message) = error else { return .unknown }
            return .refused(reason: "\(code) \(message)")
        }
    }
}
