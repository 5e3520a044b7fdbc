// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import Observability
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct RecordFaultTests {
    /// Where the reply is cut: nothing of it comes, or a part.
    private static let cuts = [0, 1, 3, 9, 25, 60]

    @Test(arguments: cuts)
    func `A batch whose reply is cut is sent again by itself, and counted once`(cut: Int)
        async throws
    {
        try await withRedis { redis in
            let proxy = try FaultProxy(to: redis.socketPath)
            defer { proxy.stop() }
            try await onLoop { host in
                // So much time that a slow machine has its connection back before it is over.
                let bench = await Bench(
                    proxy.path, on: host.loop, clock: ManualClock(noon), waitMS: 60_000)
                // The script is loaded, and the rules are known: what comes next is the reply.
                #expect(await bench.record(event("warm")).counted != nil)
                var expected: [SubjectID: Int] = [:]
                for round in 1...3 {
                    // Every third has no id: only the number of its batch tells that it was counted.
                    let events = (0..<60).map { place in
                        event("s\(place % 7)", id: place % 3 == 0 ? nil : "\(round)/\(place)")
                    }
                    for event in events { expected[event.subject, default: 0] += 1 }
                    proxy.set(.cut(after: cut))
                    let outcomes = await bench.record(events)
                    #expect(outcomes.count { $0.counted != nil } == 60, "round \(round)")
                    #expect(bench.reconnects >= round)
                    for (event, outcome) in zip(events, outcomes) {
                        let total = expected[event.subject] ?? 0
                        #expect((1...total).contains(outcome.total() ?? 0))
                    }
                    // Who has got no answer sends again what has an id.
                    let again = await bench.record(events.filter { $0.id != nil })
                    #expect(again.count { $0.duplicate != nil } == 40, "round \(round)")
                }
                for (subject, total) in expected {
                    let usage = try await bench.engine.reader.subject(subject)
                    #expect(usage?.totals.first?.total == total, "\(subject)")
                    #expect(usage?.eventCount == total, "\(subject)")
                }
            }
        }
    }
}

extension Bench {
    /// How often a connection was lost and made again.
    fileprivate var reconnects: Int {
        let name = "tally_redis_reconnects_total "
        return registry.text().split(separator: "\n").filter { $0.hasPrefix(name) }
            .reduce(0) { $0 + (Int($1.dropFirst(name.count)) ?? 0) }
    }
}
