// SPDX-License-Identifier: Apache-2.0

/// The lock of a data folder in which this process starts no Redis: the same that a private one has.
public final class DataFolderLock: Sendable {
    private let lock: FolderLock

    /// - Parameters:
    ///   - path: the folder, which is made if need be.
    ///   - isShared: whether others may have it, too, who say the same: services of one outside Redis may share a folder.
    /// - Throws: `locked` when another process has it, `folder` when it cannot be made or used.
    public init(_ path: String, isShared: Bool) throws(RedisServerError) {
        try DataFolder.make(path)
        lock = try FolderLock(path, orphanWait: .seconds(5), isShared: isShared)
    }

    deinit { lock.release() }

    /// Where the private Redis is of the process that has a folder's lock; nil when it has none there.
    public static func redis(of path: String) -> RedisConfiguration.Address? {
        FolderLock.socketPath(in: path).map { .unix($0) }
    }
}
