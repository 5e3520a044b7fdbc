// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import Glibc
import Observability
import Redis
import TestSupport
import Testing

let fatalOnly = Logger(level: .error, descriptor: -1)

func start(
    _ folder: String, _ durability: RedisServerConfiguration.Durability = .always,
    metrics: MetricsRegistry = MetricsRegistry()
) async throws(RedisServerError) -> RedisServerProcess {
    try await RedisServerProcess.start(
        RedisServerConfiguration(folder: folder, durability: durability), metrics: metrics,
        logger: fatalOnly)
}

func withFolder(_ body: (String) async throws -> Void) async throws {
    let folder = try makeTemporaryFolder()
    defer { removeFolder(folder) }
    try await body(folder)
}

/// Gone, or dead and not yet taken note of by its new parent.
func hasEnded(_ id: Int32) -> Bool {
    var bytes = [UInt8](repeating: 0, count: 256)
    let file = open("/proc/\(id)/stat", O_RDONLY)
    guard file >= 0 else { return true }
    defer { close(file) }
    return String(decoding: bytes.prefix(max(0, read(file, &bytes, 256))), as: UTF8.self)
        .contains(") Z ")
}

extension RedisServerProcess {
    var configuration: RedisConfiguration {
        var configuration = RedisConfiguration.test("")
        configuration.address = address
        return configuration
    }
}

@Suite(.timeLimit(.minutes(15))) struct ServerProcessTests {
    @Test func `A private Redis starts in a new folder and leaves nothing running`() async throws {
        try await withFolder { parent in
            let server = try await start("\(parent)/new/data")
            var status = stat()
            #expect(stat("\(parent)/new/data", &status) == 0 && status.st_mode & 0o777 == 0o700)
            let id = try #require(server.processID)
            let kernel = try String(contentsOfFile: "/proc/\(id)/status", encoding: .utf8)
            #expect(kernel.contains("THP_enabled:\t1"), "Redis refuses huge pages by default")
            let configuration = server.configuration
            let report = try await onLoop { host in
                let watched = WatchedClient(configuration, on: host.loop)
                await watched.ready()
                return try await RedisServerReport(askedFrom: watched.client)
            }
            #expect(report.durability == .fsynced)
            #expect(report.evictionPolicy == "noeviction")
            #expect(report.isReplica == false && report.isClusterNode == false)
            await server.stop()
            await server.stop()
            #expect(hasEnded(id) && server.processID == nil)
        }
    }

    @Test func `A folder that was open to others is closed to them`() async throws {
        try await withFolder { folder in
            #expect(chmod(folder, 0o755) == 0)
            let server = try await start(folder)
            var status = stat()
            #expect(stat(folder, &status) == 0 && status.st_mode & 0o777 == 0o700)
            await server.stop()
        }
    }

    @Test func `A second start on a folder is refused and names the holder`() async throws {
        try await withFolder { folder in
            let server = try await start(folder)
            await #expect(throws: RedisServerError.locked(folder: folder, processID: getpid())) {
                _ = try await start(folder)
            }
            await server.stop()
            let next = try await start(folder)
            await next.stop()
        }
    }

    @Test func `A private Redis that is killed comes back with its data`() async throws {
        try await withFolder { folder in
            let metrics = MetricsRegistry()
            let server = try await start(folder, metrics: metrics)
            let id = try #require(server.processID)
            let configuration = server.configuration
            try await onLoop { host in
                let watched = WatchedClient(configuration, on: host.loop)
                await watched.ready()
                _ = try await watched.client.send(command("SET", "k", "kept"))
                // As one leaves it that is killed while it writes its log anew.
                for name in ["temp-rewriteaof-bg-7.aof", "temp-7.rdb", "temp-notes.txt"] {
                    try Data([7]).write(to: URL(filePath: "\(folder)/\(name)"))
                }
                kill(id, SIGKILL)
                await watched.ready(times: 2)
                let value = try await watched.client.send(command("GET", "k"))
                #expect(value.text == "kept")
            }
            let left = try FileManager.default.contentsOfDirectory(atPath: folder)
            #expect(left.filter { $0.hasPrefix("temp-") } == ["temp-notes.txt"])
            #expect(server.processID != id)
            #expect(metrics.text().contains("tally_redis_child_restarts_total 1\n"))
            await server.stop()
        }
    }

    /// Redis 7.0 cuts its log at the last whole command, which may be in the midst of a transaction.
    /// EXEC has 14 bytes, each SET 27.
    @Test(arguments: [1, 14, 24, 41, 60, 90])
    func `Of a transaction that was cut while it was written nothing is done`(
        missing: Int
    ) async throws {
        try await withFolder { folder in
            func run(_ pairs: String, expecting values: [String?]) async throws {
                let server = try await start(folder)
                let configuration = server.configuration
                let found = try await onLoop { host in
                    let watched = WatchedClient(configuration, on: host.loop)
                    await watched.ready()
                    var found: [String?] = []
                    for name in ["a", "b", "c"] {
                        found.append(try await watched.client.send(command("GET", name)).text)
                    }
                    let script = "for _, k in ipairs(KEYS) do redis.call('SET', k, ARGV[1]) end"
                    let names = pairs.dropFirst().map { String($0) }
                    let words =
                        ["EVAL", script, "\(names.count)"] + names + [String(pairs.prefix(1))]
                    var eval = RedisCommand("EVAL")
                    for word in words.dropFirst() { eval.append(word) }
                    _ = try await watched.client.send(eval)
                    return found
                }
                await server.stop()
                #expect(found == values)
            }
            try await run("1abc", expecting: [nil, nil, nil])
            try await run("2abc", expecting: ["1", "1", "1"])
            let log = "\(folder)/appendonlydir/appendonly.aof.1.incr.aof"
            let bytes = try Data(contentsOf: URL(filePath: log))
            try bytes.dropLast(missing).write(to: URL(filePath: log))
            try await run("3b", expecting: ["1", "1", "1"])
            try await run("3b", expecting: ["1", "3", "1"])
            try await run("3b", expecting: ["1", "3", "1"])
        }
    }

    @Test func `No Redis is left when its parent is killed`() async throws {
        try await withFolder { folder in
            await #expect(processExitsWith: .signal(SIGKILL)) { [folder = folder as String] in
                let server = try await start(folder)
                let text = "\(server.processID ?? 0)"
                let file = open("\(folder)/child", O_WRONLY | O_CREAT, 0o600)
                _ = write(file, text, text.utf8.count)
                kill(getpid(), SIGKILL)
            }
            // The next start waits for the orphan's end by itself.
            let server = try await start(folder)
            await server.stop()
            var bytes = [UInt8](repeating: 0, count: 16)
            let file = open("\(folder)/child", O_RDONLY)
            let count = read(file, &bytes, bytes.count)
            close(file)
            let id = try #require(Int32(String(decoding: bytes.prefix(count), as: UTF8.self)))
            // It let go of the lock; what is left of its end may take a moment more.
            while !hasEnded(id) { try await Task.sleep(for: .milliseconds(1)) }
        }
    }

    @Test func `A folder whose path is too long for a socket works`() async throws {
        try await withFolder { parent in
            let folder = parent + "/" + String(repeating: "long", count: 40)
            let server = try await start(folder)
            guard case .unix(let path) = server.address else { return }
            #expect(path.utf8.count <= 107 && access(path, F_OK) == 0)
            await server.stop()
            #expect(access(path, F_OK) != 0)
        }
    }

    @Test func `A Redis that does not come up is told with its own words`() async throws {
        try await withFolder { folder in
            mkdir("\(folder)/appendonlydir", 0o700)
            let file = open(
                "\(folder)/appendonlydir/appendonly.aof.manifest", O_WRONLY | O_CREAT, 0o600)
            _ = write(file, "nonsense\n", 9)
            close(file)
            do throws(RedisServerError) {
                _ = try await start(folder)
                Issue.record("started on a broken log")
            } catch {
                guard case .exited(let status, let log) = error else { throw error }
                #expect(status == "exit status 1" && log.contains("AOF manifest"))
            }
        }
    }

    @Test func `A missing program is named, with its package`() async throws {
        try await withFolder { folder in
            let configuration = RedisServerConfiguration(
                folder: folder, executable: "/nowhere/redis-server")
            await #expect(
                throws: RedisServerError.notInstalled(
                    program: "/nowhere/redis-server", package: "redis-server")
            ) {
                _ = try await RedisServerProcess.start(
                    configuration, metrics: MetricsRegistry(), logger: fatalOnly)
            }
        }
    }

    @Test func `The child has no descriptor but its own and the locks`() async throws {
        try await withFolder { folder in
            // A descriptor without CLOEXEC, as a careless library might open.
            let stray = open("/dev/zero", O_RDONLY)
            defer { close(stray) }
            let server = try await start(folder)
            let id = try #require(server.processID)
            var targets: [String] = []
            for descriptor in 0..<64 {
                var bytes = [CChar](repeating: 0, count: 256)
                guard readlink("/proc/\(id)/fd/\(descriptor)", &bytes, 255) > 0 else { continue }
                targets.append(
                    String(decoding: bytes.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self))
            }
            #expect(targets.contains("\(folder)/tally.lock") && targets.contains(folder))
            #expect(!targets.contains("/dev/zero"))
            await server.stop()
        }
    }
}

