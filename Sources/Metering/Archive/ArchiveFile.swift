// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// A snapshot that is open. It stays readable as it is when another one takes its place.
///
/// Its calls block.
final class ArchiveFile {
    /// Tells a file from every other one, and from what it was before somebody wrote to it.
    struct Identity: Hashable {
        let device: UInt
        let inode: UInt
        let size: Int
        let modifiedNS: Int
        let changedNS: Int
    }

    /// As messages name it: without the folder of the data.
    let name: String
    let identity: Identity
    var size: Int { identity.size }
    private let descriptor: Int32

    /// - Parameter name: what errors call it.
    init(path: String, name: String) throws(ArchiveError) {
        self.name = name
        guard let descriptor = RegularFile.open(path) else {
            throw .damaged(file: name, reason: RegularFile.reason)
        }
        guard descriptor >= 0 else {
            throw errno == ENOENT || errno == ENOTDIR
                ? .missing(file: name) : .system("open", name)
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            let error = ArchiveError.system("fstat", name)
            close(descriptor)
            throw error
        }
        self.descriptor = descriptor
        identity = Identity(
            device: UInt(status.st_dev), inode: UInt(status.st_ino), size: Int(status.st_size),
            modifiedNS: status.st_mtim.tv_sec &* 1_000_000_000 &+ status.st_mtim.tv_nsec,
            changedNS: status.st_ctim.tv_sec &* 1_000_000_000 &+ status.st_ctim.tv_nsec)
    }

    deinit { close(descriptor) }

    /// Fills a buffer from an offset on.
    ///
    /// - Returns: how many bytes there were; fewer than the buffer has only at the end of the file.
    func read(
        at offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws(ArchiveError) -> Int {
        var filled = 0
        while filled < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])
            let count = pread(descriptor, rest.baseAddress, rest.count, off_t(offset + filled))
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw .system("read", name) }
            if count == 0 { break }
            filled += count
        }
        return filled
    }

    /// The bytes of a range, as far as the file has them.
    func bytes(_ range: Range<Int>) throws(ArchiveError) -> [UInt8] {
        var result = Result<Int, ArchiveError>.success(0)
        let bytes = [UInt8](unsafeUninitializedCapacity: range.count) { buffer, count in
            result = Result { () throws(ArchiveError) in
                try read(at: range.lowerBound, into: UnsafeMutableRawBufferPointer(buffer))
            }
            count = (try? result.get()) ?? 0
        }
        _ = try result.get()
        return bytes
    }

    /// Whether it was touched so lately that another touch could leave its times as they are.
    var isFresh: Bool {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        let age = now.tv_sec &* 1_000_000_000 &+ now.tv_nsec &- identity.changedNS
        return age < 100_000_000
    }

    func damaged(_ reason: String) -> ArchiveError { .damaged(file: name, reason: reason) }
}
