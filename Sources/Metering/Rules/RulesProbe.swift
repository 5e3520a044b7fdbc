// SPDX-License-Identifier: Apache-2.0

public import Redis

/// Whether a workspace's rules can be read. Nothing is counted without, and nobody can put others: what is put
/// has to follow on what there is.
public enum RulesProbe {
    /// Why they cannot be read; nil when they can.
    public static func problem(
        _ client: RedisClient, _ settings: WorkspaceSettings
    ) async throws(MeteringError) -> String? {
        do {
            _ = try await RulesStore(client: client, keys: Keyspace(settings)).load()
        } catch MeteringError.damaged(let what) {
            return what
        } catch MeteringError.undecided {
            // Those of a workspace that is being removed.
            return nil
        }
        return nil
    }
}
