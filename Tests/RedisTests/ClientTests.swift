// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Observability
import Redis
import Synchronization
import TestSupport
import Testing

/// Adds to a key and returns its new value.
private let add = RedisScript(
    name: "add", source: "return redis.call('INCRBY', KEYS[1], ARGV[1])")

@Suite(.timeLimit(.minutes(15))) struct ClientTests {
    @Test func `Replies come in the order of the commands`() async throws {
        try await withRedis { server in
            try await onLoop { host in
                let watched = WatchedClient(.test(server.socketPath), on: host.loop)
                await watched.ready()
                var replies: [Int] = []
                for _ in 1..<3_000 {
                    watched.client.send(command("INCR", "n")) { result in
                        replies.append((try? result.get().integer) ?? -1)
                    }
                }
                _ = try await watched.client.send(command("PING"))
                #expect(replies == Array(1..<3_000))
            }
        }
    }

    @Test func `A script runs, also after Redis forgot it and after it was restarted`() async throws
    {
        try await withRedis { server in
            try await onLoop { host in
                let watched = WatchedClient(
                    .test(server.socketPath), scripts: [add], on: host.loop)
                await watched.ready()
                let client = watched.client
                let keys = [Array("n".utf8)]
                #expect(try await client.run(add, keys: keys, arguments: [[0x35]]) == .integer(5))
                _ = try await client.send(command("SCRIPT", "FLUSH"))
                var values: [RedisValue] = []
                for _ in 1...3 {
                    client.run(add, keys: keys, arguments: [[0x31]]) {
                        values.append((try? $0.get()) ?? .null)
                    }
                }
                #expect(try await client.run(add, keys: keys, arguments: [[0x31]]) == .integer(9))
                #expect(values == [.integer(6), .integer(7), .integer(8)])
                server.kill()
                await watched.lost()
                try server.start()
                await watched.ready(times: 2)
                #expect(try await client.run(add, keys: keys, arguments: [[0x35]]) == .integer(5))
            }
        }
    }

    @Test func `Whatever bytes an argument holds, they stay data`() async throws {
        try await withRedis { server in
            try await onLoop { host in
                let client = WatchedClient(.test(server.socketPath), on: host.loop)
                await client.ready()
                let values: [[UInt8]] = [
                    [], Array("a\r\nFLUSHALL\r\n".utf8), Array("%s%n%b".utf8), Array(0...255),
                    [UInt8](repeating: 0, count: 300_000), Array("*1\r\n$4\r\nPING\r\n".utf8),
                ]
                for value in values {
                    var set = RedisCommand("SET")
                    set.append(value)
                    set.append(value)
                    #expect(try await client.client.send(set) == .status("OK"))
                    var get = RedisCommand("GET")
                    value.withUnsafeBytes { get.append($0) }
                    #expect(try await client.client.send(get) == .bulk(value))
                }
                let count = try await client.client.send(command("DBSIZE"))
                #expect(count == .integer(values.count))
            }
        }
    }

    @Test func `Replies of every shape are read, and more than a socket holds is sent`()
        async throws
    {
        try await withRedis { server in
            try await onLoop { host in
                let watched = WatchedClient(.test(server.socketPath), on: host.loop)
                await watched.ready()
                let client = watched.client
                let shapes = RedisScript(
                    name: "shapes",
                    source: "return {1, 'a', false, {ok='fine'}, {err='ODD one'}, {{}, {-7}}}")
                let reply = try await client.run(shapes, keys: [], arguments: [])
                #expect(
                    reply
                        == .array([
                            .integer(1), .bulk([0x61]), .null, .status("fine"),
                            .error(code: "ODD", message: "one"),
                            .array([.array([]), .array([.integer(-7)])]),
                        ]))
                let large = [UInt8](repeating: 7, count: 4 << 20)
                var set = RedisCommand("SET")
                set.append("large")
                set.append(large)
                for _ in 1...4 { client.send(set) { _ in } }
                #expect(try await client.send(command("GET", "large")) == .bulk(large))
                var error: RedisError?
                client.send(command("INCR", "large")) { error = $0.error }
                _ = try await client.send(command("PING"))
                #expect(
                    error
                        == .server(
                            code: "ERR", message: "value is not an integer or out of range"))
            }
        }
    }

    @Test(arguments: [0, 1, -1, 10, 1_234_567_890, Int.max, Int.min])
    func `An integer argument is its decimal text`(_ number: Int) async throws {
        try await withRedis { server in
            try await onLoop { host in
                let watched = WatchedClient(.test(server.socketPath), on: host.loop)
                await watched.ready()
                var echo = RedisCommand("ECHO")
                echo.append(number)
                let reply = try await watched.client.send(echo)
                #expect(reply.text == "\(number)")
            }
        }
    }
}
