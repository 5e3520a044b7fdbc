// SPDX-License-Identifier: Apache-2.0
//
// Tests of the real gateways, configured as docs/gateways.md shows, with the built service.

import Foundation
import TestSupport
import Testing

/// One after the other: each gateway is a whole site.
@Suite(.serialized, .timeLimit(.minutes(15))) struct GatewayTests {
    @Suite struct Nginx {
        @Test func `Two files a day pass, the third never reaches the application`() async throws {
            try await checkLimit(.nginx)
        }
        @Test func `Nothing that a client sends changes who is asked about, or what`() async throws
        {
            try await checkForgery(.nginx)
        }
        @Test func `Bytes are limited by the length of the original request`() async throws {
            try await checkBytes(.nginx)
        }
        @Test func `Requests of any method are counted and limited`() async throws {
            try await checkMethods(.nginx)
        }
        @Test(arguments: Gateway.OnError.allCases)
        func `Without Redis or Tally it goes as configured`(onError: Gateway.OnError) async throws {
            try await checkOutage(.nginx, onError)
        }
    }

    @Suite struct Caddy {
        @Test func `Two files a day pass, the third never reaches the application`() async throws {
            try await checkLimit(.caddy)
        }
        @Test func `Nothing that a client sends changes who is asked about, or what`() async throws
        {
            try await checkForgery(.caddy)
        }
        @Test func `Bytes are limited by the length of the original request`() async throws {
            try await checkBytes(.caddy)
        }
        @Test func `Requests of any method are counted and limited`() async throws {
            try await checkMethods(.caddy)
        }
        @Test(arguments: Gateway.OnError.allCases)
        func `Without Redis or Tally it goes as configured`(onError: Gateway.OnError) async throws {
            try await checkOutage(.caddy, onError)
        }
    }

    @Suite struct Envoy {
        @Test func `Two files a day pass, the third never reaches the application`() async throws {
            try await checkLimit(.envoy)
        }
        @Test func `Nothing that a client sends changes who is asked about, or what`() async throws
        {
            try await checkForgery(.envoy)
        }
        @Test func `Bytes are limited by the length of the original request`() async throws {
            try await checkBytes(.envoy)
        }
        @Test func `Requests of any method are counted and limited`() async throws {
            try await checkMethods(.envoy)
        }
        @Test(arguments: Gateway.OnError.allCases)
        func `Without Redis or Tally it goes as configured`(onError: Gateway.OnError) async throws {
            try await checkOutage(.envoy, onError)
        }
    }
}

/// What gateways are answered, asked of Tally itself.
@Suite(.timeLimit(.minutes(15))) struct GatewayMethodTests {
    private static func ask(
        _ client: BlockingHTTPClient, _ method: String, _ path: String
    ) throws -> BlockingHTTPClient.Answer {
        let lines = [
            "\(method) \(path) HTTP/1.1", "Host: 127.0.0.1",
            "Authorization: Bearer \(TallyProcess.key)",
            "X-Tally-Subject: \(method)", "X-Tally-Check: files_uploaded=60", "Content-Length: 0",
            "", "",
        ]
        client.disconnect()
        return try client.raw(Array(lines.joined(separator: "\r\n").utf8))
    }

    @Test func `Each method that has a name in a standard is decided about, others are refused`()
        async throws
    {
        let tally = try TallyProcess()
        let problems = try await blocking { () -> [String] in
            try tally.start()
            let client = tally.client()
            var problems: [String] = []
            for method in [
                "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "COPY", "LOCK",
                "MKCOL",
                "MOVE", "PROPFIND", "PROPPATCH", "SEARCH", "UNLOCK", "BIND", "REBIND", "UNBIND",
                "ACL", "REPORT", "MKACTIVITY", "CHECKOUT", "MERGE", "M-SEARCH", "NOTIFY",
                "SUBSCRIBE", "UNSUBSCRIBE", "PURGE", "MKCALENDAR", "LINK", "UNLINK",
            ] {
                for status in [200, 429] {
                    let path = "/v1/gateway/check/any/path?x=1"
                    let answer = try Self.ask(client, method, path)
                    if answer.status != status { problems.append("\(method): \(answer.status)") }
                }
                // Elsewhere nothing has changed.
                let answer = try Self.ask(client, method, "/v1/prices")
                if answer.status == 200 && method != "GET" { problems.append("\(method): prices") }
            }
            for method in ["NONSENSE", "get", "PROPFINDS"] {
                let answer = try Self.ask(client, method, "/v1/gateway/check/any")
                if answer.status != 405 { problems.append("\(method): \(answer.status)") }
            }
            for (method, status) in [("PROPFIND", 501), ("TRACE", 405), ("NONSENSE", 501)] {
                let answer = try Self.ask(client, method, "/v1/events")
                if answer.status != status { problems.append("\(method): \(answer.status)") }
                let allowed = answer.headers["allow"] ?? "GET"
                if !allowed.hasPrefix("GET") { problems.append("\(method): \(allowed)") }
            }
            return problems
        }
        #expect(problems == [])
        tally.terminate()
    }
}

