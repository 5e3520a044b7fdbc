// SPDX-License-Identifier: Apache-2.0

import Foundation
import Metering
import Redis
import TestSupport
import Testing

/// API keys of snapshots whose ids somebody else has.
@Suite(.timeLimit(.minutes(15))) struct TakenKeyTests {
    private static let keys = "t1:{@}:keys"
    private static let list = "t1:{default}:keys"

    private static func record(_ members: String) -> String {
        #"{"name":"n","role":"reader",\#(members),"created_ms":7000,"sha256":"00"}"#
    }

    private static func send(_ words: [String], _ client: RedisClient) async throws {
        var command = RedisCommand("EVAL")
        for word in ["return redis.call(unpack(ARGV))", "0"] + words { command.append(word) }
        _ = try await client.send(command)
    }

    /// Counts something in a workspace with two keys, and writes its files.
    private static func prepare(_ redis: RedisServer, _ host: LoopHost) async throws -> RestoreBench
    {
        let world = try await RestoreBench(redis, on: host.loop, clock: ManualClock(noon))
        #expect(await world.bench.record(event("ann", ["tokens": 4])).counted != nil)
        for id in ["0a", "0b"] {
            let mine = record(#""workspace":"default""#)
            try await send(["HSET", keys, id, mine], world.bench.client)
            try await send(["ZADD", list, "7000", id], world.bench.client)
        }
        try await world.flushing.flush()
        #expect(try await world.verify() == [])
        return world
    }

    /// All that Redis holds.
    private static func dump(_ client: RedisClient) async throws -> [[UInt8]?] {
        var command = RedisCommand("EVAL")
        command.append(VerifyTests.save)
        command.append(0)
        return try await client.send(command).array?.map(\.bytes) ?? []
    }

    /// Who else has the id, whether it stays in the list, and what the refusal says.
    private static let others: [(record: String, isListed: Bool, told: String)] = [
        (record(#""workspace":"other""#), false, "of the workspace other in Redis: revoke"),
        (record(#""workspace":"other""#), true, "of the workspace other in Redis: revoke"),
        (record(#""workspace":"default""#), false, "in no list of default: revoke"),
        ("[", false, "something else in Redis: take it out"),
    ]

    /// A list that has something in it is only there when the restore is forced: Redis is not empty.
    private static let cases = others.indices.flatMap { number in
        (others[number].isListed ? [true] : [true, false]).map { (number: number, isForced: $0) }
    }

    @Test(arguments: cases)
    func `An id that another key has is told before anything is written`(
        number: Int, isForced: Bool
    ) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let world = try await Self.prepare(redis, host)
                let (client, other) = (world.bench.client, Self.others[number])
                if !isForced { try redis.request("FLUSHALL") }
                try await Self.send(["HSET", Self.keys, "0b", other.record], client)
                if !other.isListed { try redis.request("ZREM \(Self.list) 0b") }
                let before = try await Self.dump(client)
                let error = await #expect(throws: RestoreError.self) {
                    _ = try await world.restore(isForced: isForced)
                }
                let told = error?.description ?? ""
                #expect(told.contains("API key 0b") && told.contains(other.told), "\(told)")
                #expect(try await Self.dump(client) == before)
                try redis.request("HDEL \(Self.keys) 0b")
                #expect(try await world.restore(isForced: isForced).apiKeys == 2)
                #expect(try await world.verify() == [])
            }
        }
    }

    @Test func `Keys of the workspace that the restore takes away are in nobody's way`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let world = try await Self.prepare(redis, host)
                // One is left of a restore that broke off, of the same workspace by another birth.
                let left = Self.record(#""workspace":"default","birth":"b1""#)
                try await Self.send(["HSET", Self.keys, "0a", left], world.bench.client)
                try redis.request("ZREM \(Self.list) 0a")
                #expect(try await world.restore(isForced: true).apiKeys == 2)
                #expect(try await world.verify() == [])
            }
        }
    }

    @Test func `Another workspace's key that is in the list by mistake stays`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let world = try await Self.prepare(redis, host)
                let theirs = Self.record(#""workspace":"other""#)
                try await Self.send(["HSET", Self.keys, "0c", theirs], world.bench.client)
                try redis.request("ZADD \(Self.list) 7000 0c")
                #expect(try await world.restore(isForced: true).apiKeys == 2)
                #expect(try redis.request("HEXISTS \(Self.keys) 0c") == ":1\r\n")
                #expect(try redis.request("ZSCORE \(Self.list) 0c") == "$-1\r\n")
                #expect(try await world.verify() == [])
            }
        }
    }
}
