// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Puts the files of a restore where a service on the data looks for them.
struct SnapshotCopy {
    private let source: SnapshotSource
    private let folder: String
    private let isForced: Bool

    init(from source: SnapshotSource, to folder: String, isForced: Bool) {
        self.source = source
        self.folder = folder
        self.isForced = isForced
    }

    private var files: [(from: String, to: String)] {
        source.files.map { (from: $0.path, to: folder + source.name(of: $0.path)) }
    }

    private var isInPlace: Bool {
        get throws {
            var (its, other) = (stat(), stat())
            guard stat(source.path, &its) == 0 else { throw Self.failure("stat", source.path) }
            return stat(folder, &other) == 0 && its.st_dev == other.st_dev
                && its.st_ino == other.st_ino
        }
    }

    /// Throws when one place is taken by another file, or there are others.
    func check() throws {
        if try isForced || isInPlace { return }
        let files = files
        for file in files where access(file.to, F_OK) == 0 {
            guard try areEqual(file.from, file.to) else { throw RestoreError.occupied(file.to) }
        }
        if let other = try others.first { throw RestoreError.occupied(other) }
    }

    /// Snapshots in the folder that the source does not have.
    private var others: [String] {
        get throws {
            let expected = Set(files.map(\.to))
            let found = try SnapshotSource(folder, keepsFaults: true)
            return (found.files.map(\.path) + found.faults.map(\.file)).filter {
                !expected.contains($0)
            }
        }
    }

    /// Removes what the source does not have, if that may be: files of days that are not in the data would
    /// stand in the way of the next ones.
    ///
    /// - Returns: how many files were removed.
    func removeOthers() throws -> Int {
        guard try isForced && !isInPlace else { return 0 }
        let others = try others
        for other in others {
            guard unlink(other) == 0 else { throw Self.failure("unlink", other) }
        }
        try Self.synchronize(Set(others.map(SnapshotFolder.parent(of:))))
        return others.count
    }

    /// Copies what is not there yet, under names of its own. Nothing is copied when `check` throws, and
    /// nothing of it stays when it fails.
    func prepare() throws {
        try check()
        if try isInPlace { return }
        try makeFolders(folder)
        do {
            for file in files { try copy(file.from, file.to) }
        } catch {
            for file in files { unlink(Self.temporary(file.to)) }
            throw error
        }
    }

    /// Gives the copies their names; each file is replaced as a whole.
    func place() throws {
        if try isInPlace { return }
        let copied = files.map(\.to).filter { access(Self.temporary($0), F_OK) == 0 }
        for file in copied {
            guard rename(Self.temporary(file), file) == 0 else {
                throw Self.failure("rename", file)
            }
        }
        try Self.synchronize(Set(copied.map(SnapshotFolder.parent(of:))))
    }

    /// As writers name theirs: of a restore that was killed the next one who writes takes them away.
    private static func temporary(_ path: String) -> String {
        let folder = SnapshotFolder.parent(of: path)
        // By bytes, as in all of a path: what looks like one letter may be several, and hold a slash.
        let name = path.utf8.dropFirst(folder.utf8.count + 1).dropLast(".json".utf8.count)
        return "\(folder)/.\(Substring(name)).0.restore\(SnapshotFile.ending)"
    }

    private func copy(_ from: String, _ to: String) throws {
        // Of a restore that was ended.
        unlink(Self.temporary(to))
        if access(to, F_OK) == 0, try areEqual(from, to) { return }
        try makeFolders(SnapshotFolder.parent(of: to))
        guard let input = RegularFile.open(from) else {
            throw SnapshotFault(file: from, reason: RegularFile.reason)
        }
        guard input >= 0 else { throw Self.failure("open", from) }
        defer { close(input) }
        let temporary = Self.temporary(to)
        let output = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard output >= 0 else { throw Self.failure("open", temporary) }
        defer { close(output) }
        var bytes = [UInt8](repeating: 0, count: 1 << 18)
        while true {
            let count = read(input, &bytes, bytes.count)
            guard count >= 0 else { throw Self.failure("read", from) }
            if count == 0 { break }
            var rest = bytes[..<count]
            while !rest.isEmpty {
                let written = rest.withUnsafeBytes { write(output, $0.baseAddress, $0.count) }
                guard written > 0 else { throw Self.failure("write", temporary) }
                rest = rest.dropFirst(written)
            }
        }
        guard fsync(output) == 0 else { throw Self.failure("fsync", temporary) }
    }

    private func areEqual(_ left: String, _ right: String) throws -> Bool {
        guard SnapshotSource.size(left) == SnapshotSource.size(right) else { return false }
        let (one, other) = (try SnapshotLines(left), try SnapshotLines(right))
        while let line = try one.next() {
            guard let its = try? other.next(), line == its else { return false }
        }
        return true
    }

    private func makeFolders(_ path: String) throws {
        guard mkdir(path, 0o700) != 0, errno != EEXIST else { return }
        let parent = SnapshotFolder.parent(of: path)
        guard errno == ENOENT, parent != "/", parent != "." else {
            throw Self.failure("mkdir", path)
        }
        try makeFolders(parent)
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw Self.failure("mkdir", path) }
        try Self.synchronize(parent)
    }

    private static func synchronize(_ folders: Set<String>) throws {
        for folder in folders { try synchronize(folder) }
    }

    private static func synchronize(_ folder: String) throws {
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("open", folder) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw failure("fsync", folder) }
    }

    private static func failure(_ call: String, _ path: String) -> RestoreError {
        .file("\(call) \(path): \(String(cString: strerror(errno)))")
    }
}
