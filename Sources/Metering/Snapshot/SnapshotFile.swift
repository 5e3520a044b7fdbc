// SPDX-License-Identifier: Apache-2.0

internal import Cryptography
internal import Glibc

/// A file that is being written under a temporary name, with the digest of what it holds so far.
///
/// Its calls block. Whoever gives it up calls `discard`; a process that dies leaves it to be swept.
final class SnapshotFile {
    static let ending = ".tmp"
    private static let bufferCount = 262_144

    let path: String
    private var descriptor: Int32
    private var buffer: [UInt8] = []
    private let digest = StreamingDigest()

    init(path: String) throws(FlushError) {
        self.path = path
        descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw .system("open", path) }
        buffer.reserveCapacity(Self.bufferCount + 4096)
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    func append(_ bytes: [UInt8]) throws(FlushError) {
        buffer.append(contentsOf: bytes)
        if buffer.count >= Self.bufferCount { try writeBuffer() }
    }

    func append(_ text: StaticString) throws(FlushError) {
        buffer.append(
            contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
        if buffer.count >= Self.bufferCount { try writeBuffer() }
    }

    /// Appends the digest of all before it, and returns when the disk has the file.
    func finish() throws(FlushError) {
        try writeBuffer()
        let sum = digest.hexadecimal()
        buffer = Array(#""checksum":"sha256:"#.utf8) + sum + Array("\"}\n".utf8)
        try writeBuffer()
        // Not to be tried again when it fails: the kernel may have dropped the pages (fsyncgate).
        guard fsync(descriptor) == 0 else { throw .system("fsync", path) }
        let closing = descriptor
        descriptor = -1
        guard close(closing) == 0 else { throw .system("close", path) }
    }

    /// Ends it and takes it away.
    func discard() {
        if descriptor >= 0 { close(descriptor) }
        descriptor = -1
        unlink(path)
    }

    private func writeBuffer() throws(FlushError) {
        let status = buffer.withUnsafeBytes { bytes in
            digest.update(bytes)
            var rest = bytes[...]
            while !rest.isEmpty {
                let part = UnsafeRawBufferPointer(rebasing: rest)
                let count = write(descriptor, part.baseAddress, part.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return count == 0 ? ENOSPC : errno }
                rest = rest.dropFirst(count)
            }
            return 0
        }
        guard status == 0 else { throw .system(call: "write", path: path, code: status) }
        buffer.removeAll(keepingCapacity: true)
    }
}
