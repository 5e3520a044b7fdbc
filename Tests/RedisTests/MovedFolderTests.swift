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
            try await expectLocked(folder, by: getpid())
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

    /// Redis goes on meanwhile: it alone may have the data.
    @Test(arguments: ["moved", "replaced"], [true, false])
    func `A folder that is not in its place is told, and Redis is not started without it`(
        fault: String, dies: Bool
    ) async throws {
        try await withFolder { parent in
            let (folder, away) = ("\(parent)/data", "\(parent)/away")
            let metrics = MetricsRegistry()
            let server = try await start(folder, metrics: metrics)
            #expect(try await swap("kept", in: server) == nil)
            let id = try #require(server.processID)
            #expect(rename(folder, away) == 0)
            if fault == "replaced" { #expect(mkdir(folder, 0o700) == 0) }
            if dies {
                kill(id, SIGKILL)
                while metrics.restartCount < 2,
                    server.processID == id || server.processID == nil
                {
                    try await Task.sleep(for: .milliseconds(1))
                }
                #expect(server.processID == nil)
            }
            try await blocking { try waitUntil("the problem") { server.problem != nil } }
            let problem = try #require(server.problem)
            #expect(problem.contains("moved") && problem.contains("bring it back"))
            #expect(!problem.contains(parent))
            #expect(dies || server.processID == id)
            #expect(names(parent).sorted() == (fault == "replaced" ? ["away", "data"] : ["away"]))
            #expect(names(folder) == [])
            rmdir(folder)
            #expect(rename(away, folder) == 0)
            try await blocking { try waitUntil("its return") { server.problem == nil } }
            #expect(try await swap("", in: server) == "kept")
            await server.stop()
        }
    }

    @Test(arguments: ["removed", "emptied"])
    func `A Redis that has had data is not started without them`(fault: String) async throws {
        try await withFolder { parent in
            let folder = "\(parent)/data"
            let metrics = MetricsRegistry()
            let server = try await start(folder, metrics: metrics)
            #expect(try await swap("lost", in: server) == nil)
            let id = try #require(server.processID)
            for name in names(folder) { removeFolder("\(folder)/\(name)") }
            if fault == "removed" { #expect(rmdir(folder) == 0) }
            try await blocking { try waitUntil("the problem") { server.problem != nil } }
            // It has the data, and goes on.
            #expect(server.processID == id)
            kill(id, SIGKILL)
            while metrics.restartCount < 2,
                server.processID == id || server.processID == nil
            {
                try await Task.sleep(for: .milliseconds(1))
            }
            #expect(server.processID == nil && server.problem != nil)
            #expect(!names(folder).contains("appendonlydir"))
            await server.stop()
        }
    }
}
