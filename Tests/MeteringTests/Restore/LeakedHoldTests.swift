// SPDX-License-Identifier: Apache-2.0

import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct LeakedHoldTests {
    @Test func `A hold that expired and was forgotten is no difference`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let world = try await RestoreBench(redis, on: host.loop, clock: ManualClock(noon))
                let bench = world.bench
                #expect(await bench.record(event("a", ["tokens": 1])).counted != nil)
                _ = try await bench.engine.decide(
                    Decision(
                        .grant(id: ByteString("g"), expires: nil, priority: 0),
                        subject: subjectID("a"), credits: 1_000))
                let hold = Decision(
                    .openHold(id: ByteString("h"), seconds: 1), subject: subjectID("a"),
                    credits: 1_000)
                #expect(try await bench.engine.decide(hold).status == .allowed)
                bench.clock.advance(36 * 86_400_000)
                let keeper = HoldKeeper(
                    client: bench.client, settings: WorkspaceSettings(), clock: bench.clock)
                #expect(try await keeper.keep() == 1)
                #expect(try await world.verify() == [])
            }
        }
    }
}
