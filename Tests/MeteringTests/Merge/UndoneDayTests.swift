// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import TestSupport
import Testing

/// A guest of whom all events of a day, or all there were, have been undone goes over with them.
@Suite(.timeLimit(.minutes(15))) struct UndoneDayTests {
    private static let day = 86_400_000

    /// Counts events of a guest and undoes those.
    private static func undo(_ bench: Bench, _ events: [UsageEvent]) async throws {
        for outcome in await bench.record(events) { #expect(outcome.counted != nil) }
        for event in events {
            let undone = try await bench.engine.reverse(event.id ?? .empty, reason: .empty)
            #expect(undone?.counted != nil)
        }
    }

    @Test func `A user without events has the undone ones of a guest`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = try await RestoreBench(redis, on: host.loop, clock: ManualClock(noon))
                try await Self.undo(bench.bench, [event("guest:1", id: "a")])
                let before = try await bench.bench.told(of: "guest:1")
                #expect(before.count == 2)
                #expect(try await bench.bench.merge("guest:1", into: "ann") == .allowed)
                let told = before.map { $0.replacing("guest:1", with: "ann") }
                #expect(try await bench.bench.told(of: "ann") == told)
                #expect(try await bench.bench.told() == told)
                let ann = try await bench.bench.engine.reader.subject(subjectID("ann"))
                #expect(ann?.eventCount == 0 && ann?.firstEventAt.milliseconds == noon)
                try await bench.flushing.flush()
                #expect(try await bench.verify().map { "\($0)" } == [])
            }
        }
    }

    @Test(arguments: [35, 2])
    func `First and last times of undone days are the user's`(hotDays: Int) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let bench = try await RestoreBench(
                    redis, on: host.loop, clock: clock, hotDays: hotDays)
                try await Self.undo(
                    bench.bench,
                    [
                        event("guest:1", ["files_uploaded": 1], id: "a", at: noon - 2 * Self.day),
                        event("guest:1", id: "b", at: noon - 2 * Self.day + 5_000),
                    ])
                _ = await bench.bench.record(event("guest:1", ["tokens": 3], id: "c"))
                for _ in 0..<(hotDays == 2 ? 12 : 1) {
                    clock.advance(Self.day)
                    try await bench.bench.closer.closeDays()
                    try await bench.flushing.flush()
                }
                let last = clock.now.milliseconds
                try await Self.undo(
                    bench.bench,
                    [event("guest:1", id: "d", at: last - 5_000), event("guest:1", id: "e")])
                let plan = try await bench.queries.mergePlan(of: subjectID("guest:1"))
                #expect(plan.movedCount == 1)
                let merged = try await bench.bench.engine.merge(plan, into: subjectID("ann"))
                #expect(merged.status == .allowed)
                let ann = try await bench.bench.engine.reader.subject(subjectID("ann"))
                #expect(ann?.eventCount == 1)
                #expect(ann?.totals.first { $0.meter == .tokens }?.total == 3)
                #expect(ann?.firstEventAt.milliseconds == noon - 2 * Self.day)
                #expect(ann?.lastEventAt.milliseconds == last)
                // All of it has gone over: there is nothing more to move.
                let rest = try await bench.queries.mergePlan(of: subjectID("guest:1"))
                #expect(rest.movedCount == 0 && !rest.isPartial)
                try await bench.flushing.flush()
                #expect(try await bench.verify().map { "\($0)" } == [])
            }
        }
    }
}
