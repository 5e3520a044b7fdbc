// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Redis

/// What a restore came to.
public struct RestoreReport: Sendable {
    public let workspace: WorkspaceID
    /// Days in all, and those of them whose detail stays in their files.
    public let days: Int
    public let coldDays: Int
    /// Lines of subjects, over all days.
    public let subjectDays: Int
    public let accounts: Int
    public let apiKeys: Int
    /// Snapshots of what was there before that were in the folder.
    public let removedFiles: Int
    /// Why the secrets of the pool and of alerts cannot be read with `secrets.key` of the folder that the
    /// files went to; nil when they can, or there are none, or no folder was named.
    public let secretsProblem: String?
    /// `Restorer.Report.meta`.
    fileprivate let meta: [UInt8]
}

extension QueryEngine {
    /// The connection, once Redis can be asked: waited for, since commands come right after the
    /// start.
    func connected() async throws(MeteringError) -> RedisClient {
        let client = try client
        for turn in 0..<1_000 where !client.isReady {
            // One that loads its data is worth waiting for, one that is not there is not.
            if turn >= 150, client.problem?.hasPrefix("connect: ") == true { break }
            await loop.sleep(for: .milliseconds(10))
        }
        return client
    }

    /// Gives others on this loop their turn.
    private func pause() async { await loop.sleep(for: .zero) }

    private func restorer(
        _ path: String, _ token: RestoreToken,
        _ progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void
    ) async throws -> Restorer {
        let client = try await connected()
        // What is there keeps its birth: keys of Redis have it.
        let present = try await present(client)
        return Restorer(
            try SnapshotSource(path), client: client, workspace: settings, present: present,
            clock: clock, token: token
        ) { [self] done, total in
            progress(done, total)
            await pause()
        }
    }

    /// The workspace of this id that Redis has.
    private func present(_ client: RedisClient) async throws -> WorkspaceSettings? {
        let name = Array(settings.id.text.utf8)
        let reply = try await client.send(
            RedisCommand("HGET", [DirectoryKeyspace.workspaces, name]))
        guard settings.id != .default, let entry = reply.bytes, !DirectoryKeyspace.isDoomed(entry)
        else { return nil }
        guard let found = WorkspaceSettings(settings.id, entry: entry) else {
            throw MeteringError.damaged(what: "the settings of \(settings.id.text)")
        }
        return found
    }

    /// Checks whether this workspace's snapshots, which are whole, may be restored here. Changes nothing.
    ///
    /// - Parameters:
    ///   - path: the workspace's folder.
    ///   - data: the folder in whose `rollups` the files are to be; nil leaves them where they are.
    ///   - isForced: whether what Redis and `data` hold of the workspace may be deleted.
    /// - Throws: `RestoreError`, `RedisError`, or the fault of a damaged file; all tell in words.
    public func checkPlace(
        ofSnapshots path: String, into data: String?, isForced: Bool
    ) async throws {
        try await restorer(path, RestoreToken()) { _, _ in }.check(into: data, isForced: isForced)
    }

    /// Whether a service counts on this Redis: it writes a key each second that goes by itself when nobody
    /// does so. Returns after at most 10 s, at once where there is none.
    ///
    /// - Throws: `RedisError`.
    public func isServed() async throws -> Bool {
        let client = try await connected()
        let question = RedisCommand("GET", [Keyspace(WorkspaceSettings()).probe])
        guard let first = try await client.send(question).bytes else { return false }
        while let value = try await client.send(question).bytes {
            if value != first { return true }
            await loop.sleep(for: .milliseconds(200))
        }
        return false
    }

    /// Rebuilds this workspace in Redis from the snapshots of its folder, which were checked before.
    /// What Redis holds of the workspace is deleted. O(lines of all files); may be begun again at any
    /// time. No service takes the data before `endRestore`.
    ///
    /// - Parameters: as of `checkPlace`; `progress` is called about once per MiB with what is done and
    ///   what there is to do, in bytes.
    public func writeSnapshots(
        at path: String, into data: String?, isForced: Bool, token: RestoreToken,
        progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void
    ) async throws -> RestoreReport {
        let report = try await restorer(path, token, progress).write(into: data, isForced: isForced)
        return RestoreReport(
            workspace: settings.id, days: report.days, coldDays: report.coldDays,
            subjectDays: report.subjectDays, accounts: report.accounts, apiKeys: report.apiKeys,
            removedFiles: report.removedFiles, secretsProblem: report.secretsProblem,
            meta: report.meta)
    }

    /// Lets services have what was written by the restore of this token, in all of its workspaces at once.
    public func endRestore(_ reports: [RestoreReport], token: RestoreToken) async throws {
        let writer = RestoreWriter(try await connected(), keys, token)
        // What is by the hour or minute alone begins here.
        try await writer.finish(
            reports.map(\.meta), [("restored_at", "\(clock.now.milliseconds)")])
    }

    /// Checks, writes and ends: for one workspace.
    ///
    /// - Parameters: as of `writeSnapshots`.
    public func restore(
        from path: String, into data: String?, isForced: Bool,
        progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void
    ) async throws -> RestoreReport {
        let token = RestoreToken()
        try await WorkspaceSnapshots(path: path, settings: settings, hasSettings: true)
            .check(progress: progress)
        try await checkPlace(ofSnapshots: path, into: data, isForced: isForced)
        let report = try await writeSnapshots(
            at: path, into: data, isForced: isForced, token: token, progress: progress)
        try await endRestore([report], token: token)
        return report
    }
}
