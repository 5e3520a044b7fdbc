// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Glibc
import Observability
import Redis
import TestSupport
import Testing

/// What can go wrong between a client and Redis, and that no reply ends up with the wrong command.
@Suite(.timeLimit(.minutes(15))) struct FaultTests {
    @Test func `After a timeout a late reply is nobody's`() async throws {
        try await withRedis { server in
            try await onLoop { host in
                let watched = WatchedClient(
                    .test(server.socketPath, timeout: .milliseconds(100)), on: host.loop)
                await watched.ready()
                server.pause()
                var errors: [RedisError?] = []
                for _ in 1...10 {
                    watched.client.send(command("INCR", "n")) { errors.append($0.error) }
                }
                await watched.lost()
                while errors.count < 10 { await host.loop.sleep(for: .milliseconds(1)) }
                #expect(errors.allSatisfy { $0 == .timedOut(after: .milliseconds(100)) })
                #expect(errors.allSatisfy { $0?.mayHaveBeenExecuted == true })
                server.resume()
                await watched.ready(times: 2)
                for index in 1...200 {
                    let text = "echo \(index)"
                    #expect(try await watched.client.send(command("ECHO", text)).text == text)
                }
                // Redis ran them after all: that is why a timeout is an unknown outcome.
                let reply = try await watched.client.send(command("GET", "n"))
                #expect(reply.text == "10")
            }
        }
    }

    @Test func `The time of a turn of the loop is not Redis's`() async throws {
        try await withRedis { server in
            try await onLoop { host in
                let watched = WatchedClient(
                    .test(server.socketPath, timeout: .milliseconds(300)), on: host.loop)
                await watched.ready()
                for _ in 1...5 {
                    var result: Result<RedisValue, RedisError>?
                    watched.client.send(command("ECHO", "here")) { result = $0 }
                    // What is sent is written at the end of the turn.
                    usleep(400_000)
                    while result == nil { await host.loop.sleep(for: .milliseconds(1)) }
                    let reply = try result?.get()
                    #expect(reply?.text == "here")
                }
                #expect(watched.lostCount == 0)
            }
        }
    }

    @Test func `Replies that found no room in the socket are not late either`() async throws {
        try await withRedis { server in
            try await onLoop { host in
                let watched = WatchedClient(
                    .test(server.socketPath, timeout: .milliseconds(600)), on: host.loop)
                await watched.ready()
                let large = String(repeating: "x", count: 1 << 20)
                _ = try await watched.client.send(command("SET", "large", large))
                var sizes: [Int] = []
                for _ in 0..<40 {
                    watched.client.send(command("GET", "large")) {
                        if case .success(let value) = $0 { sizes.append(value.bytes?.count ?? 0) }
                    }
                }
                // They are written, and then nobody reads for a while.
                await host.loop.sleep(for: .milliseconds(1))
                usleep(800_000)
                while sizes.count < 40, watched.lostCount == 0 {
                    await host.loop.sleep(for: .milliseconds(1))
                }
                #expect(sizes == Array(repeating: 1 << 20, count: 40))
                #expect(watched.lostCount == 0)
            }
        }
    }

    @Test(arguments: [0, 1, 5, 1_000, 6_000])
    func `A connection cut within a reply fails what waits, and is made again`(
        _ bytes: Int
    ) async throws {
        try await withProxy { host, proxy, watched in
            let large = String(repeating: "x", count: 4_000)
            _ = try await watched.client.send(command("SET", "large", large))
            proxy.set(.cut(after: bytes))
            var results: [Result<RedisValue, RedisError>] = []
            for _ in 1...3 {
                watched.client.send(command("GET", "large")) { results.append($0) }
            }
            await watched.lost()
            while results.count < 3 { await host.loop.sleep(for: .milliseconds(1)) }
            let whole = bytes / (large.utf8.count + 9)
            for (index, result) in results.enumerated() {
                if index < whole {
                    #expect(try result.get().text == large)
                } else {
                    #expect(result.error?.mayHaveBeenExecuted == true)
                }
            }
            await watched.ready(times: 2)
            #expect(try await watched.client.send(command("GET", "large")).text == large)
        }
    }

    @Test(arguments: [
        "nonsense\r\n", "%1\r\n+a\r\n+b\r\n", "*888888888\r\n", "*2147483648\r\n",
        "$-2\r\n", ":12x\r\n", String(repeating: "*1\r\n", count: 12) + ":1\r\n",
        "+OK\r\n+one reply too many\r\n", "\0\0\0\0\r\n",
    ])
    func `Bytes that are no reply end the connection`(_ garbage: String) async throws {
        try await withProxy { host, proxy, watched in
            proxy.set(.replace(Array(garbage.utf8)))
            var result: Result<RedisValue, RedisError>?
            watched.client.send(command("PING")) { result = $0 }
            await watched.lost()
            while result == nil { await host.loop.sleep(for: .milliseconds(1)) }
            if garbage.hasPrefix("+OK") {
                #expect(result == .success(.status("OK")))
            } else {
                #expect(result?.error?.mayHaveBeenExecuted == true)
            }
            await watched.ready(times: 2)
            let reply = try await watched.client.send(command("PING"))
            #expect(reply == .status("PONG"))
        }
    }

    @Test func `A reply too many is not taken for that of a command which is not written yet`()
        async throws
    {
        try await withProxy { host, proxy, watched in
            proxy.set(.replace(Array("+PONG\r\n+PONG\r\n".utf8)))
            var answer: Result<RedisValue, RedisError>?
            var second: RedisError?
            watched.client.send(command("PING")) { first in
                answer = first
                watched.client.send(command("PING")) { second = $0.error }
            }
            await watched.lost()
            while second == nil { await host.loop.sleep(for: .milliseconds(1)) }
            #expect(answer == .success(.status("PONG")))
            #expect(second?.mayHaveBeenExecuted == false)
            await watched.ready(times: 2)
            let reply = try await watched.client.send(command("PING"))
            #expect(reply == .status("PONG"))
        }
    }

    @Test func `A Redis that became a replica is left, and found again when it is none`()
        async throws
    {
        try await withRedis { server in
            try await onLoop { host in
                let watched = WatchedClient(.test(server.socketPath), on: host.loop)
                await watched.ready()
                try server.request("REPLICAOF 127.0.0.1 1")
                var error: RedisError?
                watched.client.send(command("SET", "k", "v")) { error = $0.error }
                await watched.lost()
                guard case .server(code: "READONLY", _) = error else {
                    Issue.record("\(String(describing: error))")
                    return
                }
                try server.request("REPLICAOF NO ONE")
                await watched.ready(times: 2)
                #expect(try await watched.client.send(command("SET", "k", "v")) == .status("OK"))
            }
        }
    }

    @Test func `Without a connection a command fails at once and was not sent`() async throws {
        try await onLoop { host in
            let watched = WatchedClient(.test("/nowhere/redis.sock"), on: host.loop)
            var error: RedisError?
            watched.client.send(command("PING")) { error = $0.error }
            guard case .disconnected(_, wasSent: false) = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            watched.client.close()
            #expect(!watched.client.isReady)
        }
    }

    @Test func `Closing fails what waits`() async throws {
        try await withRedis { server in
            try await onLoop { host in
                let watched = WatchedClient(.test(server.socketPath), on: host.loop)
                await watched.ready()
                server.pause()
                var errors: [RedisError?] = []
                watched.client.send(command("PING")) { errors.append($0.error) }
                watched.client.close()
                #expect(errors == [.disconnected(reason: "closed", wasSent: false)])
                server.resume()
            }
        }
    }

    @Test func `Past the bound of outstanding commands one is refused unsent`() async throws {
        try await withRedis { server in
            try await onLoop { host in
                var configuration = RedisConfiguration.test(server.socketPath)
                configuration.outstandingMax = 3
                let watched = WatchedClient(configuration, on: host.loop)
                await watched.ready()
                var errors: [RedisError?] = []
                for _ in 1...4 {
                    watched.client.send(command("INCR", "n")) { errors.append($0.error) }
                }
                #expect(errors == [.overloaded])
                while errors.count < 4 { await host.loop.sleep(for: .milliseconds(1)) }
                #expect(errors == [.overloaded, nil, nil, nil])
            }
        }
    }

    @Test func `A wrong password is told, and the right one lets in, with the database`()
        async throws
    {
        try await withRedis(extra: ["--requirepass", "p@ss word"]) { server in
            try await onLoop { host in
                var configuration = RedisConfiguration.test(server.socketPath)
                configuration.password = "wrong"
                let wrong = WatchedClient(configuration, on: host.loop)
                while wrong.client.problem?.contains("WRONGPASS") != true {
                    await host.loop.sleep(for: .milliseconds(1))
                }
                #expect(!wrong.client.isReady)
                configuration.password = "p@ss word"
                configuration.database = 3
                let right = WatchedClient(configuration, on: host.loop)
                await right.ready()
                let text = try await right.client.send(command("CLIENT", "INFO")).text
                #expect(text?.contains(" db=3 ") == true)
            }
        }
    }

    @Test(arguments: ["127.0.0.1", "localhost"])
    func `A connection over TCP works by address and by name`(_ name: String) async throws {
        try await withRedis { server in
            let proxy = try FaultProxy(to: server.socketPath)
            defer { proxy.stop() }
            try await onLoop { host in
                var configuration = RedisConfiguration.test("")
                configuration.address = .tcp(host: name, port: proxy.port)
                let watched = WatchedClient(configuration, on: host.loop)
                await watched.ready()
                let reply = try await watched.client.send(command("PING"))
                #expect(reply == .status("PONG"))
            }
        }
    }
}
