// SPDX-License-Identifier: Apache-2.0

import Foundation
import Metering
import Redis
import TestSupport
import Testing

/// Receipts of erasures tell how many API keys were revoked in all.
@Suite(.timeLimit(.minutes(15))) struct RevokedKeysTests {
    private static let lease = "t1:{default}:lease:erase"

    /// Gives a subject an API key of its own, as the service does.
    private static func makeKey(
        _ id: String, of subject: String, in workspace: String = "default", _ client: RedisClient
    ) async throws {
        let record =
            #"{"name":"n","role":"self","workspace":"\#(workspace)","subject":"\#(subject)","#
            + #""created_ms":1,"expires_ms":null,"sha256":"00"}"#
        var (put, list) = (RedisCommand("HSET"), RedisCommand("ZADD"))
        for word in ["t1:{@}:keys", id, record] { put.append(word) }
        for word in ["t1:{default}:keys", "1", id] { list.append(word) }
        _ = try await client.send(put)
        _ = try await client.send(list)
    }

    private static func apiKeyIDs(_ redis: RedisServer) throws -> [String] {
        try redis.request("HKEYS t1:{@}:keys").split(separator: "\r\n").map(String.init).filter {
            !$0.hasPrefix("*") && !$0.hasPrefix("$")
        }
    }

    private static func expectReceipt(
        _ id: String, _ world: RestoreBench, apiKeys count: Int
    ) async throws {
        let receipt = try #require(try await world.queries.erasure(id))
        #expect(receipt.isDone)
        #expect(receipt.removed[.apiKeys] == count)
        try await world.flushing.flush()
        let state = try String(contentsOfFile: "\(world.folder)/state.json", encoding: .utf8)
        #expect(state.contains("\"api_keys\":\(count)"))
        #expect(try await world.verify() == [])
    }

    /// Runs a test's body with somebody who used something.
    private static func withAnn(
        _ body: @Sendable (isolated LoopHost, RestoreBench, RedisServer) async throws -> Void
    ) async throws {
        try await withErasures { host, world, redis in
            _ = await world.bench.record(event("ann", ["tokens": 4]))
            try await body(host, world, redis)
        }
    }

    @Test func `Keys count that are revoked while an erasure waits, or is asked for again`()
        async throws
    {
        try await Self.withAnn { _, world, redis in
            let client = world.bench.client
            try await Self.makeKey("0b", of: "bob", client)
            // Another process is to go on with it, and does not.
            try redis.request("SET \(Self.lease) \"\\xa5other\\x01\"")
            var id = ""
            for number in 1...3 {
                try await Self.makeKey("0\(number)", of: "ann", client)
                let begun = try await world.beginErasing("ann")
                #expect(id.isEmpty || begun.id == id)
                id = begun.id
                #expect(try Self.apiKeyIDs(redis) == ["0b"], "revoked at once")
                #expect(begun.removed[.apiKeys] == number)
            }
            try await Self.makeKey("04", of: "ann", client)
            try redis.request("DEL \(Self.lease)")
            try await world.endErasing(id)
            try await Self.expectReceipt(id, world, apiKeys: 4)
            #expect(try Self.apiKeyIDs(redis) == ["0b"])
        }
    }

    @Test func `Keys count that were revoked by a step that broke off`() async throws {
        try await Self.withAnn { _, world, redis in
            let client = world.bench.client
            // Keys are revoked before alerts are looked at, which cannot be read.
            try redis.request("HSET t1:{default}:rules alerts x")
            let id = try await world.beginErasing("ann").id
            for number in 1...3 {
                try await Self.makeKey("0\(number)", of: "ann", client)
                while try Self.apiKeyIDs(redis) != [] {
                    #expect(await world.queries.goOnErasing() != nil)
                }
            }
            try redis.request("HDEL t1:{default}:rules alerts")
            try await world.endErasing(id)
            try await Self.expectReceipt(id, world, apiKeys: 3)
        }
    }

    @Test func `A key that is made once the subject was taken out is nobody's of before`()
        async throws
    {
        try await Self.withAnn { _, world, redis in
            let client = world.bench.client
            try await Self.makeKey("01", of: "ann", client)
            // No files can be written there: it comes to that step, and not further.
            let stuck = await world.another(data: "/dev/null")
            let subject = subjectID("ann")
            let begun = try #require(
                try await stuck.erase(subject, as: try await stuck.anonymousID(for: subject)))
            #expect(await stuck.goOnErasing() != nil)
            await stuck.stop()
            try await Self.makeKey("02", of: "ann", client)
            try await world.endErasing(begun.id)
            try await Self.expectReceipt(begun.id, world, apiKeys: 1)
            #expect(try Self.apiKeyIDs(redis) == ["02"])
            #expect(try await world.erase("ann").removed[.apiKeys] == 1)
            #expect(try Self.apiKeyIDs(redis) == [])
        }
    }

    @Test func `Another workspace's key that is in the list by mistake is not revoked`()
        async throws
    {
        try await Self.withAnn { _, world, redis in
            let client = world.bench.client
            try await Self.makeKey("01", of: "ann", client)
            try await Self.makeKey("0c", of: "ann", in: "other", client)
            #expect(try await world.beginErasing("ann").removed[.apiKeys] == 1)
            #expect(try Self.apiKeyIDs(redis) == ["0c"])
        }
    }
}
