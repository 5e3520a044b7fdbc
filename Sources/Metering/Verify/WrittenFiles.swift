// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Redis

/// Verifies that the files are there of which Redis says that they were written, that none is an earlier
/// one (which a restore would take for the last), and that a day which its file calls final is final for Redis.
///
/// A file is noted when it is in its place: what was never flushed lacks nothing.
struct WrittenFiles {
    private let source: SnapshotSource
    private let context: VerifyContext

    init(_ source: SnapshotSource, _ context: VerifyContext) {
        (self.source, self.context) = (source, context)
    }

    /// O(days).
    ///
    /// - Parameter days: the files of days that are whole.
    func run(days: [CivilDay: SnapshotSource.Day]) async throws {
        // Redis does not say in which folder: each process may have its own.
        guard context.isOnlyFolder else { return }
        try await context.settled { try await self.missing() }
        try await context.settled { try await self.falselyFinal(days) }
    }

    /// The state, and days of the audit log that are still kept.
    private func missing() async throws -> [Difference] {
        let audited = try await AuditSnapshot.changes(context.client, context.keys).map(\.day)
        let state = "\(source.path)/state.json"
        let files =
            [(Keyspace.stateChanges, state)]
            + audited.map { day in
                (
                    Keyspace.auditWritten(day),
                    "\(source.path)/\(SnapshotFolder.auditName)/\(day).json"
                )
            }
        let marks = try await context.hash.values(context.keys.snapshots, of: files.map { $0.0 })
        return zip(files, marks).compactMap { file, mark in
            guard let mark else { return nil }
            let revision = String(decoding: mark, as: UTF8.self)
            if access(file.1, F_OK) != 0, errno == ENOENT {
                return Difference(
                    file.1, "file", expected: "one of revision \(revision)", found: "none")
            }
            // What cannot be read is told elsewhere.
            guard let written = Int(revision), let title = try? SnapshotTitle(path: file.1),
                title.revision < written
            else { return nil }
            return Difference(
                file.1, "revision", expected: revision, found: "\(title.revision)")
        }
    }

    /// Days whose file calls a revision final that Redis has begun to write as not final. Redis is told
    /// first: it may be ahead of the file, but not behind it.
    private func falselyFinal(
        _ days: [CivilDay: SnapshotSource.Day]
    ) async throws -> [Difference] {
        let final = days.values.filter(\.title.isFinal).sorted { $0.day < $1.day }
        let marks = try await context.hash.values(
            context.keys.snapshots, of: final.map { Array("\($0.day.number)".utf8) })
        return zip(final, marks).compactMap { file, mark in
            guard let mark = mark.flatMap({ MessagePackValue($0)?.integers }), mark.count >= 2,
                mark[0] == file.title.revision, mark[1] == 0
            else { return nil }
            return Difference(
                file.path, "final, by Redis", expected: "false", found: "true")
        }
    }
}
