// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Foundation
internal import Redis

extension QueryEngine {
    /// Waits for its first connection, for a second at most: for a workspace that was just made.
    public func waitUntilReady() async {
        for _ in 0..<200 where !isReady { await loop.sleep(for: .milliseconds(5)) }
    }

    /// Removes the snapshots of a workspace that was deleted.
    ///
    /// - Parameter dataset: what the next workspace of this id has in Redis, whose files stay; nil when
    ///   there is none.
    public func removeSnapshots(but dataset: String?) throws {
        let folder = SnapshotFolder(data: data, workspace: settings.id).path
        let files = FileManager.default
        guard files.fileExists(atPath: folder) else { return }
        guard let dataset else { return try files.removeItem(atPath: folder) }
        for name in try files.subpathsOfDirectory(atPath: folder) where name.hasSuffix(".json") {
            let path = "\(folder)/\(name)"
            if let head = try SnapshotHead(path: path), head.dataset != dataset {
                try files.removeItem(atPath: path)
            }
        }
    }
}
