// SPDX-License-Identifier: Apache-2.0

import HTTPServer
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct KeyPoolRefusalTests {
    struct Case: Sendable {
        let method: HTTPMethod
        let path: String
        let body: String
        let status: Int
        let code: String

        init(_ method: HTTPMethod, _ path: String, _ body: String, _ status: Int, _ code: String) {
            self.method = method
            self.path = path
            self.body = body
            self.status = status
            self.code = code
        }
    }

    static let assign = "/api/elevenlabs/bulk-assign"
    static let status = "/api/tool/elevenlabs/status"
    static let rows = "/api/elevenlabs/keys/import"
    static let key = "/api/elevenlabs/keys/1"
    static let settings = "/api/elevenlabs/settings"

    static let cases: [Case] = [
        // Quantities and users.
        Case(.post, assign, #"{"user_id":5,"quantity":0}"#, 422, "out_of_range"),
        Case(.post, assign, #"{"user_id":5,"quantity":1001}"#, 422, "out_of_range"),
        Case(.post, assign, #"{"user_id":5,"quantity":-1}"#, 422, "out_of_range"),
        Case(.post, assign, #"{"user_id":5,"quantity":1.0}"#, 422, "integer_required"),
        Case(.post, assign, #"{"user_id":5,"quantity":"1"}"#, 422, "integer_required"),
        Case(.post, assign, #"{"user_id":5,"quantity":null}"#, 422, "integer_required"),
        Case(.post, assign, #"{"user_id":5,"quantity":99999999999999999999}"#, 422, "out_of_range"),
        Case(.post, assign, #"{"user_id":5}"#, 422, "field_required"),
        Case(.post, assign, #"{"quantity":5}"#, 422, "field_required"),
        Case(.post, assign, #"{"user_id":null,"quantity":5}"#, 422, "wrong_type"),
        Case(.post, assign, #"{"user_id":"","quantity":5}"#, 422, "invalid_id"),
        Case(.post, assign, #"{"user_id":1.5,"quantity":5}"#, 422, "integer_required"),
        Case(.post, assign, #"{"user_id":9007199254740992,"quantity":5}"#, 422, "out_of_range"),
        Case(.post, assign, #"{"user_id":"a\n","quantity":5}"#, 422, "invalid_id"),
        Case(.post, assign, #"{"user_id":"guest:5","quantity":1}"#, 422, "invalid_id"),
        Case(.post, assign, #"{"user_id":5,"quantity":1,"x":1}"#, 400, "unknown_field"),
        Case(.post, assign, #"[]"#, 422, "wrong_type"),
        Case(.post, assign, #"{"#, 400, "invalid_json"),
        Case(
            .post, "/api/Eleven/bulk-assign", #"{"user_id":5,"quantity":1}"#, 422,
            "invalid_provider"),
        Case(
            .post, "/api/users/bulk-assign", #"{"user_id":5,"quantity":1}"#, 422, "invalid_provider"
        ),
        Case(
            .post, "/api/\(String(repeating: "a", count: 33))/bulk-assign",
            #"{"user_id":5,"quantity":1}"#, 422, "invalid_provider"),
        Case(.get, assign, "", 405, "method_not_allowed"),
        // Reports.
        Case(.post, status, #"{"status":"active"}"#, 422, "field_required"),
        Case(.post, status, #"{"key_id":1}"#, 422, "field_required"),
        Case(.post, status, #"{"key_id":1,"status":"alive"}"#, 422, "unknown_status"),
        Case(.post, status, #"{"key_id":1,"status":1}"#, 422, "wrong_type"),
        Case(.post, status, #"{"key_id":"1","status":"active"}"#, 422, "integer_required"),
        Case(.post, status, #"{"key_id":0,"status":"active"}"#, 422, "out_of_range"),
        Case(.post, status, #"{"key_id":77,"status":"active"}"#, 404, "key_not_found"),
        Case(
            .post, "/api/tool/openai/status", #"{"key_id":1,"status":"active"}"#, 404,
            "key_not_found"),
        Case(
            .post, status, #"{"key_id":1,"status":"active","credit_balance":1.5}"#, 422,
            "integer_required"),
        Case(
            .post, status, #"{"key_id":1,"status":"active","credit_balance":9007199254740992}"#,
            422, "out_of_range"),
        Case(
            .post, status, #"{"key_id":1,"status":"active","error_message":7}"#, 422, "wrong_type"),
        Case(.post, status, #"{"key_id":1,"status":"active","error":"x"}"#, 400, "unknown_field"),
        // A holder's own keys are for a holder.
        Case(.get, "/api/tool/elevenlabs", "", 403, "forbidden"),
        // Keys.
        Case(.post, rows, #"{"name":"a","secret":"b"}"#, 422, "wrong_type"),
        Case(.post, rows, #"[]"#, 422, "batch_size"),
        Case(.get, "/api/elevenlabs/keys/77", "", 404, "key_not_found"),
        Case(.get, "/api/elevenlabs/keys/x", "", 404, "key_not_found"),
        Case(.get, "/api/elevenlabs/keys/01", "", 404, "key_not_found"),
        Case(.get, "/api/openai/keys/1", "", 404, "key_not_found"),
        Case(.patch, key, #"{}"#, 422, "field_required"),
        Case(.patch, key, #"{"secret":"x"}"#, 400, "unknown_field"),
        Case(.patch, key, #"{"name":""}"#, 422, "invalid_text"),
        Case(.patch, key, #"{"name":null}"#, 422, "field_required"),
        Case(.patch, key, #"{"status":"free"}"#, 422, "unknown_status"),
        Case(.patch, key, #"{"credit_balance":"5"}"#, 422, "integer_required"),
        Case(.patch, "/api/elevenlabs/keys/77", #"{"name":"x"}"#, 404, "key_not_found"),
        Case(.post, "\(key)/unassign", #"{}"#, 400, "unexpected_body"),
        Case(.post, "/api/elevenlabs/keys/77/unassign", "", 404, "key_not_found"),
        Case(.delete, "/api/elevenlabs/keys/77", "", 404, "key_not_found"),
        Case(.put, settings, #"{"threshold":-1}"#, 422, "out_of_range"),
        Case(.put, settings, #"{"threshold":"800"}"#, 422, "integer_required"),
        Case(.put, settings, #"{}"#, 422, "field_required"),
        Case(.put, settings, #"{"limit":1}"#, 400, "unknown_field"),
        // Users.
        Case(.get, "/api/users/nobody/stats", "", 404, "user_not_found"),
        Case(.post, "/api/users", "", 405, "method_not_allowed"),
        Case(.get, "/api/nothing/at/all/here", "", 404, "not_found"),
    ]

    @Test func `Bad input is refused in the way that old clients understand, and changes nothing`()
        async throws
    {
        try await withPoolAPI { _, api, redis in
            await api.stock([900, 1000])
            _ = await api.assign(1)
            for item in Self.cases {
                let answer = try await api.expectRefusal(
                    .authorized(
                        item.method, item.path,
                        headers: ["Content-Type": "application/json"], body: Array(item.body.utf8)),
                    item.status, item.code, "\(item.method.name) \(item.path) \(item.body)")
                #expect(answer.json["success"] as? Bool == false, "\(item.path) \(item.body)")
            }
            let queries = [
                ("/api/elevenlabs/keys", "limit=0"), ("/api/elevenlabs/keys", "limit=1001"),
                ("/api/elevenlabs/keys", "cursor=x"), ("/api/elevenlabs/keys", "status=alive"),
                ("/api/elevenlabs/keys", "assigned=yes"),
            ]
            for (path, query) in queries {
                try await api.expectRefusal(
                    .authorized(.get, path, query: query), 400, "invalid_parameter", query)
            }
            for path in ["/api/elevenlabs/keys", "/api/users", "/api/elevenlabs/keys/1"] {
                try await api.expectRefusal(
                    .authorized(.get, path, query: "page=2"), 400, "unknown_parameter", path)
            }
            let anybody = await api.send(
                .authorized(.get, "/api/users", headers: ["Authorization": absent]))
            #expect(anybody.status == 401 && anybody.json["success"] as? Bool == false)
            // Other surfaces have no such member.
            let other = await api.get("/v1/nothing")
            #expect(other.status == 404 && other.json["success"] == nil)
        }
    }

    @Test func `Of rows that cannot be, each says why, and the others come in`() async throws {
        try await withPoolAPI { _, api, _ in
            let rows = [
                #"{"name":"a","secret":"s1"}"#, #"{"name":"a"}"#, #"{"secret":"s2"}"#, "7",
                #"{"name":"a","secret":""}"#, #"{"name":"a","secret":"s2","credit_balance":"1"}"#,
                #"{"name":"a","secret":"s2","status":"new"}"#,
                #"{"name":"a","secret":"s2","id":1}"#,
                #"{"name":"a","secret":"s1"}"#, #"{"name":"a","secret":"s\u001f"}"#,
                #"{"name":"a","secret":"s2","credit_balance":null,"status":"dead"}"#,
            ]
            let answer = await api.send(
                .post, Self.rows, "[\(rows.joined(separator: ","))]")
            #expect(answer.status == 200)
            #expect(
                answer.codes == [
                    nil, "field_required", "field_required", "wrong_type", "invalid_text",
                    "integer_required", "unknown_status", "unknown_field", "duplicate_secret",
                    "invalid_text", nil,
                ])
            #expect(
                answer.results.compactMap { $0["status"] as? Int }
                    == [201, 422, 422, 422, 422, 422, 422, 400, 409, 422, 201])
            #expect(await api.get("/api/elevenlabs/keys").list("keys").count == 2)
        }
    }

    @Test(arguments: [
        ("", 422, "batch_size"), ("name,secret\n", 422, "batch_size"),
        ("name\na\n", 422, "invalid_header"), ("name,secret,name\na,b,c\n", 422, "invalid_header"),
        ("name,secret,x\na,b,c\n", 422, "invalid_header"), ("name,secret\n\"a", 400, "invalid_csv"),
    ])
    func `CSV that is none is refused whole`(text: String, status: Int, code: String) async throws {
        try await withPoolAPI { _, api, _ in
            try await api.expectRefusal(
                .authorized(
                    .post, Self.rows, headers: ["Content-Type": "text/csv; charset=utf-8"],
                    body: Array(text.utf8)), status, code, text)
        }
    }
}
