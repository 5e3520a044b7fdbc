// SPDX-License-Identifier: Apache-2.0

import HTTPServer
import TestSupport
import Testing

/// Somebody with a key of its own.
struct Caller {
    let api: Harness
    let secret: String

    init(_ api: Harness, _ body: String) async throws {
        self.api = api
        let made = await api.send(.post, "/v1/keys", body)
        secret = try #require(made.json["secret"] as? String, "\(made.text)")
    }

    init(_ api: Harness, secret: String) { (self.api, self.secret) = (api, secret) }

    func send(
        _ method: HTTPMethod, _ path: String, _ body: String = "", headers: [String: String] = [:]
    ) async -> Answer {
        let fields = [
            "Authorization": "Bearer \(secret)", "Content-Type": "application/json",
        ].merging(headers) { $1 }
        return await api.send(
            .authorized(method, path, headers: fields, body: Array(body.utf8)))
    }
}

@Suite(.timeLimit(.minutes(15))) struct KeyHolderTests {
    static func report(_ id: Int) -> String { #"{"key_id":\#(id),"status":"active"}"# }

    @Test func `A holder reads its own keys whole, and reports only these`() async throws {
        try await withPoolAPI { _, api, redis in
            await api.stock([900, 1000])
            _ = await api.assign(1)
            let holder = try await Caller(
                api, #"{"role":"self","subject":"5","name":"tool"}"#)
            let other = try await Caller(
                api, #"{"role":"self","subject":"6","name":"tool"}"#)
            let own = await holder.send(.get, "/api/tool/elevenlabs")
            #expect(
                own.text
                    == #"{"success":true,"keys":[{"id":2,"name":"Key #2","#
                    + #""secret":"sk-secret-of-key-1","credit_balance":1000,"status":"active","#
                    + #""assigned_user_id":5,"last_used":null,"last_error":null,"#
                    + #""created_at":"2026-11-21T10:00:00Z"}]}"#)
            #expect(
                await other.send(.get, "/api/tool/elevenlabs").text
                    == #"{"success":true,"keys":[]}"#)
            #expect(await holder.send(.get, "/api/tool/openai").list("keys").isEmpty)
            let before = try redis.fingerprint()
            for (caller, id) in [(other, 2), (holder, 1), (holder, 77)] {
                let answer = await caller.send(
                    .post, "/api/tool/elevenlabs/status", Self.report(id))
                #expect(answer.status == 404 && answer.code == "key_not_found")
            }
            #expect(try redis.fingerprint() == before)
            let path = "/api/tool/elevenlabs/status"
            let first = await holder.send(.post, path, Self.report(2))
            #expect(first.json["first_use"] as? Bool == true)
            // What was not told stays as it was.
            let kept = await api.get("/api/elevenlabs/keys/2")
            #expect(kept.json["credit_balance"] as? Int == 1000)
            #expect(kept.json["last_used"] as? String == "2026-11-21T10:00:00Z")
            // A back end reports for whomever.
            let writer = try await Caller(api, #"{"role":"writer","name":"w"}"#)
            let second = await writer.send(.post, path, Self.report(2))
            #expect(second.json["first_use"] as? Bool == false)
            let unheld = await writer.send(.post, path, Self.report(1))
            #expect(unheld.json["first_use"] as? Bool == true)
        }
    }

    @Test func `Each role may what is its own`() async throws {
        try await withPoolAPI { _, api, _ in
            await api.stock([900, 1000])
            _ = await api.assign(1)
            var callers: [String: Caller] = [:]
            for role in ["admin", "writer", "reader"] {
                callers[role] = try await Caller(api, #"{"role":"\#(role)","name":"x"}"#)
            }
            callers["self"] = try await Caller(
                api, #"{"role":"self","subject":"5","name":"x"}"#)
            callers["other"] = try await Caller(
                api, #"{"role":"self","subject":"6","name":"x"}"#)
            let assign = #"{"user_id":5,"quantity":1}"#
            let table: [(HTTPMethod, String, String, [String: Int])] = [
                (.post, "/api/elevenlabs/bulk-assign", assign, ["admin": 200]),
                (.get, "/api/elevenlabs/keys", "", ["admin": 200]),
                (.get, "/api/elevenlabs/keys/2", "", ["admin": 200]),
                (.patch, "/api/elevenlabs/keys/2", #"{"name":"x"}"#, ["admin": 200]),
                (.post, "/api/elevenlabs/keys/1/unassign", "", ["admin": 200]),
                (
                    .post, "/api/elevenlabs/keys/import", #"[{"name":"a","secret":"b"}]"#,
                    ["admin": 200]
                ),
                (.get, "/api/elevenlabs/settings", "", ["admin": 200]),
                (.put, "/api/elevenlabs/settings", #"{"threshold":800}"#, ["admin": 200]),
                (.get, "/api/tool/elevenlabs", "", ["self": 200, "other": 200]),
                (
                    .post, "/api/tool/elevenlabs/status", Self.report(2),
                    ["admin": 200, "writer": 200, "self": 200, "other": 404]
                ),
                (.get, "/api/users", "", ["admin": 200]),
                (
                    .get, "/api/users/5/stats", "",
                    ["admin": 200, "self": 200]
                ),
                (.delete, "/api/elevenlabs/keys/1", "", ["admin": 204]),
                (
                    .post, "/api/user/update-tokens", #"{"totalTokens":1}"#,
                    ["self": 200, "other": 200]
                ),
            ]
            for (method, path, body, allowed) in table {
                for (role, caller) in callers.sorted(by: { $0.key < $1.key }) {
                    let answer = await caller.send(method, path, body)
                    #expect(
                        answer.status == allowed[role] ?? 403, "\(role) \(path) \(answer.text)")
                    if answer.status >= 400 {
                        #expect(answer.json["success"] as? Bool == false, "\(role) \(path)")
                    }
                }
            }
        }
    }

    @Test func `Users have their profiles, also without a key`() async throws {
        try await withPoolAPI { _, api, _ in
            await api.stock([900, 1000])
            _ = await api.assign(1, to: "12")
            for (id, body) in [
                ("5", #"{"username":"john_doe","email":"john@example.com"}"#),
                ("a@example.org", #"{"role":"admin","active":false}"#),
                ("guest_1", #"{"kind":"guest"}"#),
            ] {
                let put = await api.send(.put, "/v1/subjects/\(percentEncoded(id))", body)
                #expect(put.status < 300, "\(put.text)")
            }
            let users = await api.get("/api/users").list("users")
            #expect(users.map { "\($0["id"] ?? "")" } == ["5", "12", "a@example.org"])
            #expect(users.map { $0["role"] as? String } == ["user", nil, "admin"])
            #expect(users.map { $0["is_active"] as? Bool } == [true, true, false])
            let stats = await api.get("/api/users/5/stats")
            #expect(
                stats.text
                    == #"{"user":{"id":5,"username":"john_doe","email":"john@example.com","#
                    + #""role":"user","is_active":true,"member_since":"2026-11-21T10:00:00Z"},"#
                    + #""lifetime_stats":{"total_keys_received":0,"total_keys_used":0,"#
                    + #""usage_rate":"0.0%"},"current_keys":{"total_assigned":0,"active":0,"#
                    + #""dead":0,"out_of_credit":0,"used":0,"unused":0,"ready_to_use":0},"#
                    + #""credits":{"total_available":0,"avg_per_active_key":0},"recent_usage":[]}"#)
        }
    }

    @Test func `A workspace's pool is seen in no other`() async throws {
        try await withPoolAPI { _, api, _ in
            _ = await api.send(.post, "/v1/workspaces", #"{"id":"acme"}"#)
            let acme = try await Caller(
                api, #"{"role":"admin","name":"x","workspace":"acme"}"#)
            await api.stock([900, 1000])
            _ = await api.assign(1)
            #expect(await acme.send(.get, "/api/elevenlabs/keys").list("keys").isEmpty)
            #expect(await acme.send(.get, "/api/users").list("users").isEmpty)
            #expect(await acme.send(.get, "/api/users/5/stats").status == 404)
            #expect(await acme.send(.get, "/api/elevenlabs/keys/1").status == 404)
            #expect(await acme.send(.delete, "/api/elevenlabs/keys/1").status == 404)
            #expect(
                await acme.send(
                    .post, "/api/elevenlabs/bulk-assign", #"{"user_id":5,"quantity":1}"#
                ).status == 409)
            let row = #"[{"name":"a","secret":"sk-secret-of-key-0"}]"#
            let own = await acme.send(.post, "/api/elevenlabs/keys/import", row)
            #expect(own.json["imported_count"] as? Int == 1)
        }
    }
}

@Suite(.timeLimit(.minutes(15))) struct TokenUpdateTests {
    static let path = "/api/user/update-tokens"

    @Test func `A user's tokens add up, and a repetition counts once`() async throws {
        try await withPoolAPI { _, api, _ in
            let user = try await Caller(api, #"{"role":"self","subject":"7","name":"web"}"#)
            let other = try await Caller(api, #"{"role":"self","subject":"8","name":"web"}"#)
            let first = await user.send(.post, Self.path, #"{"totalTokens": 1916}"#)
            #expect(first.text == #"{"success":true,"tokensUsed":1916}"#)
            let keyed = ["Idempotency-Key": "m1"]
            for _ in 0..<2 {
                let answer = await user.send(
                    .post, Self.path, #"{"totalTokens":4}"#, headers: keyed)
                #expect(answer.text == #"{"success":true,"tokensUsed":1920}"#)
            }
            let reused = await user.send(
                .post, Self.path, #"{"totalTokens":5}"#, headers: keyed)
            #expect(reused.status == 422 && reused.code == "idempotency_key_reused")
            // Another's key of the same name is another key.
            let own = await other.send(.post, Self.path, #"{"totalTokens":5}"#, headers: keyed)
            #expect(own.text == #"{"success":true,"tokensUsed":5}"#)
            // Beyond 32 bits, and what back ends count is the same total.
            _ = await user.send(.post, Self.path, #"{"totalTokens":5000000000}"#)
            _ = await api.post(#"{"subject":"7","meters":{"tokens":1}}"#)
            let large = await user.send(.post, Self.path, #"{"totalTokens":1}"#)
            #expect(large.json["tokensUsed"] as? Int == 5_000_001_922)
            #expect(await api.totals("7") == ["tokens": 5_000_001_922])
            let events = await api.get("/v1/subjects/7/events", query: "action=token_update")
            #expect(events.list("events").count == 4)
        }
    }

    @Test func `What is no positive integer is 422 and counts nothing`() async throws {
        try await withPoolAPI { _, api, redis in
            let user = try await Caller(api, #"{"role":"self","subject":"7","name":"web"}"#)
            _ = await user.send(.post, Self.path, #"{"totalTokens":9}"#)
            let before = try redis.fingerprint()
            let cases: [(String, Int, String)] = [
                (#"{"totalTokens":0}"#, 422, "out_of_range"),
                (#"{"totalTokens":-1}"#, 422, "out_of_range"),
                (#"{"totalTokens":1.5}"#, 422, "integer_required"),
                (#"{"totalTokens":1.0}"#, 422, "integer_required"),
                (#"{"totalTokens":1e3}"#, 422, "integer_required"),
                (#"{"totalTokens":-0}"#, 422, "integer_required"),
                (#"{"totalTokens":"12"}"#, 422, "integer_required"),
                (#"{"totalTokens":null}"#, 422, "integer_required"),
                (#"{"totalTokens":true}"#, 422, "integer_required"),
                (#"{"totalTokens":9007199254740992}"#, 422, "out_of_range"),
                (#"{"totalTokens":1099511627777}"#, 422, "out_of_range"),
                (#"{}"#, 422, "field_required"), (#"[]"#, 422, "wrong_type"),
                (#"{"totalTokens":1,"user":"8"}"#, 400, "unknown_field"),
                (#"{"totalTokens":1"#, 400, "invalid_json"),
            ]
            for (body, status, code) in cases {
                let answer = await user.send(.post, Self.path, body)
                #expect(answer.status == status && answer.code == code, "\(body) \(answer.text)")
                #expect(answer.json["success"] as? Bool == false, "\(body)")
            }
            #expect(try redis.fingerprint() == before)
            // A key that is no end user's has no tokens of its own.
            let operators = await api.send(.post, Self.path, #"{"totalTokens":1}"#)
            #expect(operators.status == 403)
        }
    }

    @Test func `Of a user who is not counted, the total stays`() async throws {
        try await withPoolAPI { _, api, _ in
            let user = try await Caller(api, #"{"role":"self","subject":"7","name":"web"}"#)
            _ = await user.send(.post, Self.path, #"{"totalTokens":9}"#)
            _ = await api.send(.put, "/v1/subjects/7", #"{"demo":true}"#)
            let answer = await user.send(.post, Self.path, #"{"totalTokens":9}"#)
            #expect(answer.text == #"{"success":true,"tokensUsed":9}"#)
        }
    }
}