@Suite(.timeLimit(.minutes(15))) struct DurabilityTests {
    @Test(arguments: [
        (["--appendonly", "no"], RedisDurability.none),
        (["--appendonly", "yes", "--appendfsync", "always"], .fsynced),
        (
            [
                "--appendonly", "yes", "--appendfsync", "always",
                "--no-appendfsync-on-rewrite", "yes",
            ], .kernel
        ),
        (["--appendonly", "yes", "--appendfsync", "everysec"], .kernel),
        (["--appendonly", "yes", "--appendfsync", "no"], .none),
        (["--appendonly", "yes", "--rename-command", "CONFIG", ""], .unknown),
        (["--rename-command", "CONFIG", ""], .none),
    ])
    func `The class follows from the settings`(
        _ extra: [String], _ expected: RedisDurability
    ) async throws {
        try await withRedis(extra: extra + ["--maxmemory-policy", "allkeys-lru"]) { server in
            let path = server.socketPath
            let report = try await onLoop { host in
                let watched = WatchedClient(.test(path), on: host.loop)
                await watched.ready()
                return try await RedisServerReport(askedFrom: watched.client)
            }
            #expect(report.durability == expected)
            #expect(report.keepsLog == extra.contains("yes"))
            #expect(report.evictionPolicy == "allkeys-lru")
            #expect(report.version?.contains(".") == true)
        }
    }
}
