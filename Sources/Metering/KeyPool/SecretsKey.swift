// SPDX-License-Identifier: Apache-2.0

internal import Cryptography
internal import Foundation
internal import Glibc

/// The key that seals the secrets of pools and alerts: `secrets.key` in the data folder, beside the
/// administrator's, for its owner alone. It is made when the first secret comes.
struct SecretsKey {
    /// Why there is none.
    enum Failure: Error, CustomStringConvertible {
        case missing
        case file(errno: Int32)
        case unfit
        /// Another key sealed what Redis holds.
        case foreign

        var description: String {
            switch self {
            case .missing: "there is no secrets.key in the data folder"
            case .file(let errno):
                "secrets.key in the data folder: \(String(cString: strerror(errno)))"
            case .unfit: "secrets.key in the data folder holds no key, or others may read it"
            case .foreign: "another secrets.key than this process has sealed the secrets in Redis"
            }
        }
    }

    /// The box that a folder's key makes.
    ///
    /// - Parameters:
    ///   - isMade: whether a key is made where there is none.
    ///   - purpose: what the box seals.
    static func box(
        in folder: String, isMade: Bool, for purpose: String = "tally pool"
    ) throws(Failure) -> SecretBox {
        let path = folder + "/secrets.key"
        if let key = try read(path) { return try box(key, purpose) }
        guard isMade else { throw .missing }
        try write(path, folder)
        // Another process may have been faster.
        guard let key = try read(path) else { throw .missing }
        return try box(key, purpose)
    }

    private static func box(_ key: [UInt8], _ purpose: String) throws(Failure) -> SecretBox {
        guard let box = SecretBox(key: key, purpose: purpose) else { throw .unfit }
        return box
    }

    private static func read(_ path: String) throws(Failure) -> [UInt8]? {
        // Neither a link to somewhere else nor a pipe that blocks.
        let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw .file(errno: errno)
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .file(errno: errno) }
        guard status.st_mode & S_IFMT == S_IFREG, status.st_mode & (S_IRWXG | S_IRWXO) == 0 else {
            throw .unfit
        }
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        guard count >= 0 else { throw .file(errno: errno) }
        let text = bytes.prefix(count).filter { $0 != UInt8(ascii: "\n") }
        guard let key = Data(base64Encoded: Data(text)), key.count == SecretBox.keyByteCount else {
            throw .unfit
        }
        return Array(key)
    }

    /// Under another name first, so that a crash leaves a whole file or none.
    private static func write(_ path: String, _ folder: String) throws(Failure) {
        guard let key = SecretBox.makeKey() else { throw .unfit }
        let draft = "\(path).\(UInt64.random(in: 0 ... .max)).new"
        let descriptor = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .file(errno: errno) }
        let bytes = Array(Data(key).base64EncodedString().utf8) + [UInt8(ascii: "\n")]
        let isWritten =
            Glibc.write(descriptor, bytes, bytes.count) == bytes.count && fsync(descriptor) == 0
        let code = errno
        close(descriptor)
        defer { unlink(draft) }
        guard isWritten else { throw .file(errno: code) }
        // link() fails where another process was faster; rename() would replace its key.
        guard link(draft, path) == 0 || errno == EEXIST else { throw .file(errno: errno) }
        let directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw .file(errno: errno) }
        defer { close(directory) }
        guard fsync(directory) == 0 else { throw .file(errno: errno) }
    }
}
