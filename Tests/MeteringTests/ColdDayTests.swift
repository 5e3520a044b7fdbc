// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import Observability
import Redis
import TestSupport
import Testing

@testable import Metering

@Suite(.timeLimit(.minutes(15))) struct ColdDayTests {
    private static let date = "2026-11-21"
    private static let day = CivilDay(number: 20_778)
    private static let length = 86_400_000

    @Test(
        arguments: [
            ("UTC", 1), ("Europe/Berlin", 2), ("America/Sao_Paulo", 3), ("Pacific/Apia", 4),
        ] as [(String, UInt64)])
    func `Days leave and come back, and nothing of them changes`(zone: String, seed: UInt64)
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                var random = SeededGenerator(seed)
                let calendar = try #require(WorkspaceCalendar(zone: zone))
                let clock = ManualClock(noon)
                let all = try await ColdBench(redis, on: host.loop, clock, calendar: calendar)
                var model = SnapshotModel(calendar: calendar)
                var sent: [(event: UsageEvent, time: Int)] = []
                var left: Set<CivilDay> = []
                for round in 0..<30 {
                    let bench = all.benches[round % 2]
                    let events = (0..<Int.random(in: 1...20, using: &random)).map { index in
                        SnapshotModelTests.randomEvent(
                            "\(round)-\(index)", clock, sent.map(\.event), &random)
                    }
                    let outcomes = await bench.record(events)
                    for (event, outcome) in zip(events, outcomes) {
                        switch outcome {
                        case .unavailable(let reason), .postponed(let reason, _):
                            Issue.record("\(reason)")
                        default: break
                        }
                        guard outcome.counted != nil else { continue }
                        let time = event.time ?? clock.now
                        model.count(event, at: time.milliseconds)
                        if event.id != nil { sent.append((event, time.milliseconds)) }
                    }
                    if let place = sent.indices.randomElement(using: &random) {
                        let (event, time) = sent.remove(at: place)
                        let outcome = try await bench.engine.reverse(
                            event.id ?? .empty, reason: .empty)
                        #expect(outcome?.counted != nil)
                        model.count(event, at: time, sign: -1)
                    }
                    if round % 4 == 3 {
                        clock.advance(Int.random(in: 0...90_000_000, using: &random))
                        try await bench.closer.closeDays()
                        model.check(try await all.flushing[round % 2].flush())
                        let cold = try await all.cold()
                        left.formUnion(cold)
                        for date in model.cells.keys { try await all.check(date, model) }
                    }
                }
                #expect(left.count > 10)
                clock.advance(9 * Self.length)
                let cold = try await all.evict()
                #expect(cold.count == model.cells.count)
                model.check(try await all.flushing[1].flush())
                for date in model.cells.keys {
                    try await all.check(date, model)
                    #expect(try all.keys(of: date) == [])
                }
                // Each comes back by one event, and is then as if it had never left.
                for day in cold {
                    let time = calendar.start(of: day) * 1000 + 3_600_000
                    let late = event("late", ["tokens": 1, "files": 1], at: time)
                    let outcome = await all.benches[day.number % 2].record(late)
                    #expect(outcome.counted != nil)
                    model.count(late, at: time)
                    try await all.check("\(day)", model)
                }
                #expect(try await all.cold() == [])
                model.check(try await all.flushing[0].flush())
            }
        }
    }

    @Test func `A day leaves with all its keys, and only when it is over for good`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let all = try await ColdBench(redis, on: host.loop, clock)
                _ = await all.benches[0].record([event("a"), event("b", id: "b")])
                clock.set(noon + Self.length)
                _ = await all.benches[0].record(event("a"))
                #expect(try all.keys(of: Self.date).count == 4)
                clock.set(noon + 2 * Self.length)
                #expect(try await all.evict() == [])
                clock.set(noon + 3 * Self.length)
                try await all.flushing[0].flush()
                #expect(try await all.cold() == [Self.day])
                #expect(try all.keys(of: Self.date) == [])
                #expect(await all.flushing[1].flusher.flush().days == [])
                // A repetition brings nothing back.
                let again = await all.benches[1].record(event("b", id: "b"))
                #expect(again.duplicate != nil)
                #expect(try all.keys(of: Self.date) == [])
                // An event does, and so does a reversal; until it is quiet again.
                let late = await all.benches[1].record(event("c", at: noon))
                #expect(late.counted != nil)
                #expect(try all.keys(of: Self.date).count == 4)
                #expect(try await all.cold() == [])
                let file = try #require(try await all.flushing[1].flush()[Self.date])
                #expect(file.revision == 2 && file.isFinal && file.subjects.count == 3)
                #expect(try await all.cold() == [])
                #expect(try await all.evict() == [Self.day])
                #expect(
                    try await all.benches[0].engine.reverse(ByteString("b"), reason: .empty) != nil)
                #expect(try await all.cold() == [])
                #expect(try await all.evict() == [Self.day])
                let less = try #require(try await all.flushing[0].flush()[Self.date])
                #expect(less.revision == 3)
                #expect(less.subjects["b"]?.isZero == true && less.totals.events == 2)
            }
        }
    }

    @Test func `What comes for many cold days at once, by two engines, is counted once`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let all = try await ColdBench(redis, on: host.loop, clock)
                var model = SnapshotModel(calendar: .utc)
                // More subjects than a slice.
                for back in 0..<3 {
                    let time = noon - back * Self.length
                    let events = (0..<450).map { event("s\($0)", ["tokens": $0 + 1], at: time) }
                    for event in events { model.count(event, at: time) }
                    _ = await all.benches[0].record(events)
                }
                clock.advance(5 * Self.length)
                #expect(try await all.evict().count == 3)
                let late = (0..<90).map {
                    event("t\($0)", id: "t\($0)", at: noon - $0 % 3 * Self.length)
                }
                // Both bring the days back at the same time, and send the same events.
                let outcomes = await all.recordAtOnce([late + [event("now")], late])
                #expect(outcomes[0].last?.counted != nil)
                for (index, event) in late.enumerated() {
                    let both = [outcomes[0][index], outcomes[1][index]]
                    #expect(both.count { $0.counted != nil } == 1)
                    #expect(both.count { $0.duplicate != nil } == 1)
                    model.count(event, at: event.time?.milliseconds ?? 0)
                }
                model.count(event("now"), at: clock.now.milliseconds)
                #expect(try await all.cold() == [])
                model.check(try await all.flushing[1].flush())
            }
        }
    }

    @Test func `A file that is damaged or gone is named, and nothing is counted on its day`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let all = try await ColdBench(redis, on: host.loop, clock)
                _ = await all.benches[0].record([event("a"), event("b")])
                clock.advance(5 * Self.length)
                #expect(try await all.evict() == [Self.day])
                let path = all.flushing[0].path(Self.date)
                let bytes = try Data(contentsOf: URL(filePath: path))
                let queries = all.benches[0].queries
                for fault in [
                    nil, bytes[..<(bytes.count / 2)], Data(bytes.map { $0 == 0x32 ? 0x33 : $0 }),
                ]
                    as [Data?]
                {
                    unlink(path)
                    try fault?.write(to: URL(filePath: path))
                    let before = try redis.fingerprint()
                    let reading = try await queries.hourlyUsage(Self.day)
                    #expect(reading.cells.isEmpty && reading.warnings.count == 1)
                    #expect(reading.warnings.first?.contains("2026/2026-11-21.json") == true)
                    let outcomes = await all.benches[0].record([event("a", at: noon)])
                    guard case .postponed(let reason, _) = outcomes[0] else {
                        Issue.record("\(outcomes[0])")
                        continue
                    }
                    #expect(reason.contains("2026-11-21.json"))
                    #expect(try redis.fingerprint() == before)
                    let others = await all.benches[0].record(
                        [event("a", at: noon), event("b", ["files": 1])])
                    #expect(others[0].counted == nil && others[1].counted != nil)
                }
                unlink(path)
                let report = await all.flushing[0].flusher.flush()
                #expect(report.problem?.contains("has left Redis") == true)
                try bytes.write(to: URL(filePath: path))
                #expect(await all.benches[0].record(event("a", at: noon)).total() == 2)
            }
        }
    }

    @Test func `A damaged file does not take the day's place, but is written anew`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let all = try await ColdBench(redis, on: host.loop, clock)
                _ = await all.benches[0].record([event("a"), event("b")])
                clock.advance(5 * Self.length)
                try await all.benches[0].closer.closeDays()
                try await all.flushing[0].flush()
                let path = all.flushing[0].path(Self.date)
                let whole = try Data(contentsOf: URL(filePath: path))
                try overwrite(path, at: whole.count - 120, with: [0x20])
                clock.advance(DayEviction.quietMS)
                try await all.flushing[0].flush()
                #expect(try await all.cold() == [])
                #expect(try Data(contentsOf: URL(filePath: path)) == whole)
                try await all.flushing[0].flush()
                #expect(try await all.cold() == [Self.day])
            }
        }
    }

    @Test func `Today, that left while a clock was ahead, is read and comes back`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let all = try await ColdBench(redis, on: host.loop, clock)
                let times = [noon, noon - Self.length]
                let days = times.map { Self.day.number - (noon - $0) / Self.length }
                _ = await all.benches[0].record(times.map { event("a", ["tokens": 5], at: $0) })
                clock.advance(366 * Self.length)
                #expect(try await all.evict() == Set(days.map { CivilDay(number: $0) }))
                clock.set(noon + 60_000)
                let queries = all.benches[1].queries
                let top = try await queries.leaderboard(.tokens, .days(1), limit: 5, after: nil)
                #expect(top.entries.map(\.value) == [5] && top.warnings == [])
                #expect(
                    try await all.benches[1].engine.reader.leaderboardToday(
                        .tokens, limit: 5, after: nil) == nil)
                for (index, time) in times.enumerated() {
                    let outcome = await all.benches[index].record(
                        event("a", ["tokens": 1], at: time))
                    #expect(outcome.total() == 11 + index)
                }
                // Who was taken off them by that clock leaves them again when they are over.
                clock.advance(9 * Self.length)
                #expect(try await all.evict().count == 2)
                for day in days {
                    let usage = try await queries.hourlyUsage(CivilDay(number: day))
                    #expect(usage.warnings == [])
                    #expect(usage.cells.flatMap(\.sums).map(\.1) == [6])
                }
            }
        }
    }

    @Test func `The scripts in a wrong order change nothing that must not change`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let all = try await ColdBench(redis, on: host.loop, clock)
                _ = await all.benches[0].record([event("a"), event("b")])
                clock.advance(3 * Self.length)
                let flushing = all.flushing[0]
                _ = await flushing.flusher.flush()
                let archive = try flushing.archive(all.settings)
                let head = try await archive.head(Self.day)
                let keys = Keyspace(WorkspaceSettings())
                let meters = all.settings.rankedMeters
                let querying = try await client(redis, on: host.loop)
                func cool(_ revision: Int, _ dataset: String) async throws -> Int? {
                    let packer = MessagePackWriter()
                    packer.array(3)
                    packer.integer(Self.day.number)
                    packer.integer(revision)
                    packer.string(dataset)
                    return try await flushing.client.run(
                        ScriptLibrary.coolDay,
                        keys: [keys.changes, keys.cold, keys.meta] + keys.ofDay(Self.day, meters),
                        arguments: [packer.take()]
                    ).integer
                }
                func thaw(_ revision: Int, counts: [Int]?) async throws -> Int? {
                    let packer = MessagePackWriter()
                    packer.array(3)
                    packer.integer(Self.day.number)
                    packer.integer(revision)
                    packer.array(meters.count)
                    for meter in meters { packer.meter(meter) }
                    let ask = packer.take()
                    packer.array(3)
                    packer.array(1)
                    packer.array(4)
                    packer.string("half")
                    for value in [1, 0, 0] { packer.integer(value) }
                    packer.array(0)
                    packer.array(0)
                    let part = packer.take()
                    if let counts { packer.integers(counts) }
                    return try await querying.run(
                        ScriptLibrary.thawDay, keys: [keys.cold] + keys.ofDay(Self.day, meters),
                        arguments: [ask, part] + (counts == nil ? [] : [packer.take()])
                    ).integer
                }
                let hot = try redis.fingerprint()
                // Not closed; changed since; other data; not away.
                #expect(try await cool(1, head.dataset) == 0)
                try await all.benches[0].closer.closeDays()
                let closed = try redis.fingerprint()
                #expect(closed != hot)
                #expect(try await cool(2, head.dataset) == 0)
                #expect(try await cool(0, head.dataset) == 0)
                #expect(try await cool(1, "other") == 0)
                #expect(try await thaw(1, counts: nil) == 0)
                #expect(try await thaw(1, counts: [0, 0, 0, 0, 0]) == 0)
                #expect(try redis.fingerprint() == closed)
                #expect(try await cool(1, head.dataset) == 1)
                let cold = try redis.fingerprint()
                #expect(try await cool(1, head.dataset) == 0)
                #expect(try await thaw(2, counts: nil) == 0)
                #expect(try await thaw(1, counts: [2, 1, 1, 2, 0]) == 2)
                #expect(try redis.fingerprint() == cold)
            }
        }
    }

    @Test func `A day that came half back, from a process that died, comes back whole`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let all = try await ColdBench(redis, on: host.loop, clock)
                _ = await all.benches[0].record([event("a"), event("b", ["credits_micro": 5])])
                clock.advance(5 * Self.length)
                #expect(try await all.evict() == [Self.day])
                // Parts of it, and what is in no file: neither is seen, and the latter does not stay.
                let use = "t1:{default}:use:\(Self.date)"
                _ = try redis.request("HSET \(use) a wrong stray wrong")
                _ = try redis.request("ZADD t1:{default}:rank:\(Self.date):tokens -7 a")
                let before = try await all.benches[0].queries.hourlyUsage(Self.day).cells
                #expect(before.map(\.eventCount) == [2])
                #expect(await all.benches[1].queries.thaw(Self.day) == nil)
                #expect(try await all.cold() == [])
                #expect(try redis.request("HEXISTS \(use) stray").hasPrefix(":0"))
                #expect(
                    try redis.request("ZCARD t1:{default}:rank:\(Self.date):tokens") == ":1\r\n")
                #expect(await all.benches[1].queries.thaw(Self.day) == nil)
                #expect(await all.benches[0].record(event("a", at: noon)).total() == 2)
                let file = try #require(try await all.flushing[0].flush()[Self.date])
                #expect(file.revision == 2 && file.totals.events == 3)
            }
        }
    }

    private func client(_ redis: RedisServer, on loop: EventLoop) async throws -> RedisClient {
        let client = RedisClient(
            on: loop, configuration: RedisConfiguration(address: .unix(redis.socketPath)),
            scripts: ScriptLibrary.forQueries, metrics: MetricsRegistry(),
            logger: Logger(level: .error))
        client.connect()
        while !client.isReady { await loop.sleep(for: .milliseconds(1)) }
        return client
    }
}
