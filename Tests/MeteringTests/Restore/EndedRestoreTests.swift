// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import Observability
import Redis
import TestSupport
import Testing

/// How a restore of several workspaces ends: in all of them, or in none.
@Suite(.timeLimit(.minutes(15))) struct EndedRestoreTests {
    private final class World {
        let queries: QueryEngine
        let folder: String
        private let bench: FlushBench

        init(_ name: String, _ redis: RedisServer, on loop: EventLoop) async throws {
            let settings = WorkspaceSettings(id: try #require(WorkspaceID(name)))
            let clock = ManualClock(noon)
            bench = try await FlushBench(
                redis.socketPath, on: loop, clock: clock, settings: settings)
            folder = "\(bench.data)/rollups/\(name)"
            queries = QueryEngine(
                on: loop, redis: RedisConfiguration(address: .unix(redis.socketPath)),
                settings: settings, clock: clock, data: bench.data, metrics: MetricsRegistry(),
                logger: Logger(level: .error))
            await queries.start(isKeeping: false)
            let counting = await Bench(
                redis.socketPath, on: loop, clock: clock, settings: settings)
            #expect(await counting.record(event("ann", ["tokens": 4])).counted != nil)
            try await bench.flush()
        }

        func write(_ token: RestoreToken) async throws -> RestoreReport {
            try await queries.writeSnapshots(
                at: folder, into: nil, isForced: true, token: token, progress: { _, _ in })
        }

        /// Whether it may be restored by whoever forces nothing.
        func isFree() async throws -> Bool {
            do {
                try await queries.checkPlace(
                    ofSnapshots: folder, into: nil, isForced: false)
                return true
            } catch RestoreError.notEmpty {
                return false
            }
        }
    }

    @Test func `A restore that cannot end in one workspace has ended in none`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let worlds = [
                    try await World("default", redis, on: host.loop),
                    try await World("acme", redis, on: host.loop),
                ]
                let (token, other) = (RestoreToken(), RestoreToken())
                var reports: [RestoreReport] = []
                for world in worlds { reports.append(try await world.write(token)) }
                let late = try await worlds[1].write(other)
                await #expect(throws: RestoreError.self) {
                    try await worlds[0].queries.endRestore(reports, token: token)
                }
                for world in worlds { #expect(try await world.isFree()) }
                reports = [try await worlds[0].write(other), late]
                try await worlds[0].queries.endRestore(reports, token: other)
                for world in worlds { #expect(try await !world.isFree()) }
                for world in worlds { await world.queries.stop() }
            }
        }
    }
}
