// SPDX-License-Identifier: Apache-2.0

internal import Cryptography
internal import Redis

/// The secrets of a workspace's pool and alerts, which only `secrets.key` of the service that took them
/// opens.
struct SealedSecrets {
    let client: RedisClient
    let workspace: WorkspaceSettings

    /// Why those that Redis has cannot be read with the key of a folder; nil when they can, or there are none.
    func problem(in data: String) async throws -> String? {
        let keys = Keyspace(workspace)
        let sealer = try await client.send(
            RedisCommand("HGET", [keys.pool, Array("sealed_by".utf8)])
        ).bytes
        let alerts = try await RulesStore(client: client, keys: keys).load().alerts.alerts
        do throws(SecretsKey.Failure) {
            if let sealer, !sealer.isEmpty {
                let box = try SecretsKey.box(in: data, isMade: false)
                guard box.name == sealer else { throw .foreign }
            }
            for alert in alerts where alert.sealedSecret != nil {
                _ = try AlertDispatch.secret(of: alert, in: workspace.id, data: data)
            }
            return nil
        } catch {
            return error.description
        }
    }
}
