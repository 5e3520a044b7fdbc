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
                let before = try redis.fingerprintWithExpiries()
                let outcomes = await bench.record([
                    event("a", ["tokens": 4], id: "2"), event("c", ["credits_micro": 4]),
                    event("d"),
                ])
                for outcome in outcomes {
                    guard case .postponed = outcome else {
                        Issue.record("\(key): \(outcome)")
                        continue
                    }
                }
                #expect(try redis.fingerprintWithExpiries() == before)
            }
        }
    }

    /// The keys that a batch looks at before it counts, in a workspace that counts who is registered.
    static let consulted = [
        "batch:*", "rules", "people:demo", "people:registered", "people", "merged", "large",
        "erasing", "cold",
    ]

    @Test(arguments: consulted)
    func `What a batch only looks at stops all of it when it is of another type`(key: String)
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = await Bench(
                    redis.socketPath, on: host.loop, clock: ManualClock(noon),
                    settings: WorkspaceSettings(counts: .registered))
                for subject in ["a", "c"] { try await bench.queries.put(subject, "{}") }
                _ = await bench.record([event("a", id: "1"), event("c", ["credits_micro": 4])])
                var name = "t1:{default}:\(key)"
                if key == "batch:*" {
                    // That of this engine, which is named by chance.
                    let found = try redis.request("KEYS \(name)").split(separator: "\r\n")
                    #expect(found.count == 3)
                    name = try String(#require(found.last))
                }
                try redis.request("DEL \(name)")
                try redis.request("RPUSH \(name) wrong")
                let before = try redis.fingerprintWithExpiries()
                let outcomes = await bench.record([
                    event("a", ["tokens": 4], id: "2"), event("c", ["credits_micro": 4]),
                    event("guest:1"),
                ])
                for outcome in outcomes {
                    guard case .postponed = outcome else {
                        Issue.record("\(key): \(outcome)")
                        continue
                    }
                }
                #expect(try redis.fingerprintWithExpiries() == before)
            }
        }
    }
}
