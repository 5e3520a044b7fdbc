// SPDX-License-Identifier: Apache-2.0

import HTTPServer
import Metering
import TestSupport
import Testing

/// Who may do what, and in which workspace.
@Suite struct WorkspaceTests {
    static func request(
        _ method: HTTPMethod, _ path: String, _ body: String = "", secret: String = key,
        query: String? = nil, headers: [String: String] = [:]
    ) -> HTTPRequest {
        let fields = [
            "Authorization": "Bearer \(secret)", "Content-Type": "application/json",
        ].merging(headers) { $1 }
        return .authorized(method, path, query: query, headers: fields, body: Array(body.utf8))
    }

    static func makeKey(_ api: Harness, _ body: String) async throws -> String {
        let made = await api.send(.post, "/v1/keys", body)
        #expect(made.status == 201, "\(made.text)")
        return try #require(made.json["secret"] as? String)
    }

    @Test func `A workspace is made, read, changed and deleted`() async throws {
        try await withAPI { _, api, _ in
            let made = await api.send(
                .post, "/v1/workspaces",
                #"{"id":"acme","time_zone":"Asia/Ho_Chi_Minh","currency":"VND","month_reset":"calendar"}"#
            )
            #expect(made.status == 201, "\(made.text)")
            #expect(made.headers["location"] == "/v1/workspaces/acme")
            #expect(made.json["month_reset"] as? String == "calendar")
            let again = await api.send(.post, "/v1/workspaces", #"{"id":"acme"}"#)
            #expect(again.status == 409 && again.code == "workspace_exists")
            let changed = await api.send(
                .patch, "/v1/workspaces/acme", #"{"guests":false,"count":"registered"}"#)
            #expect(changed.json["guests"] as? Bool == false, "\(changed.text)")
            #expect(changed.json["count"] as? String == "registered")
            #expect(changed.json["currency"] as? String == "VND")
            let listed = await api.get("/v1/workspaces")
            let ids = (listed.json["workspaces"] as? [[String: Any]] ?? []).compactMap {
                $0["id"] as? String
            }
            #expect(ids == ["acme", "default"])
            for (body, status, code) in [
                (#"{"time_zone":"EST"}"#, 422, "invalid_value"),
                (#"{"currency":"eur"}"#, 422, "invalid_value"),
                (#"{"guests":1}"#, 422, "wrong_type"), (#"{"x":1}"#, 422, "unknown_field"),
                (#"{"hot_days":1}"#, 422, "invalid_value"), ("[]", 422, "wrong_type"),
                ("", 400, "invalid_json"),
            ] {
                let refused = await api.send(.patch, "/v1/workspaces/acme", body)
                #expect(refused.status == status && refused.code == code, "\(body) \(refused.text)")
            }
            let own = await api.send(.patch, "/v1/workspaces/default", #"{"time_zone":"UTC"}"#)
            #expect(own.status == 409 && own.code == "set_by_configuration")
            #expect(
                await api.send(Self.request(.delete, "/v1/workspaces/default")).status == 409)
            #expect(await api.send(Self.request(.delete, "/v1/workspaces/acme")).status == 202)
            for path in ["/v1/workspaces/acme", "/v1/workspaces/nothing", "/v1/workspaces/.x"] {
                #expect(await api.get(path).status == 404)
            }
            // Its id is not free before all is removed.
            #expect(
                await api.send(.post, "/v1/workspaces", #"{"id":"acme"}"#).status == 409)
        }
    }

    @Test func `A zone stays when days were counted by it`() async throws {
        try await withAPI { _, api, _ in
            _ = await api.send(.post, "/v1/workspaces", #"{"id":"acme"}"#)
            let before = await api.send(
                .patch, "/v1/workspaces/acme", #"{"time_zone":"Asia/Tokyo"}"#)
            #expect(before.status == 200, "\(before.text)")
            let counted = await api.send(
                Self.request(
                    .post, "/v1/events", #"{"subject":"a","meters":{"messages":1}}"#,
                    headers: ["X-Tally-Workspace": "acme"]))
            #expect(counted.status == 200, "\(counted.text)")
            let after = await api.send(.patch, "/v1/workspaces/acme", #"{"time_zone":"UTC"}"#)
            #expect(after.status == 409 && after.code == "time_zone_in_use")
        }
    }

    @Test(arguments: [
        (
            HTTPMethod.post, "/v1/check",
            #"{"subject":"a","amounts":{"files_uploaded":1},"consume":true}"#
        ),
        (.post, "/v1/holds", #"{"subject":"a","amounts":{"files_uploaded":1}}"#),
        (.put, "/v1/credits/a/allowance", #"{"monthly_allowance":5}"#),
    ])
    func `A zone stays when windows or months of somebody were counted by it`(
        method: HTTPMethod, path: String, body: String
    ) async throws {
        try await withAPI { _, api, _ in
            _ = await api.send(.post, "/v1/workspaces", #"{"id":"acme"}"#)
            let acme = ["X-Tally-Workspace": "acme"]
            // Who only looks changes nothing.
            let looks = await api.send(
                Self.request(.post, "/v1/check", #"{"subject":"a","credits":0}"#, headers: acme))
            #expect(looks.status == 200, "\(looks.text)")
            let before = await api.send(
                .patch, "/v1/workspaces/acme", #"{"time_zone":"Asia/Tokyo"}"#)
            #expect(before.status == 200, "\(before.text)")
            let taken = await api.send(Self.request(method, path, body, headers: acme))
            #expect([200, 201].contains(taken.status), "\(taken.text)")
            let after = await api.send(
                .patch, "/v1/workspaces/acme", #"{"time_zone":"America/New_York"}"#)
            #expect(after.status == 409 && after.code == "time_zone_in_use", "\(after.text)")
        }
    }

    @Test func `What another process cuts by the zone of before is not counted`() async throws {
        try await withAPI { host, api, redis in
            let other = await Harness(redis, on: host.loop)
            let acme = ["X-Tally-Workspace": "acme"]
            let event = Self.request(
                .post, "/v1/events", #"{"subject":"a","meters":{"messages":1}}"#, headers: acme)
            _ = await api.send(.post, "/v1/workspaces", #"{"id":"acme"}"#)
            // It knows the workspace from here on, and looks at no other settings by itself.
            _ = await other.send(.patch, "/v1/workspaces/acme", #"{"currency":"EUR"}"#)
            let check = Self.request(
                .post, "/v1/check", #"{"subject":"a","amounts":{"files_uploaded":1}}"#,
                headers: acme)
            #expect(await other.send(check).status == 200)
            let moved = await api.send(
                .patch, "/v1/workspaces/acme", #"{"time_zone":"Asia/Tokyo"}"#)
            #expect(moved.status == 200, "\(moved.text)")

            let late = await other.send(event)
            #expect(late.status == 503, "\(late.text)")
            let counted = await api.send(event)
            #expect(counted.totals["messages"] == 1, "\(counted.text)")
            _ = await other.send(.patch, "/v1/workspaces/acme", #"{"currency":"EUR"}"#)
            let next = await other.send(event)
            #expect(next.totals["messages"] == 2, "\(next.text)")
            let back = await other.send(.patch, "/v1/workspaces/acme", #"{"time_zone":"UTC"}"#)
            #expect(back.status == 409 && back.code == "time_zone_in_use")
            await other.queries.stop()
        }
    }

    @Test func `Nothing of one workspace is seen in another`() async throws {
        try await withAPI { _, api, _ in
            _ = await api.send(.post, "/v1/workspaces", #"{"id":"one"}"#)
            _ = await api.send(.post, "/v1/workspaces", #"{"id":"two"}"#)
            var secrets: [String: String] = [:]
            for name in ["one", "two"] {
                secrets[name] = try await Self.makeKey(
                    api, #"{"role":"admin","name":"back end","workspace":"\#(name)"}"#)
            }
            // The same id in both counts in both.
            for (name, amount) in [("one", 3), ("two", 5)] {
                let counted = await api.send(
                    Self.request(
                        .post, "/v1/events",
                        #"{"id":"e","subject":"ann","meters":{"tokens":\#(amount)}}"#,
                        secret: secrets[name] ?? ""))
                #expect(counted.totals == ["tokens": amount], "\(counted.text)")
            }
            for (name, amount) in [("one", 3), ("two", 5)] {
                let secret = secrets[name] ?? ""
                let subject = await api.send(Self.request(.get, "/v1/subjects/ann", secret: secret))
                #expect(subject.totals == ["tokens": amount])
                let board = await api.send(
                    Self.request(
                        .get, "/v1/leaderboards/tokens", secret: secret, query: "window=lifetime"))
                #expect(board.text.contains(#""value":\#(amount)"#), "\(board.text)")
                let own = await api.send(Self.request(.get, "/v1/workspace", secret: secret))
                #expect(own.json["id"] as? String == name)
                // It acts in no other that is named, and workspaces are the operator's.
                for (workspace, status) in [
                    (name, 200), ("default", 404), ("none", 404), ("!", 404),
                ] {
                    let named = await api.send(
                        Self.request(
                            .get, "/v1/subjects/ann", secret: secret,
                            headers: ["X-Tally-Workspace": workspace]))
                    #expect(named.status == status, "\(workspace): \(named.text)")
                }
                #expect(
                    await api.send(Self.request(.get, "/v1/workspaces", secret: secret)).status
                        == 403)
            }
            #expect(await api.get("/v1/subjects/ann").status == 404)
            // Keys of another workspace can be neither seen, nor revoked, nor made.
            let listed = await api.send(
                Self.request(.get, "/v1/keys", secret: secrets["two"] ?? ""))
            let id = (listed.json["keys"] as? [[String: Any]])?.first?["id"] as? String ?? ""
            #expect((listed.json["keys"] as? [Any])?.count == 1)
            #expect(
                await api.send(
                    Self.request(.delete, "/v1/keys/\(id)", secret: secrets["one"] ?? "")
                ).status == 404)
            let made = await api.send(
                Self.request(
                    .post, "/v1/keys", #"{"role":"reader","workspace":"two"}"#,
                    secret: secrets["one"] ?? ""))
            #expect(made.status == 404)
            let unknown = await api.send(
                Self.request(
                    .post, "/v1/keys", #"{"role":"reader","workspace":"none"}"#,
                    secret: secrets["one"] ?? ""))
            #expect(made.body == unknown.body)
        }
    }

    @Test func `Each role may what it is for`() async throws {
        try await withAPI { _, api, _ in
            let event = #"{"subject":"ann","meters":{"messages":1}}"#
            var secrets: [String: String] = [:]
            for role in ["admin", "writer", "reader"] {
                secrets[role] = try await Self.makeKey(api, #"{"role":"\#(role)","name":"x"}"#)
            }
            secrets["self"] = try await Self.makeKey(
                api, #"{"role":"self","subject":"ann","name":"x"}"#)
            _ = await api.post(event)
            for (method, path, body, allowed) in [
                (HTTPMethod.post, "/v1/events", event, ["admin", "writer"]),
                (.get, "/v1/subjects/ann", "", ["admin", "writer", "reader", "self"]),
                (.get, "/v1/subjects/bob", "", ["admin", "writer", "reader"]),
                (.get, "/v1/credits/ann", "", ["admin", "writer", "reader", "self"]),
                (.get, "/v1/prices", "", ["admin", "writer", "reader"]),
                (.put, "/v1/prices", "{}", ["admin"]),
                (
                    .post, "/v1/check", #"{"subject":"ann","amounts":{"messages":1}}"#,
                    ["admin", "writer"]
                ),
                (.get, "/v1/keys", "", ["admin"]), (.get, "/v1/workspaces", "", []),
            ] {
                for (role, secret) in secrets {
                    let answer = await api.send(
                        Self.request(method, path, body, secret: secret))
                    #expect(
                        (answer.status != 403) == allowed.contains(role),
                        "\(role) \(path): \(answer.text)")
                }
            }
            let backfill = await api.send(
                Self.request(
                    .post, "/v1/events", event, secret: secrets["writer"] ?? "",
                    query: "backfill=true"))
            #expect(backfill.status == 403)
            // Who has no right to ask writes nothing into the log.
            let audit = await api.get("/v1/audit", query: "action=POST%20/v1/events")
            #expect((audit.json["entries"] as? [Any])?.isEmpty == true, "\(audit.text)")
        }
    }

    @Test func `A key ends when it is revoked or expires, and is not kept in the clear`()
        async throws
    {
        try await withAPI { _, api, redis in
            let secret = try await Self.makeKey(
                api, #"{"role":"reader","name":"x","expires_at":"2026-11-21T11:00:00Z"}"#)
            let read = Self.request(.get, "/v1/prices", secret: secret)
            #expect(await api.send(read).status == 200)
            #expect(await api.send(read).status == 200)
            let kept = try redis.request("HVALS t1:{@}:keys")
            #expect(!kept.contains(secret.suffix(20)))
            api.clock.set(noon + 3_600_000)
            #expect(await api.send(read).status == 401)
            api.clock.set(noon)
            let listed = await api.get("/v1/keys")
            let entry = try #require((listed.json["keys"] as? [[String: Any]])?.first)
            #expect(entry["last_used_at"] as? String == "2026-11-21T10:00:00Z")
            #expect(!listed.text.contains(secret.suffix(20)))
            let id = try #require(entry["id"] as? String)
            #expect(await api.send(Self.request(.delete, "/v1/keys/\(id)")).status == 204)
            #expect(await api.send(read).status == 401)
            #expect(await api.send(Self.request(.delete, "/v1/keys/\(id)")).status == 404)
            for body in [
                #"{"name":"x"}"#, #"{"role":"operator"}"#, #"{"role":"guest"}"#,
                #"{"role":"self"}"#, #"{"role":"admin","subject":"a"}"#, #"{"role":"admin","y":1}"#,
                #"{"role":"admin","expires_at":"2020-01-01T00:00:00Z"}"#, #"{"role":1}"#, "[]",
            ] {
                #expect(await api.send(.post, "/v1/keys", body).status == 422, "\(body)")
            }
        }
    }

    @Test func `Guessing is slowed, and those who have a key go on`() async throws {
        try await withAPI { _, api, _ in
            let secret = try await Self.makeKey(api, #"{"role":"reader","name":"x"}"#)
            let late = try await Self.makeKey(api, #"{"role":"reader","name":"y"}"#)
            #expect(await api.send(Self.request(.get, "/v1/prices", secret: secret)).status == 200)
            func guess(_ number: Int) async -> Int {
                let guess =
                    "tally_\(String(repeating: "0", count: 18))_"
                    + String(repeating: "a", count: 45) + "\(number + 100)"
                return await api.send(Self.request(.get, "/v1/prices", secret: guess)).status
            }
            var statuses: [Int] = []
            for number in 0..<200 { statuses.append(await guess(number)) }
            #expect(statuses.prefix(100).allSatisfy { $0 == 401 })
            #expect(statuses.dropFirst(100).contains(429))
            #expect(await api.send(Self.request(.get, "/v1/prices", secret: secret)).status == 200)
            #expect(await api.get("/v1/prices").status == 200)
            // Also when all keys are looked up anew, since one was made.
            _ = try await Self.makeKey(api, #"{"role":"reader","name":"z"}"#)
            for number in 200..<220 {
                _ = await guess(number)
                let answer = await api.send(Self.request(.get, "/v1/prices", secret: secret))
                #expect(answer.status == 200)
            }
            // Who was not known yet gets in, as soon as it is looked at.
            var status = 429
            for _ in 0..<10_000 where status == 429 {
                status = await api.send(Self.request(.get, "/v1/prices", secret: late)).status
            }
            #expect(status == 200)
        }
    }
}
