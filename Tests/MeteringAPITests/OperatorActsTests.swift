// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

/// What is done with workspaces is in the log of `default`, and no administrator's business.
@Suite struct OperatorActsTests {
    @Test func `An administrator of default sees no acts on workspaces`() async throws {
        try await withExports { bench in
            let client = bench.client()
            func send(_ method: String, _ path: String, _ body: String) throws {
                let answer = try client.request(
                    method, path, Array(body.utf8), "application/json")
                #expect((200...202).contains(answer.status), "\(answer.text)")
            }
            let made = try client.post("/v1/keys", #"{"role":"admin"}"#)
            let admin = try #require(made.json["secret"] as? String)
            for name in ["acme", "beta", "gamma"] {
                try send("POST", "/v1/workspaces", #"{"id":"\#(name)"}"#)
                try send("PATCH", "/v1/workspaces/\(name)", #"{"currency":"EUR"}"#)
                try send("PUT", "/v1/subjects/\(name)", "{}")
                try send("DELETE", "/v1/workspaces/\(name)", "")
            }
            for (secret, count) in [(key, 13), (admin, 4)] {
                let reader = BlockingHTTPClient(port: bench.port, key: secret)
                var (seen, cursor): ([String], String?) = ([], nil)
                repeat {
                    let page = try reader.get(
                        "/v1/audit?limit=2" + (cursor.map { "&cursor=\($0)" } ?? ""))
                    #expect(page.status == 200, "\(page.text)")
                    let entries = try #require(page.json["entries"] as? [[String: Any]])
                    seen += entries.compactMap { $0["action"] as? String }
                    cursor = page.json["next"] as? String
                } while cursor != nil
                #expect(seen.count == count, "\(seen)")
                let isTold = seen.contains { $0.contains("/v1/workspaces") }
                #expect(isTold == (secret == key), "\(seen)")
                let asked = try reader.get("/v1/audit?action=POST%20/v1/workspaces")
                #expect(asked.text.contains("acme") == (secret == key), "\(asked.text)")
                let file = try reader.get("/v1/export/audit?format=ndjson").text
                #expect(file.contains("/v1/workspaces") == (secret == key), "\(file)")
                #expect(file.contains("PUT /v1/subjects"), "\(file)")
            }
        }
    }
}
