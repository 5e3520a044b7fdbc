// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import TestSupport
import Testing

/// Events that are sent again around a merge: each counts once, and says so whoever asks.
@Suite(.timeLimit(.minutes(15))) struct MergedRetryTests {
    /// How often something was counted, and told to be a duplicate; nothing else may come.
    private static func tell(_ outcomes: [EventOutcome]) -> [Int] {
        [
            outcomes.count { $0.counted != nil }, outcomes.count { $0.duplicate != nil },
            outcomes.count,
        ]
    }

    @Test func `Of a merged guest's event sent at once in either name one counts`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = await Bench(redis.socketPath, on: host.loop, clock: ManualClock(noon))
                _ = await bench.record(event("guest:b"))
                #expect(try await bench.merge("guest:b", into: "ann") == .allowed)
                #expect(try await bench.merge("guest:c", into: "ann") == .allowed)
                let orders = [
                    ["guest:b", "guest:b", "guest:b", "guest:b"], ["guest:b", "ann", "guest:b"],
                    ["ann", "guest:b", "ann"], ["ann", "guest:b", "guest:c", "guest:b"],
                ]
                for (number, names) in orders.enumerated() {
                    let events = names.map { event($0, id: "e\(number)") }
                    let first = Self.tell(await bench.record(events))
                    #expect(first == [1, names.count - 1, names.count], "\(names)")
                    let again = Self.tell(await bench.record(events))
                    #expect(again == [0, names.count, names.count], "\(names)")
                }
                let ann = try await bench.engine.reader.subject(subjectID("ann"))
                #expect(ann?.eventCount == 1 + orders.count)
                #expect(ann?.totals.first?.total == 1 + orders.count)
            }
        }
    }

    @Test func `What was counted before the merge is known in either name`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = await Bench(redis.socketPath, on: host.loop, clock: ManualClock(noon))
                _ = await bench.record([event("guest:b", id: "b"), event("guest:z", id: "z")])
                #expect(try await bench.merge("guest:b", into: "ann") == .allowed)
                for names in [["guest:b"], ["ann"], ["guest:b", "guest:b"], ["ann", "guest:b"]] {
                    let outcomes = await bench.record(names.map { event($0, id: "b") })
                    #expect(Self.tell(outcomes) == [0, names.count, names.count], "\(names)")
                }
                // Another's event, or another event, stays another.
                for other in [
                    event("bob", id: "b"), event("ann", id: "z"), event("guest:b", id: "z"),
                    event("guest:z", id: "b"), event("ann", ["tokens": 2], id: "b"),
                ] {
                    let outcome = await bench.record(other)
                    #expect(outcome.code == "idempotency_key_reused", "\(other)")
                }
                let leaders = try await bench.leaders(.lifetime)
                #expect(leaders.map(\.value) == [1, 1])
            }
        }
    }
}
