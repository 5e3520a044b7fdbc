// SPDX-License-Identifier: Apache-2.0

import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct KeyPoolRaceTests {
    @Test func `16 clients of 3 engines never get the same key`() async throws {
        try await withPool(3) { bench in
            let ids = try await bench.engine.stock(
                (0..<1000).map { $0 % 7 == 0 ? nil : 801 + $0 })
            let got = try await withThrowingTaskGroup(of: (String, [Int]).self) { group in
                for client in 0..<16 {
                    group.addTask {
                        let engine = bench.engines[client % 3]
                        var got: [Int] = []
                        for round in 0..<20 {
                            got += try await engine.assign(
                                1 + (client + round) % 9, to: "\(client)")
                        }
                        return ("\(client)", got)
                    }
                }
                var all: [String: [Int]] = [:]
                for try await (client, ids) in group { all[client] = ids }
                return all
            }
            let handed = got.values.joined().sorted()
            #expect(Set(handed).count == handed.count)
            #expect(handed.count > 500 && Set(handed).isSubset(of: ids))
            for (client, ids) in got {
                let holder = try #require(try await bench.engine.holder(client))
                #expect(holder.received == ids.count && holder.assigned == ids.count)
                let held = try await bench.engine.heldPoolKeys(
                    by: subjectID(client), of: poolProvider())
                #expect(held.map(\.key.id) == ids.sorted())
            }
        }
    }

    @Test func `Of 64 first reports at once one is the first`() async throws {
        try await withPool(3) { bench in
            let ids = try await bench.engine.stock([5000, 4000])
            #expect(try await bench.engine.assign(1, to: "a") == [ids[0]])
            for id in ids {
                let firsts = try await withThrowingTaskGroup(of: Bool?.self) { group in
                    for client in 0..<64 {
                        group.addTask {
                            try await bench.engines[client % 3].report(id, "active", "\(client)")
                        }
                    }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                #expect(firsts.count(where: { $0 == true }) == 1)
                #expect(firsts.count(where: { $0 == false }) == 63)
            }
            #expect(try await bench.engine.holder("a")?.firstUses == 1)
        }
    }

    @Test func `Processes that begin at once make one key file`() async throws {
        try await withPool(3) { bench in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (index, engine) in bench.engines.enumerated() {
                    group.addTask { try await engine.stock([1000], prefix: "of \(index)") }
                }
                try await group.waitForAll()
            }
            for engine in bench.engines {
                let page = try await engine.poolKeys(
                    of: poolProvider(), PoolKeyFilter(), limit: 10, after: 0)
                #expect(page.keys.compactMap(\.secret).count == 3)
            }
        }
    }

    /// A list has none of the commands that Tally uses.
    @Test(arguments: [
        "changes", "pool", "pool:keys", "pool:secrets", "pool:elevenlabs:digests",
        "pool:providers", "pool:holders", "pool:elevenlabs:keys", "pool:elevenlabs:free",
        "pool:held", "pool:ready", "pool:used",
    ])
    func `A change that meets a wrong type leaves every key as it was`(key: String) async throws {
        try await withPool { bench in
            let ids = try await bench.engine.stock([5000, 4000, 3000])
            _ = try await bench.engine.assign(1, to: "a")
            _ = try await bench.engine.report(ids[0])
            let name = "t1:{default}:\(key)"
            _ = try bench.redis.request("DEL \(name)")
            _ = try bench.redis.request("RPUSH \(name) wrong")
            // Ids are reserved before a row is written; nothing else may change.
            let reserves = !["pool", "changes", "pool:secrets"].contains(key)
            let before = try bench.redis.fingerprint()
            let changes: [(String, (QueryEngine) async throws -> Void)] = [
                ("assign", { _ = try await $0.assign(2, to: "b") }),
                ("report", { _ = try await $0.report(ids[0], "dead", "7") }),
                ("edit", { _ = try await $0.edit(ids[0], #"{"credit_balance":1}"#) }),
                ("unassign", { _ = try await $0.unassign(ids[0]) }),
                ("delete", { _ = try await $0.deletePoolKey(ids[0], of: poolProvider()) }),
            ]
            for (change, work) in changes {
                await #expect(throws: (any Error).self, "\(change)") {
                    try await work(bench.engine)
                }
                #expect(try bench.redis.fingerprint() == before, "\(change)")
            }
            if ["changes", "pool:providers"].contains(key) {
                await #expect(throws: (any Error).self) {
                    try await bench.engine.setPoolThreshold(1, of: poolProvider())
                }
                #expect(try bench.redis.fingerprint() == before)
            }
            await #expect(throws: (any Error).self) {
                try await bench.engine.stock([1], prefix: "new")
            }
            if reserves {
                _ = try bench.redis.request("HINCRBY t1:{default}:pool last_id -1")
                _ = try bench.redis.request("HINCRBY t1:{default}:changes state -1")
            }
            #expect(try bench.redis.fingerprint() == before)
        }
    }
}
