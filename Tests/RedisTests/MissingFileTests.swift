// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import Glibc
import Observability
import TestSupport
import Testing

@testable import Redis

/// A private Redis of whose files some are missing.
@Suite(.timeLimit(.minutes(15))) struct MissingFileTests {
    private static let manifest = "appendonlydir/appendonly.aof.manifest"
    private static let base = "appendonlydir/appendonly.aof.1.base.rdb"
    private static let log = "appendonlydir/appendonly.aof.1.incr.aof"

    /// Sets a key, and returns what it was.
    private func swap(_ value: String, in server: RedisServerProcess) async throws -> String? {
        let configuration = server.configuration
        return try await onLoop { host in
            let watched = WatchedClient(configuration, on: host.loop)
            await watched.ready()
            return try await watched.client.send(command("SET", "k", value, "GET")).text
        }
    }

    private func files(_ folder: String) throws -> [String: Data] {
        let names = try FileManager.default.contentsOfDirectory(atPath: "\(folder)/appendonlydir")
        return try Dictionary(
            uniqueKeysWithValues: names.map { name in
                (name, try Data(contentsOf: URL(filePath: "\(folder)/appendonlydir/\(name)")))
            })
    }

    /// After Redis has written its log anew the data are in the base, and the file behind it is empty.
    @Test(arguments: [false, true])
    func `A log without its manifest is not begun anew`(isRewritten: Bool) async throws {
        try await withFolder { folder in
            let server = try await start(folder)
            #expect(try await swap("kept", in: server) == nil)
            if isRewritten {
                let configuration = server.configuration
                try await onLoop { host in
                    let watched = WatchedClient(configuration, on: host.loop)
                    await watched.ready()
                    _ = try await watched.client.send(command("BGREWRITEAOF"))
                    while access("\(folder)/\(Self.log)", F_OK) == 0 {
                        await host.loop.sleep(for: .milliseconds(1))
                    }
                }
            }
            await server.stop()
            #expect(rename("\(folder)/\(Self.manifest)", "\(folder)/manifest") == 0)
            let before = try files(folder)
            do throws(RedisServerError) {
                let server = try await start(folder)
                await server.stop()
                Issue.record("started without the manifest")
            } catch {
                guard case .folder(folder, let reason) = error else { throw error }
                #expect(reason.contains("appendonly.aof.manifest"))
                #expect(reason.contains("backup") && reason.contains("tally restore"))
            }
            #expect(try files(folder) == before)
            #expect(rename("\(folder)/manifest", "\(folder)/\(Self.manifest)") == 0)
            let next = try await start(folder)
            #expect(try await swap("", in: next) == "kept")
            await next.stop()
        }
    }

    @Test func `A Redis that dies when its manifest is missing waits for it`() async throws {
        try await withFolder { folder in
            let metrics = MetricsRegistry()
            let server = try await start(folder, metrics: metrics)
            #expect(try await swap("kept", in: server) == nil)
            let id = try #require(server.processID)
            #expect(rename("\(folder)/\(Self.manifest)", "\(folder)/manifest") == 0)
            kill(id, SIGKILL)
            while metrics.restartCount < 2,
                server.processID == id || server.processID == nil
            {
                try await Task.sleep(for: .milliseconds(1))
            }
            #expect(server.processID == nil)
            #expect(rename("\(folder)/manifest", "\(folder)/\(Self.manifest)") == 0)
            #expect(try await swap("", in: server) == "kept")
            await server.stop()
        }
    }

    /// Redis writes the base, the empty log behind it, and then the manifest.
    @Test(arguments: [
        [manifest], [manifest, log], [manifest, log, base], ["empty", manifest],
        ["unfinished", manifest],
    ])
    func `A Redis that was killed at its first start starts`(missing: [String]) async throws {
        try await withFolder { folder in
            let server = try await start(folder)
            await server.stop()
            for name in missing { unlink("\(folder)/\(name)") }
            if missing.contains("empty") {
                try Data().write(to: URL(filePath: "\(folder)/\(Self.base)"))
            }
            if missing.contains("unfinished") {
                try Data("file app".utf8).write(
                    to: URL(filePath: "\(folder)/appendonlydir/temp-appendonly.aof.manifest"))
            }
            let second = try await start(folder)
            #expect(try await swap("kept", in: second) == nil)
            await second.stop()
            let third = try await start(folder)
            #expect(try await swap("", in: third) == "kept")
            await third.stop()
        }
    }

    @Test(arguments: [[base], [log], [base, log]])
    func `A manifest without its files is told with Redis' own words`(
        missing: [String]
    ) async throws {
        try await withFolder { folder in
            let server = try await start(folder)
            #expect(try await swap("lost", in: server) == nil)
            await server.stop()
            for name in missing { unlink("\(folder)/\(name)") }
            do throws(RedisServerError) {
                let server = try await start(folder)
                await server.stop()
                Issue.record("started without \(missing)")
            } catch {
                guard case .exited(_, let log) = error else { throw error }
                #expect(log.contains("No such file or directory"))
            }
        }
    }

    @Test(arguments: ["removed", "replaced", "removed with its folder"])
    func `A socket that is taken away comes back`(fault: String) async throws {
        try await withFolder { parent in
            let long = "\(parent)/\(String(repeating: "long", count: 40))"
            let isInFolder = fault.contains("folder")
            let server = try await start(isInFolder ? long : parent)
            guard case .unix(let path) = server.address else { return }
            #expect(try await swap("kept", in: server) == nil)
            let id = try #require(server.processID)
            #expect(unlink(path) == 0)
            if fault == "replaced" { try Data().write(to: URL(filePath: path)) }
            if isInFolder {
                #expect(rmdir(URL(filePath: path).deletingLastPathComponent().path) == 0)
            }
            try await blocking {
                try waitUntil("another Redis") {
                    server.processID.map { $0 != id } ?? false
                }
            }
            #expect(hasEnded(id))
            #expect(try await swap("", in: server) == "kept")
            await server.stop()
            #expect(access(path, F_OK) != 0)
        }
    }

    @Test func `What an earlier run printed is not taken for this one's`() async throws {
        try await withFolder { folder in
            // It ends before it can say why, as on a full disk.
            let program = "\(folder)/redis-server"
            try Data("#!/bin/sh\nexit 7\n".utf8).write(to: URL(filePath: program))
            #expect(chmod(program, 0o700) == 0)
            let file = URL(filePath: "\(folder)/redis.log")
            let old = Data(
                "Unexpected end of file reading the append only file appendonly.aof\n".utf8)
            try old.write(to: file)
            do throws(RedisServerError) {
                _ = try await RedisServerProcess.start(
                    RedisServerConfiguration(folder: folder, executable: program),
                    metrics: MetricsRegistry(), logger: fatalOnly)
                Issue.record("started without a Redis")
            } catch {
                #expect(error == .exited(status: "exit status 7", log: ""))
            }
            // Nothing mended the log either, which would be told there.
            #expect(try Data(contentsOf: file) == old)
        }
    }
}

extension MetricsRegistry {
    /// How often the private Redis was started again. It goes on while one looks.
    var restartCount: Int {
        let name = "tally_redis_child_restarts_total "
        let line = text().split(separator: "\n").last { $0.hasPrefix(name) }
        return line.flatMap { Int($0.dropFirst(name.count)) } ?? 0
    }
}
