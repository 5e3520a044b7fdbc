// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPServer
import Metering
import TestSupport
import Testing

@testable import MeteringAPI

extension Harness {
    fileprivate func audit(_ query: String? = nil) async -> [[String: Any]] {
        let answer = await get("/v1/audit", query: query)
        #expect(answer.status == 200, "\(answer.text)")
        return answer.list("entries")
    }

    fileprivate func makeSecret(_ body: String) async throws -> String {
        let made = await send(.post, "/v1/keys", body)
        return try #require(made.json["secret"] as? String, "\(made.text)")
    }
}

private func bearer(
    _ method: HTTPMethod, _ path: String, _ body: String = "", secret: String,
    headers: [String: String] = [:]
) -> HTTPRequest {
    .authorized(
        method, path,
        headers: [
            "Authorization": "Bearer \(secret)", "Content-Type": "application/json",
        ].merging(headers) { $1 }, body: Array(body.utf8))
}

/// An act as it is told, without what is different each time.
private func short(_ entry: [String: Any]) -> String {
    "\(entry["actor"] ?? "") \(entry["action"] ?? "") \(entry["status"] ?? "")"
}

@Suite(.timeLimit(.minutes(15))) struct AuditTests {
    @Test func `An act is told with who, what, when, from where, before and after`() async throws {
        try await withAPI { _, api, _ in
            let secret = try await api.makeSecret(#"{"role":"admin","name":"x"}"#)
            let id = secret.split(separator: "_")[1]
            _ = await api.send(
                bearer(.put, "/v1/subjects/a%40b", #"{"username":"ann"}"#, secret: secret))
            api.clock.advance(61_000)
            _ = await api.send(
                bearer(.patch, "/v1/subjects/a%40b", #"{"username":"bob"}"#, secret: secret))
            let all = await api.audit()
            #expect(
                all.map(short) == [
                    "key:\(id) PATCH /v1/subjects/{id} 200",
                    "key:\(id) PUT /v1/subjects/{id} 201", "operator POST /v1/keys 201",
                ])
            let last = all[0]
            #expect(last["role"] as? String == "admin")
            #expect(last["address"] as? String == "127.0.0.1")
            #expect(last["path"] as? String == "/v1/subjects/a%40b")
            #expect(last["time"] as? String == "2026-11-21T10:01:01Z")
            #expect(last["finished_at"] as? String == "2026-11-21T10:01:01Z")
            func name(_ member: String, _ entry: [String: Any]) -> String? {
                let profile = (entry[member] as? [String: Any])?["profile"] as? [String: Any]
                return profile?["username"] as? String
            }
            #expect(name("before", last) == "ann" && name("after", last) == "bob")
            #expect(all[1]["before"] is NSNull && name("after", all[1]) == "ann")
        }
    }

    @Test func `What a verb at the end changes is told, and what is removed is not there`()
        async throws
    {
        try await withAPI { _, api, _ in
            await api.allow("ann", "7.5")
            await api.introduce("ann", "ann@example.com")
            _ = await api.send(.authorized(.delete, "/v1/subjects/ann"))
            let all = await api.audit()
            try #require(all.count == 3)
            func allowance(_ name: String) -> Double? {
                (all[2][name] as? [String: Any])?["monthly_allowance"] as? Double
            }
            #expect(allowance("before") == 0 && allowance("after") == 7.5)
            #expect(all[0]["status"] as? Int == 204)
            let before = (all[0]["before"] as? [String: Any])?["profile"] as? [String: Any]
            #expect(before?["email"] as? String == "ann@example.com")
            let after = all[0]["after"] as? [String: Any]
            #expect(after == nil || after?["profile"] is NSNull)
        }
    }

    @Test func `What is done to a guest who was merged is told of the user`() async throws {
        try await withPoolAPI { _, api, _ in
            _ = await api.post(#"{"subject":"guest:g","meters":{"tokens":1}}"#)
            _ = await api.post(#"{"subject":"ann","meters":{"tokens":1}}"#)
            let merged = await api.send(
                .post, "/v1/subjects/ann/merge", #"{"guest":"guest:g"}"#)
            #expect(merged.status == 200, "\(merged.text)")
            let path = "/v1/credits/guest%3Ag/grants"
            #expect(await api.send(.post, path, #"{"id":"x","credits":"50"}"#).status == 201)
            let act = try #require(await api.audit().first)
            #expect(act["path"] as? String == path)
            for (member, balance) in [("before", "0"), ("after", "50")] {
                let account = act[member] as? [String: Any]
                #expect(account?["subject"] as? String == "ann")
                #expect("\(account?["current_balance"] ?? "")" == balance, "\(act)")
            }
        }
    }

    @Test func `No secret is in the log`() async throws {
        try await withPoolAPI { _, api, redis in
            let secret = try await api.makeSecret(#"{"role":"writer","name":"x"}"#)
            let imported = await api.send(
                .post, "/api/elevenlabs/keys/import",
                #"[{"name":"k","secret":"sk-very-secret-text"}]"#)
            #expect(imported.status == 200, "\(imported.text)")
            let shown = await api.get("/api/elevenlabs/keys/1")
            #expect(shown.text.contains("sk-very-secret-text"))
            let edited = await api.send(
                .patch, "/api/elevenlabs/keys/1", #"{"credit_balance":900}"#)
            #expect(edited.status == 200, "\(edited.text)")
            let answer = await api.get("/v1/audit")
            let all = answer.list("entries")
            #expect(all.count == 3)
            #expect((all[0]["before"] as? [String: Any])?["secret"] as? String == "hidden")
            #expect((all[0]["after"] as? [String: Any])?["credit_balance"] as? Int == 900)
            #expect((all[2]["after"] as? [String: Any])?["name"] as? String == "x")
            for text in [
                answer.text, try redis.request("XRANGE t1:{default}:audit - +"),
                try redis.request("HVALS t1:{default}:audit:outcomes"),
            ] {
                #expect(!text.contains("sk-very-secret-text"))
                #expect(!text.contains(secret) && !text.contains(secret.suffix(20)))
            }
        }
    }

    @Test func `No administrative route can be forgotten`() async throws {
        let changing = Router.routes.filter {
            $0.method != .get
                && ($0.access == .admin || $0.access == .operator || $0.name.hasSuffix("/merge"))
        }
        #expect(changing.count >= 20)
        for route in Router.routes {
            #expect(
                route.isAudited
                    == changing.contains { $0.name == route.name && $0.method == route.method })
        }
        try await withAPI { _, api, _ in
            for route in changing {
                // Of a subject, a workspace or a key that there is none of, with a body that says
                // nothing: most are refused, and noted all the same.
                let path = route.path.map { $0.first == "{" ? "nobody" : String($0) }
                let answer = await api.send(
                    route.method, "/" + path.joined(separator: "/"), "{}")
                let noted = await api.audit("limit=1").first ?? [:]
                #expect(
                    short(noted) == "operator \(route.method.name) \(route.name) \(answer.status)")
            }
            #expect(await api.audit("limit=1000").count == changing.count)
        }
    }

    @Test func `Workspaces have logs of their own, and none tells of another`() async throws {
        try await withAPI { _, api, _ in
            var secrets: [String: String] = [:]
            for name in ["one", "two"] {
                _ = await api.send(.post, "/v1/workspaces", #"{"id":"\#(name)"}"#)
                secrets[name] = try await api.makeSecret(
                    #"{"role":"admin","name":"x","workspace":"\#(name)"}"#)
            }
            _ = await api.send(
                bearer(.put, "/v1/prices", #"{"credit_rate":"10"}"#, secret: secrets["one"] ?? ""))
            // The operator acts in a workspace that it names.
            _ = await api.send(
                bearer(
                    .put, "/v1/prices", #"{"credit_rate":"9"}"#, secret: key,
                    headers: ["X-Tally-Workspace": "one"]))
            func told(_ name: String) async -> [String] {
                let answer = await api.send(
                    bearer(.get, "/v1/audit", secret: secrets[name] ?? ""))
                return answer.list("entries").map { "\($0["role"] ?? "") \($0["action"] ?? "")" }
            }
            // A key is noted where it opens.
            #expect(
                await told("one") == [
                    "operator PUT /v1/prices", "admin PUT /v1/prices", "operator POST /v1/keys",
                ])
            #expect(await told("two") == ["operator POST /v1/keys"])
            // A workspace takes its log with it, but for what was done with the workspace itself.
            _ = await api.send(.authorized(.delete, "/v1/workspaces/one"))
            #expect(
                await api.audit().map(short) == [
                    "operator DELETE /v1/workspaces/{workspace} 202",
                    "operator POST /v1/workspaces 201", "operator POST /v1/workspaces 201",
                ])
        }
    }

    @Test func `Acts at the same time are all noted, each once`() async throws {
        try await withExports { bench in
            await inParallel(16) { caller in
                let client = bench.client()
                for number in 4 * caller..<4 * caller + 4 {
                    let body = Array(#"{"monthly_allowance":"\#(number)"}"#.utf8)
                    let answer = try? client.request(
                        "PUT", "/v1/credits/u\(number)/allowance", body, "application/json")
                    #expect(answer?.status == 200)
                }
            }
            let told = try bench.client().get("/v1/audit?limit=1000").json["entries"]
            let all = try #require(told as? [[String: Any]])
            #expect(all.count == 64)
            #expect(Set(all.compactMap { $0["id"] as? String }).count == 64)
            let numbers = all.compactMap { entry -> Int? in
                let after = entry["after"] as? [String: Any]
                guard let allowance = after?["monthly_allowance"] as? Int else { return nil }
                #expect(entry["path"] as? String == "/v1/credits/u\(allowance)/allowance")
                return allowance
            }
            #expect(Set(numbers) == Set(0..<64))
        }
    }

    @Test func `A key that is revoked is told as it was`() async throws {
        try await withAPI { _, api, _ in
            let made = await api.send(.post, "/v1/keys", #"{"role":"reader","name":"desk"}"#)
            let id = try #require(made.json["id"] as? String)
            let shown = await api.get("/v1/keys/\(id)")
            #expect(shown.json["name"] as? String == "desk" && shown.json["secret"] == nil)
            #expect(await api.send(.authorized(.delete, "/v1/keys/\(id)")).status == 204)
            #expect(await api.get("/v1/keys/\(id)").status == 404)
            let act = try #require(await api.audit().first)
            #expect(act["action"] as? String == "DELETE /v1/keys/{key}")
            #expect((act["before"] as? [String: Any])?["name"] as? String == "desk", "\(act)")
            #expect(act["after"] is NSNull)
        }
    }

    @Test func `Events of any age are noted, without what they are`() async throws {
        try await withAPI { _, api, _ in
            for query in [nil, "backfill=true", "backfill=%74rue", "backfill=false"] {
                let event = #"{"id":"\#(query ?? "none")","subject":"a","meters":{"tokens":1}}"#
                #expect(await api.post(event, query: query).status == 200)
            }
            let told = await api.audit()
            #expect(told.map(short) == Array(repeating: "operator POST /v1/events 200", count: 2))
            #expect(told.allSatisfy { $0["after"] is NSNull && $0["before"] is NSNull })
        }
    }

    @Test func `Of long JSON is told how long it was`() async throws {
        try await withAPI { _, api, _ in
            let models = (0..<400).map { #""model-\#($0)":{"input":1,"output":2}"# }
            let put = await api.send(
                .put, "/v1/prices", #"{"models":{\#(models.joined(separator: ","))}}"#)
            #expect(put.status == 200 && put.body.count > 16_384, "\(put.text.prefix(300))")
            let after = await api.audit().first?["after"] as? [String: Any]
            #expect(after?["omitted_bytes"] as? Int == put.body.count)
        }
    }

    @Test func `Nothing is done that cannot be noted, and what was not told how it went says so`()
        async throws
    {
        try await withAPI { _, api, redis in
            let act = AuditAct(
                actor: ByteString("key:1"), role: "admin", address: "::1", method: "PUT",
                route: "/v1/prices", path: "/v1/prices", before: Array("{}".utf8))
            let id = try await api.queries.beginAct(act)
            let begun = await api.audit()[0]
            #expect(begun["status"] is NSNull && begun["finished_at"] is NSNull)
            try await api.queries.endAct(id, status: 200, after: Array("[1]".utf8))
            // Once: it cannot be changed any more.
            try await api.queries.endAct(id, status: 500, after: nil)
            let ended = await api.audit()[0]
            #expect(ended["status"] as? Int == 200 && ended["after"] as? [Int] == [1])
            _ = try redis.request("RENAME t1:{default}:audit elsewhere")
            _ = try redis.request("SET t1:{default}:audit nonsense")
            let refused = await api.send(.put, "/v1/prices", #"{"credit_rate":"3"}"#)
            #expect(refused.status == 503, "\(refused.text)")
            #expect(await api.get("/v1/prices").json["credit_rate"] as? Int != 3)
        }
    }
}

@Suite(.timeLimit(.minutes(15))) struct AuditListTests {
    @Test(arguments: [3, 4] as [UInt64])
    func `Pages and filters give what a plain list does, also while acts come`(
        seed: UInt64
    ) async throws {
        try await withAPI { _, api, _ in
            var random = SeededGenerator(seed)
            var model: [(actor: String, action: String, time: Int)] = []
            func act() async throws {
                api.clock.advance([0, 0, 1, 500].randomElement(using: &random) ?? 0)
                let (actor, route) = (
                    "key:\(Int.random(in: 0..<3, using: &random))",
                    ["/v1/prices", "/v1/limits"].randomElement(using: &random) ?? ""
                )
                _ = try await api.queries.beginAct(
                    AuditAct(
                        actor: ByteString(actor), role: "admin", address: "", method: "PUT",
                        route: route, path: route, before: nil))
                model.append((actor, "PUT \(route)", api.clock.now.milliseconds))
            }
            for _ in 0..<350 { try await act() }
            for _ in 0..<12 {
                let actor = Bool.random(using: &random) ? "key:1" : nil
                let action = Bool.random(using: &random) ? "PUT /v1/limits" : nil
                let ends = [0, 100, 349].map { model[$0].time }.shuffled(using: &random)
                let from = Bool.random(using: &random) ? min(ends[0], ends[1]) : nil
                let until = Bool.random(using: &random) ? max(ends[0], ends[1]) + 1 : nil
                let expected = model.filter { entry in
                    (actor.map { $0 == entry.actor } ?? true)
                        && (action.map { $0 == entry.action } ?? true)
                        && (from.map { $0 <= entry.time } ?? true)
                        && (until.map { entry.time < $0 } ?? true)
                }.reversed().map { "\($0.actor) \($0.action) \($0.time)" }
                var query = "limit=\([1, 7, 60, 100, 1000].randomElement(using: &random) ?? 1)"
                if let actor { query += "&actor=\(actor)" }
                if let action { query += "&action=\(percentEncoded(action))" }
                if let from { query += "&from=\(Timestamp(milliseconds: from).text)" }
                if let until { query += "&to=\(Timestamp(milliseconds: until).text)" }
                var told: [String] = []
                var cursor = ""
                repeat {
                    let page = await api.get("/v1/audit", query: query + cursor)
                    for entry in page.list("entries") {
                        let time = (entry["time"] as? String).flatMap { Timestamp($0) }
                        told.append(
                            "\(entry["actor"] ?? "") \(entry["action"] ?? "") "
                                + "\(time?.milliseconds ?? 0)")
                    }
                    cursor = (page.json["next"] as? String).map { "&cursor=\($0)" } ?? ""
                    // What comes after the first page is on none of them.
                    try await act()
                } while !cursor.isEmpty
                #expect(told == expected, "\(query)")
            }
        }
    }

    @Test func `An earlier clock changes no order`() async throws {
        try await withAPI { _, api, _ in
            await api.allow("a", "1")
            api.clock.advance(-60_000)
            await api.allow("b", "1")
            let all = await api.audit()
            #expect(
                all.map { $0["path"] as? String } == [
                    "/v1/credits/b/allowance", "/v1/credits/a/allowance",
                ])
            #expect(all.allSatisfy { $0["time"] as? String == "2026-11-21T10:00:00Z" })
            #expect(all[0]["finished_at"] as? String == "2026-11-21T09:59:00Z")
        }
    }

    @Test func `All of it is exported`() async throws {
        try await withExports { bench in
            let client = bench.client()
            for number in 0..<7 {
                let answer = try client.request(
                    "PUT", "/v1/credits/u\(number)/allowance",
                    Array(#"{"monthly_allowance":"\#(number)"}"#.utf8), "application/json")
                #expect(answer.status == 200)
            }
            for format in ["csv", "json", "ndjson"] {
                let answer = try client.get("/v1/export/audit?format=\(format)&actor=operator")
                let rows = try readByPython(answer.body, format)
                #expect(
                    rows.map { $0["path"] as? String }
                        == (0..<7).reversed().map { "/v1/credits/u\($0)/allowance" })
                #expect(rows.allSatisfy { "\($0["status"] ?? "")" == "200" })
                if format != "csv" {
                    let after = rows[0]["after"] as? [String: Any]
                    #expect(after?["monthly_allowance"] as? Int == 6)
                }
            }
            #expect(
                try readByPython(
                    client.get("/v1/export/audit?actor=nobody&format=json").body, "json"
                ).isEmpty)
        }
    }

    @Test(arguments: [
        ("limit=0", "invalid_parameter"), ("limit=1001", "invalid_parameter"),
        ("cursor=x", "invalid_cursor"), ("cursor=1-", "invalid_cursor"),
        ("cursor=-1-1", "invalid_cursor"), ("from=yesterday", "invalid_parameter"),
        ("from=2026-11-21&to=2026-11-20", "invalid_parameter"),
        ("before=1", "unknown_parameter"), ("actor=a&actor=b", "duplicate_parameter"),
    ])
    func `What cannot be answered is refused`(query: String, code: String) async throws {
        try await withAPI { _, api, _ in
            let answer = await api.get("/v1/audit", query: query)
            #expect(answer.status == 400 && answer.code == code, "\(answer.text)")
        }
    }

    @Test func `Only administrators see it, and no route changes it`() async throws {
        #expect(Router.routes.filter { $0.name.contains("audit") }.allSatisfy { $0.method == .get })
        try await withAPI { _, api, _ in
            for role in ["writer", "reader", "admin"] {
                let secret = try await api.makeSecret(#"{"role":"\#(role)","name":"x"}"#)
                for path in ["/v1/audit", "/v1/export/audit"] {
                    let answer = await api.send(bearer(.get, path, secret: secret))
                    #expect(answer.status == (role == "admin" ? 200 : 403), "\(role) \(path)")
                }
                #expect(
                    await api.send(bearer(.delete, "/v1/audit", secret: secret)).status == 405)
            }
        }
    }
}
