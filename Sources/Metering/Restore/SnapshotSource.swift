// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// The snapshots of a workspace that something is to be restored from, or compared with.
struct SnapshotSource {
    struct Day {
        let day: CivilDay
        let path: String
        let title: SnapshotTitle
    }

    let path: String
    /// In the order of time.
    let days: [Day]
    let state: (path: String, title: SnapshotTitle)?
    /// Days (UTC) of the audit log, in the order of time.
    let audit: [Day]
    /// How many bytes all files have together.
    let byteCount: Int
    /// Files whose first line says nothing of use, and folders that cannot be read; only with `keepsFaults`.
    let faults: [SnapshotFault]

    /// Finds the files below a workspace's folder and reads their first lines.
    ///
    /// - Parameter keepsFaults: whether what cannot be read is put aside, and does not throw.
    init(_ path: String, keepsFaults: Bool = false) throws {
        self.path = path
        var days: [Day] = []
        var state: (path: String, title: SnapshotTitle)?
        var faults: [SnapshotFault] = []
        var byteCount = 0
        func read(
            _ file: String, _ kind: SnapshotKind, _ body: (SnapshotTitle) throws -> Void
        ) throws {
            do {
                let title = try SnapshotTitle(path: file)
                guard title.schema <= SnapshotHead.schema else {
                    throw SnapshotFault(file: file, reason: "it is of a later version of Tally")
                }
                let found = SnapshotKind(of: file) ?? kind
                guard found == kind, (kind == .state) == title.date.isEmpty else {
                    throw SnapshotFault(
                        file: file,
                        reason: "it has the name of \(kind.rawValue), and is \(found.rawValue): "
                            + "put back the file that belongs here")
                }
                try body(title)
                byteCount += Self.size(file)
            } catch let fault as SnapshotFault {
                guard keepsFaults else { throw fault }
                faults.append(fault)
            }
        }
        func names(_ folder: String) throws -> [String] {
            do {
                return try SnapshotFolder.names(folder)
            } catch {
                guard keepsFaults else { throw error }
                faults.append(error)
                return []
            }
        }
        func readDays(
            _ folder: String, _ kind: SnapshotKind, isOf: (CivilDay) -> Bool
        ) throws -> [Day] {
            var days: [Day] = []
            for name in try names("\(path)/\(folder)")
            where name.hasSuffix(".json") && !name.hasPrefix(".") {
                let file = "\(path)/\(folder)/\(name)"
                try read(file, kind) { title in
                    guard let day = CivilDay(title.date), name == "\(day).json", isOf(day) else {
                        throw SnapshotFault(file: file, reason: "it is of another day")
                    }
                    days.append(Day(day: day, path: file, title: title))
                }
            }
            return days
        }
        for year in try names(path) where year.count == 4 && Int(year) != nil {
            days += try readDays(year, .day) { year == "\($0)".prefix(4) }
        }
        audit = try readDays(SnapshotFolder.auditName, .audit) { _ in true }
        if access("\(path)/state.json", F_OK) == 0 || errno != ENOENT {
            try read("\(path)/state.json", .state) { state = ("\(path)/state.json", $0) }
        }
        self.days = days
        self.state = state
        self.faults = faults
        self.byteCount = byteCount
    }

    /// All files, with what they say of themselves.
    var files: [(path: String, title: SnapshotTitle)] {
        zoned + audit.map { ($0.path, $0.title) }
    }

    /// The end of a file's path behind that of the folder, with the slash.
    func name(of file: String) -> String {
        String(decoding: file.utf8.dropFirst(path.utf8.count), as: UTF8.self)
    }

    /// Those that are by the workspace's zone.
    var zoned: [(path: String, title: SnapshotTitle)] {
        days.map { ($0.path, $0.title) } + (state.map { [$0] } ?? [])
    }

    /// The workspace's zone.
    var zone: String { zoned.first?.title.zone ?? "UTC" }

    /// The workspaces below a folder: those of its folders that hold snapshots, or itself.
    static func workspaces(below folder: String) throws -> [(id: WorkspaceID, path: String)] {
        if try holdsSnapshots(folder) {
            let source = try? SnapshotSource(folder, keepsFaults: true)
            let id = (source?.files.first?.title.workspace).flatMap { WorkspaceID($0) }
            return [(id ?? .default, folder)]
        }
        return try SnapshotFolder.names(folder).compactMap { name in
            let path = "\(folder)/\(name)"
            guard let id = WorkspaceID(name), !isFile(path), try holdsSnapshots(path) else {
                return nil
            }
            return (id, path)
        }
    }

    /// Folders below one that hold snapshots, and whose names are no workspaces' ids.
    static func strangers(below folder: String) throws -> [String] {
        if try holdsSnapshots(folder) { return [] }
        return try SnapshotFolder.names(folder).compactMap { name in
            let path = "\(folder)/\(name)"
            // One that cannot be read may be anybody's, as lost+found.
            let isOne = WorkspaceID(name) == nil && (try? holdsSnapshots(path)) == true
            return isOne ? path : nil
        }
    }

    private static func holdsSnapshots(_ path: String) throws(SnapshotFault) -> Bool {
        let names = try SnapshotFolder.names(path)
        if names.contains("state.json") { return true }
        for name in names
        where (name.count == 4 && Int(name) != nil || name == SnapshotFolder.auditName)
            && !isFile("\(path)/\(name)")
        {
            // A workspace's own folder may have the name of a year, or `audit`.
            let isHeld = try SnapshotFolder.names("\(path)/\(name)").contains {
                $0.hasSuffix(".json") && CivilDay(String($0.dropLast(5))) != nil
            }
            if isHeld { return true }
        }
        return false
    }

    private static func isFile(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    static func size(_ file: String) -> Int {
        var status = stat()
        return stat(file, &status) == 0 ? status.st_size : 0
    }

    /// The highest number of a lease that has written in a folder.
    static func fence(_ folder: String) -> Int {
        guard let lines = try? SnapshotLines("\(folder)/.lock"), let line = try? lines.next() else {
            return 0
        }
        let words = String(decoding: line, as: UTF8.self).split(separator: " ")
        return words.count >= 2 ? Int(words[1]) ?? 0 : 0
    }
}
