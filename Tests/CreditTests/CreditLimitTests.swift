// SPDX-License-Identifier: Apache-2.0

import Metering
import TestSupport
import Testing

/// Limits on credits: what checks and holds ask of the balance is asked of them, too.
@Suite(.timeLimit(.minutes(15))) struct CreditLimitTests {
    @Test func `Credits of checks and holds count in limits on credits`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = try await Bench(
                    redis.socketPath, on: host.loop, clock: ManualClock(noon))
                try await bench.setPolicy(allowance: 1000 * one)
                try await bench.setLimits(
                    """
                    {"limits":[{"name":"spend","meter":"credits_micro","window":"day",\
                    "user":\(10 * one),"guest":null}]}
                    """)
                #expect(try await bench.decide(.check, "a", 11 * one).status == .limitReached)
                #expect(try await bench.decide(.consume, "a", 4 * one).status == .allowed)
                #expect(try await bench.open("h", "a", 5 * one).status == .allowed)
                #expect(try await bench.decide(.consume, "a", 2 * one).status == .limitReached)
                #expect(await bench.charge("a", 2 * one, enforce: true).counted == nil)
                let settled = await bench.commit("h", event("a", ["credits_micro": 3 * one]))
                #expect(settled.counted != nil)
                let state = try await bench.decide(.check, "a", one).limits.first
                #expect(state?.used == 7 * one)
                #expect(try await bench.account("a").balance == 993 * one)
            }
        }
    }

    @Test func `Rules that another process has changed reject nothing that the new ones allow`()
        async throws
    {
        @Sendable func rules(_ meter: String, _ window: String) -> String {
            #"{"limits":[{"name":"x","meter":"\#(meter)","window":"\#(window)","user":9,"guest":9}]}"#
        }
        try await withBenches { host, left, right, _ in
            func ask(_ host: isolated LoopHost) async throws -> DecisionStatus {
                let decision = Decision(
                    .consume, subject: subjectID("a"), amounts: [(.tokens, 1)], limits: ["x"])
                return try await right.engine.decide(decision).status
            }
            try await left.setLimits(rules("tokens", "day"))
            #expect(try await ask(host) == .allowed)
            try await left.setLimits(rules("tokens", "concurrent"))
            await #expect(throws: EventRejection.self) { _ = try await ask(host) }
            try await left.setLimits(rules("files_uploaded", "day"))
            await #expect(throws: EventRejection.self) { _ = try await ask(host) }
            try await left.setLimits(rules("tokens", "day"))
            #expect(try await ask(host) == .allowed)
        }
    }
}
