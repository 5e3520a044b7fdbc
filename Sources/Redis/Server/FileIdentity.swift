// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Which file it is, by whatever name.
struct FileIdentity: Equatable {
    private let device: dev_t
    private let inode: ino_t

    /// The file of that name, or nil; of a link, the link.
    init?(_ path: String) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return nil }
        self.init(status)
    }

    /// The file that is open, or nil.
    init?(descriptor: Int32) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return nil }
        self.init(status)
    }

    private init(_ status: stat) {
        device = status.st_dev
        inode = status.st_ino
    }
}