/// Runs a check against a new site, on a thread of its own.
private func withSite(
    _ gateway: Gateway, _ onError: Gateway.OnError = .deny,
    _ body: @escaping @Sendable (Site, inout Findings) throws -> Void
) async throws {
    let problems = try await blocking {
        let site = try Site(gateway, onError)
        var findings = Findings()
        try body(site, &findings)
        return findings.problems.isEmpty ? [] : findings.problems + [site.log]
    }
    #expect(problems == [])
}

private func checkLimit(_ gateway: Gateway) async throws {
    try await withSite(gateway) { site, findings in
        let file = Site.file(40_000)
        for number in 1...Site.files {
            let answer = try site.upload(as: "alice", file)
            findings.expectPassed(answer, file)
            for field in ["ratelimit", "ratelimit-policy"] {
                findings.expect(
                    answer.headers[field]?.contains("files_per_day") == true, "\(answer.headers)")
            }
            findings.expectSeen(number, site)
        }
        findings.expectDenied(try site.upload(as: "alice", file), site, seen: 2)
        findings.expectPassed(try site.upload(as: "bob", file), file)
        findings.expectSeen(3, site)
        // What the application answers is left alone, even where the gateway has an answer of its
        // own for that status.
        findings.expect(try site.upload(as: "bob", to: "/upload/broken").status == 502)
        findings.expect(try site.upload(as: "alice", to: "/other").status == 200)
        findings.expectSeen(5, site)
    }
}

