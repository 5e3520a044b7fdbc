// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// A file that gets its name when it is whole; what had the name before stays until then.
///
/// It has no name at all while it is written, so that nothing is left of it when the process is
/// killed. Where the file system knows no such files it has one that ends in `.part`.
final class OutputFile {
    private let path: String
    private let draft: String
    private var hasName: Bool
    private var descriptor: Int32

    /// - Throws: `UsageError` for a name that something other than a file has, `OutputFailed`.
    init(path: String) throws {
        var status = stat()
        // A device or a pipe must not be replaced by a file.
        let isThere = stat(path, &status) == 0
        guard !isThere || status.st_mode & S_IFMT == S_IFREG else {
            throw UsageError(problems: ["\(path) is no file: leave --output out to write to it"])
        }
        let target = try Self.target(of: path)
        self.path = target
        draft = "\(target).\(getpid()).part"
        let folder = Self.folder(of: target)
        descriptor = open(folder, O_WRONLY | Self.nameless | O_CLOEXEC, 0o600)
        hasName = descriptor < 0
        if hasName {
            unlink(draft)
            descriptor = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        }
        guard descriptor >= 0 else { throw OutputFailed(errno: errno, path: path) }
        // Whoever could read the file that it replaces can go on.
        if isThere { fchmod(descriptor, status.st_mode & 0o777) }
    }

    deinit {
        guard descriptor >= 0 else { return }
        close(descriptor)
        if hasName { unlink(draft) }
    }

    /// Where a name leads to: behind a link the file is made or replaced, not the link.
    private static func target(of path: String) throws(OutputFailed) -> String {
        var target = path
        // As many as the kernel follows.
        for _ in 0..<40 {
            var name = [CChar](repeating: 0, count: Int(PATH_MAX))
            let count = readlink(target, &name, name.count)
            // No link, or nothing at all.
            guard count >= 0 else { return target }
            let bytes = name.prefix(count).map { UInt8(bitPattern: $0) }
            guard let link = String(validating: bytes, as: UTF8.self) else {
                throw OutputFailed(errno: EILSEQ, path: path)
            }
            target = link.utf8.first == UInt8(ascii: "/") ? link : "\(folder(of: target))/\(link)"
        }
        throw OutputFailed(errno: ELOOP, path: path)
    }

    private static func folder(of path: String) -> String {
        // By bytes: a mark behind a slash makes one letter with it.
        let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
        return slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    }

    /// `O_TMPFILE`, which is no plain number in C.
    private static let nameless: Int32 = 0o20_000_000 | O_DIRECTORY

    func append(_ bytes: UnsafeRawBufferPointer) throws {
        let code = Console.write(bytes, to: descriptor)
        guard code == 0 else { throw OutputFailed(errno: code, path: path) }
    }

    /// Gives the file its name.
    func commit() throws {
        guard fsync(descriptor) == 0 else { throw OutputFailed(errno: errno, path: path) }
        if !hasName {
            // A link cannot take the place of a file; a name can.
            unlink(draft)
            let own = "/proc/self/fd/\(descriptor)"
            guard linkat(AT_FDCWD, own, AT_FDCWD, draft, AT_SYMLINK_FOLLOW) == 0 else {
                throw OutputFailed(errno: errno, path: path)
            }
            hasName = true
        }
        guard rename(draft, path) == 0 else { throw OutputFailed(errno: errno, path: path) }
        close(descriptor)
        descriptor = -1
    }
}
