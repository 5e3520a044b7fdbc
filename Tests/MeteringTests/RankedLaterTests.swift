// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import Metering
import TestSupport
import Testing

/// A meter that becomes ranked after something of it was counted.
@Suite(.timeLimit(.minutes(15))) struct RankedLaterTests {
    private static let today = CivilDay(number: noon / 86_400_000)
    private static let yesterday = CivilDay(number: today.number - 1)
    private static let day = RestoreBench.days

    /// A process that ranks messages, or does not.
    private static func process(
        _ redis: RedisServer, _ host: isolated LoopHost, _ clock: ManualClock, ranks: Bool
    ) async -> Bench {
        await Bench(
            redis.socketPath, on: host.loop, clock: clock,
            settings: WorkspaceSettings(rankedMeters: ranks ? [.tokens, .messages] : [.tokens]))
    }

    private static func messages(
        _ bench: Bench, _ window: LeaderboardWindow
    ) async throws -> [String] {
        try await bench.queries.all(.messages, window).map { "\($0.subject.text) \($0.value)" }
    }

    private static func differences(_ bench: Bench) async throws -> [String] {
        let folder = NSTemporaryDirectory() + "tally-ranked-\(UUID().uuidString)"
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let found = FoundDifferences()
        try await bench.queries.verify(
            snapshots: folder, isOnlyFolder: true, progress: { _ in }, report: found.add)
        return found.all.map { "\($0)" }
    }

    @Test func `Its days of before are told as they were, and the next ones by their own boards`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let before = await Self.process(redis, host, clock, ranks: false)
                _ = await before.record([
                    event("ann", ["messages": 3]), event("bob", ["messages": 7]),
                    event("ann", ["messages": 1], at: noon - Self.day),
                ])
                let bench = await Self.process(redis, host, clock, ranks: true)
                func expectDays(_ expected: [String]) async throws {
                    for window in [LeaderboardWindow.days(1), .day(Self.today)] {
                        #expect(try await Self.messages(bench, window) == expected)
                    }
                    #expect(
                        try await Self.messages(bench, .day(Self.yesterday)) == ["ann 1"])
                    let place = try await bench.queries.leaderboardPlace(
                        of: subjectID("bob"), .messages, .days(1), neighbours: 1)
                    #expect(place?.value == 7 && place?.count == 2)
                    #expect(try await Self.differences(bench) == [])
                }
                try await expectDays(["bob 7", "ann 3"])
                _ = await bench.record(event("ann", ["messages": 6]))
                try await expectDays(["ann 9", "bob 7"])

                // A day on which it was ranked from the beginning has a board of its own.
                clock.advance(Self.day)
                _ = await bench.record(event("cid", ["messages": 2]))
                #expect(try await Self.messages(bench, .days(1)) == ["cid 2"])
                let next = CivilDay(number: Self.today.number + 1)
                #expect(
                    try redis.request("HEXISTS t1:{default}:boards \(next)..\(next):messages")
                        == ":0\r\n")
                #expect(try await Self.messages(bench, .day(Self.today)) == ["ann 9", "bob 7"])
                #expect(try await Self.differences(bench) == [])
            }
        }
    }

    @Test
    func `It may cease to be ranked and become so again, while another process does not rank it`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let bench = await Self.process(redis, host, clock, ranks: true)
                let other = await Self.process(redis, host, clock, ranks: false)
                _ = await bench.record(event("ann", ["messages": 3]))
                let first = try await Self.messages(bench, .days(1))
                #expect(first == ["ann 3"])
                #expect(try redis.request("EXISTS t1:{default}:boards") == ":0\r\n")
                clock.advance(Self.day)
                for turn in 1...3 {
                    _ = await other.record(event("bob", ["messages": 5]))
                    #expect(
                        try await Self.messages(bench, .days(1)).first == "bob \(5 * turn)")
                    #expect(try await Self.differences(bench) == [])
                    _ = await bench.record(event("ann", ["messages": 1]))
                    #expect(
                        try await Self.messages(bench, .days(1))
                            == ["bob \(5 * turn)", "ann \(turn)"])
                    #expect(try await Self.messages(bench, .day(Self.today)) == ["ann 3"])
                    #expect(try await Self.differences(bench) == [])
                }
            }
        }
    }
}
