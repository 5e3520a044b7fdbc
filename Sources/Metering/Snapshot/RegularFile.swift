// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Opens files that are read to their end.
enum RegularFile {
    /// What errors say of what is none.
    static let reason = "it is not a regular file"

    /// Opens a file to read it, and neither waits for the other end of a pipe nor reads from a device.
    ///
    /// - Returns: its descriptor, below 0 when it cannot be opened (`errno` says why); nil when it is not
    ///   a regular file.
    static func open(_ path: String, flags: Int32 = 0) -> Int32? {
        let descriptor = Glibc.open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | flags)
        guard descriptor >= 0 else { return descriptor }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            return nil
        }
        return descriptor
    }
}
