// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import Redis
import TestSupport
import Testing

@testable import Metering

/// What is verified of the boards of windows.
@Suite(.timeLimit(.minutes(15))) struct WindowBoardTests {
    private static let span = "2026-11-18..2026-12-03"
    private static let board = "t1:{default}:board:\(span):tokens"
    private static let day = RestoreBench.days

    private static func window() throws -> LeaderboardWindow {
        try #require(LeaderboardWindow(span))
    }

    /// A history of four days, of which subject `sN` used N + 1 and, if N is even, 1 more; the days have
    /// left Redis if they are to. What is counted afterwards brings them back.
    private static func prepare(
        _ redis: RedisServer, on host: isolated LoopHost, isCold: Bool
    ) async throws -> (RestoreBench, Bench) {
        let clock = ManualClock(noon)
        let bench = try await RestoreBench(
            redis, on: host.loop, clock: clock, hotDays: isCold ? 2 : 35)
        let writer = await Bench(
            redis.socketPath, on: host.loop, clock: clock, settings: bench.settings,
            data: bench.flushing.data)
        let events = (0..<450).map {
            event("s\($0)", ["tokens": $0 + 1], id: "\($0)", at: noon - ($0 % 3 + 1) * day)
        }
        _ = await writer.record(events)
        _ = await writer.record(
            stride(from: 0, to: 450, by: 2).map { event("s\($0)", ["tokens": 1]) })
        for _ in 0..<12 {
            clock.advance(day)
            try await writer.closer.closeDays()
            try await bench.flushing.flush()
        }
        #expect(try redis.request("HLEN t1:{default}:cold") == (isCold ? ":4\r\n" : ":0\r\n"))
        return (bench, writer)
    }

    @Test(arguments: [false, true])
    func `A window's board is compared with its days, both ways`(isCold: Bool) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let (bench, writer) = try await Self.prepare(redis, on: host, isCold: isCold)
                let page = try await bench.queries.page(.tokens, Self.window())
                #expect(page.entries.count == 450)
                _ = try await bench.queries.page(.costMicro, Self.window())
                _ = try await bench.queries.page(.tokens, .days(2))
                #expect(try await bench.verify() == [])
                // It is behind the log: that is no difference, though days come back that had left.
                _ = await writer.record([
                    event("s7", ["tokens": 100]), event("new"), event("none", ["tokens": 0]),
                    event("late", at: noon - 3 * Self.day), event("old", at: noon - 9 * Self.day),
                ])
                _ = try await writer.engine.reverse(ByteString("3"), reason: .empty)
                #expect(try await bench.verify() == [])
                #expect(
                    try redis.request("HLEN t1:{default}:cold") == (isCold ? ":2\r\n" : ":0\r\n"))
                _ = try await bench.queries.page(.tokens, Self.window())
                let place = "board \(Self.span) tokens"
                for (change, tells) in [
                    ("ZADD \(Self.board) -5 s8", "\(place): s8: expected 10, found 5"),
                    ("ZADD \(Self.board) -450 s448", "\(place): s448: expected 450, found 450"),
                    ("ZREM \(Self.board) s8", "\(place): s8: expected 10, found not on it"),
                    ("ZADD \(Self.board) -4 s3", "\(place): s3: expected 0, found 4"),
                    ("ZADD \(Self.board) -1 x", "\(place): x: expected 0, found 1"),
                    ("ZADD \(Self.board) -1 old", "\(place): old: expected 0, found 1"),
                ] {
                    _ = try redis.request(change)
                    let found = try await bench.verify().map { "\($0)" }
                    #expect(found == (tells.contains("found 450") ? [] : [tells]), "\(change)")
                    _ = try redis.request("ZADD \(Self.board) -10 s8")
                    _ = try redis.request("ZREM \(Self.board) s3 x old")
                }
                #expect(try await bench.verify() == [])
                // Whom only a file knows.
                _ = try redis.request("HDEL t1:{default}:subjects s13")
                #expect(try await bench.verify().allSatisfy { $0.place != place })
                _ = try redis.request("ZREM \(Self.board) s13")
                #expect(
                    try await bench.verify().map { "\($0)" }.contains(
                        "\(place): s13: expected 14, found not on it") == isCold)
                _ = try redis.request("DEL \(Self.board)")
                let count = try await bench.verify().count { $0.place == place }
                #expect(count == (isCold ? 451 : 450))
            }
        }
    }

    @Test func `What a board lacks since a file is damaged is no difference`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let (bench, writer) = try await Self.prepare(redis, on: host, isCold: true)
                func boards() async throws -> [String] {
                    try await bench.verify().map { "\($0)" }.filter { $0.hasPrefix("board ") }
                }
                let file = URL(filePath: bench.flushing.path("2026-11-19"))
                let whole = try Data(contentsOf: file)
                // Of a board that was built before, nothing can be told.
                _ = try await bench.queries.page(.costMicro, Self.window())
                try whole.dropLast(9).write(to: file)
                _ = await writer.record(event("s1", ["tokens": 5]))
                let page = try await bench.queries.page(.tokens, Self.window())
                #expect(page.warnings.count == 1)
                #expect(try await boards() == [])
                _ = try redis.request("ZADD \(Self.board) -4 s2")
                _ = try redis.request("ZADD \(Self.board) -4 s1")
                // s1 used 2 on the day that is lacking, and s2 nothing.
                let place = "board \(Self.span) tokens"
                #expect(
                    try await boards()
                        == [
                            "\(place): s1: expected 5, found 4",
                            "\(place): s2: expected 4, found 4",
                        ].filter { !$0.contains("4, found 4") })
                // It is built anew when it is asked for.
                try whole.write(to: file)
                #expect(try await boards() == [])
                await host.loop.sleep(for: .milliseconds(2_100))
                bench.clock.advance(2_100)
                var again = try await bench.queries.page(.tokens, Self.window())
                while !again.warnings.isEmpty {
                    await host.loop.sleep(for: .milliseconds(50))
                    bench.clock.advance(2_100)
                    again = try await bench.queries.page(.tokens, Self.window())
                }
                #expect(try await bench.verify() == [])
                _ = try redis.request("ZADD \(Self.board) -5 s1")
                #expect(try await boards() == ["\(place): s1: expected 7, found 5"])
                // A day that cannot be read any more: what a board has of it is not known.
                try whole.dropLast(9).write(to: file)
                #expect(try await boards() == [])
            }
        }
    }

    @Test func `A change that is half done is no difference`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = try await RestoreBench(redis, on: host.loop, clock: ManualClock(noon))
                let amounts = (100..<600).map { (subject: "s\($0)", amount: $0) }
                _ = await bench.bench.record(event("x"))
                _ = try await bench.queries.page(.tokens, .days(7))
                _ = await bench.bench.record(
                    amounts.map { event($0.subject, ["tokens": $0.amount]) })
                let today = CivilDay(number: noon / Self.day)
                let id = BoardID(LeaderboardWindow.days(7).days(on: today), .tokens)
                try await leaveHalfDone(id, amounts, bench.bench.client)
                #expect(try redis.request("ZCARD t1:{default}:board:\(id.name)") == ":401\r\n")
                #expect(try await bench.verify() == [])
            }
        }
    }

    @Test func `Nothing differs on boards of windows after a restore`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                var random = SeededGenerator(11)
                let bench = try await RestoreBench(
                    redis, on: host.loop, clock: ManualClock(noon), hotDays: 5)
                try await bench.write(rounds: 15, &random)
                try await bench.flushing.flush()
                // Some days are too old by then.
                bench.clock.advance(8 * Self.day)
                try await bench.bench.closer.closeDays()
                try await bench.flushing.flush()
                for _ in 0..<2 {
                    // As a process does that is started then.
                    let queries = await bench.another()
                    try await Self.ask(queries, [.days(12), .days(40)])
                    await queries.stop()
                    #expect(try await bench.verify() == [])
                    _ = try await bench.restore(isForced: true)
                    #expect(try await bench.verify() == [])
                }
                #expect(try redis.request("HLEN t1:{default}:cold") != ":0\r\n")
                let queries = await bench.another()
                try await Self.ask(queries, [.days(12), .days(40)])
                await queries.stop()
                try await bench.write(rounds: 5, &random)
                #expect(try await bench.verify() == [])
            }
        }
    }

    // MARK: While others count

    private static func boards(_ bench: RestoreBench) async throws -> [Difference] {
        try await bench.verify().filter { $0.place.hasPrefix("board ") }
    }

    private static func ask(
        _ queries: QueryEngine, _ windows: [LeaderboardWindow] = [.days(3), .days(30), .month]
    ) async throws {
        for window in windows {
            for meter in [Meter.tokens, .creditsMicro, .costMicro] {
                _ = try await queries.page(meter, window)
            }
        }
    }

    /// Takes a board away at once, as one is that nobody asks for.
    private static func drop(_ number: UInt64, _ client: RedisClient) async throws {
        var command = RedisCommand("EVAL")
        command.append(
            "local names = redis.call('HKEYS', KEYS[1]) local name = names[ARGV[1] % #names + 1] "
                + "redis.call('HDEL', KEYS[1], name) redis.call('HDEL', KEYS[1] .. ':used', name) "
                + "redis.call('UNLINK', 't1:{default}:board:' .. name)")
        command.append(1)
        command.append("t1:{default}:boards")
        command.append("\(number % 1_000)")
        _ = try await client.send(command)
    }

    /// Events of today and of days before, reversals, merges; boards come and go.
    private static func live(
        _ round: Int, _ bench: RestoreBench, _ random: inout SeededGenerator
    ) async throws {
        try await bench.live(round, &random)
        let guest = "guest:\(round % 7)"
        let events = (0..<60).map { index in
            event(
                index % 3 == 0 ? guest : "s\(random.next() % 90)",
                ["tokens": Int(random.next() % 50), "credits_micro": Int(random.next() % 9)],
                id: "w\(round)-\(index)",
                at: bench.clock.now.milliseconds - Int(random.next() % 500_000_000))
        }
        _ = await bench.bench.record(events)
        _ = try await bench.bench.engine.reverse(ByteString("w\(round)-1"), reason: .empty)
        if round % 3 == 0 { _ = try await bench.bench.merge(guest, into: "s\(round % 40)") }
        if round % 4 == 1 { try await drop(random.next(), bench.bench.client) }
        // Some are brought up, and some are behind.
        if round % 2 == 0 { try await ask(bench.queries, [.days(3)]) }
    }

    @Test(arguments: [UInt64(15), 16, 17])
    func `Nothing differs on boards of windows while others count`(seed: UInt64) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let (bench, rounds) = try await whileAnotherCounts(on: redis, host, seed: seed) {
                    _, other, number, random in
                    try await Self.live(number, other, &random)
                } _: { bench in
                    for _ in 0..<5 {
                        try await Self.ask(bench.queries)
                        #expect(try await Self.boards(bench) == [])
                    }
                }
                #expect(rounds > 10)
                // All of them are there, and none of it was by chance.
                try await Self.ask(bench.queries)
                #expect(try await Self.boards(bench) == [])
                _ = try redis.request("ZADD t1:{default}:board:2026-11-01..2026-11-30:tokens -1 s1")
                #expect(try await Self.boards(bench).count == 1)
            }
        }
    }

    @Test(arguments: [UInt64(25), 26])
    func `Nothing differs while days leave and come back`(seed: UInt64) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let (bench, writer) = try await Self.prepare(redis, on: host, isCold: true)
                let windows = [try Self.window(), .days(30)]
                try await Self.ask(bench.queries, windows)
                let writing = Task {
                    _ = host
                    var random = SeededGenerator(seed)
                    var moves = 0
                    while !Task.isCancelled {
                        let time = noon - Int(random.next() % 4) * Self.day
                        let late = (0..<5).map { _ in
                            event("s\(random.next() % 450)", ["tokens": 3], at: time)
                        }
                        #expect(await writer.record(late).allSatisfy { $0.counted != nil })
                        await bench.rest()
                        if random.next() % 3 == 0 {
                            bench.clock.advance(DayEviction.quietMS)
                            let report = await bench.flushing.flusher.flush()
                            #expect(report.problem == nil)
                            bench.clock.advance(DayEviction.quietMS)
                            _ = await bench.flushing.flusher.flush()
                            moves += 1
                        }
                        await bench.rest()
                    }
                    return moves
                }
                for _ in 0..<12 {
                    let found = try await bench.verify().filter { $0.place.hasPrefix("board ") }
                    #expect(found.filter { $0.place.contains("..") } == [])
                    try await Self.ask(bench.queries, windows)
                }
                writing.cancel()
                #expect(await writing.value > 1)
                #expect(try await bench.verify().filter { $0.place.contains("..") } == [])
            }
        }
    }
}
