// SPDX-License-Identifier: Apache-2.0

internal import Glibc

extension DataFolder {
    private static let logFolderName = "appendonlydir"
    private static let logFilePrefix = "appendonly.aof"
    /// Ends what Redis writes of no data; 8 bytes of a checksum follow. Of any data more stands behind it.
    private static let endOfEmptyBase = Array("\u{8}aof-base".utf8) + [0xc0, 1, 0xff]
    private static let emptyBaseBytesMax = 256

    /// What names the files of Redis's log.
    var manifest: String { "\(path)/\(Self.logFolderName)/\(Self.logFilePrefix).manifest" }

    private var hasManifest: Bool {
        var status = stat()
        return stat(manifest, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    /// Refuses a log whose manifest is missing. Redis would take it for a new one: start without data, and append
    /// to the files that are there, so that the start after that would mix what both hold.
    ///
    /// A Redis that was killed in the midst of its first start leaves no manifest either: it writes it last. What it
    /// leaves holds nothing, and the next one takes it over.
    ///
    /// - Parameter isNeeded: whether there was a manifest: without one and all else Redis would begin without data, too.
    func checkManifest(isNeeded: Bool) throws(RedisServerError) {
        guard !hasManifest else { return }
        let folder = "\(path)/\(Self.logFolderName)"
        let isLost = Self.names(in: folder).contains {
            $0.hasPrefix(Self.logFilePrefix) && Self.holdsData("\(folder)/\($0)")
        }
        guard isLost || isNeeded else { return }
        guard isLost else {
            throw .folder(
                path,
                reason:
                    "\(Self.logFolderName) was removed or emptied while the service ran: bring it back from a "
                    + "backup, or stop the service; tally restore brings back what the snapshots hold"
            )
        }
        throw .folder(
            path,
            reason:
                "\(Self.logFolderName) holds data, but its \(Self.logFilePrefix).manifest is missing, "
                + "without which Redis would begin anew among them: bring that file back from a backup, or move "
                + "\(Self.logFolderName) away, then tally restore brings back what the snapshots hold"
        )
    }

    /// Whether a file of the log holds anything; one that cannot be read may.
    private static func holdsData(_ file: String) -> Bool {
        let descriptor = open(file, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return true }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: emptyBaseBytesMax + 1)
        let count = read(descriptor, &bytes, bytes.count)
        guard count > 0 else { return count < 0 }
        let isEmptyBase =
            count <= emptyBaseBytesMax && bytes.starts(with: "REDIS".utf8)
            && bytes.firstRange(of: endOfEmptyBase)?.upperBound == count - 8
        return !isEmptyBase
    }

    /// The names of what is in a folder; none when it cannot be read.
    static func names(in folder: String) -> [String] {
        guard let stream = opendir(folder) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            names.append(
                withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                })
        }
        return names
    }
}
