// SPDX-License-Identifier: Apache-2.0

internal import FoundationEssentials
internal import Glibc

/// The key that may do everything.
///
/// It comes from the configuration, or is made at the first start and kept in the data folder.
public struct AdminKey: Sendable {
    /// Why there is no key.
    public enum Failure: Error, Sendable, Equatable, CustomStringConvertible {
        /// The file cannot be opened, written or read.
        case file(path: String, errno: Int32)
        /// Others than the owner may read the file.
        case readByOthers(path: String)
        /// The file is none, or holds no key.
        case malformed(path: String)

        /// What is wrong, and what to do. Never holds the key.
        public var description: String {
            switch self {
            case .file(let path, let errno):
                "\(path): \(String(cString: strerror(errno)))"
            case .readByOthers(let path):
                "\(path) holds the admin key, but others may read it: chmod 600 \(path)"
            case .malformed(let path):
                "\(path) holds no admin key: put it back, or remove it to have a new one made"
            }
        }
    }

    /// The key itself. For comparisons only: it belongs in no log and no message.
    public let value: String
    /// Whether it has just been made, so that it is to be shown, this once.
    public let isNew: Bool

    /// The configured key, or else the one in the folder, which is made if there is none yet.
    ///
    /// - Parameter folder: The data folder, which has to exist.
    public init(configured: String?, folder: String) throws(Failure) {
        if let configured {
            (value, isNew) = (configured, false)
            return
        }
        let path = Self.path(in: folder)
        if let kept = try Self.read(path) {
            (value, isNew) = (kept, false)
            return
        }
        (value, isNew) = (Self.made(), true)
        try Self.write(value, to: path, folder)
    }

    /// Where a folder's key is kept.
    static func path(in folder: String) -> String { folder + "/admin.key" }

    /// The value, if it can be a key.
    static func checked(_ value: String) throws(BadValue) -> String {
        guard (16...512).contains(value.utf8.count),
            value.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
        else { throw BadValue("16 to 512 visible ASCII characters") }
        return value
    }

    /// The key of a folder, or nil where there is none.
    static func read(_ path: String) throws(Failure) -> String? {
        // Neither a link to somewhere else nor a pipe that blocks the start.
        let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw .file(path: path, errno: errno)
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .file(path: path, errno: errno) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .malformed(path: path) }
        guard status.st_mode & (S_IRWXG | S_IRWXO) == 0 else { throw .readByOthers(path: path) }
        var bytes = [UInt8](repeating: 0, count: 1024)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        guard count >= 0 else { throw .file(path: path, errno: errno) }
        var text = String(decoding: bytes.prefix(count), as: UTF8.self)
        while text.last?.isNewline == true { text.removeLast() }
        guard let key = try? checked(text) else { throw .malformed(path: path) }
        return key
    }

    /// 256 random bits. The system's generator asks the kernel, and has no seed to guess.
    private static func made() -> String {
        var generator = SystemRandomNumberGenerator()
        let words = (0..<4).map { _ in generator.next() }
        let bytes = words.withUnsafeBytes { Data($0) }
        return "tly_"
            + bytes.base64EncodedString().replacing("+", with: "-").replacing("/", with: "_")
            .replacing("=", with: "")
    }

    /// Under another name first, so that a crash leaves a whole file or none.
    private static func write(_ key: String, to path: String, _ folder: String) throws(Failure) {
        let draft = path + ".new"
        unlink(draft)
        let descriptor = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .file(path: draft, errno: errno) }
        let bytes = Array("\(key)\n".utf8)
        let isWritten =
            Glibc.write(descriptor, bytes, bytes.count) == bytes.count && fsync(descriptor) == 0
        let code = errno
        close(descriptor)
        guard isWritten else {
            unlink(draft)
            throw .file(path: draft, errno: code)
        }
        // link() fails where another process was faster; rename() would replace its key.
        guard link(draft, path) == 0 else {
            let code = errno
            unlink(draft)
            throw .file(path: path, errno: code)
        }
        unlink(draft)
        let directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw .file(path: folder, errno: errno) }
        defer { close(directory) }
        guard fsync(directory) == 0 else { throw .file(path: folder, errno: errno) }
    }
}
