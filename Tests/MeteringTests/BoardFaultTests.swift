// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Observability
import Redis
import TestSupport
import Testing

@testable import Metering

@Suite(.timeLimit(.minutes(15))) struct BoardFaultTests {
    private static let subjects = (0..<500).map { index in
        let digits = String(index)
        return "s" + String(repeating: "0", count: 3 - digits.count) + digits
    }

    @Test func `A change that its process left half done is completed, and not done twice`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let bench = await Bench(redis.socketPath, on: host.loop, clock: clock)
                var model = BoardModel(calendar: .utc)
                var first = [event("s007", ["tokens": 3]), event("x", ["tokens": 700])]
                for event in first { model.count(event, at: noon) }
                _ = await bench.record(first)
                let id = BoardID(
                    LeaderboardWindow.days(7).days(on: CivilDay(number: noon / 86_400_000)), tokens)
                try await withQueries(1, redis.socketPath, on: host, clock: clock) { engines in
                    let entries = try await engines[0].all(tokens, .days(7))
                    #expect(entries.count == 2)
                }
                first = Self.subjects.enumerated().map { event($1, ["tokens": $0 + 1]) }
                for event in first { model.count(event, at: noon) }
                _ = await bench.record(first)
                try await leaveHalfDone(
                    id, Self.subjects.enumerated().map { ($1, $0 + 1) }, bench.client)
                try await withQueries(2, redis.socketPath, on: host, clock: clock) { engines in
                    for engine in engines {
                        let entries = try await engine.all(tokens, .days(7))
                        #expect(entries == model.entries(tokens, id.days))
                    }
                }
            }
        }
    }

    @Test func `A board whose name means no days is forgotten`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let bench = await Bench(redis.socketPath, on: host.loop, clock: clock)
                let keys = Keyspace(WorkspaceSettings())
                let now = Array("\(noon)".utf8)
                for name in ["0000-12-31..0001-01-01:tokens", "9999-12-31..10000-01-01:tokens"] {
                    let field = Array(name.utf8)
                    for key in [keys.boards, keys.boardsUsed] {
                        _ = try await bench.client.send(RedisCommand("HSET", [key, field, now]))
                    }
                    _ = try await bench.client.send(
                        RedisCommand("ZADD", [keys.board(named: field), [0x30], Array("x".utf8)]))
                }
                try await withQueries(1, redis.socketPath, on: host, clock: clock) { engines in
                    _ = try await engines[0].all(tokens, .days(7))
                    var count: Int? = 0
                    for _ in 0..<2_000 where count != 1 {
                        await host.loop.sleep(for: .milliseconds(10))
                        count = try await bench.client.send(
                            RedisCommand("HLEN", [keys.boardsUsed])
                        ).integer
                    }
                    #expect(count == 1)
                    for name in ["0000-12-31..0001-01-01:tokens", "9999-12-31..10000-01-01:tokens"]
                    {
                        let field = Array(name.utf8)
                        let left = try await bench.client.send([
                            RedisCommand("HEXISTS", [keys.boards, field]),
                            RedisCommand("EXISTS", [keys.board(named: field)]),
                        ])
                        #expect(left.map(\.integer) == [0, 0], "\(name)")
                    }
                }
            }
        }
    }

    @Test(arguments: [UInt64(31), 32, 33, 34])
    func `Boards stay exact while connections break at any byte`(seed: UInt64) async throws {
        try await withRedis { redis in
            let proxy = try FaultProxy(to: redis.socketPath)
            defer { proxy.stop() }
            try await onLoop { host in
                var random = SeededGenerator(seed)
                let clock = ManualClock(noon)
                let bench = await Bench(redis.socketPath, on: host.loop, clock: clock)
                var model = BoardModel(calendar: .utc)
                try await withQueries(1, proxy.path, on: host, clock: clock) { broken in
                    try await withQueries(1, redis.socketPath, on: host, clock: clock) { sound in
                        for round in 0..<25 {
                            let events = (0..<Int.random(in: 1...400, using: &random)).map { _ in
                                event(
                                    Self.subjects[Int(random.next() % 500)],
                                    ["tokens": Int(random.next() % 9)],
                                    at: noon - Int(random.next() % 500_000_000))
                            }
                            for event in events {
                                model.count(event, at: event.time?.milliseconds ?? 0)
                            }
                            for outcome in await bench.record(events) {
                                #expect(outcome.counted != nil)
                            }
                            proxy.set(.cut(after: Int.random(in: 0...3000, using: &random)))
                            let window = [LeaderboardWindow.days(3), .days(20), .lifetime][
                                round % 3]
                            let expected = model.entries(
                                tokens, window.days(on: CivilDay(number: noon / 86_400_000)))
                            // It answers rightly or not at all.
                            if let entries = try? await broken[0].all(tokens, window) {
                                #expect(entries == expected)
                            }
                            if round % 2 == 0 {
                                let entries = try await sound[0].all(tokens, window)
                                #expect(entries == expected)
                            }
                        }
                        proxy.set(.none)
                        for window in [LeaderboardWindow.days(3), .days(20), .lifetime] {
                            let days = window.days(on: CivilDay(number: noon / 86_400_000))
                            while await !broken[0].isReady {
                                await host.loop.sleep(for: .milliseconds(5))
                            }
                            let entries = try await broken[0].all(tokens, window)
                            #expect(entries == model.entries(tokens, days))
                        }
                    }
                }
            }
        }
    }
}
