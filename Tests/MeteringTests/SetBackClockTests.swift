// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import Redis
import TestSupport
import Testing

/// A clock that was ahead by days and is set back.
@Suite(.timeLimit(.minutes(15))) struct SetBackClockTests {
    private static let windows: [LeaderboardWindow] = [
        .lifetime, .days(3), .days(30), .month,
        .span(day(-20)...day(20)), .span(day(4)...day(6)),
    ]

    private static let boards = "t1:{default}:boards"

    private static func day(_ offset: Int) -> CivilDay {
        CivilDay(number: noon / RestoreBench.days + offset)
    }

    /// Counts, and compares all windows with what was counted, and everything with the log.
    private static func count(
        _ events: [UsageEvent], _ bench: RestoreBench, _ model: inout BoardModel
    ) async throws {
        let now = bench.clock.now.milliseconds
        for event in events { model.count(event, at: event.time?.milliseconds ?? now) }
        for outcome in await bench.bench.record(events) { #expect(outcome.counted != nil) }
        let today = CivilDay(number: now / RestoreBench.days)
        for window in windows {
            let entries = try await bench.queries.all(.tokens, window)
            #expect(
                entries == model.entries(.tokens, window.days(on: today)), "\(window) on \(today)")
        }
        #expect(try await bench.verify() == [])
    }

    @Test(arguments: [1, 2, 5])
    func `Boards are exact when a clock that was ahead is set back, and when it gets there`(
        ahead: Int
    ) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let bench = try await RestoreBench(redis, on: host.loop, clock: clock)
                var model = BoardModel(calendar: .utc)
                try await Self.count(
                    [event("u", ["tokens": 3]), event("w", ["tokens": 2])], bench, &model)
                clock.advance(ahead * RestoreBench.days)
                try await Self.count(
                    [
                        event("u", ["tokens": 100]), event("x", ["tokens": 9]),
                        event("x", ["tokens": 4], at: noon),
                    ], bench, &model)
                try await bench.bench.closer.closeDays()
                clock.set(noon + 1000)
                // What runs now and then forgets what cannot go on, also what nobody asks for.
                try await withQueries(
                    1, redis.socketPath, on: host, clock: clock, settings: bench.settings
                ) { _ in
                    while ahead > 1, try !redis.request("HLEN \(Self.boards)").contains(":0") {
                        await host.loop.sleep(for: .milliseconds(5))
                    }
                }
                try await Self.count(
                    [event("u"), event("v", ["tokens": 7])], bench, &model)
                try await bench.bench.closer.closeDays()
                for _ in 0...ahead + 2 {
                    clock.advance(RestoreBench.days)
                    try await Self.count(
                        [event("u"), event("v", ["tokens": 2]), event("x")], bench, &model)
                    try await bench.bench.closer.closeDays()
                }
            }
        }
    }

    /// As behind a machine that was suspended, or a service that was off for days.
    @Test(arguments: [1, 2, 3, 40], [false, true])
    func `A board that is days behind is brought up before it is read`(
        daysLater: Int, isOtherProcess: Bool
    ) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let bench = await Bench(redis.socketPath, on: host.loop, clock: clock)
                let other = await Bench(redis.socketPath, on: host.loop, clock: clock)
                let span = LeaderboardWindow.span(Self.day(-2)...Self.day(0))
                var sum = 0
                for amount in [1, 10, 100] {
                    _ = await bench.record(event("u", ["tokens": amount]))
                    sum += amount
                    if amount == 100 { clock.advance(daysLater * RestoreBench.days) }
                    let asked = amount == 100 && isOtherProcess ? other : bench
                    for window in [.lifetime, span] {
                        let entries = try await asked.queries.all(.tokens, window)
                        #expect(entries.map(\.value) == [sum], "\(window)")
                    }
                }
            }
        }
    }

    @Test func `A ledger that two processes write around midnight is whole`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let midnight = noon + 14 * 3_600_000
                let ahead = try await RestoreBench(
                    redis, on: host.loop, clock: ManualClock(midnight + 200))
                let behind = await Bench(
                    redis.socketPath, on: host.loop, clock: ManualClock(midnight - 200))
                let ann = subjectID("ann")
                for round in 0..<3 {
                    let grant = Decision(
                        .grant(id: ByteString("g\(round)"), expires: nil, priority: 0),
                        subject: ann, credits: 10)
                    #expect(try await ahead.bench.engine.decide(grant).status == .allowed)
                    let charge = await behind.record(event("ann", ["credits_micro": 1]))
                    #expect(charge.counted != nil)
                    #expect(try await ahead.verify() == [])
                }
                let account = try await ahead.bench.engine.account(of: ann)
                for page in [1, 2, 100] {
                    var (changes, cursor): ([Int], LogPosition?) = ([], nil)
                    repeat {
                        let ledger = try await ahead.queries.ledger(
                            of: ann, account, limit: page, before: cursor)
                        changes += ledger.lines.map(\.change)
                        cursor = ledger.older.flatMap { LogPosition(cursor: $0) }
                    } while cursor != nil
                    #expect(changes == [-1, 10, -1, 10, -1, 10], "pages of \(page)")
                }
            }
        }
    }
}