private func checkForgery(_ gateway: Gateway) async throws {
    try await withSite(gateway) { site, findings in
        // Whom the gateway does not know is not counted either.
        findings.expect(try site.upload(as: "alice", password: "wrong").status == 401)
        for _ in 1...Site.files {
            findings.expect(try site.upload(as: "alice").status == 200)
        }
        let made = try site.tally.client().post("/v1/workspaces", #"{"id":"other"}"#)
        findings.expect(made.status == 201, made.text)
        let check = "limits=files_per_day&files_uploaded=0&subject=bob&consume=false"
        for headers in [
            ["X-Tally-Subject": "bob"], ["x-tally-subject": ""], ["X-Guest-ID": "new"],
            ["X-Tally-Check": check], ["Idempotency-Key": "the-same"],
            ["X-Tally-Workspace": "other"], ["X-Original-Content-Length": "0"], ["Cookie": "id=1"],
            ["RateLimit": "x"],
        ] {
            let answer = try site.upload(as: "alice", headers: headers)
            findings.expectDenied(answer, site, seen: 2, "\(headers)")
        }
        for path in [
            "/upload/1?\(check)", "/upload/a%20b%C3%A4", "//upload/1", "/%75pload/1", "/upload",
        ] {
            findings.expectDenied(try site.upload(as: "alice", to: path), site, seen: 2, path)
        }
        for path in ["/x/../upload/1", "/x%2F..%2Fupload/1"] {
            let answer = try site.upload(as: "alice", to: path)
            findings.expect([400, 429].contains(answer.status), "\(path): \(answer.status)")
        }
        findings.expectSeen(2, site)
        findings.expect(try site.upload(as: "bob").status == 200)
    }
}

private func checkBytes(_ gateway: Gateway) async throws {
    try await withSite(gateway) { site, findings in
        let file = Site.file(Site.bytes)
        findings.expectDenied(try site.upload(as: "alice", file + [0]), site, seen: 0)
        let forged = ["X-Original-Content-Length": "1"]
        findings.expectPassed(try site.upload(as: "alice", file, headers: forged), file)
        findings.expectDenied(try site.upload(as: "alice"), site, seen: 1)
        let unmeasured = try site.uploadChunked(as: "bob")
        findings.expect(unmeasured.status == 411, "\(unmeasured.status)")
        findings.expectSeen(1, site)
    }
}

private func checkMethods(_ gateway: Gateway) async throws {
    try await withSite(gateway) { site, findings in
        for (user, methods) in [
            ("alice", ["PROPFIND", "REPORT", "MKCOL"]), ("bob", ["LOCK", "PURGE", "SEARCH"]),
        ] {
            for method in methods.prefix(Site.files) {
                let answer = try site.upload(as: user, by: method)
                findings.expectPassed(answer, Array("x".utf8), method)
            }
            let seen = try site.seen
            for method in methods.suffix(1) + ["PROPFIND", "POST"] {
                let answer = try site.upload(as: user, by: method)
                findings.expectDenied(answer, site, seen: seen, method)
            }
        }
        findings.expectSeen(4, site)
    }
}

private func checkOutage(_ gateway: Gateway, _ onError: Gateway.OnError) async throws {
    try await withSite(gateway, onError) { site, findings in
        findings.expect(try site.upload(as: "alice").status == 200)
        site.redis.kill()
        try checkUnanswered(site, onError, "without Redis", &findings)
        site.tally.kill()
        try checkUnanswered(site, onError, "without Redis and Tally", &findings)
        try site.redis.start()
        try checkUnanswered(site, onError, "without Tally", &findings)
        try site.tally.start()
        // What was counted before the outage still is, and the limit holds again.
        try waitUntil("an answer of Tally") {
            usleep(10_000)
            let answer = try? site.upload(as: "alice")
            return answer?.headers["ratelimit"] != nil
        }
        findings.expectDenied(try site.upload(as: "alice"), site, seen: try site.seen)
    }
}

/// Checks that the gateway does with uploads what was configured, and nothing else.
private func checkUnanswered(
    _ site: Site, _ onError: Gateway.OnError, _ what: String, _ findings: inout Findings
) throws {
    let file = Site.file(20_000)
    let seen = try site.seen
    let answer = try site.upload(as: "bob", file)
    switch onError {
    case .deny: findings.expectDenied(answer, site, seen: seen, what)
    case .allow:
        findings.expectPassed(answer, file, what)
        findings.expectSeen(seen + 1, site, what)
    }
    // Nobody who is not known gets in, whatever is configured; and Tally matters to uploads only.
    findings.expect(try site.upload(as: "bob", password: "wrong").status == 401, what)
    findings.expect(try site.upload(as: "bob", to: "/other").status == 200, what)
}

/// What a check found, with its line: expectations belong to the test's task, not to a thread.
private struct Findings {
    private(set) var problems: [String] = []

    mutating func expect(_ isTrue: Bool, _ what: String = "", line: Int = #line) {
        if !isTrue { problems.append("line \(line): \(what)") }
    }

    mutating func expectSeen(_ count: Int, _ site: Site, _ what: String = "", line: Int = #line) {
        let seen = (try? site.seen) ?? -1
        expect(seen == count, "\(what): the application saw \(seen)", line: line)
    }

    mutating func expectPassed(
        _ answer: BlockingHTTPClient.Answer, _ file: [UInt8], _ what: String = "", line: Int = #line
    ) {
        expect(answer.status == 200, "\(what): \(answer.status)", line: line)
        expect(answer.body == file, "\(what): another body", line: line)
    }

    /// Expects what a client gets who is over the limit, and that the application saw nothing.
    mutating func expectDenied(
        _ answer: BlockingHTTPClient.Answer, _ site: Site, seen: Int, _ what: String = "",
        line: Int = #line
    ) {
        let seconds = Int(answer.headers["retry-after"] ?? "") ?? 0
        expect(
            answer.status == 429 && seconds >= 1, "\(what): \(answer.status) \(answer.headers)",
            line: line)
        expectSeen(seen, site, what, line: line)
    }
}
