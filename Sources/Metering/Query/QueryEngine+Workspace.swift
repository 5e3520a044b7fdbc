// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Foundation
internal import Redis

extension QueryEngine {
    /// Waits for its first connection, for a second at most: for a workspace that was just made.
    public func waitUntilReady() async {
        for _ in 0..<200 where !isReady { await loop.sleep(for: .milliseconds(5)) }
    }

    /// What the folders of this service say whose they are: those whose state tells a birth.
    public func ownedFolders() -> [OwnedFolder] { OwnedFolder.all(in: data) }

    /// Removes the files of a dataset from the workspace's folder, and the folder when nothing is left in it.
    public func removeSnapshots(of dataset: String) throws {
        let folder = SnapshotFolder(data: data, workspace: settings.id)
        let files = FileManager.default
        guard files.fileExists(atPath: folder.path) else { return }
        let paths = try files.subpathsOfDirectory(atPath: folder.path).map {
            "\(folder.path)/\($0)"
        }
        // The state tells whose the others are: whoever breaks off before the end can go on.
        for path in paths.filter({ $0 != folder.stateFile }) + [folder.stateFile] {
            guard let head = try? SnapshotHead(path: path), head.dataset == dataset else {
                continue
            }
            try files.removeItem(atPath: path)
        }
        // Only what is empty by then: the next workspace of this id may be writing its first file.
        for path in paths.sorted(by: >) { rmdir(path) }
        let left = try files.contentsOfDirectory(atPath: folder.path)
        guard left.allSatisfy({ $0 == SnapshotFolder.lockName }) else { return }
        unlink(folder.lockFile)
        rmdir(folder.path)
    }
}
