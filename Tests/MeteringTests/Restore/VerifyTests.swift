// SPDX-License-Identifier: Apache-2.0

import Foundation
import Metering
import Redis
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct VerifyTests {
    /// A change to Redis, and what the difference that tells it says.
    struct Change: CustomTestStringConvertible, Sendable {
        let name: String
        /// Lua; `unpack`, `pack` and `call` are cmsgpack's and Redis's; `k` makes a key's name.
        let script: String
        let tells: String
        var testDescription: String { name }

        init(_ name: String, _ script: String, tells: String) {
            (self.name, self.script, self.tells) = (name, script, tells)
        }
    }

    /// The fields of a record, of an entry of `use` and of an account by their places.
    static let changes: [Change] = [
        Change("a lifetime total", edit("subjects", "live", "v[10] = v[10] + 1"), tells: "live"),
        Change("a day's total", edit("subjects", "live", "v[11] = v[11] + 1"), tells: "live"),
        Change("a count of events", edit("subjects", "live", "v[3] = v[3] - 1"), tells: "live"),
        Change("a record gone", "call('HDEL', k('subjects'), 'live')", tells: "live"),
        Change(
            "a record more",
            "call('HSET', k('subjects'), 'new', call('HGET', k('subjects'), 'live'))", tells: "new"),
        Change("a use", edit("use:2026-11-20", "early", "v[5] = v[5] + 1"), tells: "early"),
        Change("a use gone", "call('HDEL', k('use:2026-11-20'), 'early')", tells: "early"),
        Change(
            "a use more",
            "call('HSET', k('use:2026-11-20'), 'x', call('HGET', k('use:2026-11-20'), 'early'))",
            tells: "x"),
        Change("an hour", editAny("hours:2026-11-21", "v[3] = v[3] + 1"), tells: "2026-11-21"),
        Change("an hour gone", dropAny("hours:2026-11-20"), tells: "2026-11-20"),
        Change("a day", editAny("day:2026-11-21", "v[1] = v[1] + 1"), tells: "by day"),
        Change("a day gone", dropAny("day:2026-11-20"), tells: "by day"),
        Change(
            "a score", "call('ZADD', k('rank:2026-11-21:tokens'), -9999, 'live')",
            tells: "board 2026-11-21 tokens: live"),
        Change(
            "a score gone", "call('ZREM', k('rank:2026-11-20:tokens'), 'early')",
            tells: "board 2026-11-20 tokens: early"),
        Change(
            "a score more", "call('ZADD', k('rank:2026-11-20:tokens'), -1, 'nobody')",
            tells: "nobody"),
        Change(
            "a board gone", "call('DEL', k('rank:2026-11-20:tokens'))", tells: "board 2026-11-20"),
        Change(
            "a balance", edit("accounts", "live", "v[4] = v[4] + 1"), tells: "account live: balance"
        ),
        Change("an account gone", "call('HDEL', k('accounts'), 'live')", tells: "live"),
        Change("an allowance", edit("accounts", "live", "v[3] = v[3] + 1"), tells: "accounts live"),
        Change(
            "a ledger's head", edit("accounts", "live", "v[1] = v[1] + 1"), tells: "account live"),
        Change("a ledger in a circle", leadBack, tells: "account live: lines at 2026-11-21"),
        Change("a log gone", "call('DEL', k('log:2026-11-21'))", tells: "account live"),
        Change("a hold", edit("holds", "h", "v[3] = v[3] + 1"), tells: "hold h"),
        Change("a hold gone", "call('HDEL', k('holds'), 'h')", tells: "hold h"),
        Change("a hold's end", "call('ZADD', k('holds:open'), 1, 'h')", tells: "hold h"),
        Change("an open hold gone", "call('ZREM', k('holds:open'), 'h')", tells: "hold h"),
        Change("an open hold more", "call('ZADD', k('holds:open'), 1, 'ghost')", tells: "ghost"),
        Change("an ended hold gone", "call('ZREM', k('holds:ended'), 'done')", tells: "hold done"),
        Change("an ended hold more", "call('ZADD', k('holds:ended'), 1, 'ghost')", tells: "ghost"),
        Change("a grant", editAny("grants", "v[1] = v[1] - 1"), tells: "grant g"),
        Change("a grant gone", dropAny("grants"), tells: "grant g"),
        Change(
            "a grant more",
            "call('HSET', k('grants'), '\\0\\4liveg2', pack({1, 0, 0}))", tells: "g2"),
        Change("a mark of a reversal gone", dropAny("reversed"), tells: "reversed"),
        Change("a receipt", editAny("erasures", "v[10] = v[10] + 1"), tells: "erasures"),
        Change(
            "a receipt's digest", editAny("erasures", "v[5] = v[5]:reverse()"), tells: "erasures"),
        Change("a receipt gone", dropAny("erasures"), tells: "erasures"),
        Change(
            "an API key's record gone", "call('HDEL', 't1:{@}:keys', '0a')",
            tells: "API key 0a: its record: expected one of this workspace, found none"),
        Change(
            "another workspace's API key", editKey("workspace\":\"default", "workspace\":\"other"),
            tells: "API key 0a: its record: expected one of this workspace, found another"),
        Change(
            "an API key of another birth", editKey("\"role", "\"birth\":\"b1\",\"role"),
            tells: "API key 0a: its record: expected one of this workspace, found another"),
        Change(
            "an API key that cannot be read", editKey("{", "["),
            tells: "API key 0a: its record: expected one of this workspace, found another"),
        Change(
            "an API key out of the list", "call('ZREM', k('keys'), '0a')",
            tells: "API key 0a: its time in the workspace's list: expected 7000, found none"),
        Change(
            "an API key more",
            "call('HSET', 't1:{@}:keys', '0d', call('HGET', 't1:{@}:keys', '0a'))",
            tells: "API key 0d: its time in the workspace's list: expected 7000, found none"),
        Change(
            "an API key more in the list", "call('ZADD', k('keys'), 1, '0d')",
            tells: "API key 0d: its record: expected one of this workspace, found none"),
        Change(
            "an API key's time", "call('ZADD', k('keys'), 7001, '0a')",
            tells: "API key 0a: its time in the workspace's list: expected 7000, found 7001"),
        Change(
            "a list of API keys gone", "call('DEL', k('keys'))",
            tells: "API key 0a: its time in the workspace's list: expected 7000, found none"),
        Change("rules", "call('HSET', k('rules'), 'version', '77')", tells: "rules_version"),
        Change("changes", "call('HINCRBY', k('changes'), '20778', '-1')", tells: "changes"),
        Change("a day forgotten", "call('HDEL', k('changes'), '20778')", tells: "2026-11-21"),
        Change("a day that is cold", "call('HSET', k('cold'), '20778', '1')", tells: "cold day"),
        Change("other data", "call('HSET', k('meta'), 'dataset', 'x')", tells: "dataset"),
        Change(
            "another type", "call('DEL', k('holds')) call('SET', k('holds'), 'x')",
            tells: "WRONGTYPE"),
    ]

    /// Makes each entry's lines of the ledger follow those of the last entry.
    private static let leadBack =
        "local key = k('log:2026-11-21') local all = call('XRANGE', key, '-', '+') call('DEL', key) "
        + "local last = unpack(call('HGET', k('accounts'), 'live'))[1] for _, entry in ipairs(all) do "
        + "local fields = entry[2] if fields[8] then local ledger = unpack(fields[8]) "
        + "for q = 2, #ledger, 3 do ledger[q] = last end fields[8] = pack(ledger) end "
        + "call('XADD', key, entry[1], _G.unpack(fields)) end"

    private static func edit(_ key: String, _ field: String, _ change: String) -> String {
        "local v = unpack(call('HGET', k('\(key)'), '\(field)')) \(change) "
            + "call('HSET', k('\(key)'), '\(field)', pack(v))"
    }

    private static func editAny(_ key: String, _ change: String) -> String {
        "local f = call('HKEYS', k('\(key)'))[1] local v = unpack(call('HGET', k('\(key)'), f)) "
            + "\(change) call('HSET', k('\(key)'), f, pack(v))"
    }

    private static func editKey(_ old: String, _ new: String) -> String {
        "local v = call('HGET', 't1:{@}:keys', '0a'):gsub('\(old)', '\(new)', 1) "
            + "call('HSET', 't1:{@}:keys', '0a', v)"
    }

    private static func dropAny(_ key: String) -> String {
        "local f = call('HKEYS', k('\(key)'))[1] call('HDEL', k('\(key)'), f)"
    }

    /// What each key has, so that a change can be taken back.
    static let save =
        "local all = {} for _, key in ipairs(redis.call('KEYS', '*')) do "
        + "all[#all + 1] = key all[#all + 1] = redis.call('DUMP', key) end return all"

    @Test func `Each change of one thing is named, and nothing else is`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let history = try await RestoreBench(redis, on: host.loop, clock: clock)
                try await Self.prepare(history)
                #expect(try await history.verify() == [])
                let client = history.bench.client
                let kept = try await client.send(Self.eval(Self.save)).array ?? []
                for change in Self.changes {
                    let script =
                        "local unpack, pack, call = cmsgpack.unpack, cmsgpack.pack, redis.call "
                        + "local function k(name) return 't1:{default}:' .. name end "
                        + change.script
                    _ = try await client.send(Self.eval(script))
                    let found = try await history.verify()
                    #expect(
                        found.contains { $0.description.contains(change.tells) },
                        "\(change.name): \(found)")
                    try await Self.putBack(kept, client)
                }
                #expect(try await history.verify() == [])
            }
        }
    }

    private static func eval(_ script: String) -> RedisCommand {
        var command = RedisCommand("EVAL")
        command.append(script)
        command.append(0)
        return command
    }

    private static func putBack(_ kept: [RedisValue], _ client: RedisClient) async throws {
        _ = try await client.send(RedisCommand("FLUSHALL"))
        for index in stride(from: 0, to: kept.count - 1, by: 2) {
            var command = RedisCommand("RESTORE")
            command.append(kept[index].bytes ?? [])
            command.append(0)
            command.append(kept[index + 1].bytes ?? [])
            _ = try await client.send(command)
        }
    }

    private static func prepare(_ history: RestoreBench) async throws {
        let (bench, yesterday) = (history.bench, noon - RestoreBench.days)
        let live = subjectID("live")
        _ = await bench.record([
            event("early", ["tokens": 7], at: yesterday),
            event("early", ["tokens": 2]),
            event("live", ["tokens": 5, "credits_micro": 1_000], id: "e1"),
            event("live", ["tokens": 5], id: "e2"),
        ])
        _ = try await bench.engine.reverse(ByteString("e2"), reason: .empty)
        _ = try await bench.engine.setCreditPolicy(CreditPolicy())
        _ = try await bench.engine.decide(
            Decision(
                .grant(id: ByteString("g"), expires: nil, priority: 0), subject: live,
                credits: 900_000))
        for id in ["h", "done"] {
            _ = try await bench.engine.decide(
                Decision(
                    .openHold(id: ByteString(id), seconds: 600), subject: live, credits: 10_000))
        }
        _ = try await bench.engine.decide(
            Decision(.releaseHold(id: ByteString("done")), subject: live, credits: 0))
        while await !history.queries.isReady { await history.rest() }
        _ = await bench.record(event("gone", ["tokens": 3]))
        try await history.erase("gone")
        // Those of other workspaces are none of its concern.
        for (id, members) in [
            ("0a", #""workspace":"default""#), ("0b", #""workspace":"other""#),
            ("0c", #""workspace":"default","birth":"b1""#),
        ] {
            let record =
                #"{"name":"n","role":"reader",\#(members),"created_ms":7000,"sha256":"00"}"#
            var command = RedisCommand("HSET")
            for word in ["t1:{@}:keys", id, record] { command.append(word) }
            _ = try await bench.client.send(command)
        }
        _ = try await bench.client.send(
            Self.eval("redis.call('ZADD', 't1:{default}:keys', 7000, '0a')"))
        try await history.flushing.flush()
    }

    @Test(arguments: [UInt64(3), 4])
    func `Nothing differs while others count`(seed: UInt64) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let rounds = try await whileAnotherCounts(on: redis, host, seed: seed) {
                    _, other, number, random in
                    try await other.live(number, &random)
                } _: { history in
                    for _ in 0..<4 {
                        try await history.flushing.flush()
                        let found = try await history.verify()
                        #expect(found == [])
                    }
                }.rounds
                #expect(rounds > 6)
            }
        }
    }
}
