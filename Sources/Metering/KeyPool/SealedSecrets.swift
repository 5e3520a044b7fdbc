// SPDX-License-Identifier: Apache-2.0

internal import Cryptography
internal import Observability
internal import Redis
internal import Synchronization

/// The secrets of a workspace's pool and alerts, which only `secrets.key` of the service that took them
/// opens.
struct SealedSecrets {
    let client: RedisClient
    let keys: Keyspace
    /// The folder of `secrets.key`.
    let data: String

    /// Why those that Redis has cannot be read; nil when they can, or there are none.
    func failure() async throws -> SecretsKey.Failure? {
        if let failure = try await poolFailure() { return failure }
        for alert in try await sealedAlerts() {
            do throws(SecretsKey.Failure) {
                _ = try AlertDispatch.secret(of: alert, in: keys.workspace, data: data)
            } catch {
                return error
            }
        }
        return nil
    }

    /// The same of the pool alone.
    func poolFailure() async throws -> SecretsKey.Failure? {
        guard try await isInPool() else { return nil }
        let command = RedisCommand("HGET", [keys.pool, Array("sealed_by".utf8)])
        let sealer = try await send(command).bytes
        do throws(SecretsKey.Failure) {
            return try SecretsKey.box(in: data).name == sealer ?? [] ? nil : .foreign
        } catch {
            return error
        }
    }

    private func isInPool() async throws(MeteringError) -> Bool {
        try await send(RedisCommand("HLEN", [keys.poolSecrets])).integer ?? 0 > 0
    }

    private func sealedAlerts() async throws(MeteringError) -> [Alert] {
        let rules = try await RulesStore(client: client, keys: keys).load()
        return rules.alerts.alerts.filter { $0.sealedSecret != nil }
    }

    private func send(_ command: RedisCommand) async throws(MeteringError) -> RedisValue {
        do {
            return try await client.send(command)
        } catch {
            throw .unavailable(error)
        }
    }
}

extension QueryEngine {
    private func sealedSecrets(
        of keys: Keyspace
    ) throws(MeteringError) -> SealedSecrets {
        SealedSecrets(client: try client, keys: keys, data: data)
    }

    /// Has `secrets.key` ready for secrets that are new: makes it where there is none. One that was lost is
    /// not replaced, since no single file would open all secrets then.
    ///
    /// - Throws: `SecretsKey.Failure` when what Redis has was sealed with another key, or with one that
    ///   is lost.
    func prepareSecretsKey() async throws {
        if let failure = try await sealedSecrets(of: keys).failure() { throw failure }
        if try SecretsKey.exists(in: data) { return }
        // All workspaces have the same key.
        for settings in [WorkspaceSettings()] + (try await listedWorkspaces().settings) {
            let secrets = try sealedSecrets(of: Keyspace(settings))
            if let failure = try await secrets.failure() { throw failure }
        }
        try SecretsKey.make(in: data)
    }

    /// Tells in the log that secrets cannot be read: once, and when that changes.
    func watchSecrets() async {
        let reason: String?
        do {
            reason = try await sealedSecrets(of: keys).failure()?.description
        } catch {
            return
        }
        guard reason != secretsProblem else { return }
        toldSecretsProblem.withLock { $0 = reason }
        let workspace = settings.id.text
        if let reason {
            logger.error(
                "secrets of pools and webhooks cannot be read",
                ["workspace": workspace, "reason": reason])
        } else {
            logger.notice(
                "secrets of pools and webhooks can be read again", ["workspace": workspace])
        }
    }
}
