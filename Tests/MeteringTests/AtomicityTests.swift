// SPDX-License-Identifier: Apache-2.0

import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct AtomicityTests {
    /// The keys that a batch touches on a Saturday, for a subject that was seen the day before.
    static let keys = [
        "subjects", "log:2026-11-21", "ids:20776", "ids:20777", "ids:20778", "use:2026-11-20",
        "hours:2026-11-21", "day:2026-11-21", "rank:2026-11-21:tokens",
        "rank:2026-11-21:credits_micro",
        "changes",
    ]

    @Test(arguments: keys)
    func `A script that fails at any of its keys leaves every key as it was`(key: String)
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon - 86_400_000)
                let bench = await Bench(redis.socketPath, on: host.loop, clock: clock)
                _ = await bench.record([
                    event("a", id: "1"), event("b"), event("c", ["credits_micro": 4]),
                ])
                clock.set(noon)
                let name = "t1:{default}:\(key)"
                _ = try redis.request("DEL \(name)")
                // A list has none of the commands that Tally uses.
                _ = try redis.request("RPUSH \(name) wrong")
                let before = try redis.fingerprint()
                let outcomes = await bench.record([
                    event("a", ["tokens": 4], id: "2"), event("c", ["credits_micro": 4]),
                    event("d"),
                ])
                for outcome in outcomes {
                    guard case .unavailable = outcome else {
                        Issue.record("\(key): \(outcome)")
                        continue
                    }
                }
                #expect(try redis.fingerprint() == before)
            }
        }
    }
}
