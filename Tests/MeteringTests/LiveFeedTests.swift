// SPDX-License-Identifier: Apache-2.0

import EventLoop
import TestSupport
import Testing

@testable import Metering

/// Who watches is told what other processes count, whatever their clocks say.
@Suite(.timeLimit(.minutes(15))) struct LiveFeedTests {
    private static let days = 86_400_000

    private static func subjects(_ events: QueryEngine.LiveEvents) -> [String] {
        events.map(\.event.recorded.subject.text)
    }

    private static func count(_ subject: String, _ bench: Bench) async {
        #expect(await bench.record(event(subject)).counted != nil)
    }

    @Test(arguments: [1, 2, 5, 40])
    func `What a process counts whose clock is ahead by days is told once`(ahead: Int) async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let bench = await Bench(redis.socketPath, on: host.loop, clock: clock)
                let other = await Bench(
                    redis.socketPath, on: host.loop, clock: ManualClock(noon + ahead * Self.days))
                await Self.count("before", bench)
                await Self.count("ahead", other)
                var (missed, place) = try #require(
                    try await bench.queries.beginLive(LiveQuery(), after: nil))
                #expect(missed.isEmpty)
                for round in 0..<3 {
                    await Self.count("a\(round)", bench)
                    await Self.count("b\(round)", other)
                    (missed, place) = try #require(
                        try await bench.queries.live(LiveQuery(), from: place))
                    #expect(Self.subjects(missed) == ["a\(round)", "b\(round)"])
                }
                let last = try #require(missed.first?.id)
                (missed, place) = try #require(
                    try await bench.queries.beginLive(LiveQuery(), after: last))
                #expect(Self.subjects(missed) == ["b2"])
                // Who did not see them come cannot know which of them came behind it.
                let late = await Bench(redis.socketPath, on: host.loop, clock: clock)
                let resumed = try await late.queries.beginLive(LiveQuery(), after: last)
                #expect((resumed == nil) == (ahead > 1))
            }
        }
    }

    /// The first of its events makes the log that is found some seconds later.
    @Test(arguments: [2, 5])
    func `What a clock that goes ahead and is set back counts is told, each event once`(
        ahead: Int
    ) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let bench = await Bench(redis.socketPath, on: host.loop, clock: clock)
                var told: [String] = []
                var (_, place) = try #require(
                    try await bench.queries.beginLive(LiveQuery(), after: nil))
                func watch() async throws {
                    var events: QueryEngine.LiveEvents
                    (events, place) = try #require(
                        try await bench.queries.live(LiveQuery(), from: place))
                    told += Self.subjects(events)
                }
                await Self.count("a", bench)
                try await watch()
                clock.advance(ahead * Self.days)
                await Self.count("b", bench)
                try await watch()
                await Self.count("c", bench)
                clock.set(noon + 1000)
                await Self.count("d", bench)
                try await watch()
                for round in 0...ahead + 2 {
                    clock.advance(Self.days)
                    await Self.count("e\(round)", bench)
                    try await watch()
                }
                #expect(told == ["a", "b", "d", "c"] + (0...ahead + 2).map { "e\($0)" })
            }
        }
    }

    /// Logs of days to come are looked for now and then: what is in one that was not there counts as new.
    @Test func `What came before the log of a day to come was found is told`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let bench = await Bench(redis.socketPath, on: host.loop, clock: clock)
                let other = await Bench(
                    redis.socketPath, on: host.loop, clock: ManualClock(noon + 5 * Self.days))
                var (events, place) = try #require(
                    try await bench.queries.beginLive(LiveQuery(), after: nil))
                for subject in ["a", "b"] { await Self.count(subject, other) }
                // They are looked for on another day, too.
                clock.advance(Self.days)
                (events, place) = try #require(
                    try await bench.queries.live(LiveQuery(), from: place))
                #expect(Self.subjects(events) == ["a", "b"])
            }
        }
    }

    @Test func `Who comes back is told nothing of a person who was erased meanwhile`() async throws
    {
        try await withErasures { _, world, _ in
            let queries = world.queries
            _ = await world.bench.record(event("x", id: "before"))
            let begun = try #require(try await queries.beginLive(LiveQuery(), after: nil))
            for (subject, id) in [("x", "first"), ("x", "next"), ("eve", "hers"), ("x", "last")] {
                _ = await world.bench.record(event(subject, id: id))
            }
            // Somebody watches until the end.
            let (told, place) = try #require(try await queries.live(LiveQuery(), from: begun.1))
            #expect(Self.subjects(told) == ["x", "x", "eve", "x"])
            let erasure = try await world.erase("eve")
            let (missed, _) = try #require(
                try await queries.beginLive(LiveQuery(), after: told[0].id))
            #expect(Self.subjects(missed) == ["x", erasure.anonymous.id.text, "x"])
            #expect(!missed.contains { $0.event.recorded.id == ByteString("hers") })
            #expect(try await queries.live(LiveQuery(), from: place) != nil)
        }
    }

    @Test func `What came while nobody watched is not new to the next one`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = await Bench(
                    redis.socketPath, on: host.loop, clock: ManualClock(noon))
                do {
                    let begun = try #require(
                        try await bench.queries.beginLive(LiveQuery(), after: nil))
                    #expect(begun.0.isEmpty)
                }
                // More than are read at once.
                for number in 0..<1_200 { await Self.count("s\(number)", bench) }
                let (missed, place) = try #require(
                    try await bench.queries.beginLive(LiveQuery(), after: nil))
                #expect(missed.isEmpty)
                await Self.count("new", bench)
                let (told, _) = try #require(
                    try await bench.queries.live(LiveQuery(), from: place))
                #expect(Self.subjects(told) == ["new"])
            }
        }
    }

    @Test func `Who is ten seconds behind has to come back`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let bench = await Bench(redis.socketPath, on: host.loop, clock: clock)
                let (_, slow) = try #require(
                    try await bench.queries.beginLive(LiveQuery(), after: nil))
                var (events, place) = try #require(
                    try await bench.queries.beginLive(LiveQuery(), after: nil))
                await Self.count("old", bench)
                for step in 0..<3 {
                    (events, place) = try #require(
                        try await bench.queries.live(LiveQuery(), from: place))
                    #expect(Self.subjects(events) == (step == 0 ? ["old"] : []))
                    clock.advance(6_000)
                }
                #expect(try await bench.queries.live(LiveQuery(), from: slow) == nil)
                #expect(try await bench.queries.live(LiveQuery(), from: place) != nil)
            }
        }
    }
}
