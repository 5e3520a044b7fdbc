// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Foundation
internal import Redis

extension QueryEngine {
    /// Whether anything was ever counted in the workspace.
    public func hasCounted() async throws(MeteringError) -> Bool {
        try await send(RedisCommand("EXISTS", [keys.subjects])).integer != 0
    }

    /// Waits for its first connection, for a second at most: for a workspace that was just made.
    public func waitUntilReady() async {
        for _ in 0..<200 where !isReady { await loop.sleep(for: .milliseconds(5)) }
    }

    /// Removes the snapshots of a workspace that was deleted.
    public func removeSnapshots() throws {
        let folder = SnapshotFolder(data: data, workspace: settings.id).path
        if FileManager.default.fileExists(atPath: folder) {
            try FileManager.default.removeItem(atPath: folder)
        }
    }
}
