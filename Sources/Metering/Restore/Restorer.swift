// SPDX-License-Identifier: Apache-2.0
//
// Before a restore all files are read, to know that they are whole: `SnapshotSource.check`. Until it has ended `restoring` stands in `meta`: services refuse such
// data, and the next restore starts over.

internal import Glibc
internal import JSON
internal import Redis

/// Rebuilds a workspace in an empty Redis from its snapshots.
final class Restorer {
    /// What was restored.
    struct Report {
        var days = 0
        var coldDays = 0
        var subjectDays = 0
        var accounts = 0
        var apiKeys = 0
        var removedFiles = 0
        /// The key that has the mark of the restore.
        var meta: [UInt8] = []
        /// Why the secrets cannot be read with the key of the folder.
        var secretsProblem: String?
    }

    private let source: SnapshotSource
    private let writer: RestoreWriter
    private let keys: Keyspace
    private let workspace: WorkspaceSettings
    /// Of the same workspace in the files, if Redis has it by another birth.
    private let otherBirth: String?
    private let isPresent: Bool
    private let clock: any Clock
    private let progress: (_ done: Int, _ total: Int) async -> Void
    private var doneCount = 0
    private var report = Report()

    /// - Parameter progress: called after each MiB or so, with the bytes that were read of those
    ///   that have to be.
    init(
        _ source: SnapshotSource, client: RedisClient, workspace: WorkspaceSettings,
        present: WorkspaceSettings?, clock: any Clock, token: RestoreToken,
        progress: @escaping (_ done: Int, _ total: Int) async -> Void
    ) {
        self.source = source
        var workspace = workspace
        otherBirth = present.flatMap { $0.birth == workspace.birth ? nil : workspace.birth }
        isPresent = present != nil
        workspace.birth = present?.birth ?? workspace.birth
        self.workspace = workspace
        self.clock = clock
        self.progress = progress
        keys = Keyspace(workspace)
        writer = RestoreWriter(client, keys, token)
    }

    /// Checks Redis, and the places of the files. Changes nothing.
    ///
    /// - Parameters:
    ///   - data: where the files are to be in the end, in `rollups`; nil leaves them where they are.
    ///   - isForced: whether what is there may be taken away.
    func check(into data: String?, isForced: Bool) async throws {
        if !isForced {
            guard try await writer.isEmpty() else {
                throw RestoreError.notEmpty(workspace: workspace.id.text)
            }
            if let data { try copy(to: data, isForced: false).check() }
        }
        if let state = source.state { try await directory(of: state.path).check() }
    }

    /// Writes what was checked. The data have the mark of a restore until it is ended.
    ///
    /// - Parameters: as of `check`.
    func write(into data: String?, isForced: Bool) async throws -> Report {
        report.meta = keys.meta
        var fence = SnapshotSource.fence(source.path)
        let files = data.map { copy(to: $0, isForced: isForced) }
        if let data {
            fence = max(fence, SnapshotSource.fence("\(data)/rollups/\(workspace.id.text)"))
        }
        // What takes time, and may fail, comes before the mark; no file is in its place before it.
        try files?.prepare()
        try await writer.begin(leaving: otherBirth)
        try files?.place()
        let calendar = WorkspaceCalendar(zone: source.zone) ?? .utc
        let today = calendar.day(at: clock.now.milliseconds.flooredQuotient(1000))
        let floor = CivilDay(number: today.number - workspace.hotDays)
        let directory = directory(of: source.state?.path ?? source.path)
        if let state = source.state {
            let restorer = StateRestorer(
                state.path, writer, directory, clock: clock,
                logSeconds: workspace.lifetimes.log
            ) { [self] in
                try await advance($0)
            }
            report.accounts = try await restorer.run()
        }
        // Behind the state, which tells which guests are users by now. The last day first:
        // lua/restore_subjects.lua.
        for day in source.days.reversed() { try await restore(day, floor, calendar) }
        try await AuditRestorer(writer).run(source.audit) { [self] in try await advance($0) }
        try await directory.finish()
        report.apiKeys = directory.keyCount
        try await writeMarks(floor, fence, isStateChanged: directory.isChanged)
        // Last: a restore that is given up before has not taken them.
        report.removedFiles = try files?.removeOthers() ?? 0
        if let data {
            let secrets = SealedSecrets(
                client: writer.client, keys: Keyspace(workspace), data: data)
            report.secretsProblem = try await secrets.failure()?.description
        }
        return report
    }

    private func directory(of path: String) -> DirectoryRestorer {
        DirectoryRestorer(
            writer, workspace, isPresent: isPresent, zone: source.zoned.first?.title.zone,
            path: path)
    }

    private func copy(to data: String, isForced: Bool) -> SnapshotCopy {
        SnapshotCopy(from: source, to: "\(data)/rollups/\(workspace.id.text)", isForced: isForced)
    }

    private func advance(_ byteCount: Int) async throws {
        doneCount += byteCount
        await progress(doneCount, source.byteCount)
    }

    /// Whether a day's detail goes to Redis; of the others their final files are read.
    private func isHot(_ day: SnapshotSource.Day, _ floor: CivilDay) -> Bool {
        day.day >= floor || !day.title.isFinal
    }

    // MARK: Days

    private func restore(
        _ day: SnapshotSource.Day, _ floor: CivilDay, _ calendar: WorkspaceCalendar
    ) async throws {
        let isHot = isHot(day, floor)
        let part = DayRestorer(day, isHot: isHot, floor: floor, calendar, writer)
        report.subjectDays += try await part.run { [self] in try await advance($0) }
        report.days += 1
        if !isHot { report.coldDays += 1 }
    }

    /// What says of the days that they are there, and of the data which they are.
    ///
    /// - Parameter isStateChanged: whether a file of the state is behind what was written.
    private func writeMarks(
        _ floor: CivilDay, _ fence: Int, isStateChanged: Bool
    ) async throws {
        let cold = source.days.filter { !isHot($0, floor) }
        try await writer.put(cold, to: keys.cold, .plain) { day, packer in
            packer.string("\(day.day.number)")
            packer.string("\(day.title.revision)")
        }
        try await writer.put(source.days, to: keys.snapshots, .packed) { day, packer in
            packer.string("\(day.day.number)")
            packer.integers([
                day.title.revision, day.title.isFinal ? 1 : 0, day.title.writtenAt.milliseconds, 0,
            ])
        }
        try await writer.put(source.days, to: keys.changes, .plain) { day, packer in
            packer.string("\(day.day.number)")
            packer.string("\(day.title.revision)")
        }
        if let state = source.state {
            let revision = state.title.revision + (isStateChanged ? 1 : 0)
            try await writer.put([revision], to: keys.changes, .plain) {
                $1.string(Keyspace.stateChanges)
                $1.string("\($0)")
            }
        }
        let facts = [
            ("dataset", source.files.first?.title.dataset ?? ""),
            // No number of a lease that has written to the files comes again.
            ("flush_fence", "\(fence)"), ("closed_before", "\(floor.number)"),
        ]
        try await writer.put(facts, to: keys.meta, .plain) {
            $1.string($0.0)
            $1.string($0.1)
        }
    }
}
