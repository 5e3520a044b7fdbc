// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Observability
import TestSupport
import Testing

@testable import Metering

@Suite(.timeLimit(.minutes(15))) struct FlushMetricsTests {
    /// Not as the workspace that was flushed last has them.
    @Test func `What is told of snapshots is of all workspaces that the process writes`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let (clock, registry) = (ManualClock(noon), MetricsRegistry())
                let metrics = FlushMetrics(registry)
                func value(_ name: String) -> Int? {
                    registry.text().split(separator: "\n").last { $0.hasPrefix("\(name) ") }
                        .flatMap { Int($0.dropFirst(name.count + 1)) }
                }
                var flushing: [FlushBench] = []
                for (name, days) in [("one", 3), ("two", 2)] {
                    let settings = WorkspaceSettings(id: try #require(WorkspaceID(name)))
                    let bench = await Bench(
                        redis.socketPath, on: host.loop, clock: clock, settings: settings)
                    for day in 0..<days {
                        let event = event("a", at: noon - day * 86_400_000)
                        #expect(await bench.record(event).counted != nil)
                    }
                    flushing.append(
                        try await FlushBench(
                            redis.socketPath, on: host.loop, clock: clock, settings: settings,
                            metrics: metrics))
                }
                try await flushing[0].flush()
                #expect(value("tally_days_hot") == 3)
                clock.advance(60_000)
                try await flushing[1].flush()
                #expect(value("tally_days_hot") == 5)
                // Of the one that is furthest behind.
                let first = noon / 1000
                #expect(value("tally_flush_last_success_timestamp_seconds") == first)
                flushing.removeFirst()
                try await flushing[0].flush()
                #expect(value("tally_days_hot") == 2)
                #expect(value("tally_flush_last_success_timestamp_seconds") == first + 60)
            }
        }
    }
}
