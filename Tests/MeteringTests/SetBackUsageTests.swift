// SPDX-License-Identifier: Apache-2.0

import EventLoop
import TestSupport
import Testing

@testable import Metering

/// What follows the log of single events, when a clock that was ahead by days is set back.
@Suite(.timeLimit(.minutes(15))) struct SetBackUsageTests {
    private static let days = 86_400_000

    /// Compares minutes, and who was seen, with what was counted.
    private static func check(_ bench: HistoryBench, ahead: Int) async throws {
        let now = bench.clock.now.milliseconds
        for (bucket, back) in [
            (SeriesQuery.Bucket.minute, 60 * 60_000), (.hour, 5 * days), (.day, 12 * days),
            (.month, 60 * days),
        ] {
            try await bench.checkSeries(SeriesQuery(tokens, bucket, now - back..<now + 1))
        }
        // What was dated by the clock that was ahead.
        let then = noon + ahead * days
        try await bench.checkSeries(SeriesQuery(tokens, .hour, then - days..<then + days))
        let guests = Set(bench.model.entries.map(\.event.subject.id.text))
            .filter { $0.hasPrefix("guest:") }
        #expect(try await bench.queries.activity().guestCount == guests.count)
    }

    /// Counts the last upload of a subject.
    private static func upload(_ subject: String, _ bench: HistoryBench) async throws {
        await bench.record([event(subject, ["files_uploaded": 1])])
        let times = try await bench.queries.activity(of: subjectID(subject)).times
        #expect(times.lastUpload == bench.clock.now)
    }

    @Test func `A state of an older version is read, and passed days are remembered`() throws {
        let writer = MessagePackWriter()
        writer.integers([100, 7, 0, 9])
        var followed = try #require(FollowedLogs(writer.take()))
        #expect((99...103).map { followed[$0] } == [0, 7, 0, 9, 0])
        followed.raiseFloor(to: 102)
        for day in 103...160 {
            followed[day] = 1
            followed.raiseFloor(to: day - 1)
            #expect(FollowedLogs(followed.packed(writer)) == followed)
        }
        // Forty of those before it.
        #expect(followed.floor == 159 && followed[118] == 0 && followed[119] == 1)
        followed.lowerFloor(to: 130)
        #expect(followed.floor == 130 && followed[140] == 1)
    }

    @Test(arguments: [1, 2, 5, 40], [false, true])
    func `Minutes and who was seen follow a clock that was ahead and is set back, each event once`(
        ahead: Int, isFollowed: Bool
    ) async throws {
        try await withHistory { _, bench, _ in
            await bench.record([event("a"), event("guest:1"), event("a")])
            if isFollowed { try await Self.check(bench, ahead: ahead) }
            bench.clock.advance(ahead * Self.days)
            let late = noon + max(0, ahead - 7) * Self.days - 5 * 3_600_000
            await bench.record([event("b"), event("guest:2"), event("b", at: late)])
            if isFollowed { try await Self.check(bench, ahead: ahead) }
            bench.clock.set(noon + 1000)
            await bench.record([event("c"), event("guest:3"), event("a")])
            for name in ["d", "e"] {
                try await Self.check(bench, ahead: ahead)
                bench.clock.advance(60_000)
                await bench.record([event(name), event("guest:\(name)")])
            }
            try await Self.upload("f", bench)
            for round in 0...ahead + 2 {
                bench.clock.advance(Self.days)
                await bench.record([event("g\(round)"), event("guest:g\(round)"), event("a")])
                try await Self.check(bench, ahead: ahead)
            }
        }
    }
}
