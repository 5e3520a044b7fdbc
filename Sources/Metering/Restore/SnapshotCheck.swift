// SPDX-License-Identifier: Apache-2.0

extension WorkspaceSnapshots {
    /// Checks all files of the workspace: whether they belong together, are whole, and their days add up. Asks no
    /// Redis, and changes nothing. O(lines of all files).
    ///
    /// - Parameter progress: called about once per MiB with what is done and what there is to do, in bytes.
    /// - Throws: `RestoreError`, or the fault of a damaged file; both tell in words.
    public func check(
        progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void
    ) async throws {
        let source = try SnapshotSource(path)
        try source.checkTitles(of: workspace)
        // Files of days are read a second time, for their sums.
        let total = source.byteCount * 2
        var done = 0
        for file in source.files {
            try await SnapshotLines.check(file.path) { count in
                done += count
                progress(done, total)
            }
        }
        for day in source.days {
            try await day.checkSums { count in
                done += count
                progress(done, total)
            }
        }
    }
}

extension SnapshotSource {
    fileprivate func checkTitles(of workspace: WorkspaceID) throws {
        guard let first = files.first else { throw RestoreError.nothing(folder: path) }
        for file in files {
            guard file.title.workspace == workspace.text else {
                throw RestoreError.mixed(
                    "\(file.path) is of the workspace \(file.title.workspace), not \(workspace.text)"
                )
            }
            guard file.title.dataset == first.title.dataset else {
                throw RestoreError.mixed("\(file.path) and \(first.path) are of different data")
            }
        }
        for file in zoned where file.title.zone != zone {
            throw RestoreError.mixed("\(file.path) is of another zone than \(zone)")
        }
    }
}

extension SnapshotSource.Day {
    /// Throws when the file's sums are not those of its parts: what was restored would not add up.
    fileprivate func checkSums(pause: (_ readCount: Int) async throws -> Void) async throws {
        var found: [Difference] = []
        var verifier = FileVerifier(self) { if found.count < 2 { found.append($0) } }
        try await verifier.run(pause: pause)
        guard let first = found.first else { return }
        throw SnapshotFault(
            file: path,
            reason: "\(first.what): expected \(first.expected), found \(first.found)"
                + (found.count > 1 ? ", and more" : "")
                + ": put back the file as it was written, or take it away to restore without this day"
        )
    }
}
