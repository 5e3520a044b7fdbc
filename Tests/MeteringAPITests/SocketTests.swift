// SPDX-License-Identifier: Apache-2.0

import EventLoop
import HTTPServer
import MeteringAPI
import Observability
import Redis
import TestSupport
import Testing

/// What the tests of this target leave out, the way over a socket, for a few of their cases.
/// One after the other: the client blocks a thread of the pool that tests share.
@Suite(.serialized, .timeLimit(.minutes(15))) struct SocketTests {
    private static func withServer(_ body: (UInt16) async throws -> Void) async throws {
        try await withRedis { redis in
            let loop = try EventLoop()
            loop.start()
            defer { loop.stop() }
            let path = redis.socketPath
            let server = HTTPServer(
                on: loop, metrics: MetricsRegistry(), logger: Logger(level: .error)
            ) {
                let (api, client, _) = makeAPI(path, on: loop, ManualClock(noon), Readiness())
                client.connect()
                return api
            }
            let (descriptor, port) = try HTTPServer.bind(host: "127.0.0.1", port: 0)
            await server.listen(on: descriptor)
            let client = BlockingHTTPClient(port: port, key: key)
            while try client.get("/readyz").status != 200 {
                await loop.sleep(for: .milliseconds(2))
            }
            do {
                try await body(port)
                await server.shutdown(deadline: .seconds(8))
            } catch {
                await server.shutdown(deadline: .seconds(8))
                throw error
            }
        }
    }

    @Test func `Refusals come over a socket as they are, and the connection goes on`() async throws
    {
        try await Self.withServer { port in
            let client = BlockingHTTPClient(port: port, key: key)
            var canaries = 0
            let valid = RefusalTests.valid
            for (method, path, body, headers, status, code) in [
                ("GET", "/v1/nothing", nil, [:], 404, "not_found"),
                ("PUT", "/v1/events", "{}", [:], 405, "method_not_allowed"),
                ("POST", "/v1/events", "", [:], 400, "invalid_json"),
                ("POST", "/v1/events", "{", [:], 400, "invalid_json"),
                ("POST", "/v1/events", "{}", [:], 422, "field_required"),
                ("POST", "/v1/events?x=1", valid, [:], 400, "unknown_parameter"),
                (
                    "POST", "/v1/events", valid, ["Content-Encoding": "gzip"], 415,
                    "unsupported_media_type"
                ),
                (
                    "POST", "/v1/events", valid, ["Idempotency-Key": "é"], 400,
                    "invalid_idempotency_key"
                ),
                (
                    "POST", "/v1/events", valid, ["Idempotency-Key": ""], 400,
                    "invalid_idempotency_key"
                ),
                (
                    "GET", "/v1/subjects/\(String(repeating: "a", count: 257))", nil, [:], 422,
                    "invalid_id"
                ),
                ("GET", "/v1/events?limit=0", nil, [:], 400, "invalid_parameter"),
            ] as [(String, String, String?, [String: String], Int, String)] {
                let answer = try client.request(
                    method, path, body.map { Array($0.utf8) }, "application/json", headers)
                #expect(answer.status == status, "\(method) \(path): \(answer.text)")
                #expect(answer.json["code"] as? String == code, "\(method) \(path)")
                #expect(answer.headers["content-type"] == "application/problem+json")
                canaries += 1
                let next = try client.post("/v1/events", #"{"subject":"canary","meters":{"x":1}}"#)
                #expect(next.json["totals"] as? [String: Int] == ["x": canaries], "\(next.text)")
            }
            #expect(try client.get("/v1/subjects/a").status == 404)
        }
    }

    /// Letters of ISO 8859-1: repaired to UTF-8, different ones would be one subject.
    @Test func `Ids in headers that are not UTF-8 are refused`() async throws {
        try await Self.withServer { port in
            func send(_ line: String, _ fields: String) throws -> BlockingHTTPClient.Answer {
                let head = "\(line) HTTP/1.1\r\nHost: a\r\n\(fields)\r\n"
                let bytes = head.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
                return try BlockingHTTPClient(port: port, key: nil).raw(bytes)
            }
            let check = "/v1/gateway/check"
            let signed = "Authorization: Bearer \(key)\r\n"
            let amount = "files_uploaded=60"
            let upload = "Content-Type: application/json\r\nContent-Length: 0\r\n"
            for (line, fields, status, code) in [
                (
                    "GET \(check)?\(amount)", "\(signed)X-Tally-Subject: jos\u{e9}\r\n", 422,
                    "invalid_id"
                ),
                ("GET \(check)?\(amount)", "\(signed)X-Guest-ID: jos\u{e9}\r\n", 422, "invalid_id"),
                (
                    "GET \(check)/a", "\(signed)X-Tally-Check: \(amount)&subject=jos\u{e9}\r\n",
                    400,
                    "invalid_parameter"
                ),
                (
                    "GET \(check)/a",
                    "\(signed)X-Tally-Subject: b\r\nX-Tally-Check: \(amount)&subject=jos%E9\r\n",
                    400, "invalid_parameter"
                ),
                (
                    "POST /usage/track/upload", "X-Guest-ID: jos\u{e9}\r\n\(upload)", 422,
                    "invalid_id"
                ),
                ("GET /usage/me", "X-Guest-ID: jos\u{e9}\r\n", 422, "invalid_id"),
                ("GET /usage/me", "X-Guest-ID: \u{c2}\u{85}\r\n", 422, "invalid_id"),
            ] {
                let answer = try send(line, fields)
                #expect(answer.status == status, "\(line) \(fields): \(answer.text)")
                #expect(answer.json["code"] as? String == code, "\(line) \(fields)")
            }
            // As UTF-8 they are two, with a quota each.
            for name in ["jos\u{c3}\u{a9}", "jos\u{c3}\u{a8}"] {
                let answer = try send(
                    "GET \(check)?\(amount)", "\(signed)X-Tally-Subject: \(name)\r\n")
                #expect(answer.status == 200, "\(answer.text)")
            }
        }
    }

    @Test func `Without a key the answer is 401 with a challenge`() async throws {
        try await Self.withServer { port in
            for key in [nil, "not-the-key-at-all"] {
                let client = BlockingHTTPClient(port: port, key: key)
                let answer = try client.post("/v1/events", RefusalTests.valid)
                #expect(answer.status == 401, "\(answer.text)")
                #expect(answer.headers["www-authenticate"] == "Bearer realm=\"tally\"")
                #expect(try client.get("/v1/nothing").status == 401)
            }
        }
    }

    @Test func `A body of 8 MiB is taken and one byte more is not`() async throws {
        try await Self.withServer { port in
            let client = BlockingHTTPClient(port: port, key: key)
            let valid = Array(RefusalTests.valid.utf8)
            let padding = [UInt8](repeating: 0x20, count: (8 << 20) - valid.count)
            let most = try client.request("POST", "/v1/events", valid + padding, "application/json")
            #expect(most.status == 200, "\(most.text)")
            let head =
                "POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer \(key)\r\n"
            let over = try client.raw(Array("\(head)Content-Length: \((8 << 20) + 1)\r\n\r\n".utf8))
            #expect(over.status == 413, "\(over.text)")
            #expect(over.json["code"] as? String == "body_too_large")
            let after = try BlockingHTTPClient(port: port, key: key).post(
                "/v1/events", RefusalTests.valid)
            #expect(after.json["totals"] as? [String: Int] == ["x": 2], "\(after.text)")
        }
    }

    @Test func `Ids read back over a socket whatever they are made of`() async throws {
        try await Self.withServer { port in
            let client = BlockingHTTPClient(port: port, key: key)
            for id in IdentifierTests.ids {
                let answer = try client.post(
                    "/v1/events", #"{"subject":\#(quoted(id)),"meters":{"x":1}}"#)
                #expect(answer.status == 200, "\(id): \(answer.text)")
                let read = try client.get("/v1/subjects/\(percentEncoded(id))")
                #expect(read.json["totals"] as? [String: Int] == ["x": 1], "\(id): \(read.text)")
            }
        }
    }

    @Test func `Ids with slashes and dots are found by their paths`() async throws {
        try await withExports { bench in
            let client = bench.client()
            for id in ["../x", "a/../b", "/..", "../", "a/./b", "...", "..a", "guest:.."] {
                let path = percentEncoded(id)
                let event = #"{"id":\#(quoted(id)),"subject":\#(quoted(id)),"meters":{"x":1}}"#
                let hold = #"{"id":\#(quoted(id)),"subject":\#(quoted(id)),"credits":2}"#
                for (line, body, status) in [
                    ("/v1/events", event, 200), ("/v1/events/\(path)/reverse", "", 200),
                    (
                        "/v1/credits/\(path)/grants", #"{"id":\#(quoted(id)),"credits":5}"#, 201
                    ),
                    ("/v1/holds", hold, 201), ("/v1/holds/\(path)/release", "", 200),
                ] {
                    let answer = try client.post(line, body)
                    #expect(answer.status == status, "\(line) \(id): \(answer.text)")
                }
                for line in ["/v1/subjects", "/v1/credits", "/v1/holds"] {
                    let answer = try client.get("\(line)/\(path)")
                    #expect(answer.status == 200, "\(line) \(id): \(answer.text)")
                }
            }
            // An escaped slash is no slash, for whatever has no ids in its path.
            for path in [
                "/a%2f..%2fb", "/v1%2Fevents", "/v1/export/events%2F..%2Fbalances",
                "/assets%2F..%2Fx", "/assets/..%2F..%2Fetc%2Fpasswd",
            ] {
                #expect(try client.get(path).status == 404, "\(path)")
            }
            for path in ["/v1/subjects/%2E%2E", "/v1/subjects/.%2e/x", "/v1/holds/%2E"] {
                #expect(try client.get(path).json["code"] as? String == "invalid_uri", "\(path)")
            }
        }
    }
}
