// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// The folder of a private Redis, with the lock that makes its process the only one.
///
/// Redis itself locks nothing: two of them on one folder would both acknowledge writes and mix
/// their logs. The lock is inherited by the child, and so it is held as long as either lives.
final class DataFolder {
    static let logName = "redis.log"
    static let socketName = "redis.sock"
    private static let logBytesMax = 4 << 20

    /// The full path, without symbolic links.
    let path: String
    let socketPath: String
    let lock: FolderLock
    private let socketFolder: SocketFolder?
    /// How much of the file of what Redis prints is of runs before this one.
    private var logStart = 0
    private var isReleased = false

    /// Makes the folder if need be, and locks it. Waits for a child whose parent was killed, and
    /// which is about to end, but not for a parent that lives.
    init(_ path: String, orphanWait: Duration = .seconds(5)) throws(RedisServerError) {
        try Self.make(path)
        guard let resolved = realpath(path, nil) else {
            throw .folder(path, reason: systemMessage(errno))
        }
        self.path = String(cString: resolved)
        free(resolved)
        try Self.makePrivate(self.path)
        lock = try FolderLock(self.path, orphanWait: orphanWait)
        let socket = "\(self.path)/\(Self.socketName)"
        guard socket.utf8.count > RedisConfiguration.socketPathBytesMax else {
            socketPath = socket
            socketFolder = nil
            lock.note(socket: socketPath)
            return
        }
        do throws(RedisServerError) {
            let folder = try SocketFolder(for: self.path)
            socketFolder = folder
            socketPath = folder.socketPath
            lock.note(socket: socketPath)
        } catch {
            lock.release()
            throw error
        }
    }

    deinit { release() }

    /// Gives the folder free for others.
    func release() {
        guard !isReleased else { return }
        isReleased = true
        socketFolder?.remove()
        lock.release()
    }

    /// Makes the folder of the socket anew if somebody took it away.
    func prepareSocket() throws(RedisServerError) { try socketFolder?.renew() }

    /// Refuses a folder that is not where it was. Under its name nothing, or another folder, would be taken for it.
    func checkPlace() throws(RedisServerError) {
        // With the dot the folder that a link leads to counts, as for all that is in it.
        guard FileIdentity("\(path)/.") != FileIdentity(descriptor: lock.folder) else { return }
        throw .folder(
            path,
            reason:
                "it was moved, removed or replaced while the service ran: bring it back to its place, or "
                + "start the service anew on the folder that it is to use"
        )
    }

    /// The file for what Redis prints. One that has grown is put aside first.
    func openLog() -> Int32 {
        let name = "\(path)/\(Self.logName)"
        var status = stat()
        if stat(name, &status) == 0, status.st_size > Self.logBytesMax { rename(name, name + ".1") }
        let descriptor = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        logStart = descriptor < 0 ? .max : lseek(descriptor, 0, Int32(SEEK_END))
        return descriptor
    }

    /// How much room the disk has, for this user.
    var bytesFree: Int? {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { return nil }
        let blocks = geteuid() == 0 ? status.f_bfree : status.f_bavail
        return Int(clamping: blocks &* status.f_frsize)
    }

    /// Takes away what a Redis leaves that is killed while it writes its log or a dump anew: each may be as
    /// large as the data.
    func removeLeftovers() {
        for name in Self.names(in: path) {
            guard name.hasPrefix("temp-"), name.hasSuffix(".aof") || name.hasSuffix(".rdb") else {
                continue
            }
            unlink("\(path)/\(name)")
        }
    }

    /// The last lines that Redis printed since the file was opened for it. A full disk takes none, and what a run
    /// before said is not what ails this one.
    func logTail() -> String {
        let descriptor = open("\(path)/\(Self.logName)", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "no log" }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 2048)
        let size = lseek(descriptor, 0, Int32(SEEK_END))
        let count = pread(descriptor, &bytes, bytes.count, max(logStart, size - bytes.count))
        let text = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
        return text.split(whereSeparator: \.isNewline).suffix(3).joined(separator: " / ")
    }

    static func make(_ path: String) throws(RedisServerError) {
        guard !path.isEmpty, !path.utf8.contains(0) else {
            throw .folder(path, reason: "is no path")
        }
        if mkdir(path, 0o700) == 0 || errno == EEXIST { return }
        let code = errno
        // By bytes: a mark behind a slash makes one letter with it.
        guard code == ENOENT, let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")),
            slash > path.startIndex
        else {
            throw .folder(path, reason: systemMessage(code))
        }
        try make(String(path[..<slash]))
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
            throw .folder(path, reason: systemMessage(errno))
        }
    }

    /// A folder that was there before may be open to others.
    private static func makePrivate(_ path: String) throws(RedisServerError) {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & 0o077 != 0 else { return }
        guard chmod(path, 0o700) == 0 else {
            throw .folder(
                path,
                reason:
                    "others may read it, and it cannot be closed to them: \(systemMessage(errno))")
        }
    }
}
