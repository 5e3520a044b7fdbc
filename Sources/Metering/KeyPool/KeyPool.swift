// SPDX-License-Identifier: Apache-2.0
//
// What hands out and reports is one script each, so that no two hands ever get one key and its first
// use is told once, however many processes there are. A change whose outcome is not known is not sent
// again: it is told as such.

internal import Cryptography
internal import Redis

/// What became of a row of an import.
public enum PoolImportOutcome: Sendable {
    /// It is in the pool under this id.
    case imported(id: Int)
    /// The provider has a key with this secret.
    case duplicate
    /// Redis did not answer; whether the row was imported is told by importing it again.
    case unknown(MeteringError)
}

/// Changes the pools of a workspace. On its loop's thread only.
final class KeyPool {
    private static let rowsPerCall = 200

    private let client: RedisClient
    private let keys: Keyspace
    private let workspace: WorkspaceID
    private let clock: any Clock
    /// The folder of `secrets.key`.
    private let data: String

    init(client: RedisClient, settings: WorkspaceSettings, clock: any Clock, data: String) {
        self.client = client
        self.clock = clock
        self.data = data
        workspace = settings.id
        keys = Keyspace(settings)
    }

    // MARK: Changes

    /// Adds keys, in slices: each row for itself. `secrets.key` has to be there.
    func add(
        _ rows: [PoolKeyDraft], to provider: PoolProvider
    ) async throws -> [PoolImportOutcome] {
        guard !rows.isEmpty else { return [] }
        let box = try SecretsKey.box(in: data)
        let first = try await reserve(rows.count)
        var outcomes: [PoolImportOutcome] = []
        outcomes.reserveCapacity(rows.count)
        for start in stride(from: 0, to: rows.count, by: Self.rowsPerCall) {
            let slice = rows[start..<min(start + Self.rowsPerCall, rows.count)]
            do {
                outcomes += try await add(slice, from: first + start, to: provider, box)
            } catch let error as MeteringError where start > 0 {
                // What came before is done, and has to be told.
                outcomes += slice.map { _ in .unknown(error) }
            }
        }
        return outcomes
    }

    /// Ids that nobody else gets; the first of them. They are part of what is sealed.
    private func reserve(_ count: Int) async throws(MeteringError) -> Int {
        let reply = try await change { client throws(RedisError) in
            try await client.run(
                ScriptLibrary.reserveIDs, keys: [self.keys.pool, self.keys.changes],
                arguments: [Array("\(count)".utf8)])
        }
        guard let last = reply.integer, last <= PoolKey.idMax, last >= count else {
            throw .damaged(what: "the last id of the key pool")
        }
        return last - count + 1
    }

    private func add(
        _ rows: ArraySlice<PoolKeyDraft>, from first: Int, to provider: PoolProvider,
        _ box: SecretBox
    ) async throws -> [PoolImportOutcome] {
        let writer = MessagePackWriter()
        writer.array(rows.count)
        for (offset, row) in rows.enumerated() {
            let id = first + offset
            guard let sealed = box.seal(row.secret, for: place(of: id, provider)),
                let digest = box.digest(Array(provider.name.utf8) + [0] + row.secret)
            else { throw SecretsKey.Failure.unsealed }
            writer.array(6)
            writer.integer(id)
            writer.string(row.name)
            writer.integer(row.status.rawValue)
            if let balance = row.creditBalance {
                writer.integer(balance)
            } else {
                writer.string("")
            }
            writer.string(sealed)
            writer.string(digest)
        }
        let reply = try await run(
            ScriptLibrary.importKeys, provider,
            [Array("\(clock.now.milliseconds)".utf8), box.name, writer.take()])
        guard let flags = reply.count == 1 ? reply[0].elements : nil, flags.count == rows.count
        else { throw MeteringError.damaged(what: "the key pool") }
        return flags.enumerated().map { $1.integer == 1 ? .imported(id: first + $0) : .duplicate }
    }

    /// Hands out keys, all in one step.
    ///
    /// - Returns: at most as many as were asked for; none when there are none.
    func assign(
        _ assignment: PoolAssignment, of provider: PoolProvider
    ) async throws -> [PoolKeyDetail] {
        if assignment.subject.isErased { throw EventRejection.reservedID }
        guard assignment.subject.kind == .user else {
            throw EventRejection(
                code: "invalid_id", field: "user_id",
                detail: "keys are handed out to users, not to guests")
        }
        // Nobody could read what is handed out.
        let secrets = SealedSecrets(client: client, keys: keys, data: data)
        if let failure = try await secrets.poolFailure() { throw failure }
        let reply = try await run(
            ScriptLibrary.assignKeys, provider,
            [assignment.subject.id.bytes, Array("\(assignment.quantity)".utf8)])
        guard let listed = reply.first else { throw MeteringError.damaged(what: "the key pool") }
        return try PoolReader.keys(listed).map { detail(of: $0, isMasked: true) }
    }

    /// Stores what was reported.
    ///
    /// - Parameter holder: who reports, when that has to be the key's holder.
    /// - Returns: whether it was the first use in the key's life; nil when there is no such key, or
    ///   another holds it.
    func report(
        _ report: PoolReport, of provider: PoolProvider, by holder: SubjectID?
    ) async throws -> Bool? {
        try await change(
            report.keyID, of: provider, report.change, holder: holder,
            used: max(1, clock.now.milliseconds))?.isFirstUse
    }

