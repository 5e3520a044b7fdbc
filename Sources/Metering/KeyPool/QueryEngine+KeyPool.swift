// SPDX-License-Identifier: Apache-2.0

internal import EventLoop

/// Pools of API keys of outside providers: `KeyPool` changes them, `PoolReader` reads them.
///
/// All of these throw `MeteringError`; an `EventRejection` where numbers would not stay exact, or
/// for one provider more than 100; and another error where `secrets.key` is not what it should be.
extension QueryEngine {
    private var pool: KeyPool {
        get throws(MeteringError) {
            KeyPool(client: try client, settings: settings, clock: clock, data: data)
        }
    }

    private var poolReader: PoolReader {
        get throws(MeteringError) { PoolReader(client: try client, settings: settings) }
    }

    /// Adds keys, each for itself, in slices of 200.
    ///
    /// - Returns: an outcome for each row, in their order.
    public func importPoolKeys(
        _ rows: [PoolKeyDraft], to provider: PoolProvider
    ) async throws -> [PoolImportOutcome] {
        if !rows.isEmpty { try await prepareSecretsKey() }
        return try await pool.add(rows, to: provider)
    }

    /// Hands out keys that nobody holds, in one atomic step: active ones with a balance above the
    /// provider's threshold, or none that is known; highest balance first, unknown ones last, then the
    /// oldest.
    ///
    /// - Returns: at most as many as were asked for, with masked secrets; none when there are none.
    /// - Complexity: O(N log M) for N keys of M.
    public func assignPoolKeys(
        _ assignment: PoolAssignment, of provider: PoolProvider
    ) async throws -> [PoolKeyDetail] {
        try await pool.assign(assignment, of: provider)
    }

    /// Stores what a tool reports of a key that it used.
    ///
    /// - Parameter holder: who reports, when that has to be the key's holder.
    /// - Returns: whether it was the first use in the key's life; nil when there is no such key, or
    ///   another holds it.
    public func reportPoolKey(
        _ report: PoolReport, of provider: PoolProvider, by holder: SubjectID?
    ) async throws -> Bool? {
        try await pool.report(report, of: provider, by: holder)
    }

    /// Changes a key. What was counted for its holders stays.
    ///
    /// - Returns: the key as it is then, with its secret masked; nil when there is no such key.
    public func editPoolKey(
        _ id: Int, of provider: PoolProvider, _ change: PoolKeyChange
    ) async throws -> PoolKeyDetail? {
        try await pool.edit(id, of: provider, change)
    }

    /// Takes a key out of its pool; false when there is no such key. What was counted stays.
    public func deletePoolKey(_ id: Int, of provider: PoolProvider) async throws -> Bool {
        try await pool.delete(id, of: provider)
    }

    /// A key with its whole secret; nil when there is no such key.
    public func poolKey(_ id: Int, of provider: PoolProvider) async throws -> PoolKeyDetail? {
        guard let key = try await poolReader.key(id, of: provider) else { return nil }
        return try pool.detail(of: key, isMasked: false)
    }

    /// Keys of a provider by id, with masked secrets.
    ///
    /// One page looks at 4,000 keys at most, so that it may have less than `limit`, and a next page
    /// all the same.
    ///
    /// - Parameter id: behind which they begin.
    public func poolKeys(
        of provider: PoolProvider, _ filter: PoolKeyFilter, limit: Int, after id: Int
    ) async throws -> PoolKeyPage {
        let page = try await poolReader.page(of: provider, filter, limit: limit, after: id)
        return PoolKeyPage(
            keys: try pool.details(of: page.keys, isMasked: true), next: page.next)
    }

    /// All keys of a provider that a subject holds, by id, with their whole secrets.
    public func heldPoolKeys(
        by subject: SubjectID, of provider: PoolProvider
    ) async throws -> [PoolKeyDetail] {
        let held = try await poolReader.held(by: subject, of: provider)
        return try pool.details(of: held, isMasked: false)
    }

    /// Keys that a subject holds and that were used, the last first.
    public func recentPoolKeys(
        of subject: SubjectID, count: Int
    ) async throws(MeteringError) -> [PoolKey] {
        try await poolReader.recent(of: subject, count: count)
    }

    /// All users with a profile, and all who ever got a key: ids that are numbers first, in their
    /// order, then others in that of bytes.
    ///
    /// - Complexity: O(users log users), in several turns of the loop; the last one goes through all ids once.
    public func poolUserIDs() async throws(MeteringError) -> [SubjectID] {
        let found = try await PoolUsers(client: try client, settings: settings).ids()
        var runs: [[PoolUserPlace]] = []
        for start in stride(from: 0, to: found.count, by: 2000) {
            let run = found[start..<min(start + 2000, found.count)]
            runs.append(run.map { PoolUserPlace($0) }.sorted())
            await loop.sleep(for: .zero)
        }
        while runs.count > 1 {
            var merged: [[PoolUserPlace]] = []
            for index in stride(from: 0, to: runs.count - 1, by: 2) {
                merged.append(PoolUserPlace.merge(runs[index], runs[index + 1]))
                await loop.sleep(for: .zero)
            }
            if !runs.count.isMultiple(of: 2) { merged += runs.suffix(1) }
            runs = merged
        }
        return (runs.first ?? []).map { SubjectID(stored: $0.id) }
    }

    /// Some people with what pools know of them, read in slices of 200.
    public func poolUsers(_ ids: [SubjectID]) async throws(MeteringError) -> [PoolUser] {
        try await PoolUsers(client: try client, settings: settings).users(ids)
    }

    /// A person with what pools know of it; nil when nothing is known of it at all.
    public func poolUser(_ id: SubjectID) async throws(MeteringError) -> PoolUser? {
        try await PoolUsers(client: try client, settings: settings).user(id)
    }

    /// What the pools know of subjects; nil where they know nothing.
    public func poolHolders(
        _ subjects: [SubjectID]
    ) async throws(MeteringError) -> [PoolHolder?] {
        try await poolReader.holders(subjects)
    }

    /// What the balance of a provider's keys has to be above for them to be handed out.
    public func poolThreshold(of provider: PoolProvider) async throws(MeteringError) -> Int {
        try await poolReader.threshold(of: provider)
    }

    /// Sets it, for what is handed out and counted as ready from now on.
    public func setPoolThreshold(_ threshold: Int, of provider: PoolProvider) async throws {
        try await pool.setThreshold(threshold, of: provider)
    }
}
