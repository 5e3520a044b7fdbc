// SPDX-License-Identifier: Apache-2.0

import Foundation
import Metering
import Observability
import Synchronization
import TestSupport
import Testing

/// A clock by which everything takes long.
private final class HastyClock: Metering.Clock {
    private let count = Mutex(0)

    let now = Timestamp(milliseconds: noon)
    var monotonicMS: Int {
        count.withLock {
            $0 += 6_000
            return $0
        }
    }
}

@Suite(.timeLimit(.minutes(15))) struct LongDayTests {
    @Test func `A day that takes long to be written is told of while it is`() async throws {
        let folder = NSTemporaryDirectory() + "tally-long-day-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let log = folder + "/log"
        #expect(FileManager.default.createFile(atPath: log, contents: nil))
        let handle = try #require(FileHandle(forWritingAtPath: log))
        let descriptor = handle.fileDescriptor
        try await withRedis { redis in
            try await onLoop { host in
                let bench = await Bench(redis.socketPath, on: host.loop, clock: ManualClock(noon))
                _ = await bench.record((0..<500).map { event("s\($0)") })
                _ = await bench.record([event("s0", at: noon - 86_400_000)])
                let flusher = Flusher(
                    client: bench.client, settings: WorkspaceSettings(), clock: HastyClock(),
                    data: folder, metrics: FlushMetrics(MetricsRegistry()),
                    logger: Logger(level: .notice, descriptor: descriptor))
                let report = await flusher.flush()
                #expect(report.problem == nil && report.days.count == 2)
            }
        }
        try handle.close()
        let told = try String(contentsOfFile: log, encoding: .utf8)
        for count in [200, 400, 500] {
            let line = "writing the day 2026-11-21: \(count) of 500 subjects"
            #expect(told.contains(line), "\(told)")
        }
        #expect(told.contains("writing snapshots: 1 of 2 days"), "\(told)")
    }
}
