// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct KeyPoolTests {
    @Test func `Keys go out highest balance first, unknown ones last, then the oldest`()
        async throws
    {
        try await withPool { bench in
            let ids = try await bench.engine.stock([900, nil, 5000, 801, 800, 0, -5, 5000])
            bench.clock.advance(1)
            let later = try await bench.engine.stock([5000, nil], prefix: "later")
            try await bench.engine.stock([9000], prefix: "dead", status: "dead")
            let expected =
                [ids[2], ids[7], later[0], ids[0], ids[3], ids[1], later[1]]
            // Fewer than were asked for are handed out, and then none.
            #expect(try await bench.engine.assign(3, to: "a") == Array(expected[..<3]))
            #expect(try await bench.engine.assign(100, to: "b") == Array(expected[3...]))
            #expect(try await bench.engine.assign(1, to: "c") == [])
            #expect(try await bench.engine.holder("c") == nil)
            let first = try #require(try await bench.engine.holder("a"))
            #expect(first.received == 3 && first.assigned == 3 && first.ready == 3)
            #expect(first.credits == 15_000 && first.creditsPerActiveKey == 5000)
            let second = try #require(try await bench.engine.holder("b"))
            #expect(second.received == 4 && second.active == 4 && second.ready == 2)
            #expect(second.credits == 1701 && second.creditsPerActiveKey == 425)
        }
    }

    @Test func `A threshold decides what goes out, and what counts as ready`() async throws {
        try await withPool { bench in
            let ids = try await bench.engine.stock([100, 500, 5000, nil])
            #expect(try await bench.engine.poolThreshold(of: poolProvider()) == 800)
            try await bench.engine.setPoolThreshold(499, of: poolProvider())
            #expect(try await bench.engine.poolThreshold(of: poolProvider()) == 499)
            #expect(try await bench.engine.assign(9, to: "a") == [ids[2], ids[1], ids[3]])
            #expect(try await bench.engine.holder("a")?.ready == 2)
            for (threshold, ready) in [(500, 1), (5000, 0), (4999, 1), (0, 2)] {
                try await bench.engine.setPoolThreshold(threshold, of: poolProvider())
                #expect(try await bench.engine.holder("a")?.ready == ready, "\(threshold)")
            }
            // That of another provider is its own.
            try await bench.engine.setPoolThreshold(1_000_000, of: poolProvider("other"))
            #expect(try await bench.engine.assign(9, to: "b") == [ids[0]])
        }
    }

    @Test func `The first use is told once, and counts for who holds the key then`() async throws {
        try await withPool { bench in
            let ids = try await bench.engine.stock([1000, 900])
            _ = try await bench.engine.assign(1, to: "a")
            #expect(try await bench.engine.report(ids[0]) == true)
            #expect(try await bench.engine.report(ids[0]) == false)
            // Of one that nobody holds it counts for nobody.
            #expect(try await bench.engine.report(ids[1]) == true)
            _ = try await bench.engine.assign(1, to: "b")
            #expect(try await bench.engine.report(ids[1]) == false)
            _ = try await bench.engine.unassign(ids[0])
            #expect(try await bench.engine.assign(1, to: "b") == [ids[0]])
            #expect(try await bench.engine.report(ids[0]) == false)
            let (a, b) = (
                try #require(try await bench.engine.holder("a")),
                try #require(try await bench.engine.holder("b"))
            )
            #expect(a.received == 1 && a.firstUses == 1 && a.assigned == 0 && a.used == 0)
            #expect(b.received == 2 && b.firstUses == 0 && b.assigned == 2 && b.used == 2)
            #expect(a.usageRate == "100.0%" && b.usageRate == "0.0%")
            // What was counted stays when keys go.
            #expect(try await bench.engine.deletePoolKey(ids[0], of: poolProvider()))
            #expect(try await bench.engine.holder("b")?.received == 2)
            #expect(try await bench.engine.holder("b")?.assigned == 1)
        }
    }

    @Test func `Only the holder of a key may report it as its own, and only under its provider`()
        async throws
    {
        try await withPool { bench in
            let ids = try await bench.engine.stock([1000, 900])
            _ = try await bench.engine.assign(1, to: "a")
            let before = try bench.redis.fingerprint()
            #expect(try await bench.engine.report(ids[0], by: "b") == nil)
            #expect(try await bench.engine.report(ids[1], by: "a") == nil)
            #expect(try await bench.engine.report(99) == nil)
            #expect(
                try await bench.engine.report(ids[0], provider: poolProvider("other")) == nil)
            #expect(
                try await bench.engine.edit(
                    ids[0], #"{"name":"x"}"#, provider: poolProvider("other")) == nil)
            #expect(
                try await !bench.engine.deletePoolKey(ids[0], of: poolProvider("other")))
            #expect(try await bench.engine.poolKey(ids[0], of: poolProvider("other")) == nil)
            #expect(try bench.redis.fingerprint() == before)
            #expect(try await bench.engine.report(ids[0], by: "a") == true)
        }
    }

    @Test func `Secrets are read whole by their holder and singly, and masked in lists`()
        async throws
    {
        try await withPool { bench in
            let provider = poolProvider()
            let outcomes = try await bench.engine.importPoolKeys(
                [
                    PoolKeyDraft(
                        name: "a", secret: "sk-abcdefghijkl", creditBalance: "1000", status: ""),
                    PoolKeyDraft(name: "b", secret: "short", creditBalance: "", status: ""),
                ], to: provider)
            let ids = outcomes.compactMap(\.id)
            #expect(
                try await bench.engine.poolKey(ids[0], of: provider)?.secret == "sk-abcdefghijkl")
            let page = try await bench.engine.poolKeys(
                of: provider, PoolKeyFilter(), limit: 10, after: 0)
            #expect(page.keys.map(\.secret) == ["****ijkl", "****"])
            _ = try await bench.engine.assign(2, to: "a")
            let held = try await bench.engine.heldPoolKeys(by: subjectID("a"), of: provider)
            #expect(held.map(\.secret) == ["sk-abcdefghijkl", "short"])
            #expect(
                try await bench.engine.heldPoolKeys(by: subjectID("b"), of: provider).isEmpty)
            // Nothing of a secret stands in Redis, whatever is asked for.
            for key in ["pool:keys", "pool:secrets", "pool:elevenlabs:digests", "pool:held"] {
                let type = try bench.redis.request("TYPE t1:{default}:\(key)")
                let read = type.contains("hash") ? "HGETALL" : "ZRANGE"
                let text = try bench.redis.request(
                    "\(read) t1:{default}:\(key)\(read == "ZRANGE" ? " 0 -1" : "")")
                #expect(!text.contains("abcdef") && !text.contains("short"), "\(key)")
            }
            // A secret that was put in another's place is not read.
            let sealed = "HGET t1:{default}:pool:secrets"
            #expect(try bench.redis.request("\(sealed) \(ids[0])").count > 10)
            try #require(try Self.copySecret(bench.redis, from: ids[0], to: ids[1]))
            #expect(try await bench.engine.poolKey(ids[1], of: provider)?.secret == nil)
        }
    }

    static func copySecret(_ redis: RedisServer, from: Int, to: Int) throws -> Bool {
        let script =
            "redis.call('HSET',KEYS[1],ARGV[2],redis.call('HGET',KEYS[1],ARGV[1])) return 1"
        return try redis.request(
            "EVAL \"\(script)\" 1 t1:{default}:pool:secrets \(from) \(to)"
        ).hasPrefix(":1")
    }

    @Test func `A secret that the provider has already is no second key`() async throws {
        try await withPool { bench in
            let rows = try ["one", "two", "one"].map {
                try PoolKeyDraft(name: $0, secret: $0, creditBalance: "1", status: "")
            }
            let first = try await bench.engine.importPoolKeys(rows, to: poolProvider())
            #expect(first.map(\.id) == [1, 2, nil])
            let again = try await bench.engine.importPoolKeys(rows, to: poolProvider())
            #expect(again.map(\.id) == [nil, nil, nil])
            let other = try await bench.engine.importPoolKeys(rows, to: poolProvider("other"))
            #expect(other.map { $0.id != nil } == [true, true, false])
            // It may come again when it was deleted; as another key.
            #expect(try await bench.engine.deletePoolKey(1, of: poolProvider()))
            let new = try await bench.engine.importPoolKeys(rows, to: poolProvider())
            #expect(new.map { $0.id != nil } == [true, false, false])
            #expect((new[0].id ?? 0) > 8)
        }
    }

    @Test func `What would pass 2^53 - 1 is refused, and nothing changes`() async throws {
        try await withPool { bench in
            let most = 9_007_199_254_740_991
            let ids = try await bench.engine.stock([most, most, 900])
            #expect(try await bench.engine.assign(1, to: "a") == [ids[0]])
            let before = try bench.redis.fingerprint()
            await #expect(throws: EventRejection.self) {
                _ = try await bench.engine.assign(1, to: "a")
            }
            #expect(try bench.redis.fingerprint() == before)
            #expect(try await bench.engine.holder("a")?.credits == most)
            #expect(try await bench.engine.assign(1, to: "b") == [ids[1]])
            #expect(try await bench.engine.assign(1, to: "c") == [ids[2]])
            #expect(try await bench.engine.report(ids[2], "active", "\(most)") == true)
            #expect(try await bench.engine.holder("c")?.creditsPerActiveKey == most)
        }
    }

    @Test func `Another key file is refused as long as there are keys`() async throws {
        try await withRedis { redis in
            let (one, two) = (try await PoolBench(1, redis), try await PoolBench(1, redis))
            let id = try await one.engine.stock([1000])[0]
            await #expect(throws: (any Error).self) {
                try await two.engine.stock([1000], prefix: "other")
            }
            // A secret that cannot be read is not shown, nor handed out.
            await #expect(throws: (any Error).self) { try await two.engine.assign(1, to: "a") }
            #expect(try await one.engine.assign(1, to: "a") == [id])
            #expect(try await two.engine.poolKey(id, of: poolProvider())?.secret == nil)
            #expect(try await one.engine.poolKey(id, of: poolProvider())?.secret == "secret-0")
            #expect(try await two.engine.deletePoolKey(id, of: poolProvider()))
            #expect(try await two.engine.stock([1000], prefix: "other").count == 1)
            let mode =
                try FileManager.default.attributesOfItem(
                    atPath: "\(two.folder)/secrets.key")[.posixPermissions] as? Int
            #expect(mode == 0o600)
            #expect(try FileManager.default.contentsOfDirectory(atPath: two.folder).count == 1)
            try FileManager.default.setAttributes(
                [.posixPermissions: 0o644], ofItemAtPath: "\(two.folder)/secrets.key")
            await #expect(throws: (any Error).self) {
                try await two.engine.stock([1000], prefix: "third")
            }
            await one.stop()
            await two.stop()
        }
    }
}
