// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct LimitModelTests {
    /// What happens in a zone at instants, with the time before, between and after them.
    struct Scene: Sendable, CustomTestStringConvertible {
        let zone: String
        let events: [String]
        /// How long before and after an event the clock moves in small steps.
        let nearMS: Int
        let testDescription: String

        init(_ name: String, _ zone: String, _ events: String..., nearMS: Int = 4_500_000) {
            testDescription = name
            self.zone = zone
            self.events = events
            self.nearMS = nearMS
        }
    }

    /// Changes of clocks come with the ends of the day and of the month that they are in: those are what
    /// is an hour off when a window is placed as if there were no change.
    static let scenes = [
        Scene("seconds", "UTC", "2026-11-21T10:00:00Z", nearMS: 90_000),
        Scene("hours over months", "UTC", "2026-12-01T00:00:00Z", nearMS: 900_000_000),
        Scene("a year's end", "Asia/Ho_Chi_Minh", "2026-12-31T17:00:00Z"),
        Scene("29 February", "Europe/Berlin", "2028-02-28T23:00:00Z", "2028-02-29T23:00:00Z"),
        Scene("no 29 February", "UTC", "2100-03-01T00:00:00Z"),
        Scene(
            "spring in Berlin", "Europe/Berlin",
            "2026-03-29T01:00:00Z", "2026-03-29T22:00:00Z", "2026-03-31T22:00:00Z"),
        Scene(
            "autumn in Berlin", "Europe/Berlin",
            "2026-10-25T01:00:00Z", "2026-10-25T23:00:00Z", "2026-10-31T23:00:00Z"),
        Scene(
            "spring on Lord Howe", "Australia/Lord_Howe",
            "2026-10-03T15:30:00Z", "2026-10-04T13:00:00Z", "2026-10-31T13:00:00Z"),
        Scene(
            "autumn on Lord Howe", "Australia/Lord_Howe",
            "2026-04-04T15:00:00Z", "2026-04-05T13:30:00Z", "2026-04-30T13:30:00Z"),
        Scene("Kathmandu", "Asia/Kathmandu", "2026-02-28T18:15:00Z"),
        Scene(
            "a skipped midnight", "America/Sao_Paulo",
            "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z", "2018-12-01T02:00:00Z"),
        Scene(
            "a repeated hour before midnight", "America/Sao_Paulo",
            "2018-02-18T02:00:00Z", "2018-02-18T03:00:00Z", "2018-03-01T03:00:00Z"),
        Scene("a skipped day", "Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"),
        Scene(
            "a month that begins at a skipped midnight", "Asia/Amman",
            "2016-03-31T22:00:00Z", "2016-04-01T21:00:00Z", "2016-04-30T21:00:00Z"),
    ]

    @Test(arguments: scenes, [UInt64(1), 2])
    func `Random decisions agree with the plain model`(scene: Scene, seed: UInt64) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let calendar = try #require(WorkspaceCalendar(zone: scene.zone))
                let events = try scene.events.map { try #require(Timestamp($0)).milliseconds }
                let clock = ManualClock(events[0] - scene.nearMS)
                let settings = WorkspaceSettings(calendar: calendar)
                // Two engines, as two processes would have.
                let benches = [
                    await Bench(redis.socketPath, on: host.loop, clock: clock, settings: settings),
                    await Bench(redis.socketPath, on: host.loop, clock: clock, settings: settings),
                ]
                try await benches[0].setLimits(ModelRun.limits)
                var run = ModelRun(
                    benches, clock, zone: scene.zone, seed: seed, over: events,
                    nearMS: scene.nearMS)
                while !run.isOver { await run.step() }
                // It has to have been about something, before and after each event.
                for (index, tally) in run.tallies.enumerated() {
                    #expect(
                        tally.decided > 40 && tally.denied > 2,
                        "after \(index) events: \(tally)")
                }
                let total = run.tallies.reduce(into: (decided: 0, denied: 0)) {
                    $0.decided += $1.decided
                    $0.denied += $1.denied
                }
                #expect(total.decided > 700 && total.denied > 40, "\(total)")
            }
        }
    }
}
