// SPDX-License-Identifier: Apache-2.0

import Glibc
import HTTPServer
import TestSupport
import Testing

@testable import MeteringAPI

@Suite(.timeLimit(.minutes(15))) struct AuthenticationTests {
    private static let values = [
        absent, "", "Bearer", "Bearer ", "Bearer  \(key)", "Bearer \(key) ", "Bearer \(key)x",
        "Bearer x\(key)",
        "Bearer \(key.dropLast())", "Bearer \(key.uppercased())", "Basic \(key)", key,
        "Bearer\t\(key)",
        "Bearer=\(key)", "Bearer \"\(key)\"", "Bearer \(key),\(key)", "Bearer é", "Bearer \u{0}",
        "Bearer \(String(repeating: "k", count: 4096))",
    ]

    @Test func `Wrong secrets count by networks, and the operator is never held up`() {
        let attempts = AttemptLimiter()
        attempts.succeed(Array("operator".utf8), isOperator: true)
        for host in 1...100 { attempts.fail("2001:db8::\(host)") }
        let other = Array("other".utf8)
        #expect(attempts.isSlowed("2001:db8:0:0:ffff::1", other))
        #expect(!attempts.isSlowed("2001:db8:0:1::1", other))
        #expect(!attempts.isSlowed("127.0.0.1", other))
        attempts.succeed(other)
        #expect(!attempts.isSlowed("2001:db8::1", other))
        // What has the form of a key is looked at now and then: it may be a right one.
        let key = Array(
            "tally_\(String(repeating: "0", count: 18))_\(String(repeating: "f", count: 48))".utf8)
        for _ in 0..<10_000 where attempts.isSlowed("2001:db8::1", key) { usleep(1_000) }
        #expect(!attempts.isSlowed("2001:db8::1", key) && attempts.mayLook("2001:db8::1", key))
        let slowed = (0..<100).count { _ in
            attempts.fail("2001:db8::1")
            return attempts.isSlowed("2001:db8::1", key) && !attempts.mayLook("2001:db8::1", key)
        }
        #expect(slowed > 0)
        // What was right before may have been forgotten elsewhere; what is wrong by now is a guess again.
        #expect((0..<100).allSatisfy { _ in attempts.mayLook("2001:db8::1", other) })
        attempts.fail("2001:db8::1", other)
        #expect(attempts.isSlowed("2001:db8::1", other))
        attempts.succeed(other)
        // So many right ones that those before are forgotten.
        for number in 0..<10_001 { attempts.succeed(Array("key \(number)".utf8)) }
        #expect(attempts.isSlowed("2001:db8::1", other))
        #expect(!attempts.isSlowed("2001:db8::1", Array("operator".utf8)))
    }

    @Test func `Without the right key nothing is counted, read or told`() async throws {
        try await withAPI { host, harness, redis in
            for value in Self.values {
                let headers = ["Authorization": value]
                for request in [
                    HTTPRequest.post(RefusalTests.valid, headers: headers),
                    .post("{", headers: headers),
                    .post("", query: "x=1", headers: headers.merging(["Content-Type": "x"]) { $1 }),
                    .authorized(.get, "/v1/events", headers: headers),
                    .authorized(.get, "/v1/subjects/canary", headers: headers),
                    .authorized(
                        .get, "/v1/leaderboards/tokens", query: "limit=x", headers: headers),
                    .authorized(.get, "/v1/usage/hourly", headers: headers),
                    .authorized(.get, "/v1/nothing", headers: headers),
                    .authorized(.delete, "/v1/events", headers: headers),
                ] {
                    let answer = try await harness.expectRefusal(
                        request, 401, "unauthorized",
                        "\(value.prefix(40)): \(request.method) \(request.path)")
                    #expect(answer.headers["www-authenticate"] == "Bearer realm=\"tally\"")
                    #expect(!answer.text.contains(key))
                }
            }
        }
    }

    @Test(arguments: ["bearer", "BEARER", "BeArEr"]) func `The scheme has no case`(scheme: String)
        async throws
    {
        try await withAPI { host, harness, redis in
            let answer = await harness.post(
                RefusalTests.valid, headers: ["Authorization": "\(scheme) \(key)"])
            #expect(answer.status == 200, "\(answer.text)")
        }
    }

    @Test func `Health is told without a key`() async throws {
        try await withAPI { host, harness, redis in
            for path in ["/healthz", "/readyz", "/metrics"] {
                #expect(
                    await harness.send(HTTPRequest(method: .get, path: path)).status == 200,
                    "\(path)")
                #expect(
                    await harness.send(HTTPRequest(method: .head, path: path)).status == 200,
                    "\(path)")
            }
        }
    }

    @Test func `Allow names every method of a path`() async throws {
        try await withAPI { host, harness, redis in
            let events = await harness.send(.authorized(.put, "/v1/events"))
            #expect(events.headers["allow"] == "GET, HEAD, POST")
            let health = await harness.send(.authorized(.post, "/healthz"))
            #expect(health.headers["allow"] == "GET, HEAD")
        }
    }

    @Test(arguments: [
        "application/json", "Application/JSON", "application/json;charset=utf-8",
        "application/json ; charset=UTF-8",
        "application/json; charset=\"utf-8\"", "application/x-ndjson",
        "application/x-ndjson; charset=utf-8",
    ])
    func `Content types are read as they may be written`(type: String) async throws {
        try await withAPI { host, harness, redis in
            let answer = await harness.post(RefusalTests.valid, headers: ["Content-Type": type])
            #expect(answer.status == 200, "\(answer.text)")
        }
    }
}
