// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// The lock of a data folder, held as long as this process or a child lives that has inherited it.
///
/// It is on the folder itself: whatever happens to its name and to the files in it, nobody else gets it. And it
/// is on a file in it, which is all that earlier versions look at. The file says who has it, and in a second line
/// where the socket of the private Redis is; that line is empty where there is none.
///
/// Services of one outside Redis may share it. The one that came last is the one that the file names.
struct FolderLock {
    static let fileName = "tally.lock"

    /// The folder, by whatever name.
    let folder: Int32
    private let file: Int32

    /// What a child inherits.
    var descriptors: [Int32] { [folder, file] }

    /// Waits for a child whose parent was killed, and which is about to end, but not for a parent that lives.
    init(
        _ path: String, orphanWait: Duration, isShared: Bool = false
    ) throws(RedisServerError) {
        let folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw .folder(path, reason: systemMessage(errno)) }
        self.folder = folder
        var file: Int32 = -1
        do throws(RedisServerError) {
            let deadline = ContinuousClock.now + orphanWait
            let operation = isShared ? LOCK_SH : LOCK_EX
            try Self.take(folder, operation, in: folder, path, until: deadline)
            file = openat(
                folder, Self.fileName, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
            guard file >= 0 else { throw .folder(path, reason: systemMessage(errno)) }
            try Self.take(file, operation, in: folder, path, until: deadline)
        } catch {
            if file >= 0 { close(file) }
            close(folder)
            throw error
        }
        self.file = file
        note(socket: "")
    }

    /// Writes down where the socket of the private Redis is.
    func note(socket path: String) {
        let text = "\(getpid())\n\(path)\n"
        ftruncate(file, 0)
        _ = pwrite(file, text, text.utf8.count, 0)
    }

    /// Where the Redis of who has the lock of a folder has its socket; nil when it has none of its own there.
    static func socketPath(in folder: String) -> String? {
        let usual = "\(folder)/\(DataFolder.socketName)"
        let file = open("\(folder)/\(fileName)", O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard file >= 0 else { return usual }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = read(file, &bytes, bytes.count)
        let lines = bytes.prefix(max(0, count)).split(
            separator: 10, omittingEmptySubsequences: false)
        // An earlier version writes one line.
        guard lines.count > 2 else { return usual }
        return lines[1].isEmpty ? nil : String(decoding: lines[1], as: UTF8.self)
    }

    /// To be called once.
    func release() {
        for descriptor in descriptors { close(descriptor) }
    }

    private static func take(
        _ descriptor: Int32, _ operation: Int32, in folder: Int32, _ path: String,
        until deadline: ContinuousClock.Instant
    ) throws(RedisServerError) {
        while flock(descriptor, operation | LOCK_NB) != 0 {
            let code = errno
            guard code == EWOULDBLOCK || code == EINTR else {
                // NFS locks files only.
                if descriptor == folder { return }
                throw .folder(path, reason: "flock: \(systemMessage(code))")
            }
            let told = Self.holder(in: folder)
            // Of several that shared it, the one that is told may have ended.
            let holder =
                told.flatMap { isAlive($0) ? $0 : nil } ?? Self.holder(of: descriptor) ?? told
            // Of this process it was let go, perhaps: a child that is being made has it, too, until it becomes
            // its program.
            let isHeld = holder.map { $0 != getpid() && isAlive($0) } ?? false
            if isHeld || ContinuousClock.now > deadline {
                throw .locked(folder: path, processID: holder)
            }
            usleep(5_000)
        }
    }

    /// Who says in the file that it has the lock.
    private static func holder(in folder: Int32) -> Int32? {
        let file = openat(folder, fileName, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 16)
        let count = read(file, &bytes, bytes.count)
        return Int32(
            String(decoding: bytes.prefix(max(0, count)).prefix { $0 != 10 }, as: UTF8.self))
    }

    /// Who has locked a descriptor's file or folder, as the kernel tells (proc_locks(5)): its file may be gone.
    private static func holder(of descriptor: Int32) -> Int32? {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return nil }
        let file = open("/proc/locks", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var text: [UInt8] = []
        var bytes = [UInt8](repeating: 0, count: 65_536)
        while case let count = read(file, &bytes, bytes.count), count > 0 {
            text += bytes.prefix(count)
        }
        // As makedev(3) puts them together.
        let (device, byte) = (UInt64(status.st_dev), UInt64(0xff))
        let major = device >> 8 & 0xfff | device >> 32 & ~0xfff
        let minor = device & byte | device >> 12 & ~byte
        // `1: FLOCK  ADVISORY  WRITE 4711 fe:00:16687217 0 EOF`; behind `1: ->` stands one who waits.
        for line in text.split(separator: 10) {
            let words = line.split(separator: 32).map { String(decoding: $0, as: UTF8.self) }
            guard words.count >= 6, words[1] == "FLOCK", let id = Int32(words[4]), id > 0 else {
                continue
            }
            let place = words[5].split(separator: ":")
            if place.count == 3, UInt64(place[0], radix: 16) == major,
                UInt64(place[1], radix: 16) == minor, UInt64(place[2]) == UInt64(status.st_ino)
            {
                return id
            }
        }
        return nil
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
