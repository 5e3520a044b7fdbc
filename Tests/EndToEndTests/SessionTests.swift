// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

extension EndToEnd {
    /// What a browser sends back of the cookie of an answer.
    private static func cookie(_ answer: BlockingHTTPClient.Answer) throws -> String {
        let field = try #require(answer.headers["set-cookie"])
        return String(try #require(field.split(separator: ";").first))
    }

    private static func signIn(
        _ client: BlockingHTTPClient, headers: [String: String] = [:]
    ) throws -> BlockingHTTPClient.Answer {
        try client.request("POST", "/v1/session", [], "application/json", headers)
    }

    @Test func `The cookie of a session is out of reach of scripts and other sites`() async throws {
        try await blocking {
            let service = try TallyProcess(arguments: ["--threads", "2"])
            try service.start()
            let answer = try Self.signIn(service.client())
            #expect(answer.status == 200 && answer.json["role"] as? String == "operator")
            let field = try #require(answer.headers["set-cookie"])
            let parts = field.components(separatedBy: "; ").dropFirst().sorted()
            // Without an age: it goes when the browser is closed.
            #expect(parts == ["HttpOnly", "Path=/", "SameSite=Strict"])
            #expect(!field.contains(TallyProcess.key))
            let behindTLS = try Self.signIn(
                service.client(), headers: ["X-Forwarded-Proto": "https"])
            #expect(behindTLS.headers["set-cookie"]?.hasSuffix("; Secure") == true)

            let anybody = BlockingHTTPClient(port: service.port, key: nil)
            func session(_ cookie: String) throws -> BlockingHTTPClient.Answer {
                try anybody.request("GET", "/v1/session", nil, "", ["Cookie": cookie])
            }
            let cookie = try Self.cookie(answer)
            let own = try session("theme=dark; \(cookie)")
            #expect(own.status == 200 && own.headers["cache-control"] == "no-store")
            #expect(own.json["workspace"] as? String == "default")
            #expect(own.json["currency"] as? String == "USD")
            #expect(own.json["time_zone"] as? String == "UTC")
            for wrong in ["tally_session=AAAA", "tally_session=", "tally_session=~", "other=x"] {
                #expect(try session(wrong).status == 401, "\(wrong)")
            }
            let refused = try Self.signIn(
                BlockingHTTPClient(port: service.port, key: "certainly-not-a-key"))
            #expect(refused.status == 401 && refused.headers["set-cookie"] == nil)
            #expect(try Self.signIn(anybody).status == 401)
        }
    }

    @Test func `With a cookie only the service's own pages may change anything`() async throws {
        try await blocking {
            let service = try TallyProcess(arguments: ["--threads", "2"])
            try service.start()
            let cookie = try Self.cookie(try Self.signIn(service.client()))
            let anybody = BlockingHTTPClient(port: service.port, key: nil)
            let event = Array(#"{"subject":"ann","meters":{"messages":1}}"#.utf8)
            func record(_ headers: [String: String]) throws -> Int {
                try anybody.request(
                    "POST", "/v1/events", event, "application/json",
                    headers.merging(["Cookie": cookie]) { $1 }
                ).status
            }
            for headers in [
                [:], ["Sec-Fetch-Site": "cross-site"], ["Sec-Fetch-Site": "same-site"],
                ["Sec-Fetch-Site": "none"], ["Origin": "https://evil.example.com"],
                ["Origin": "null"], ["Origin": "http://127.0.0.1.evil.example.com"],
                ["Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1"],
            ] { #expect(try record(headers) == 403, "\(headers)") }
            for method in ["PUT", "PATCH", "DELETE"] {
                let answer = try anybody.request(
                    method, "/v1/subjects/ann", method == "DELETE" ? nil : Array("{}".utf8),
                    "application/json",
                    ["Cookie": cookie, "Sec-Fetch-Site": "cross-site"])
                #expect(answer.status == 403, "\(method)")
                #expect(answer.json["code"] as? String == "cross_site")
            }
            #expect(try service.client().get("/v1/subjects/ann").status == 404)
            #expect(try record(["Sec-Fetch-Site": "same-origin"]) == 200)
            #expect(try record(["Origin": "http://127.0.0.1"]) == 200)
            // A back end sends no cookie, and is asked nothing of this.
            let direct = try service.client().post(
                "/v1/events", String(decoding: event, as: UTF8.self),
                headers: ["Sec-Fetch-Site": "cross-site"])
            #expect(direct.status == 200)
            #expect(try service.client().get("/v1/subjects/ann").json["events"] as? Int == 3)
        }
    }

    @Test func `A check of a gateway takes from nobody for a page of another origin`() async throws
    {
        try await blocking {
            let service = try TallyProcess(arguments: ["--threads", "2"])
            try service.start()
            let made = try service.client().post(
                "/v1/keys", #"{"role":"self","subject":"ann","name":"x"}"#)
            let secret = try #require(made.json["secret"] as? String)
            let cookie = try Self.cookie(
                try Self.signIn(BlockingHTTPClient(port: service.port, key: secret)))
            let anybody = BlockingHTTPClient(port: service.port, key: nil)
            func take(_ method: String, _ path: String, _ site: [String: String]) throws -> Int {
                // As often as both loops have seen the key.
                try (0..<8).map { _ in
                    try anybody.request(
                        method, path, method == "POST" ? [] : nil, "application/json",
                        site.merging(["Cookie": cookie]) { $1 }
                    ).status
                }.max() ?? 0
            }
            let query = "/v1/gateway/check?files_uploaded=1"
            for method in ["GET", "HEAD", "OPTIONS", "POST", "DELETE"] {
                for site in [
                    [:], ["Sec-Fetch-Site": "same-site"], ["Sec-Fetch-Site": "cross-site"],
                    ["Sec-Fetch-Site": "none"], ["Origin": "https://evil.example.com"],
                ] { #expect(try take(method, query, site) == 403, "\(method) \(site)") }
            }
            let below = ["Sec-Fetch-Site": "same-site", "X-Tally-Check": "files_uploaded=1"]
            #expect(try take("GET", "/v1/gateway/check/x", below) == 403)
            let usage = try service.client().post(
                "/v1/check", #"{"subject":"ann","amounts":{"files_uploaded":1}}"#)
            #expect(usage.text.contains(#""used":0"#), "\(usage.text)")
            #expect(try take("GET", query, ["Sec-Fetch-Site": "same-origin"]) == 200)
            // What only reads is answered wherever its link stands.
            #expect(try take("GET", "/v1/credits/ann", ["Sec-Fetch-Site": "cross-site"]) == 200)
        }
    }

    @Test func `What a page shows of one session is not done with the cookie of another`()
        async throws
    {
        try await blocking {
            let service = try TallyProcess(arguments: ["--threads", "2"])
            try service.start()
            let anybody = BlockingHTTPClient(port: service.port, key: nil)
            var cookies: [String] = []
            var ids: [String] = []
            for workspace in ["alpha", "beta"] {
                #expect(
                    try service.client().post("/v1/workspaces", "{\"id\":\"\(workspace)\"}").status
                        == 201)
                let made = try service.client().post(
                    "/v1/keys", "{\"role\":\"admin\",\"name\":\"x\",\"workspace\":\"\(workspace)\"}"
                )
                let secret = try #require(made.json["secret"] as? String)
                let answer = try Self.signIn(BlockingHTTPClient(port: service.port, key: secret))
                cookies.append(try Self.cookie(answer))
                ids.append(try #require(answer.json["id"] as? String))
            }
            func send(_ method: String, _ path: String, _ headers: [String: String]) throws
                -> BlockingHTTPClient.Answer
            {
                try anybody.request(
                    method, path, method == "GET" ? nil : Array("{}".utf8), "application/json",
                    headers.merging(["Sec-Fetch-Site": "same-origin"]) { $1 })
            }
            // As often as both loops have seen the key.
            for _ in 0..<8 {
                for (method, path) in [
                    ("GET", "/v1/limits"), ("PUT", "/v1/subjects/ann"), ("GET", "/v1/session"),
                    ("POST", "/v1/events"), ("GET", "/v1/stream"),
                ] {
                    let answer = try send(
                        method, path, ["Cookie": cookies[1], "X-Tally-Session": ids[0]])
                    #expect(answer.status == 409, "\(method) \(path): \(answer.text)")
                    #expect(answer.json["code"] as? String == "other_session")
                }
            }
            let own = ["Cookie": cookies[1], "X-Tally-Session": ids[1]]
            #expect(try send("GET", "/v1/subjects/ann", own).status == 404)
            #expect(try send("PUT", "/v1/subjects/ann", own).status == 201)
            #expect(try send("GET", "/v1/session", own).json["workspace"] as? String == "beta")
            // The operator is the same one wherever it looks.
            let cookie = try Self.cookie(try Self.signIn(service.client()))
            let id = try #require(
                try send("GET", "/v1/session", ["Cookie": cookie]).json["id"] as? String)
            let elsewhere = try send(
                "GET", "/v1/session",
                ["Cookie": cookie, "X-Tally-Session": id, "X-Tally-Workspace": "alpha"])
            #expect(elsewhere.json["workspace"] as? String == "alpha", "\(elsewhere.text)")
            // Who sends its key knows who it is.
            let direct = try service.client().request(
                "GET", "/v1/limits", nil, "",
                ["X-Tally-Session": ids[0], "Cookie": cookies[1]])
            #expect(direct.status == 200)
        }
    }

    @Test func `A session ends by signing out, and with its key`() async throws {
        try await blocking {
            let service = try TallyProcess(arguments: ["--threads", "2"])
            try service.start()
            let made = try service.client().post(
                "/v1/keys", #"{"role":"self","subject":"ann","name":"x"}"#)
            let secret = try #require(made.json["secret"] as? String)
            let id = try #require(made.json["id"] as? String)
            let answer = try Self.signIn(BlockingHTTPClient(port: service.port, key: secret))
            #expect(answer.json["role"] as? String == "self")
            #expect(answer.json["subject"] as? String == "ann")
            let cookie = try Self.cookie(answer)
            let anybody = BlockingHTTPClient(port: service.port, key: nil)
            func get(_ path: String) throws -> Int {
                try anybody.request("GET", path, nil, "", ["Cookie": cookie]).status
            }
            #expect(try get("/v1/credits/ann") == 200 && get("/usage/me") == 200)
            #expect(try get("/v1/credits/bob") == 403)
            #expect(try get("/v1/subjects") == 403)
            let out = try anybody.request(
                "DELETE", "/v1/session", nil, "", ["Sec-Fetch-Site": "same-origin"])
            #expect(out.status == 204)
            let field = try #require(out.headers["set-cookie"])
            #expect(field.hasPrefix("tally_session=;") && field.contains("Max-Age=0"))
            #expect(field.contains("HttpOnly") && field.contains("SameSite=Strict"))
            #expect(try service.client().request("DELETE", "/v1/keys/\(id)", nil, "").status == 204)
            try waitUntil("the end of the session") { (try? get("/v1/session")) == 401 }
        }
    }
}