    /// Changes a key; nil when there is no such key.
    func edit(
        _ id: Int, of provider: PoolProvider, _ change: PoolKeyChange
    ) async throws -> PoolKeyDetail? {
        try await self.change(id, of: provider, change, holder: nil, used: 0).map {
            detail(of: $0.key, isMasked: true)
        }
    }

    private func change(
        _ id: Int, of provider: PoolProvider, _ change: PoolKeyChange, holder: SubjectID?, used: Int
    ) async throws -> (key: PoolKey, isFirstUse: Bool)? {
        let id = Array("\(id)".utf8)
        let reply = try await run(
            ScriptLibrary.changeKey, provider,
            [id, holder?.id.bytes ?? [], Array("\(used)".utf8), change.packed])
        guard !reply.isEmpty else { return nil }
        guard reply.count == 3, let isFirst = reply[0].integer,
            let key = try PoolReader.keys(.array([.bulk(id), reply[1], reply[2]])).first
        else { throw MeteringError.damaged(what: "the key pool") }
        return (key, isFirst == 1)
    }

    /// Takes a key out of the pool; false when there is no such key.
    func delete(_ id: Int, of provider: PoolProvider) async throws -> Bool {
        let reply = try await run(ScriptLibrary.deleteKey, provider, [Array("\(id)".utf8)])
        return !reply.isEmpty
    }

    func setThreshold(_ threshold: Int, of provider: PoolProvider) async throws {
        let name = Array(provider.name.utf8)
        let reply = try await change { client throws(RedisError) in
            try await client.run(
                ScriptLibrary.setThreshold, keys: [self.keys.changes, self.keys.poolProviders],
                arguments: [name, Array("\(threshold)".utf8)])
        }
        _ = try Self.parts(of: reply)
    }

    // MARK: Secrets

    /// A key with its secret, as far as this process can read it.
    func detail(of key: PoolKey, isMasked: Bool) -> PoolKeyDetail {
        details(of: [key], isMasked: isMasked)[0]
    }

    func details(of keys: [PoolKey], isMasked: Bool) -> [PoolKeyDetail] {
        let box = keys.isEmpty ? nil : try? SecretsKey.box(in: data)
        return keys.map { key in
            let secret = box?.open(key.sealedSecret, for: place(of: key.id, key.provider))
            return PoolKeyDetail(
                key: key,
                secret: secret.map {
                    isMasked ? PoolKey.mask($0) : String(decoding: $0, as: UTF8.self)
                })
        }
    }

    /// What a sealed secret is held to.
    private func place(of id: Int, _ provider: PoolProvider) -> [UInt8] {
        Array("\(workspace.text)/\(provider.name)/\(id)".utf8)
    }

    // MARK: Scripts

    /// Runs a script that takes all keys of a pool; the parts of its answer behind the status, which
    /// are none for a key that is missing.
    private func run(
        _ script: RedisScript, _ provider: PoolProvider, _ arguments: [[UInt8]]
    ) async throws -> [RedisValue] {
        let reply = try await change { client throws(RedisError) in
            try await client.run(
                script, keys: self.keys.pool(of: provider),
                arguments: [Array(provider.name.utf8)] + arguments)
        }
        return try Self.parts(of: reply)
    }

    /// Statuses: `lua/include/pool_fields.lua`.
    private static func parts(of reply: RedisValue) throws -> [RedisValue] {
        let parts = reply.elements ?? []
        switch parts.first?.integer {
        case 0: return []
        case 1: return parts.count == 1 ? [.null] : Array(parts.dropFirst())
        case 2:
            throw EventRejection(
                code: "number_too_large", field: "credit_balance",
                detail: "the balances of the holder's keys would pass 9007199254740991")
        case 3:
            throw EventRejection(
                status: 409, code: "too_many_providers", field: "",
                detail: "a workspace has at most 100 providers")
        case 4: throw SecretsKey.Failure.foreign
        default: throw MeteringError.damaged(what: "the key pool")
        }
    }

    /// Does what must not be done twice.
    private func change(
        _ work: (RedisClient) async throws(RedisError) -> RedisValue
    ) async throws(MeteringError) -> RedisValue {
        do {
            return try await work(client)
        } catch {
            guard error.mayHaveBeenExecuted else { throw .unavailable(error) }
            throw .undecided(reason: "\(error)")
        }
    }
}

extension PoolKeyChange {
    /// `{field, value, ...}`, by the numbers of `lua/include/pool_fields.lua`.
    fileprivate var packed: [UInt8] {
        var fields: [(Int, (MessagePackWriter) -> Void)] = []
        if let name { fields.append((2, { $0.string(name) })) }
        if let status { fields.append((3, { $0.integer(status.rawValue) })) }
        if let creditBalance {
            fields.append((4, { creditBalance.map($0.integer) ?? $0.string("") }))
        }
        if isUnassigned { fields.append((5, { $0.string("") })) }
        if let lastError { fields.append((7, { $0.string(lastError) })) }
        let writer = MessagePackWriter()
        writer.array(2 * fields.count)
        for (field, write) in fields {
            writer.integer(field)
            write(writer)
        }
        return writer.take()
    }
}
