// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import Observability
import Redis
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(10))) struct QueryEngineTests {
    /// Each workspace has an engine, and gets another one when its settings change.
    @Test(arguments: [false, true])
    func `An engine that has ended is let go, with its connection and its loop`(
        isKeeping: Bool
    ) async throws {
        try await withRedis { redis in
            weak var engine: QueryEngine?
            weak var loop: EventLoop?
            do {
                let its = try EventLoop()
                loop = its
                its.start()
                let made = QueryEngine(
                    on: its, redis: RedisConfiguration(address: .unix(redis.socketPath)),
                    settings: WorkspaceSettings(), clock: SystemClock(), data: redis.folder,
                    metrics: MetricsRegistry(), logger: Logger(level: .error))
                engine = made
                await made.start(isKeeping: isKeeping)
                while await !made.isReady { try await Task.sleep(for: .milliseconds(2)) }
                await made.stop()
            }
            // What it does now and then ends at the next turn, on the loop.
            while engine != nil { try await Task.sleep(for: .milliseconds(2)) }
            loop?.stop()
            while loop != nil { try await Task.sleep(for: .milliseconds(2)) }
        }
    }
}
