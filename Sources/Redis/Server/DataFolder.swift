// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// The folder of a private Redis, with the lock that makes its process the only one.
///
/// Redis itself locks nothing: two of them on one folder would both acknowledge writes and mix
/// their logs. The lock is inherited by the child, and so it is held as long as either lives.
final class DataFolder {
    static let lockName = "tally.lock"
    static let logName = "redis.log"
    private static let logBytesMax = 4 << 20

    /// The full path, without symbolic links.
    let path: String
    let socketPath: String
    let lock: Int32
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
        lock = try Self.lock(self.path, orphanWait)
        let socket = "\(self.path)/redis.sock"
        guard socket.utf8.count > RedisConfiguration.socketPathBytesMax else {
            socketPath = socket
            socketFolder = nil
            return
        }
        do throws(RedisServerError) {
            let folder = try SocketFolder(for: self.path)
            socketFolder = folder
            socketPath = folder.socketPath
        } catch {
            close(lock)
            throw error
        }
    }

    deinit { release() }

    /// Gives the folder free for others.
    func release() {
        guard !isReleased else { return }
        isReleased = true
        socketFolder?.remove()
        close(lock)
    }

    /// Makes the folder of the socket anew if somebody took it away.
    func prepareSocket() throws(RedisServerError) { try socketFolder?.renew() }

    /// Whether the folder and Redis's log are where they were.
    var isWhole: Bool {
        FileIdentity("\(path)/\(Self.lockName)") == FileIdentity(descriptor: lock) && hasManifest
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

    private static func make(_ path: String) throws(RedisServerError) {
        guard !path.isEmpty, !path.utf8.contains(0) else {
            throw .folder(path, reason: "is no path")
        }
        if mkdir(path, 0o700) == 0 || errno == EEXIST { return }
        let code = errno
        guard code == ENOENT, let slash = path.lastIndex(of: "/"), slash > path.startIndex else {
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

    private static func lock(
        _ folder: String, _ orphanWait: Duration
    ) throws(RedisServerError) -> Int32 {
        let descriptor = open(
            "\(folder)/\(lockName)", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw .folder(folder, reason: systemMessage(errno)) }
        let deadline = ContinuousClock.now + orphanWait
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            let code = errno
            let holder = processID(in: descriptor)
            guard code == EWOULDBLOCK || code == EINTR else {
                close(descriptor)
                throw .folder(folder, reason: "flock: \(systemMessage(code))")
            }
            // Of this process it was let go, perhaps: a child that is being made has it, too, until it becomes
            // its program.
            let isHeld = holder.map { $0 != getpid() && isAlive($0) } ?? false
            if isHeld || ContinuousClock.now > deadline {
                close(descriptor)
                throw .locked(folder: folder, processID: holder)
            }
            usleep(5_000)
        }
        let text = "\(getpid())\n"
        ftruncate(descriptor, 0)
        _ = pwrite(descriptor, text, text.utf8.count, 0)
        return descriptor
    }

    private static func processID(in descriptor: Int32) -> Int32? {
        var bytes = [UInt8](repeating: 0, count: 16)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        return Int32(
            String(decoding: bytes.prefix(max(0, count)).prefix { $0 != 10 }, as: UTF8.self))
    }

    /// Whether a process lives; one that was killed and only waits for its parent does not.
    private static func isAlive(_ id: Int32) -> Bool {
        guard kill(id, 0) == 0 || errno == EPERM else { return false }
        let descriptor = open("/proc/\(id)/stat", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return true }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = read(descriptor, &bytes, bytes.count)
        let text = bytes.prefix(max(0, count))
        // "id (name) state ...", and the name may hold anything.
        guard let end = text.lastIndex(of: UInt8(ascii: ")")), end + 2 < text.count else {
            return true
        }
        return text[end + 2] != UInt8(ascii: "Z") && text[end + 2] != UInt8(ascii: "X")
    }
}
