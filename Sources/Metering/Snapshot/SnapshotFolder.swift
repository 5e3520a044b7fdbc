// SPDX-License-Identifier: Apache-2.0
//
// <data>/rollups/<workspace>/<YYYY>/<YYYY-MM-DD>.json, and audit/<YYYY-MM-DD>.json. A workspace's id holds neither dots nor
// slashes (WorkspaceID), a day is made of digits: no name leads out of the folder.

internal import Glibc

/// The snapshots of a workspace on disk. Its calls block.
struct SnapshotFolder {
    /// How long to wait for another process that is about to rename.
    private static let lockTries = 200
    /// The folder of the audit log's files.
    static let auditName = "audit"

    private let data: String
    /// Without the folder of the data.
    private let name: String
    let path: String

    init(data: String, workspace: WorkspaceID) {
        self.data = data
        name = "rollups/\(workspace.text)"
        path = "\(data)/\(name)"
    }

    private func year(_ day: CivilDay) -> String { "\(path)/\("\(day)".prefix(4))" }

    func file(_ day: CivilDay) -> String { "\(path)/\(Self.place(of: day))" }

    /// A day's file as answers name it: without the folder of the data.
    func name(_ day: CivilDay) -> String { "\(name)/\(Self.place(of: day))" }

    private static func place(of day: CivilDay) -> String { "\("\(day)".prefix(4))/\(day).json" }

    /// What writers hold while they rename.
    var lockFile: String { "\(path)/\(Self.lockName)" }
    static let lockName = ".lock"

    /// Where the state is: what the days do not tell.
    var stateFile: String { "\(path)/state.json" }

    /// What is said of the state's file; nil when there is none that is whole enough to say it.
    func stateHead() throws(FlushError) -> SnapshotHead? { try SnapshotHead(path: stateFile) }

    /// What is said of a day's snapshot; nil when there is none that is whole enough to say it.
    func head(_ day: CivilDay) throws(FlushError) -> SnapshotHead? {
        try SnapshotHead(path: file(day))
    }

