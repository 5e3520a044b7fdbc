// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import Observability
import TestSupport
import Testing

@testable import Redis

/// The engines of a loop share a client; one whose workspace has changed makes room for another.
@Suite(.timeLimit(.minutes(15))) struct SharedClientTests {
    @Test func `A client keeps nothing of engines that are gone`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = await Bench(redis.socketPath, on: host.loop, clock: ManualClock(noon))
                let client = bench.client
                let count = client.readyHandlerCount
                for _ in 0..<20 {
                    let engine = MeteringEngine(
                        on: host.loop, client: client, settings: WorkspaceSettings(),
                        clock: bench.clock, metrics: MeteringMetrics(MetricsRegistry()))
                    #expect(engine.isReady)
                    // What an engine has put off to the end of a turn keeps it until then.
                    await host.loop.sleep(for: .milliseconds(1))
                }
                #expect(client.readyHandlerCount <= count + 2)
                #expect(await bench.record(event("a")).counted != nil)
            }
        }
    }
}
