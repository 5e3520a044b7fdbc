// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPServer
import Metering
import Synchronization
import TestSupport
import Testing

/// What is left of a guest who was merged: nothing that counts, and nothing that outlives its user.
@Suite(.timeLimit(.minutes(15))) struct MergedGuestTests {
    /// Hands what the pools know of one holder to another, whose name is as long: guests held keys once.
    private static func hand(_ redis: RedisServer, from old: String, to new: String) throws {
        #expect(old.utf8.count == new.utf8.count)
        let script = """
            local function named(text) return (string.gsub(text, ARGV[1], ARGV[2])) end \
            for _, name in ipairs({'held', 'ready', 'used'}) do local key = 't1:{default}:pool:' .. name \
            for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do \
            redis.call('ZREM', key, member) redis.call('ZADD', key, 0, named(member)) end end \
            for _, name in ipairs({'keys', 'holders'}) do local key = 't1:{default}:pool:' .. name \
            local all = redis.call('HGETALL', key) for i = 1, #all, 2 do redis.call('HDEL', key, all[i]) \
            redis.call('HSET', key, named(all[i]), named(all[i + 1])) end end return 'done'
            """
        #expect(try redis.request("EVAL \"\(script)\" 0 \(old) \(new)").contains("done"))
    }

    private static func merge(_ api: Harness, _ guest: String, into user: String) async {
        let answer = await api.send(
            .post, "/v1/subjects/\(user)/merge", #"{"guest":"\#(guest)"}"#)
        #expect(answer.status == 200, "\(answer.text)")
    }

    private static func erase(_ api: Harness, _ name: String) async -> Answer {
        await api.send(
            .authorized(.delete, "/v1/subjects/\(percentEncoded(name))", query: "erase=true"))
    }

    @Test func `Keys of pools that a merged guest holds are given back with the user's`()
        async throws
    {
        try await withPoolAPI { _, api, redis in
            await api.stock([900, 1000, 1100, 1200])
            for (count, user) in [(2, "guess:kk"), (1, "uu")] {
                #expect(await api.assign(count, to: "\"\(user)\"").status == 200)
            }
            #expect(await api.report(2).status == 200)
            try Self.hand(redis, from: "guess:kk", to: "guest:kk")
            _ = await api.post(#"{"subject":"guest:kk","meters":{"tokens":5}}"#)
            await Self.merge(api, "guest:kk", into: "uu")
            #expect(
                await api.get("/api/elevenlabs/keys", query: "user_id=guest:kk").list("keys").count
                    == 2)
            let answer = await Self.erase(api, "uu")
            #expect(answer.status == 200, "\(answer.text)")
            #expect(answer.at("removed", "pool_keys") as? Int == 3)
            #expect(answer.at("removed", "guests") as? Int == 1)
            let held = await api.get("/api/elevenlabs/keys", query: "assigned=true")
            #expect(held.list("keys").isEmpty, "\(held.text)")
            // What was received ever stays, of all of them together.
            let users = await api.get("/api/users").list("users")
            let ids = users.map { $0["id"] as? String }
            #expect(ids == [answer.json["anonymous"] as? String])
            #expect(users.first?["total_keys_received"] as? Int == 3)
            #expect(await Self.erase(api, "uu").status == 404)
            await api.expectGoesOn()
        }
    }

    @Test func `A key that a guest was given is not its user's`() async throws {
        try await withPoolAPI { _, api, _ in
            _ = await api.post(#"{"subject":"guest:g","meters":{"tokens":5}}"#)
            _ = await api.post(#"{"subject":"ann","meters":{"tokens":100}}"#)
            let guest = try await Caller(
                api, #"{"role":"self","subject":"guest:g","name":"tool"}"#)
            let calls: [(HTTPMethod, String, String)] = [
                (.get, "/usage/me", ""), (.get, "/usage/limits", ""),
                (.post, "/api/user/update-tokens", #"{"totalTokens":7}"#),
            ]
            for (method, path, body) in calls {
                let answer = await guest.send(method, path, body)
                #expect(answer.status == 200, "\(path): \(answer.text)")
            }
            await Self.merge(api, "guest:g", into: "ann")
            for (method, path, body) in calls {
                let answer = await guest.send(method, path, body)
                #expect(answer.code == "guest_merged", "\(path): \(answer.text)")
            }
        }
    }

    @Test func `Nor at a gateway, however often it asks`() async throws {
        try await withExports { bench in
            try await blocking {
                let client = bench.client()
                for name in ["guest:g", "ann"] {
                    let event = #"{"subject":"\#(name)","meters":{"tokens":1}}"#
                    #expect(try client.post("/v1/events", event).status == 200)
                }
                let made = try client.post(
                    "/v1/keys", #"{"role":"self","subject":"guest:g","name":"tool"}"#)
                let guest = BlockingHTTPClient(
                    port: bench.port, key: made.json["secret"] as? String)
                func ask() throws -> [Int] {
                    try (0..<3).map { _ in
                        try guest.get("/v1/gateway/check?limits=files_per_day").status
                    }
                }
                #expect(try ask() == [200, 200, 200])
                let merged = try client.post(
                    "/v1/subjects/ann/merge", #"{"guest":"guest:g"}"#)
                #expect(merged.status == 200, "\(merged.text)")
                #expect(try ask() == [403, 403, 403])
            }
        }
    }

    @Test func `Guests get no keys of pools`() async throws {
        try await withPoolAPI { _, api, _ in
            await api.stock([900])
            _ = await api.post(#"{"subject":"guest:kk","meters":{"tokens":5}}"#)
            for merged in [false, true] {
                if merged { await Self.merge(api, "guest:kk", into: "uu") }
                let answer = await api.assign(1, to: #""guest:kk""#)
                #expect(answer.status == 422 && answer.code == "invalid_id", "\(answer.text)")
                #expect(answer.detail.contains("guests"))
            }
            #expect(await api.get("/api/users").list("users").isEmpty)
            #expect(await api.assign(1, to: #""uu""#).status == 200)
        }
    }

    /// Makes a profile for a guest who is a user by now, as earlier versions did.
    private static func introduce(
        _ api: Harness, _ redis: RedisServer, _ guest: String, _ profile: String
    ) async throws {
        let user = try redis.request("HGET t1:{default}:merged \(guest)").split(separator: "\r\n")
        #expect(try redis.request("HDEL t1:{default}:merged \(guest)") == ":1\r\n")
        #expect(await api.send(.put, "/v1/subjects/\(guest)", profile).status == 201)
        let name = try #require(user.last)
        #expect(try redis.request("HSET t1:{default}:merged \(guest) \(name)") == ":1\r\n")
    }

    @Test func `A guest who has become a user gets no profile`() async throws {
        try await withPoolAPI { _, api, redis in
            await Self.merge(api, "guest:h9", into: "uu")
            for kept in [false, true] {
                // One that an earlier version made can be removed, and that is all.
                if kept { try await Self.introduce(api, redis, "guest:h9", "{}") }
                for method in kept ? [HTTPMethod.put, .patch] : [.put] {
                    let answer = await api.send(
                        method, "/v1/subjects/guest:h9", #"{"full_name":"H"}"#)
                    #expect(answer.status == 409 && answer.code == "guest_merged", "\(answer.text)")
                }
                let imported = await api.send(
                    .authorized(
                        .post, "/v1/subjects/import",
                        headers: ["Content-Type": "application/x-ndjson"],
                        body: Array(#"{"id":"guest:h9","role":"r"}\#n{"id":"uu"}"#.utf8)))
                #expect(imported.status == 200 && imported.json["failed"] as? Int == 1)
                #expect(imported.text.contains("guest_merged"), "\(imported.text)")
                let listed = await api.get("/v1/subjects").list("subjects").map {
                    $0["id"] as? String
                }
                #expect(listed == (kept ? ["guest:h9", "uu"] : ["uu"]))
            }
            let removed = await api.send(.authorized(.delete, "/v1/subjects/guest:h9"))
            #expect(removed.status == 204)
        }
    }

    @Test func `With a user go the keys, alerts and profiles of its guests`() async throws {
        try await withPoolAPI { _, api, redis in
            let limits = #"{"limits":[{"name":"mine","meter":"tokens","window":"day","guest":5}]}"#
            #expect(await api.send(.put, "/v1/limits", limits).status == 200)
            for name in ["guest:h9", "guest:other", "uu"] {
                _ = await api.post(#"{"subject":"\#(name)","meters":{"tokens":1}}"#)
                let made = await api.send(
                    .post, "/v1/keys", #"{"role":"self","subject":"\#(name)"}"#)
                #expect(made.status == 201, "\(made.text)")
            }
            let alert =
                #""on":{"limit":"mine"},"percent":[50],"to":{"webhook":"https://1.1.1.1/a"}"#
            let alerts = ["guest:h9", "guest:other"].map {
                #"{"name":"of_\#($0.dropFirst(6))","subject":"\#($0)",\#(alert)}"#
            }
            let put = await api.send(
                .put, "/v1/alerts", #"{"alerts":[\#(alerts.joined(separator: ","))]}"#)
            #expect(put.status == 200, "\(put.text)")
            await Self.merge(api, "guest:h9", into: "uu")
            try await Self.introduce(api, redis, "guest:h9", #"{"email":"hh@example.com"}"#)

            let refused = await Self.erase(api, "guest:h9")
            #expect(refused.status == 409 && refused.code == "guest_merged")
            let keys = await api.get("/v1/keys")
            #expect(keys.text.contains("guest:h9"), "a refused call revokes nothing")

            let answer = await Self.erase(api, "uu")
            #expect(answer.status == 200, "\(answer.text)")
            for (part, count) in [
                ("api_keys", 2), ("alerts", 1), ("guests", 1), ("profiles", 1),
            ] {
                #expect(answer.at("removed", part) as? Int == count, "\(part): \(answer.text)")
            }
            for place in ["/v1/keys", "/v1/alerts"] {
                let text = await api.get(place).text
                #expect(!text.contains("guest:h9"), "\(place): \(text)")
                #expect(text.contains("guest:other"), "\(place): \(text)")
            }
            #expect(await api.get("/v1/keys").list("keys").count == 1)
            #expect(await !api.get("/v1/audit").text.contains("h9"))
            #expect(await !api.get("/v1/audit").text.contains("hh@example"))
        }
    }

    @Test func `A user of whom only a guest without use is known can be erased`() async throws {
        try await withPoolAPI { _, api, redis in
            await Self.merge(api, "guest:mm", into: "uu")
            let before = try redis.request("HLEN t1:{default}:merged")
            #expect(before == ":1\r\n")
            #expect(await Self.erase(api, "uu").status == 200)
            let after = try redis.request("HLEN t1:{default}:merged")
            #expect(after == ":0\r\n")
        }
    }

    /// What surfaces tell that count or list people.
    private static func told(_ api: Harness) async throws -> [String] {
        var texts: [String] = []
        for call in [
            "overview?days=30", "daily-trend?days=3", "stats", "coverage",
            "users?limit=50&sort_by=email", "users?limit=50&sort_by=total",
        ] {
            let parts = call.split(separator: "?").map(String.init)
            let answer = await api.credits(parts[0], parts.count > 1 ? parts[1] : nil)
            #expect(answer.status == 200, "\(call): \(answer.text)")
            texts.append(answer.text)
        }
        // The rows of `export.csv`.
        let accounts = try await api.queries.creditBalances()
        texts.append("\(accounts.map(\.subject.text))")
        return texts + [await api.get("/admin/analytics").text]
    }

    @Test func `No surface counts or lists a guest who has become a user`() async throws {
        try await withPoolAPI { _, api, redis in
            await api.introduce("1", "ann@example.com")
            await api.introduce("2", "demo@example.com", #","demo":true"#)
            for guest in ["guest:v", "guest:w", "guest:d"] {
                await api.allow(guest, "10")
                await api.count([
                    creditEvent(guest, "chat", credits: "2", more: #","meters":{"tokens":3}"#)
                ])
            }
            await api.count([creditEvent("guest:stays", "chat", credits: "1")])
            // One was merged and is in demo mode; of one nothing was ever counted.
            for guest in ["guest:v", "guest:w", "guest:d", "guest:never"] {
                await Self.merge(api, guest, into: "1")
            }
            try await Self.introduce(api, redis, "guest:d", #"{"demo":true}"#)
            let told = try await Self.told(api)
            #expect(told[0].contains(#""active_users":2"#), "\(told[0])")
            #expect(told[1].contains(#""unique_users":2"#), "\(told[1])")
            #expect(told[2].contains(#""active_users":2,"users_with_balance":2"#), "\(told[2])")
            #expect(told[3].contains(#""total_users":2,"users_with_balance":2"#), "\(told[3])")
            for listed in told[4...5] { #expect(listed.contains(#""count":2"#), "\(listed)") }
            #expect(told[6] == #"["1", "guest:stays"]"#)
            #expect(told[7].contains(#""total_users":1,"total_guests":1"#), "\(told[7])")
        }
    }

    @Test func `Nor after the loss of Redis and a restore`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let data = try makeTemporaryFolder()
                defer { removeFolder(data) }
                let api = await Harness(redis, on: host.loop, data: data)
                for name in ["guest:v", "guest:w", "guest:stays", "1"] {
                    await api.allow(name, "10")
                    await api.count([creditEvent(name, "chat", credits: "2")])
                }
                for guest in ["guest:v", "guest:w", "guest:never"] {
                    await Self.merge(api, guest, into: "1")
                }
                let before = try await Self.told(api)
                #expect(before[0].contains(#""active_users":2"#), "\(before[0])")
                #expect(before[7].contains(#""total_users":1,"total_guests":1"#), "\(before[7])")
                try await ReceiptRestoreTests.flush(api, redis, on: host.loop, data)
                let found = Mutex<[String]>([])
                try await api.queries.verify(
                    snapshots: "\(data)/rollups/default", isOnlyFolder: true, progress: { _ in },
                    report: { difference in found.withLock { $0.append("\(difference)") } })
                #expect(found.withLock { $0 } == [])
                try redis.request("FLUSHALL")
                _ = try await api.queries.restore(
                    from: "\(data)/rollups/default", into: nil, isForced: false,
                    progress: { _, _ in })
                let restored = try await Self.told(api)
                for (one, other) in zip(restored, before) { #expect(one == other) }
                await api.queries.stop()
            }
        }
    }

    @Test func `A guest who has become a user has no allowance of its own any more`() async throws {
        try await withPoolAPI { _, api, _ in
            let policy = await api.send(.put, "/v1/credit-policy", #"{"default_allowance":"5"}"#)
            #expect(policy.status == 200, "\(policy.text)")
            // One had an account, one had none.
            await api.count([creditEvent("guest:v", "chat", credits: "2")])
            _ = await api.post(#"{"subject":"guest:n","meters":{"tokens":1}}"#)
            for (guest, user) in [("guest:v", "ann"), ("guest:n", "bob")] {
                await Self.merge(api, guest, into: user)
                let its = await api.get("/v1/credits/\(percentEncoded(guest))")
                #expect(its.status == 200, "\(its.text)")
                #expect(its.json["subject"] as? String == user)
                #expect(its.text == (await api.get("/v1/credits/\(user)").text))
                // Its ledger stays where it was, and ends with the merge.
                let ledger = await api.get("/v1/credits/\(percentEncoded(guest))/ledger")
                #expect(ledger.json["current_balance"] as? Int == 0, "\(ledger.text)")
                #expect(ledger.list("entries").count == (guest == "guest:v" ? 3 : 0))
            }
        }
    }
}
