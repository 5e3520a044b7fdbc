// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import TestSupport
import Testing

@testable import Redis

/// Where the socket is whose data folder has a path that is too long for one.
@Suite struct SocketFolderTests {
    private func withLongFolder(_ body: (String) throws -> Void) throws {
        let parent = try makeTemporaryFolder()
        defer { removeFolder(parent) }
        try body("\(parent)/\(String(repeating: "long", count: 30))")
    }

    /// The folder of the socket of a data folder.
    private func socketFolder(_ folder: DataFolder) -> String {
        URL(filePath: folder.socketPath).deletingLastPathComponent().path
    }

    private func status(_ path: String) throws -> stat {
        var status = stat()
        try #require(lstat(path, &status) == 0, "\(path)")
        return status
    }

    @Test func `What a killed service leaves is found and taken away by the next one`() throws {
        try withLongFolder { path in
            let first = try DataFolder(path)
            let place = socketFolder(first)
            #expect(try status(place).st_mode & 0o777 == 0o700)
            #expect(first.socketPath.utf8.count <= RedisConfiguration.socketPathBytesMax)
            first.release()
            #expect(access(place, F_OK) != 0)
            // As after SIGKILL.
            #expect(mkdir(place, 0o700) == 0)
            try Data().write(to: URL(filePath: first.socketPath))
            let second = try DataFolder(path)
            #expect(second.socketPath == first.socketPath)
            #expect(access(second.socketPath, F_OK) != 0)
            second.release()
            #expect(access(place, F_OK) != 0)
            // A link leads to the same data.
            #expect(symlink(path, "\(path)-link") == 0)
            let third = try DataFolder("\(path)-link")
            #expect(third.socketPath == first.socketPath)
            let other = try DataFolder("\(path)-other")
            #expect(other.socketPath != first.socketPath)
        }
    }

    @Test(arguments: ["link", "file", "open to others", "not empty", "in use"])
    func `A folder that is not ours alone is not used`(kind: String) throws {
        try withLongFolder { path in
            let first = try DataFolder(path)
            let place = socketFolder(first)
            first.release()
            let elsewhere = try makeTemporaryFolder()
            var held: Int32 = -1
            defer {
                removeFolder(elsewhere)
                if held >= 0 { close(held) }
                unlink(place)
                removeFolder(place)
            }
            switch kind {
            case "link": #expect(symlink(elsewhere, place) == 0)
            case "file": try Data().write(to: URL(filePath: place))
            default: #expect(mkdir(place, 0o700) == 0)
            }
            if kind == "open to others" { #expect(chmod(place, 0o770) == 0) }
            if kind == "not empty" { try Data().write(to: URL(filePath: "\(place)/notes")) }
            if kind == "in use" {
                held = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                #expect(flock(held, LOCK_EX) == 0)
            }
            let second = try DataFolder(path)
            let used = socketFolder(second)
            // What else is in it is nobody's business, as long as it is this user's own.
            #expect((used == place) == (kind == "not empty"))
            #expect(try status(used).st_mode & (S_IFMT | 0o777) == S_IFDIR | 0o700)
            second.release()
            // What was there is there.
            #expect(try status(place).st_mode != 0)
            #expect(kind == "not empty" || access(used, F_OK) != 0)
            #expect(try FileManager.default.contentsOfDirectory(atPath: elsewhere) == [])
        }
    }

    @Test func `A folder of another user is not used`() throws {
        guard geteuid() == 0 else { return }
        try withLongFolder { path in
            let first = try DataFolder(path)
            let place = socketFolder(first)
            first.release()
            #expect(mkdir(place, 0o700) == 0)
            defer { rmdir(place) }
            #expect(chown(place, 65_534, 65_534) == 0)
            let second = try DataFolder(path)
            #expect(socketFolder(second) != place)
            second.release()
            #expect(try status(place).st_uid == 65_534)
        }
    }
}