    /// Whether a day's file has no sums that could be lost: all was undone, or there is no file.
    func isWithoutSums(_ day: CivilDay) throws(FlushError) -> Bool {
        guard let bytes = try SnapshotHead.beginning(of: file(day)) else { return true }
        let lines = bytes.split(separator: UInt8(ascii: "\n"), maxSplits: 2)
        return lines.count == 3 && SnapshotHead(line: bytes) != nil
            && Array(lines[1]) == Array(#""events":0,"meters":{},"#.utf8)
    }

    /// A new file for a day, beside the one that it is to replace.
    func begin(_ day: CivilDay, fence: Int) throws(FlushError) -> SnapshotFile {
        try makeRoot()
        try make(year(day))
        return try begin("\(day)", in: year(day), fence)
    }

    /// A new file for the state, beside the one that it is to replace.
    func beginState(fence: Int) throws(FlushError) -> SnapshotFile {
        try makeRoot()
        return try begin("state", in: path, fence)
    }

    /// Makes the folders in that of the data, which is not made: were it moved away, another one would be in its place.
    func makeRoot() throws(FlushError) {
        try make("\(data)/rollups")
        try make(path)
    }

    func begin(
        _ name: String, in folder: String, _ fence: Int
    ) throws(FlushError) -> SnapshotFile {
        let temporary = "\(folder)/.\(name).\(fence).\(getpid())\(SnapshotFile.ending)"
        // One of ours that could not be taken away when it was given up.
        unlink(temporary)
        return try SnapshotFile(path: temporary)
    }

    /// Puts a finished file in the place of the day's, unless that is newer. Returns when the disk
    /// has the new name.
    func commit(
        _ file: SnapshotFile, as head: SnapshotHead, of day: CivilDay, fence: Int
    ) throws(FlushError) {
        try commit(file, as: head, at: self.file(day), in: year(day), fence)
    }

    /// Puts a finished file in the place of the state's, unless that is newer.
    func commitState(
        _ file: SnapshotFile, as head: SnapshotHead, fence: Int
    ) throws(FlushError) {
        try commit(file, as: head, at: stateFile, in: path, fence)
    }

    func commit(
        _ file: SnapshotFile, as head: SnapshotHead, at place: String, in folder: String,
        _ fence: Int
    ) throws(FlushError) {
        let lock = try lock()
        defer { close(lock) }
        try check(lock, head.dataset, fence)
        if let old = try SnapshotHead(path: place) {
            guard old.schema <= SnapshotHead.schema else {
                throw .foreign("\(place) is of a later version of Tally")
            }
            guard old.dataset == head.dataset else { throw .foreign(Self.foreign(place)) }
            guard
                old.revision < head.revision
                    || old.revision == head.revision && (head.isFinal || !old.isFinal)
            else { throw .superseded }
        }
        guard rename(file.path, place) == 0 else { throw .system("rename", place) }
        try Self.synchronize(folder)
    }

    static func foreign(_ file: String) -> String {
        "\(file) is of other data than those in Redis: move it away, or restore it"
    }

    /// Takes away what writers have left behind that died: all but the files of this fence.
    func sweep(fence: Int) {
        func names(_ folder: String) -> [String] { (try? Self.names(folder)) ?? [] }
        let years = names(path).filter { $0.count == 4 }.map { "\(path)/\($0)" }
        for folder in years + [path, "\(path)/\(Self.auditName)"] {
            for name in names(folder) where name.hasSuffix(SnapshotFile.ending) {
                let parts = name.dropFirst().split(separator: ".")
                guard parts.count == 4, let its = Int(parts[1]), its < fence else { continue }
                unlink("\(folder)/\(name)")
            }
        }
    }

    // MARK: Parts

    /// The lock of the workspace's folder, held until the descriptor is closed: between comparing
    /// and renaming nobody else renames.
    private func lock() throws(FlushError) -> Int32 {
        let name = lockFile
        let descriptor = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw .system("open", name) }
        for _ in 0..<Self.lockTries {
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return descriptor }
            guard errno == EWOULDBLOCK || errno == EINTR else { break }
            usleep(10_000)
        }
        let error = FlushError.system("flock", name)
        close(descriptor)
        throw error
    }

    /// Refuses a writer who was overtaken, also when the other one has written other days only. The
    /// lock's file holds the name of the data and the highest number that wrote here.
    private func check(_ lock: Int32, _ dataset: String, _ fence: Int) throws(FlushError) {
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = max(0, pread(lock, &bytes, bytes.count, 0))
        let words = String(decoding: bytes[..<count], as: UTF8.self).split(separator: " ")
        if words.count == 3, words[0] == dataset, let highest = Int(words[1]) {
            if highest > fence { throw .superseded }
            if highest == fence { return }
        }
        let text = "\(dataset) \(fence) \n"
        guard pwrite(lock, text, text.utf8.count, 0) == text.utf8.count,
            ftruncate(lock, text.utf8.count) == 0
        else { throw .system("write", lockFile) }
    }

    func make(_ folder: String) throws(FlushError) {
        if mkdir(folder, 0o700) == 0 {
            return try Self.synchronize(Self.parent(of: folder))
        }
        guard errno == EEXIST else { throw .system("mkdir", folder) }
    }

    /// The folder that a path is in. Looks at bytes: a mark behind a slash makes one letter with it.
    static func parent(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    private static func synchronize(_ folder: String) throws(FlushError) {
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .system("open", folder) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw .system("fsync", folder) }
    }

    /// The names of what is in a folder, sorted; none when there is no such folder.
    ///
    /// - Throws: when it cannot be read: what it holds must not be taken for nothing.
    static func names(_ folder: String) throws(SnapshotFault) -> [String] {
        func fault() -> SnapshotFault {
            SnapshotFault(file: folder, reason: String(cString: strerror(errno)))
        }
        guard let stream = opendir(folder) else {
            guard errno == ENOENT else { throw fault() }
            return []
        }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                guard errno == 0 else { throw fault() }
                return names.sorted()
            }
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
    }
}
