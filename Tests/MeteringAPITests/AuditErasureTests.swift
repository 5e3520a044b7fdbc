// SPDX-License-Identifier: Apache-2.0

import HTTPServer
import TestSupport
import Testing
import Transfer

/// What the audit log tells of a person who is erased, wherever it stands in what was noted.
@Suite(.timeLimit(.minutes(15))) struct AuditErasureTests {
    private static let ann = "ann@example.com"

    private static func erase(_ api: Harness, _ name: String) async {
        let answer = await api.send(
            .authorized(.delete, "/v1/subjects/\(percentEncoded(name))", query: "erase=true"))
        let id = answer.json["id"] as? String ?? ""
        // A busy machine may need longer than an answer waits.
        for _ in 0..<100_000 {
            let receipt = await api.get("/v1/erasures/\(id)")
            if receipt.json["state"] as? String == "done" { return }
        }
        Issue.record("\(answer.text)")
    }

    /// What stood in the answers of acts on a path.
    private static func outcomes(_ api: Harness, _ path: String) async -> [[String: Any]] {
        await api.get("/v1/audit").list("entries").filter { $0["path"] as? String == path }
            .compactMap { $0["after"] as? [String: Any] }
    }

    @Test func `Imports, keys, alerts and reports of tools name nobody who was erased`()
        async throws
    {
        let mail = Courier.MailServer(url: "smtp://127.0.0.1:1", from: "tally@example.com")
        try await withPoolAPI(Courier(mailServer: mail)) { _, api, _ in
            for rows in [
                #"{"id":"bob"}"# + "\n"
                    + #"{"id":"\#(Self.ann)","email":"\#(Self.ann)","phone":"+49 (1) 23"}"#,
                #"{"id":"bob","full_name":"Bob"}"#,
            ] {
                let answer = await api.send(
                    .authorized(
                        .post, "/v1/subjects/import",
                        headers: ["Content-Type": "application/x-ndjson"], body: Array(rows.utf8)))
                #expect(answer.status == 200, "\(answer.text)")
            }
            for name in [Self.ann, "console"] {
                let made = await api.send(
                    .post, "/v1/keys", #"{"role":"reader","name":"\#(name)"}"#)
                #expect(made.status == 201, "\(made.text)")
            }
            // Addresses are compared whatever their case, and so they are found.
            for target in ["ANN@Example.com", "bob@example.com"] {
                let put = await api.send(
                    .put, "/v1/alerts",
                    #"""
                    {"alerts":[{"name":"low","on":{"balance":true},"percent":[50],
                    "to":{"email":"\#(target)"}}]}
                    """#)
                #expect(put.status == 200, "\(put.text)")
            }
            await api.stock([900, 1000])
            _ = await api.assign(1, to: #""\#(Self.ann)""#)
            _ = await api.report(2, error: #""for \#(Self.ann)""#)
            let unassign = await api.send(.post, "/api/elevenlabs/keys/2/unassign", "")
            #expect(unassign.status == 200, "\(unassign.text)")
            let before = await api.get("/v1/audit").text
            #expect(before.lowercased().contains(Self.ann))

            await Self.erase(api, Self.ann)
            let told = await api.get("/v1/audit").text
            #expect(!told.lowercased().contains("ann@"), "\(told)")
            #expect(told.contains("console"))
            // What was done for others is told as it was.
            let imports = await Self.outcomes(api, "/v1/subjects/import")
            #expect(imports.count == 1, "\(imports)")
            #expect(
                (imports.first?["results"] as? [[String: Any]])?.first?["id"] as? String == "bob")
            #expect(await Self.outcomes(api, "/v1/keys").count == 1)
        }
    }

    @Test func `Numbers of keys are no users, whatever these are called`() async throws {
        try await withPoolAPI { _, api, _ in
            await api.stock([900, 1000])
            _ = await api.post(#"{"subject":"1","meters":{"tokens":1}}"#)
            await Self.erase(api, "1")
            let imports = await Self.outcomes(api, "/api/elevenlabs/keys/import")
            #expect(imports.first?["imported_count"] as? Int == 2)
        }
    }

    @Test func `A merge by a back end is noted, and names nobody who was erased`() async throws {
        try await withPoolAPI { _, api, redis in
            for name in [Self.ann, "guest:zq7331", "bob", "guest:other"] {
                _ = await api.post(#"{"subject":"\#(name)","meters":{"tokens":2}}"#)
            }
            let made = await api.send(.post, "/v1/keys", #"{"role":"writer","name":"back end"}"#)
            let writer = try #require(made.json["secret"] as? String)
            for (user, guest) in [(Self.ann, "guest:zq7331"), ("bob", "guest:other")] {
                let merged = await api.send(
                    .authorized(
                        .post, "/v1/subjects/\(percentEncoded(user))/merge",
                        headers: [
                            "Authorization": "Bearer \(writer)",
                            "Content-Type": "application/json",
                        ], body: Array(#"{"guest":"\#(guest)"}"#.utf8)))
                #expect(merged.status == 200, "\(merged.text)")
            }
            let merges = await api.get("/v1/audit").list("entries").filter {
                $0["action"] as? String == "POST /v1/subjects/{id}/merge"
            }
            #expect(merges.count == 2 && merges.allSatisfy { $0["role"] as? String == "writer" })
            let before = merges[0]["before"] as? [String: Any]
            #expect((before?["totals"] as? [String: Int])?["tokens"] == 2)
            let after = merges[0]["after"] as? [String: Any]
            #expect(after?["guest"] as? String == "guest:other" && after?["events"] as? Int == 1)

            await Self.erase(api, Self.ann)
            let left = await api.get("/v1/audit").text
            #expect(!left.contains(Self.ann) && !left.contains("zq7331"))
            #expect(left.contains("guest:other") && left.contains("/v1/subjects/bob/merge"))
            for key in ["XRANGE t1:{default}:audit - +", "HVALS t1:{default}:audit:outcomes"] {
                #expect(try !redis.request(key).contains("zq7331"))
            }
        }
    }
}
