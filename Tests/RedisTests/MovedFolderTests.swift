// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import Glibc
import Observability
import TestSupport
import Testing

@testable import Redis

/// A private Redis whose data folder is not where it was, or whose lock somebody took away.
@Suite(.timeLimit(.minutes(15))) struct MovedFolderTests {
    /// Sets a key, and returns what it was.
    private func swap(_ value: String, in server: RedisServerProcess) async throws -> String? {
        let configuration = server.configuration
        return try await onLoop { host in
            let watched = WatchedClient(configuration, on: host.loop)
            await watched.ready()
            return try await watched.client.send(command("SET", "k", value, "GET")).text
        }
    }

    private func names(_ folder: String) -> [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    }

    private func expectLocked(_ folder: String, by holder: Int32?) async throws {
        do throws(RedisServerError) {
            let second = try await start(folder)
            await second.stop()
            Issue.record("started twice")
        } catch {
            #expect(error == .locked(folder: folder, processID: holder))
        }
    }

    @Test func `A folder is not started twice when the file of its lock is gone`() async throws {
        try await withFolder { folder in
            let server = try await start(folder)
            #expect(unlink("\(folder)/tally.lock") == 0)
            try await expectLocked(folder, by: nil)
            await server.stop()
            let next = try await start(folder)
            await next.stop()
        }
    }

    /// A version that locks the file alone.
    @Test func `A lock of the file alone is respected`() async throws {
        try await withFolder { folder in
            let file = open("\(folder)/tally.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
            defer { close(file) }
            let text = "\(getppid())\n"
            #expect(write(file, text, text.utf8.count) == text.utf8.count)
            #expect(flock(file, LOCK_EX | LOCK_NB) == 0)
            try await expectLocked(folder, by: getppid())
            #expect(flock(file, LOCK_UN) == 0)
            let server = try await start(folder)
            #expect(flock(file, LOCK_EX | LOCK_NB) != 0)
            await server.stop()
        }
    }
}
