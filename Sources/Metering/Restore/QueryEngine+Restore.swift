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
}

extension QueryEngine {
    /// The connection, once Redis can be asked: waited for, since commands come right after the
    /// start.
    func connected() async throws(MeteringError) -> RedisClient {
        let client = try client
        for _ in 0..<1_000 where !client.isReady { await loop.sleep(for: .milliseconds(10)) }
        return client
    }

    /// The workspaces of which a folder holds snapshots: a `rollups` folder, or one workspace's;
    /// with the zone that their last one names.
    public nonisolated static func snapshots(
        in folder: String
    ) -> [(workspace: WorkspaceID, path: String, zone: String)] {
        SnapshotSource.workspaces(below: folder).map { id, path in
            let source = try? SnapshotSource(path, keepsFaults: true)
            let title = source?.days.last?.title ?? source?.state?.title
            return (id, path, title?.zone ?? "UTC")
        }
    }

    /// Gives others on this loop their turn.
    private func pause() async { await loop.sleep(for: .zero) }

    /// Rebuilds this workspace in an empty Redis from the snapshots of its folder. Every file is
    /// checked before anything is changed. O(lines of all files); an interrupted restore may be
    /// begun again, and only then is this data accepted by services.
    ///
    /// - Parameters:
    ///   - path: the workspace's folder.
    ///   - data: the folder in whose `rollups` the files are to be; nil leaves them where they are.
    ///   - isForced: deletes what Redis holds of the workspace.
    ///   - progress: called about once per MiB with what is done and what there is to do, in bytes.
    /// - Throws: `RestoreError`, `RedisError`, or the fault of a damaged file; all tell in words.
    public func restore(
        from path: String, into data: String?, isForced: Bool,
        progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void
    ) async throws -> RestoreReport {
        let restorer = Restorer(
            try SnapshotSource(path), client: try await connected(), workspace: settings.id,
            hotDays: settings.hotDays, clock: clock
        ) { [self] done, total in
            progress(done, total)
            await pause()
        }
        let report = try await restorer.run(into: data, isForced: isForced)
        return RestoreReport(
            workspace: settings.id, days: report.days, coldDays: report.coldDays,
            subjectDays: report.subjectDays, accounts: report.accounts)
    }
}
