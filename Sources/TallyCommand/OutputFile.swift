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
        var target = path
        if stat(path, &status) == 0 {
            // A device or a pipe must not be replaced by a file.
            guard status.st_mode & S_IFMT == S_IFREG else {
                throw UsageError(problems: ["\(path) is no file: leave --output out to write to it"]
                )
            }
            // Behind a link the file is replaced, not the link.
            if let real = realpath(path, nil) {
                target = String(cString: real)
                free(real)
            }
        }
        self.path = target
        draft = "\(target).\(getpid()).part"
        let slash = target.lastIndex(of: "/")
        let folder = slash.map { $0 == target.startIndex ? "/" : String(target[..<$0]) } ?? "."
        descriptor = open(folder, O_WRONLY | Self.nameless | O_CLOEXEC, 0o600)
        hasName = descriptor < 0
        if hasName {
            unlink(draft)
            descriptor = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        }
        guard descriptor >= 0 else { throw OutputFailed(errno: errno, path: path) }
    }

    deinit {
        guard descriptor >= 0 else { return }
        close(descriptor)
        if hasName { unlink(draft) }
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
