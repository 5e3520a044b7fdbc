// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPServer
import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct SubjectTests {
    private static let ann = """
        {"id":"ann","kind":"user","username":"Ann","email":"Ann+x@Example.com",\
        "full_name":"Ann Lee","phone":"+84 90-1","role":"admin","active":true,"demo":false}
        """

    @Test func `A profile is created, replaced, changed and removed`() async throws {
        try await withAPI { _, harness, _ in
            let created = await harness.send(.put, "/v1/subjects/ann", Self.ann)
            #expect(created.status == 201, "\(created.text)")
            #expect(
                created.text == """
                    {"id":"ann","kind":"user","username":"Ann","email":"Ann+x@Example.com",\
                    "full_name":"Ann Lee","phone":"+84 90-1","role":"admin","active":true,\
                    "demo":false,"created_at":"2026-11-21T10:00:00Z",\
                    "updated_at":"2026-11-21T10:00:00Z"}
                    """)
            #expect(await harness.send(.put, "/v1/subjects/ann", Self.ann).status == 200)
            harness.clock.advance(1000)
            let changed = await harness.send(
                .patch, "/v1/subjects/ann", #"{"phone":null,"active":false}"#)
            #expect(changed.status == 200)
            #expect(changed.json["active"] as? Bool == false)
            #expect(changed.json["email"] as? String == "Ann+x@Example.com")
            #expect(changed.text.contains(#""phone":null"#))
            #expect(changed.json["created_at"] as? String == "2026-11-21T10:00:00Z")
            #expect(changed.json["updated_at"] as? String == "2026-11-21T10:00:01Z")
            let patched = await harness.send(
                .authorized(
                    .patch, "/v1/subjects/ann",
                    headers: ["Content-Type": "application/merge-patch+json"],
                    body: Array(#"{"role":null}"#.utf8)))
            #expect(patched.json["role"] as? String == "user")
            let replaced = await harness.send(.put, "/v1/subjects/ann", "{}")
            #expect(replaced.status == 200 && replaced.text.contains(#""email":null"#))
            #expect(replaced.json["active"] as? Bool == true)
            #expect(replaced.json["created_at"] as? String == "2026-11-21T10:00:00Z")

            _ = await harness.post(#"{"subject":"ann","meters":{"tokens":5}}"#)
            let removed = await harness.send(.authorized(.delete, "/v1/subjects/ann"))
            #expect(removed.status == 204 && removed.body.isEmpty)
            let gone = await harness.send(.authorized(.delete, "/v1/subjects/ann"))
            #expect(gone.status == 404 && gone.code == "not_found")
            // What it used stays.
            let usage = await harness.get("/v1/subjects/ann")
            #expect(usage.totals == ["tokens": 5] && usage.text.contains(#""profile":null"#))
        }
    }

    @Test func `Who is to be new replaces nobody`() async throws {
        try await withAPI { _, harness, _ in
            func make(_ body: String, _ value: String = "*") async -> Answer {
                await harness.send(
                    .authorized(
                        .put, "/v1/subjects/ann",
                        headers: ["Content-Type": "application/json", "If-None-Match": value],
                        body: Array(body.utf8)))
            }
            #expect(await make(Self.ann).status == 201)
            let kept = await harness.get("/v1/subjects/ann").text
            // What it says already is no other thing.
            for body in [#"{"username":"other"}"#, "{}", Self.ann] {
                let refused = await make(body)
                #expect(refused.status == 412 && refused.code == "precondition_failed")
            }
            #expect(await harness.get("/v1/subjects/ann").text == kept)
            // A tag, which profiles have not, keeps none from being replaced.
            #expect(await make("{}", #""tag""#).status == 200)
            #expect(await harness.send(.authorized(.delete, "/v1/subjects/ann")).status == 204)
            #expect(await make("{}").status == 201)
        }
    }

    @Test func `What is known of a subject is told with what it used, or without`() async throws {
        try await withAPI { _, harness, _ in
            #expect(await harness.get("/v1/subjects/ann").status == 404)
            _ = await harness.send(.put, "/v1/subjects/ann", Self.ann)
            let idle = await harness.get("/v1/subjects/ann")
            #expect(idle.status == 200 && idle.json["events"] as? Int == 0)
            #expect(idle.text.contains(#""totals":{},"first_event_at":null,"last_event_at":null"#))
            let profile = idle.json["profile"] as? [String: Any]
            #expect(profile?["email"] as? String == "Ann+x@Example.com")
        }
    }

    @Test(arguments: [
        (#"{"kind":"robot"}"#, 422, "invalid_kind"), (#"{"kind":1}"#, 422, "wrong_type"),
        (#"{"email":"no"}"#, 422, "invalid_email"), (#"{"email":"a@b@c"}"#, 422, "invalid_email"),
        (#"{"email":"a b@c"}"#, 422, "invalid_email"), (#"{"phone":"none"}"#, 422, "invalid_phone"),
        (#"{"phone":84901}"#, 422, "wrong_type"), (#"{"active":"yes"}"#, 422, "wrong_type"),
        (#"{"demo":1}"#, 422, "wrong_type"), (#"{"username":["a"]}"#, 422, "wrong_type"),
        (#"{"username":"a\u0007b"}"#, 422, "invalid_value"),
        (#"{"created_at":"yesterday"}"#, 422, "invalid_timestamp"),
        (#"{"name":"x"}"#, 400, "unknown_field"), (#"{"id":"bob"}"#, 422, "invalid_id"),
        (#"{"email":"TAKEN@example.com"}"#, 409, "email_taken"),
        (#"{"phone":"(84) 9-9"}"#, 409, "phone_taken"), ("[]", 422, "wrong_type"),
        ("", 400, "invalid_json"), (#"{"kind":"user","kind":"user"}"#, 400, "duplicate_key"),
    ])
    func `A bad profile is refused and changes nothing`(
        body: String, status: Int, code: String
    ) async throws {
        try await withAPI { _, harness, _ in
            _ = await harness.send(
                .put, "/v1/subjects/other", #"{"email":"taken@example.com","phone":"8499"}"#)
            _ = await harness.send(.put, "/v1/subjects/ann", Self.ann)
            for method in [HTTPMethod.put, .patch] {
                try await harness.expectRefusal(
                    .authorized(
                        method, "/v1/subjects/ann", headers: ["Content-Type": "application/json"],
                        body: Array(body.utf8)), status, code, "\(method) \(body)")
            }
        }
    }

    @Test func `More that is refused`() async throws {
        try await withAPI { _, harness, _ in
            let json = ["Content-Type": "application/json"]
            for (method, path, query, status, code) in [
                (HTTPMethod.patch, "/v1/subjects/nobody", nil, 404, "not_found"),
                (.put, "/v1/subjects/guest:1", nil, 422, "invalid_kind"),
                (.put, "/v1/subjects/%07", nil, 422, "invalid_id"),
                (.put, "/v1/subjects/a", "x=1", 400, "unknown_parameter"),
                (.get, "/v1/subjects", "x=1", 400, "unknown_parameter"),
                (.get, "/v1/subjects", "sort=age", 400, "invalid_parameter"),
                (.get, "/v1/subjects", "limit=0", 400, "invalid_parameter"),
                (.get, "/v1/subjects", "limit=1001", 400, "invalid_parameter"),
                (.get, "/v1/subjects", "kind=robot", 400, "invalid_parameter"),
                (.get, "/v1/subjects", "active=1", 400, "invalid_parameter"),
                (.get, "/v1/subjects", "q=", 400, "invalid_parameter"),
                (.get, "/v1/subjects", "inactive_since=1d", 400, "invalid_parameter"),
                (.get, "/v1/subjects", "cursor=!!", 400, "invalid_cursor"),
                // One of another order.
                (.get, "/v1/subjects", "sort=email&cursor=aWFubg", 400, "invalid_cursor"),
            ] as [(HTTPMethod, String, String?, Int, String)] {
                let body = method == .get ? "" : #"{"kind":"user"}"#
                try await harness.expectRefusal(
                    .authorized(
                        method, path, query: query, headers: json, body: Array(body.utf8)),
                    status, code, "\(method) \(path) \(query ?? "")")
            }
            let zipped = [
                "Content-Type": "application/merge-patch+json", "Content-Encoding": "gzip",
            ]
            try await harness.expectRefusal(
                .authorized(.patch, "/v1/subjects/a", headers: zipped, body: Array("{}".utf8)),
                415, "unsupported_media_type", "a patch that is compressed")
        }
    }

    @Test func `Profiles are listed, found and filtered`() async throws {
        try await withAPI { _, harness, _ in
            func put(_ id: String, _ body: String) async {
                let answer = await harness.send(.put, "/v1/subjects/\(id)", body)
                #expect(answer.status == 201, "\(answer.text)")
                harness.clock.advance(60_000)
            }
            await put("c", #"{"email":"A@x.org","username":"zoe","phone":"+1 (2) 3"}"#)
            await put("b", #"{"email":"b+1@x.org","username":"Ann","role":"admin"}"#)
            await put("a", #"{"kind":"guest","full_name":"Ärzte","active":false,"demo":true}"#)
            func ids(_ query: String) async -> [String] {
                let answer = await harness.get("/v1/subjects", query: query)
                let list = answer.json["subjects"] as? [[String: Any]] ?? []
                return list.compactMap { $0["id"] as? String }
            }
            #expect(await ids("") == ["a", "b", "c"])
            #expect(await ids("sort=email") == ["a", "c", "b"])
            #expect(await ids("sort=username") == ["a", "b", "c"])
            #expect(await ids("sort=created_at") == ["c", "b", "a"])
            #expect(await ids("kind=guest") == ["a"])
            #expect(await ids("role=admin") == ["b"])
            #expect(await ids("active=false&demo=true") == ["a"])
            #expect(await ids("demo=false") == ["b", "c"])
            #expect(await ids("email=B+1@X.ORG") == ["b"])
            #expect(await ids("email=b%2B1@x.org") == ["b"])
            #expect(await ids("phone=+123") == ["c"])
            #expect(await ids("phone=123") == [])
            #expect(await ids("q=%C3%A4RZ") == ["a"])
            #expect(await ids("q=x.org") == ["b", "c"])
            _ = await harness.post(#"{"subject":"c","meters":{"tokens":5}}"#)
            #expect(await ids("inactive_since=2026-11-21T10:00:00Z") == ["a", "b"])
            #expect(await ids("inactive_since=2026-11-21T11:00:00Z") == ["a", "b", "c"])

            var told: [String] = []
            var query = "limit=1"
            for _ in 0..<5 {
                let answer = await harness.get("/v1/subjects", query: query)
                let list = answer.json["subjects"] as? [[String: Any]] ?? []
                told += list.compactMap { $0["id"] as? String }
                guard let next = answer.json["next"] as? String else { break }
                query = "limit=1&cursor=\(next)"
            }
            #expect(told == ["a", "b", "c"])
        }
    }

    @Test func `Imports begin with a byte order mark or without, tables with a header`()
        async throws
    {
        try await withAPI { _, harness, _ in
            func send(_ type: String, _ body: String) async -> Answer {
                await harness.send(
                    .authorized(
                        .post, "/v1/subjects/import", headers: ["Content-Type": type],
                        body: Array(body.utf8)))
            }
            for (type, body) in [
                ("application/x-ndjson", "\u{feff}{\"id\":\"a\"}\n"),
                ("text/csv; header=present", "\u{feff}id\nb\n"),
            ] {
                let answer = await send(type, body)
                #expect(answer.statuses == ["created"], "\(answer.text)")
            }
            let refused = await send("text/csv; header=absent", "id\nc\n")
            #expect(refused.status == 415, "\(refused.text)")
            #expect(await harness.get("/v1/subjects/c").status == 404)
        }
    }

    @Test func `Lines and tables are imported, each row for itself`() async throws {
        try await withAPI { _, harness, _ in
            func send(_ type: String, _ body: String) async -> Answer {
                await harness.send(
                    .authorized(
                        .post, "/v1/subjects/import", headers: ["Content-Type": type],
                        body: Array(body.utf8)))
            }
            let lines = await send(
                "application/x-ndjson",
                """
                {"id":"a","email":"a@x.org","role":"admin"}
                {"id":"b","email":"A@X.org"}

                {"id":7.5}
                {"id":"c","email":
                {"id":"a","full_name":"Ann"}
                {"id":"a","full_name":"Ann"}
                """)
            #expect(lines.status == 200, "\(lines.text)")
            #expect(
                lines.statuses == ["created", "failed", "failed", "failed", "updated", "unchanged"])
            #expect(
                lines.codes == [nil, "email_taken", "invalid_id", "invalid_json", nil, nil])
            #expect(lines.results.map { $0["line"] as? Int } == [1, 2, 4, 5, 6, 7])
            #expect(lines.json["created"] as? Int == 1 && lines.json["failed"] as? Int == 3)

            let table = await send(
                "text/csv; charset=utf-8",
                "\u{feff}id,email,active,full_name\r\na,,no,\"Ann \"\"A\"\"\r\nLee\"\r\n"
                    + "d,d@x.org,true,\r\ne,e@x.org,maybe,E\r\nf,f@x.org\r\n")
            #expect(table.status == 200, "\(table.text)")
            #expect(table.codes == ["invalid_value", nil, "wrong_type", "invalid_row"])
            // One character, of any number of bytes: it is told of each row.
            let long = "e" + String(repeating: "\u{301}", count: 100_000)
            let unknown = await send("text/csv", "id,\(long)\na,1\nb,2\n")
            #expect(unknown.codes == ["unknown_field", "unknown_field"])
            #expect(unknown.text.utf8.count < 1_000)
            let clean = await send(
                "text/csv", "id,email,active\na,,no\nd,new@x.org,\n")
            #expect(clean.statuses == ["updated", "updated"])
            let a = await harness.get("/v1/subjects/a").json["profile"] as? [String: Any]
            #expect(a?["active"] as? Bool == false && a?["full_name"] as? String == "Ann")
            #expect(a?["email"] is NSNull && a?["role"] as? String == "admin")

            for (type, body, status, code) in [
                ("text/csv", "", 422, "invalid_header"),
                ("text/csv", "a,b\n1,2", 422, "invalid_header"),
                ("text/csv", "id,id\n1,2", 422, "invalid_header"),
                ("text/csv", "id\n", 422, "batch_size"),
                ("text/csv", "id\n\"a\"b\n", 400, "invalid_csv"),
                ("text/csv; charset=latin1", "id\n1\n", 415, "unsupported_media_type"),
                ("application/json", "[]", 415, "unsupported_media_type"),
                ("application/x-ndjson", "\n", 422, "batch_size"),
                (
                    "application/x-ndjson",
                    String(repeating: "{\"id\":\"a\"}\n", count: 10_001), 422, "batch_size"
                ),
            ] {
                try await harness.expectRefusal(
                    .authorized(
                        .post, "/v1/subjects/import", headers: ["Content-Type": type],
                        body: Array(body.utf8)), status, code, "\(type) \(body.prefix(30))")
            }
        }
    }

    @Test func `Who is not counted is told so`() async throws {
        try await withAPI { _, harness, _ in
            _ = await harness.send(.put, "/v1/subjects/demo", #"{"demo":true}"#)
            let single = await harness.post(#"{"id":"x","subject":"demo","meters":{"tokens":5}}"#)
            #expect(single.status == 200)
            #expect(
                single.text
                    == #"{"id":"x","duplicate":false,"status":"skipped","reason":"demo"}"#)
            let batch = await harness.post(
                #"[{"subject":"demo","meters":{"tokens":5}},{"subject":"a","meters":{"tokens":2}}]"#
            )
            #expect(batch.statuses == ["skipped", "counted"])
            #expect(batch.results[0]["reason"] as? String == "demo")
            #expect(batch.json["skipped"] as? Int == 1 && batch.json["counted"] as? Int == 1)
            let check = await harness.send(
                .post, "/v1/check",
                #"{"subject":"demo","amounts":{"tokens":5},"consume":true}"#)
            #expect(check.status == 200 && check.json["allowed"] as? Bool == true)
            #expect(check.json["status"] as? String == "skipped")
            #expect(check.json["reason"] as? String == "demo")
            let asked = await harness.send(
                .post, "/v1/check", #"{"subject":"demo","amounts":{"tokens":5}}"#)
            #expect(asked.json["status"] == nil)
            #expect(await harness.get("/v1/leaderboards/tokens").text.contains("demo") == false)
        }
    }

    @Test func `A workspace that counts registered users has profiles of its own`() async throws {
        try await withAPI { _, api, _ in
            let made = await api.send(
                .post, "/v1/workspaces", #"{"id":"acme","count":"registered"}"#)
            #expect(made.status == 201, "\(made.text)")
            func send(_ method: HTTPMethod, _ path: String, _ body: String) async -> Answer {
                await api.send(
                    .authorized(
                        method, path,
                        headers: [
                            "Content-Type": "application/json", "X-Tally-Workspace": "acme",
                        ], body: Array(body.utf8)))
            }
            let event = #"{"subject":"ann","meters":{"tokens":5}}"#
            #expect(
                await send(.post, "/v1/events", event).json["reason"] as? String
                    == "not_registered")
            // One of the same e-mail in another workspace is nobody's business.
            for workspace in ["default", "acme"] {
                let put =
                    workspace == "acme"
                    ? await send(.put, "/v1/subjects/ann", Self.ann)
                    : await api.send(.put, "/v1/subjects/ann", Self.ann)
                #expect(put.status == 201, "\(put.text)")
            }
            #expect(await send(.post, "/v1/events", event).totals == ["tokens": 5])
            _ = await send(.patch, "/v1/subjects/ann", #"{"active":false}"#)
            #expect(await send(.post, "/v1/events", event).json["reason"] as? String == "inactive")
            #expect(await api.post(event).totals == ["tokens": 5])
            #expect(await send(.delete, "/v1/subjects/ann", "").status == 204)
            #expect(await api.get("/v1/subjects/ann").text.contains("Ann Lee"))
        }
    }

    @Test func `Profiles are changed by administrators`() async throws {
        try await withAPI { _, api, _ in
            _ = await api.send(.put, "/v1/subjects/ann", Self.ann)
            for (role, reads, lists) in [
                ("admin", 200, 200), ("writer", 200, 200), ("reader", 200, 200), ("self", 200, 403),
            ] {
                let subject = role == "self" ? #","subject":"ann""# : ""
                let made = await api.send(
                    .post, "/v1/keys", #"{"role":"\#(role)","name":"k"\#(subject)}"#)
                let secret = try #require(made.json["secret"] as? String, "\(made.text)")
                func status(_ method: HTTPMethod, _ path: String, _ body: String) async -> Int {
                    await api.send(
                        .authorized(
                            method, path,
                            headers: [
                                "Content-Type": "application/json",
                                "Authorization": "Bearer \(secret)",
                            ], body: Array(body.utf8))
                    ).status
                }
                #expect(await status(.get, "/v1/subjects/ann", "") == reads)
                #expect(await status(.get, "/v1/subjects", "") == lists)
                let changes = role == "admin" ? 200 : 403
                #expect(await status(.patch, "/v1/subjects/ann", "{}") == changes)
                #expect(await status(.put, "/v1/subjects/ann", Self.ann) == changes)
                #expect(
                    await status(.post, "/v1/subjects/import", "") == (role == "admin" ? 415 : 403))
                if role != "admin" {
                    #expect(await status(.delete, "/v1/subjects/ann", "") == 403)
                }
            }
        }
    }
}
