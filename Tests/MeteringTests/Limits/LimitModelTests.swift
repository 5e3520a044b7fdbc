// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct LimitModelTests {
    /// An instant, and the zone in which something happens within the hours after it.
    struct Scene: Sendable, CustomTestStringConvertible {
        let zone: String
        let start: String
        /// How far the clock moves at most in a step.
        let stepMS: Int
        let testDescription: String

        init(_ name: String, _ zone: String, _ start: String, stepMS: Int = 120_000) {
            testDescription = name
            self.zone = zone
            self.start = start
            self.stepMS = stepMS
        }
    }

    static let scenes = [
        Scene("seconds", "UTC", "2026-11-21T10:00:00Z", stepMS: 2_000),
        Scene("hours over months", "UTC", "2026-11-21T10:00:00Z", stepMS: 20_000_000),
        Scene("a year's end", "Asia/Ho_Chi_Minh", "2026-12-31T13:00:00Z"),
        Scene("29 February", "Europe/Berlin", "2028-02-28T20:00:00Z", stepMS: 600_000),
        Scene("no 29 February", "UTC", "2100-02-28T20:00:00Z", stepMS: 200_000),
        Scene("spring in Berlin", "Europe/Berlin", "2026-03-28T22:30:00Z"),
        Scene("autumn in Berlin", "Europe/Berlin", "2026-10-24T21:30:00Z"),
        Scene("spring on Lord Howe", "Australia/Lord_Howe", "2026-10-03T11:30:00Z"),
        Scene("autumn on Lord Howe", "Australia/Lord_Howe", "2026-04-04T11:30:00Z"),
        Scene("Kathmandu", "Asia/Kathmandu", "2026-02-28T16:30:00Z"),
        Scene("a skipped midnight", "America/Sao_Paulo", "2018-11-03T22:00:00Z"),
        Scene("a repeated hour before midnight", "America/Sao_Paulo", "2018-02-17T22:00:00Z"),
        Scene("a skipped day", "Pacific/Apia", "2011-12-30T06:00:00Z"),
        Scene("a month that begins at a skipped hour", "Asia/Amman", "2022-03-31T18:00:00Z"),
    ]

    @Test(arguments: scenes, [UInt64(1), 2])
    func `Random decisions agree with the plain model`(scene: Scene, seed: UInt64) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let calendar = try #require(WorkspaceCalendar(zone: scene.zone))
                let start = try #require(Timestamp(scene.start)).milliseconds
                let clock = ManualClock(start)
                let settings = WorkspaceSettings(calendar: calendar)
                // Two engines, as two processes would have.
                let benches = [
                    await Bench(redis.socketPath, on: host.loop, clock: clock, settings: settings),
                    await Bench(redis.socketPath, on: host.loop, clock: clock, settings: settings),
                ]
                try await benches[0].setLimits(ModelRun.limits)
                var run = ModelRun(benches, clock, zone: scene.zone, seed: seed)
                for _ in 0..<360 { await run.step(upTo: scene.stepMS) }
                // It has to have been about something.
                #expect(run.decided > 700 && run.denied > 40, "\(run.decided), \(run.denied)")
            }
        }
    }
}
