// SPDX-License-Identifier: Apache-2.0

internal import Cryptography
internal import Foundation
internal import Glibc

/// The key that seals the secrets of pools and alerts: `secrets.key` in the data folder, beside the
/// administrator's, for its owner alone. It is made when the first secret comes.
struct SecretsKey {
    /// Why there is none.
    enum Failure: Error, CustomStringConvertible {
        /// It is not there, though secrets are sealed with it.
        case missing(folder: String)
        case file(path: String, errno: Int32)
        case irregular(path: String)
        case readable(path: String)
        case damaged(path: String)
        /// Another key sealed what Redis holds.
        case foreign
        /// OpenSSL failed, which it does not.
        case unsealed

        var description: String {
            switch self {
            case .missing(let folder):
                "secrets.key is missing from \(folder), and secrets in Redis are sealed with it: "
                    + "bring back your copy"
            case .file(let path, let errno): "\(path): \(String(cString: strerror(errno)))"
            case .irregular(let path): "\(path) is no regular file"
            case .readable(let path): "\(path): others may read it: chmod 600 \(path)"
            case .damaged(let path): "\(path) is empty or damaged: bring back your copy"
            case .foreign:
                "another secrets.key than this process has sealed the secrets in Redis: "
                    + "bring back your copy"
            case .unsealed: "OpenSSL cannot seal secrets"
            }
        }
    }

    /// The box that a folder's key makes.
    ///
    /// - Parameters:
    ///   - folder: the data folder.
    ///   - purpose: what the box seals.
    static func box(
        in folder: String, for purpose: String = "tally pool"
    ) throws(Failure) -> SecretBox {
        guard let key = try read(path(in: folder)) else { throw .missing(folder: folder) }
        guard let box = SecretBox(key: key, purpose: purpose) else { throw .unsealed }
        return box
    }

    /// Whether a folder has one that can be used.
    static func exists(in folder: String) throws(Failure) -> Bool {
        try read(path(in: folder)) != nil
    }

    /// Makes one, unless another process was faster. `prepareSecretsKey` says when that may be.
    static func make(in folder: String) throws(Failure) { try write(path(in: folder), folder) }

    private static func path(in folder: String) -> String { folder + "/secrets.key" }

    private static func read(_ path: String) throws(Failure) -> [UInt8]? {
        // Neither a link to somewhere else nor a pipe that blocks.
        let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else {
            switch errno {
            case ENOENT: return nil
            case ELOOP, ENXIO: throw .irregular(path: path)
            default: throw .file(path: path, errno: errno)
            }
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .file(path: path, errno: errno) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .irregular(path: path) }
        guard status.st_mode & (S_IRWXG | S_IRWXO) == 0 else { throw .readable(path: path) }
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        guard count >= 0 else { throw .file(path: path, errno: errno) }
        let text = bytes.prefix(count).filter { $0 != UInt8(ascii: "\n") }
        guard let key = Data(base64Encoded: Data(text)), key.count == SecretBox.keyByteCount else {
            throw .damaged(path: path)
        }
        return Array(key)
    }

    /// Under another name first, so that a crash leaves a whole file or none.
    private static func write(_ path: String, _ folder: String) throws(Failure) {
        guard let key = SecretBox.makeKey() else { throw .unsealed }
        let draft = "\(path).\(UInt64.random(in: 0 ... .max)).new"
        let descriptor = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .file(path: path, errno: errno) }
        let bytes = Array(Data(key).base64EncodedString().utf8) + [UInt8(ascii: "\n")]
        let isWritten =
            Glibc.write(descriptor, bytes, bytes.count) == bytes.count && fsync(descriptor) == 0
        let code = errno
        close(descriptor)
        defer { unlink(draft) }
        guard isWritten else { throw .file(path: path, errno: code) }
        // link() fails where another process was faster; rename() would replace its key.
        guard link(draft, path) == 0 || errno == EEXIST else {
            throw .file(path: path, errno: errno)
        }
        let directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw .file(path: folder, errno: errno) }
        defer { close(directory) }
        guard fsync(directory) == 0 else { throw .file(path: folder, errno: errno) }
    }
}
