// SPDX-License-Identifier: Apache-2.0

import JSON
import Metering
import Redis
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct VerifyIndexTests {
    /// A command that damages something, and what the difference that tells it says.
    struct Damage: Sendable {
        let words: [String]
        let tells: String

        init(_ command: String, tells: String) {
            words = command.split(separator: " ").map(String.init)
            self.tells = tells
        }
    }

    private static let profile = "profile ann: its place in people"
    private static let foreign = "profile ghost: a place in people"

    static let people: [Damage] = [
        Damage("SREM people:demo ann", tells: "\(profile):demo: expected it, found nothing of it"),
        Damage("SADD people:demo ben", tells: "profile ben: a place in people:demo"),
        Damage("SADD people:demo ghost", tells: "\(foreign):demo"),
        Damage("DEL people:demo", tells: "\(profile):demo"),
        Damage("SREM people:registered ann", tells: "\(profile):registered"),
        Damage("SADD people:registered cleo", tells: "profile cleo: a place in people:registered"),
        Damage("HDEL people:emails ann@example.com", tells: "\(profile):emails"),
        Damage("HSET people:emails ann@example.com ben", tells: "\(profile):emails"),
        Damage("HSET people:emails x@example.com ann", tells: "profile ann: a place in people:em"),
        Damage("HSET people:emails x@example.com ghost", tells: "\(foreign):emails"),
        Damage("HDEL people:phones +123", tells: "\(profile):phones"),
        Damage("ZREM people:by:id ann", tells: "\(profile):by:id"),
        Damage("ZADD people:by:id 1 ann", tells: "\(profile):by:id: expected it, found another"),
        Damage("ZADD people:by:id 0 ghost", tells: "\(foreign):by:id"),
        Damage("ZADD people:by:email 0 ghost", tells: "a place in people:by:email"),
        Damage("DEL people:by:email", tells: "\(profile):by:email"),
        Damage("DEL people:by:username", tells: "\(profile):by:username"),
        Damage("DEL people:by:created_at", tells: "\(profile):by:created_at"),
        Damage("ZADD people:by:created_at 0 1234567ann", tells: "a place in people:by:created_at"),
        Damage("HDEL people ann", tells: "profile ann: a place in people:demo"),
        Damage("HSET people ann x", tells: "profile ann: record"),
    ]

    /// Keys 1 to 4 with known balances, 5 without; 1 to 3 are held, and 1 was used.
    static let pools: [Damage] = [
        Damage(
            "ZADD pool:elevenlabs:free 1 1234567abcdefg", tells: "a place in pool:elevenlabs:fr"),
        Damage("DEL pool:elevenlabs:free", tells: "pool key 5: its place in pool:elevenlabs:free"),
        Damage(
            "DEL pool:elevenlabs:digests", tells: "pool key 1: its place in pool:elevenlabs:dig"),
        Damage("HSET pool:elevenlabs:digests x 1", tells: "a place in pool:elevenlabs:digests"),
        Damage("ZREM pool:elevenlabs:keys 2", tells: "pool key 2: its place in pool:elevenlabs:ke"),
        Damage("ZADD pool:elevenlabs:keys 9 9", tells: "pool key 9: a place in pool:elevenlabs:ke"),
        Damage("DEL pool:held", tells: "pool key 1: its place in pool:held"),
        Damage("ZADD pool:held 0 xx", tells: "a place in pool:held"),
        Damage("DEL pool:ready", tells: "pool key 2: its place in pool:ready"),
        Damage("ZADD pool:ready 0 xx", tells: "a place in pool:ready"),
        Damage("DEL pool:used", tells: "pool key 1: its place in pool:used"),
        Damage("HDEL pool:secrets 4", tells: "pool key 4: its place in pool:secrets"),
        Damage("HSET pool:secrets 9 x", tells: "pool key 9: a place in pool:secrets"),
        Damage("HDEL pool:holders ann", tells: "pool key 1: its place in pool:holders"),
        Damage("HDEL pool:keys 4", tells: "pool key 4: a place in pool:elevenlabs:free"),
        Damage("HDEL pool:keys 1", tells: "holder ann: held, by its keys: expected 2, found 3"),
        Damage("HSET pool:keys 4 x", tells: "pool key 4: record"),
        Damage("HSET pool last_id 7", tells: "pool: last id: expected 8 or more, found 7"),
        Damage("HDEL pool last_id", tells: "pool: last id: expected 8 or more, found 0"),
        Damage("HSET pool last_id x", tells: "pool: last id: expected 8 or more, found x"),
    ]

    private static let notice = "\(noon)-1"
    private static let places = "notice \(notice): places among what is due and was given up"
    static let notices: [Damage] = [
        Damage("ZREM alerts:due \(notice)", tells: "\(places): expected 1, found 0"),
        Damage("ZADD alerts:dead 5 \(notice)", tells: "\(places): expected 1, found 2"),
        Damage("ZADD alerts:due 5 9", tells: "notice 9: record: expected it, found nothing"),
        Damage("HDEL alerts:notices \(notice)", tells: "\(notice): record: expected it, found"),
        Damage("HSET alerts:notices \(notice) x", tells: "\(notice): record: expected a notice"),
    ]

    private static let unreadable = "of the rules: expected to be readable, found something else"

    /// What nothing but the state's file tells of.
    static let alone: [Damage] = [
        Damage("HSET rules prices {", tells: "rules: prices \(unreadable)"),
        Damage("HSET rules limits {", tells: "rules: limits \(unreadable)"),
        Damage("HSET rules credits 7", tells: "rules: credits \(unreadable)"),
        Damage("HSET rules alerts []x", tells: "rules: alerts \(unreadable)"),
        Damage("HSET rules version zz", tells: "rules: version \(unreadable)"),
        Damage("HSET erasures e x", tells: "Redis holds something else: an erasure"),
        Damage("HSET reversed 123456789 x", tells: "something else: a mark of a reversal"),
        Damage("HSET activity ann x", tells: "something else: the times of a subject"),
    ]

    @Test func `What profiles are found by is compared with them`() async throws {
        try await Self.check(Self.people) { _, history in
            let queries = history.queries
            try await queries.put(
                "ann",
                #"{"email":"Ann@example.com","phone":"+1 23","username":"Än","demo":true}"#)
            try await queries.put("ben", #"{"username":"ben"}"#)
            try await queries.put("cleo", #"{"active":false,"email":"c@example.com"}"#)
            try await queries.put("guest:1", #"{"username":"g"}"#)
        }
    }

    @Test func `Lists of pools and sums of holders are compared with their keys`() async throws {
        try await Self.check(Self.pools) { _, history in
            let queries = history.queries
            try await queries.stock([5000, 4000, 3000, 2000, nil])
            try await queries.stock([-7, 0, 900], provider: poolProvider("openai"))
            let ids = try await queries.assign(3, to: "ann")
            _ = try await queries.report(ids[0], "active", "-20")
            _ = try await queries.assign(1, to: "ben", provider: poolProvider("openai"))
            _ = try await queries.report(ids[2], "dead", "null")
        }
    }

    @Test func `Notices are compared with what is due, and what was given up`() async throws {
        try await Self.check(Self.notices) { _, history in
            let book = """
                {"alerts":[{"name":"files","on":{"limit":"files_per_day"},"percent":[50],
                "to":{"webhook":"https://a.example/"}}]}
                """
            let draft = try AlertBook.Draft(try JSONReader().read(Array(book.utf8)))
            _ = try await history.queries.setAlerts(draft, ifTag: nil)
            _ = await history.bench.record(event("ann", ["files_uploaded": 60]))
        }
    }

    @Test(arguments: [false, true])
    func `What cannot be read is named, whether or not its file is as new`(
        isFlushed: Bool
    ) async throws {
        try await Self.check(Self.alone, isFlushed: isFlushed) { _, history in
            try await history.queries.put("ann", #"{"username":"ann"}"#)
            _ = await history.bench.record(event("ann", ["tokens": 1]))
        }
    }

    /// Damages one thing after the other, each of which has to be told.
    ///
    /// - Parameter isFlushed: whether the files are as new as what is damaged.
    static func check(
        _ damages: [Damage], isFlushed: Bool = true,
        _ prepare: @Sendable (isolated LoopHost, RestoreBench) async throws -> Void
    ) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let history = try await RestoreBench(redis, on: host.loop, clock: ManualClock(noon))
                try await prepare(host, history)
                try await history.flushing.flush()
                if !isFlushed { try await history.queries.put("ben", #"{"username":"ben"}"#) }
                #expect(try await history.verify() == [])
                for damage in damages {
                    let key = "t1:{default}:\(damage.words[1])"
                    let words = [damage.words[0], key] + damage.words.dropFirst(2)
                    var dump = RedisCommand("DUMP")
                    dump.append(key)
                    let kept = try await history.bench.client.send(dump).bytes
                    var change = RedisCommand("EVAL")
                    change.append("return redis.call(unpack(ARGV))")
                    change.append(0)
                    for word in words { change.append(word) }
                    _ = try await history.bench.client.send(change)
                    let found = try await history.verify()
                    #expect(
                        found.contains { $0.description.contains(damage.tells) },
                        "\(damage.words): \(found)")
                    var restore = RedisCommand(kept == nil ? "DEL" : "RESTORE")
                    restore.append(key)
                    if let kept {
                        restore.append(0)
                        restore.append(kept)
                        restore.append("REPLACE")
                    }
                    _ = try await history.bench.client.send(restore)
                }
                #expect(try await history.verify() == [])
            }
        }
    }
}
