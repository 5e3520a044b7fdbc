// SPDX-License-Identifier: Apache-2.0

import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct DemoBoardTests {
    private static let windows: [LeaderboardWindow] = [.days(1), .days(3), .lifetime]

    @Test(arguments: [1, 2])
    func `Who is in demo mode is on no board, and the ranks of others close up`(
        seed: Int
    ) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = await Bench(redis.socketPath, on: host.loop, clock: ManualClock(noon))
                var random = SeededGenerator(UInt64(seed))
                let subjects = (0..<40).map { "s\($0)" }
                var totals: [String: Int] = [:]
                for subject in subjects {
                    // Small numbers, so that some are equal.
                    let amount = Int.random(in: 1...15, using: &random)
                    totals[subject] = amount
                    _ = await bench.record(event(subject, ["tokens": amount]))
                }
                var isDemo: Set<String> = []
                for step in 0..<12 {
                    for subject in subjects where Int.random(in: 0..<6, using: &random) == 0 {
                        let demo = Bool.random(using: &random)
                        try await bench.queries.put(subject, #"{"demo":\#(demo)}"#)
                        if demo { isDemo.insert(subject) } else { isDemo.remove(subject) }
                    }
                    if step == 5 { isDemo = Set(subjects.prefix(39)) }
                    if step == 5 {
                        for subject in subjects {
                            let demo = isDemo.contains(subject)
                            try await bench.queries.put(subject, #"{"demo":\#(demo)}"#)
                        }
                    }
                    let expected = subjects.filter { !isDemo.contains($0) }.map {
                        LeaderboardEntry(subject: ByteString($0), value: totals[$0] ?? 0)
                    }.sorted { ($1.value, $0.subject) < ($0.value, $1.subject) }
                    for window in Self.windows {
                        try await Self.compare(bench, window, expected, isDemo, &random)
                    }
                }
            }
        }
    }

    @Test func `There are at most 1,000 of them, and those stay who were there`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = await Bench(redis.socketPath, on: host.loop, clock: ManualClock(noon))
                func write(_ names: [String], _ json: String) async throws -> [String] {
                    try await bench.queries.importProfiles(
                        names.map { ProfileRow(subject: subjectID($0), change: try change(json)) }
                    ).map(\.word)
                }
                let names = (0..<1_002).map { "d\($0)" }
                let made = try await write(names, #"{"demo":true}"#)
                #expect(made.prefix(1_000).allSatisfy { $0 == "created" })
                #expect(made.suffix(2) == ["too_many_demo_subjects", "too_many_demo_subjects"])
                #expect(try redis.request("SCARD t1:{default}:people:demo") == ":1000\r\n")
                // One that goes makes room for one, in whatever order they come.
                #expect(try await write(["d0"], #"{"demo":true,"role":"x"}"#) == ["updated"])
                #expect(try await write(["new"], "{}") == ["created"])
                #expect(try await write(["new"], #"{"demo":true}"#) == ["too_many_demo_subjects"])
                #expect(try await write(["d0"], #"{"demo":false}"#) == ["updated"])
                #expect(try await write(["new"], #"{"demo":true}"#) == ["updated"])
                // Of before there may be more.
                let more = (0..<50).map { "old\($0)" }.joined(separator: " ")
                _ = try redis.request("SADD t1:{default}:people:demo \(more)")
                #expect(try await write(["d1"], #"{"role":"y"}"#) == ["updated"])
                #expect(try await write(["d0"], #"{"demo":true}"#) == ["too_many_demo_subjects"])
            }
        }
    }

    private static func compare(
        _ bench: Bench, _ window: LeaderboardWindow, _ expected: [LeaderboardEntry],
        _ isDemo: Set<String>, _ random: inout SeededGenerator
    ) async throws {
        var told: [LeaderboardEntry] = []
        var cursor: LeaderboardCursor?
        let limit = Int.random(in: 1...9, using: &random)
        repeat {
            let page = try await bench.queries.leaderboard(
                tokens, window, limit: limit, after: cursor)
            #expect(page.firstRank == told.count + 1)
            #expect(page.next == nil || page.entries.count == limit)
            told += page.entries
            cursor = page.next
        } while cursor != nil
        #expect(told == expected)
        let neighbours = Int.random(in: 0...4, using: &random)
        for (index, entry) in expected.enumerated() {
            let place = try #require(
                await bench.queries.leaderboardPlace(
                    of: subjectID(entry.subject.text), tokens, window, neighbours: neighbours))
            #expect(place.rank == index + 1 && place.value == entry.value)
            #expect(place.count == expected.count)
            #expect(place.gap == (index == 0 ? nil : expected[index - 1].value - entry.value))
            #expect(place.above == Array(expected[..<index].suffix(neighbours)))
            #expect(place.below == Array(expected[(index + 1)...].prefix(neighbours)))
        }
        for subject in isDemo {
            let place = try await bench.queries.leaderboardPlace(
                of: subjectID(subject), tokens, window, neighbours: 2)
            #expect(place == nil)
        }
    }
}
