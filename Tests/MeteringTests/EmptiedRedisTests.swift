// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Redis
import TestSupport
import Testing

@testable import Metering

/// What a running service tells after its Redis was emptied. The new log begins with numbers that entries of
/// the old one had, and is shorter at first.
@Suite(.timeLimit(.minutes(5))) struct EmptiedRedisTests {
    private static let windows = [LeaderboardWindow.days(7), .days(30), .lifetime]

    /// Each an entry of the log.
    private static func count(_ subjects: [String], _ bench: Bench) async -> Int {
        var counted = 0
        for subject in subjects {
            let outcome = await bench.record(
                event(
                    subject, ["tokens": 10, "credits_micro": 7, "cost_micro": 3],
                    at: noon - 60_000))
            if outcome.counted != nil { counted += 1 }
        }
        return counted
    }

    /// Whether all that an engine tells is of some subjects, each with so many events.
    private static func check(
        _ counts: [String: Int], _ engine: QueryEngine,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let events = counts.values.reduce(0, +)
        let expected = counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map {
            LeaderboardEntry(subject: ByteString($0.key), value: 10 * $0.value)
        }
        for window in windows {
            let entries = try await engine.all(tokens, window)
            #expect(entries == expected, sourceLocation: sourceLocation)
        }
        for bucket in SeriesQuery.Bucket.allCases {
            let query = SeriesQuery(tokens, bucket, noon - 60_000..<noon - 59_999)
            let told = try #require(try await engine.series(query).buckets.first)
            #expect(told.value == 10 * events, "\(bucket)", sourceLocation: sourceLocation)
            #expect(told.eventCount == events, "\(bucket)", sourceLocation: sourceLocation)
            let subjects = SubjectCount(count: counts.count, isEstimated: false)
            #expect(told.subjects == subjects, "\(bucket)", sourceLocation: sourceLocation)
        }
        let charges = try await engine.creditCharges(days: 7).charges
        #expect(charges.map(\.eventCount) == [events], sourceLocation: sourceLocation)
        #expect(charges.map(\.charged) == [7 * events], sourceLocation: sourceLocation)
    }

    @Test func `Boards, minutes, unique subjects and charges are of the new events alone`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let bench = await Bench(redis.socketPath, on: host.loop, clock: clock)
                try await withQueries(2, redis.socketPath, on: host, clock: clock) { engines in
                    #expect(await Self.count(["a", "b"], bench) == 2)
                    for engine in engines { try await Self.check(["a": 1, "b": 1], engine) }
                    // What comes while it is followed is kept in memory.
                    #expect(await Self.count(["c", "a", "d", "e"], bench) == 4)
                    for engine in engines {
                        try await Self.check(
                            ["a": 2, "b": 1, "c": 1, "d": 1, "e": 1], engine)
                    }
                    _ = try await bench.client.send(RedisCommand("FLUSHALL"))
                    #expect(await Self.count(["x", "x", "y"], bench) == 3)
                    for engine in engines { try await Self.check(["x": 2, "y": 1], engine) }
                    // The new log reaches the places where the old one was read to, and passes them.
                    #expect(await Self.count(["y", "z", "z", "x", "z"], bench) == 5)
                    for engine in engines {
                        try await Self.check(["x": 3, "z": 3, "y": 2], engine)
                    }
                    _ = try await bench.client.send(RedisCommand("FLUSHALL"))
                    #expect(await Self.count(["f"], bench) == 1)
                    for engine in engines { try await Self.check(["f": 1], engine) }
                }
            }
        }
    }

    @Test func `Who watches is told of new events, once it begins anew`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = await Bench(redis.socketPath, on: host.loop, clock: ManualClock(noon))
                let queries = bench.queries
                #expect(await Self.count(["a", "b", "c"], bench) == 3)
                var (_, place) = try #require(
                    try await queries.beginLive(LiveQuery(), after: nil))
                #expect(await Self.count(["d"], bench) == 1)
                var events: QueryEngine.LiveEvents
                (events, place) = try #require(try await queries.live(LiveQuery(), from: place))
                #expect(events.map(\.event.recorded.subject.text) == ["d"])
                _ = try await bench.client.send(RedisCommand("FLUSHALL"))
                #expect(await Self.count(["x"], bench) == 1)
                // What it has seen is gone: it is to begin anew, as whoever is too far behind.
                #expect(try await queries.live(LiveQuery(), from: place) == nil)
                (_, place) = try #require(try await queries.beginLive(LiveQuery(), after: nil))
                #expect(await Self.count(["y"], bench) == 1)
                (events, place) = try #require(try await queries.live(LiveQuery(), from: place))
                #expect(events.map(\.event.recorded.subject.text) == ["y"])
            }
        }
    }
}
