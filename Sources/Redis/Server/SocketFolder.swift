// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// A folder with a short path, for the socket of a data folder whose own path is too long for one.
///
/// Its name follows from the data folder's, so that what a killed service leaves is found, used
/// again and taken away by the next one. In `/tmp` anybody may make a folder of that name first,
/// and through it take the place of Redis: one is used only if it is this user's and closed to all
/// others. Else there is a fresh one with a random name.
final class SocketFolder {
    private static let socketName = "redis.sock"

    private let path: String
    /// The lock of a folder whose name may be known to another service; nil for a random name.
    private var lock: Int32?

    /// Makes the folder, or takes over what was left of it.
    ///
    /// - Parameter data: The path of the data folder, without symbolic links, whose lock is held.
    init(for data: String) throws(RedisServerError) {
        var status = stat()
        guard stat(data, &status) == 0 else { throw .folder(data, reason: systemMessage(errno)) }
        let name = "tally-\(geteuid())-\(status.st_dev)-\(status.st_ino)"
        let runtime = getenv("XDG_RUNTIME_DIR").map { String(cString: $0) }
        var code = ENAMETOOLONG
        for base in [runtime, "/tmp"].compactMap({ $0 }) {
            if Self.fits("\(base)/\(name)"), let lock = Self.takeOver("\(base)/\(name)") {
                self.lock = lock
                path = "\(base)/\(name)"
                unlink(socketPath)
                return
            }
            let form = "\(base)/tally-XXXXXX"
            guard Self.fits(form) else { continue }
            var template = Array(form.utf8CString)
            guard mkdtemp(&template) != nil else {
                code = errno
                continue
            }
            lock = nil
            path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
            return
        }
        throw .system(call: "mkdtemp", errno: code)
    }

    var socketPath: String { "\(path)/\(Self.socketName)" }

    /// Makes the folder anew if somebody took it away, as those do who clean `/tmp`.
    func renew() throws(RedisServerError) {
        let named = FileIdentity(path)
        if let named, lock.map({ named == FileIdentity(descriptor: $0) }) ?? true { return }
        guard let fresh = Self.takeOver(path) else {
            throw .folder(
                path, reason: "the folder of the socket was taken away, and cannot be made again")
        }
        if let lock { close(lock) }
        lock = fresh
    }

    /// Takes the folder away. To be called once.
    func remove() {
        unlink(socketPath)
        rmdir(path)
        // Only now: who waits for the lock has to find that the folder is gone.
        if let lock { close(lock) }
    }

    private static func fits(_ folder: String) -> Bool {
        folder.utf8.count + 1 + socketName.utf8.count <= RedisConfiguration.socketPathBytesMax
    }

    /// Makes the folder or takes the one that is there, if it is safe to use.
    ///
    /// The lock of the data folder is not enough: in a container the same path may lead to other
    /// data, and `/tmp` may be the host's. Those who clean `/tmp` leave alone what is locked.
    ///
    /// - Returns: Its lock, or nil.
    private static func takeOver(_ folder: String) -> Int32? {
        guard mkdir(folder, 0o700) == 0 || errno == EEXIST else { return nil }
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        var opened = stat()
        var named = stat()
        // Looked at once more by its name behind the lock: who had it may have taken it away.
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0, fstat(descriptor, &opened) == 0,
            opened.st_uid == geteuid(), opened.st_mode & 0o777 == 0o700,
            lstat(folder, &named) == 0, named.st_ino == opened.st_ino,
            named.st_dev == opened.st_dev
        else {
            close(descriptor)
            return nil
        }
        return descriptor
    }
}
