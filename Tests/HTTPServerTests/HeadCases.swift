// SPDX-License-Identifier: Apache-2.0

/// Request lines and header fields.
let headCases: [Case] = [
    Case("lf-only", .raw("GET /a HTTP/1.1\nHost: x\n\n"), .refused(400, "invalid_header")),
    Case(
        "lf-in-header",
        .raw("GET /a HTTP/1.1\r\nHost: x\nX: y\r\n\r\n"),
        .refused(400, "invalid_header")),
    Case(
        "cr-in-header",
        .raw("GET /a HTTP/1.1\r\nHost: x\rX: y\r\n\r\n"),
        .refused(400, "invalid_header")),
    Case("nul-in-header", .get("X: a\u{0}b\r\n"), .refused(400, "invalid_header")),
    Case(
        "nul-in-uri",
        .raw("GET /a\u{0}b HTTP/1.1\r\nHost: x\r\n\r\n"),
        .refused(400, "invalid_uri")),
    Case("ctl-in-header", .get("X: a\u{7}b\r\n"), .refused(400, "invalid_header")),
    Case(
        "high-byte-uri",
        .raw("GET /\u{ff}\u{fe} HTTP/1.1\r\nHost: x\r\n\r\n"),
        .refused(400, "invalid_uri")),
    Case(
        "space-in-uri",
        .raw("GET /a b HTTP/1.1\r\nHost: x\r\n\r\n"),
        .refused(400, "invalid_request")),
    Case(
        "tab-sep",
        .raw("GET\t/a\tHTTP/1.1\r\nHost: x\r\n\r\n"),
        .refused(400, "invalid_request")),
    Case(
        "double-space",
        .raw("GET  /a HTTP/1.1\r\nHost: x\r\n\r\n"),
        .refused(400, "invalid_request")),
    Case(
        "leading-space",
        .raw(" GET /a HTTP/1.1\r\nHost: x\r\n\r\n"),
        .refused(400, "invalid_request")),
    Case("leading-crlf", .raw("\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n"), .answered([200, 200])),
    Case(
        "leading-crlf-many",
        .raw(String(repeating: "\r\n", count: 50) + "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"),
        .refused(400, "invalid_request")),
    Case("http09", .raw("GET /a\r\n\r\n"), .refused(400, "invalid_request")),
    Case("no-version", .raw("GET /a \r\nHost: x\r\n\r\n"), .refused(400, "invalid_request")),
    Case(
        "v-1.2",
        .raw("GET /a HTTP/1.2\r\nHost: x\r\n\r\n"),
        .refused(505, "http_version_unsupported")),
    Case(
        "v-2.0",
        .raw("GET /a HTTP/2.0\r\nHost: x\r\n\r\n"),
        .refused(505, "http_version_unsupported")),
    Case("v-1.10", .raw("GET /a HTTP/1.10\r\nHost: x\r\n\r\n"), .refused(400, "invalid_request")),
    Case("v-01.1", .raw("GET /a HTTP/01.1\r\nHost: x\r\n\r\n"), .refused(400, "invalid_request")),
    Case("v--1.1", .raw("GET /a HTTP/-1.1\r\nHost: x\r\n\r\n"), .refused(400, "invalid_request")),
    Case("v-lower", .raw("GET /a http/1.1\r\nHost: x\r\n\r\n"), .refused(400, "invalid_request")),
    Case(
        "v-trail",
        .raw(
            "GET /a HTTP/1.1x\r\nHost: x\r\n\r\n"
                + ""), .refused(400, "invalid_request")),
    Case(
        "v-0.9",
        .raw("GET /a HTTP/0.9\r\nHost: x\r\n\r\n"),
        .refused(505, "http_version_unsupported")),
    Case(
        "h2-preface",
        .raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        .refused(505, "http_version_unsupported")),
    Case(
        "tls-hello",
        .raw(
            "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}"
                + String(repeating: "\u{0}", count: 40)),
        .refused(400, "invalid_request")),
    Case(
        "method-lower",
        .raw("get /a HTTP/1.1\r\nHost: x\r\n\r\n"),
        .refused(501, "method_not_implemented")),
    Case(
        "method-badchar",
        .raw("G@T /a HTTP/1.1\r\nHost: x\r\n\r\n"),
        .refused(400, "invalid_request")),
    Case(
        "method-long",
        .raw(String(repeating: "A", count: 5000) + " /a HTTP/1.1\r\nHost: x\r\n\r\n"),
        .refused(501, "method_not_implemented")),
    Case("host-missing", .raw("GET /a HTTP/1.1\r\n\r\n"), .refused(400, "host_required")),
    Case("host-dup", .get("Host: y\r\n"), .refused(400, "duplicate_header")),
    Case("host-empty", .raw("GET /a HTTP/1.1\r\nHost:\r\n\r\n"), .refused(400, "invalid_host")),
    Case(
        "host-bad",
        .raw("GET /a HTTP/1.1\r\nHost: a b/c@d\r\n\r\n"),
        .refused(400, "invalid_host")),
    Case(
        "abs-uri",
        .raw("GET http://evil/a HTTP/1.1\r\nHost: x\r\n\r\n"),
        .refused(400, "invalid_uri")),
    Case(
        "abs-uri-mismatch",
        .raw("GET http://evil@x:99999/a HTTP/1.1\r\nHost: x\r\n\r\n"),
        .refused(400, "invalid_uri")),
    Case("star-get", .raw("GET * HTTP/1.1\r\nHost: x\r\n\r\n"), .refused(400, "invalid_uri")),
    Case("uri-frag", .raw("GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n"), .refused(400, "invalid_uri")),
    Case("uri-noslash", .raw("GET a HTTP/1.1\r\nHost: x\r\n\r\n"), .refused(400, "invalid_uri")),
    Case(
        "uri-dotdot",
        .raw("GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n"),
        .refused(400, "invalid_uri")),
    Case(
        "uri-pct-bad",
        .raw("GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n"),
        .refused(400, "invalid_uri")),
    Case(
        "uri-pct-nul",
        .raw("GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n"),
        .refused(400, "invalid_uri")),
    Case(
        "uri-dotdot-hidden",
        .raw("GET /a/%2e%2E/b HTTP/1.1\r\nHost: x\r\n\r\n"),
        .refused(400, "invalid_uri")),
    Case(
        "uri-9k",
        .raw("GET /" + String(repeating: "a", count: 9000) + " HTTP/1.1\r\nHost: x\r\n\r\n"),
        .refused(414, "uri_too_long")),
    Case(
        "uri-70k",
        .raw("GET /" + String(repeating: "a", count: 70000) + " HTTP/1.1\r\nHost: x\r\n\r\n"),
        .refused(414, "uri_too_long")),
    Case(
        "uri-blanks",
        .raw("GET " + String(repeating: " ", count: 70000)),
        .refused(414, "uri_too_long")),
    Case("hdr-noname", .get(": v\r\n"), .refused(400, "invalid_header")),
    Case("hdr-nocolon", .get("garbage\r\n"), .refused(400, "invalid_header")),
    Case("hdr-badname", .get("X Y: v\r\n"), .refused(400, "invalid_header")),
    Case("hdr-badname-ctl", .get("X\u{1}Y: v\r\n"), .refused(400, "invalid_header")),
    Case("hdr-badname-hi", .get("X\u{e9}: v\r\n"), .refused(400, "invalid_header")),
    Case("hdr-fold", .get("X: a\r\n b\r\n"), .refused(400, "obsolete_folding")),
    Case(
        "hdr-first-fold",
        .raw("GET /a HTTP/1.1\r\n X: y\r\nHost: x\r\n\r\n"),
        .refused(400, "invalid_header")),
    Case(
        "hdr-16k",
        .get("X: " + String(repeating: "a", count: 16384) + "\r\n"),
        .refused(431, "headers_too_large")),
    Case(
        "hdr-1000",
        .get((0..<1000).map { "X\($0): 1\r\n" }.joined()),
        .refused(431, "headers_too_large")),
    Case(
        "hdr-100k-many",
        .get(String(repeating: "X: 1\r\n", count: 20_000)),
        .refused(431, "headers_too_large")),
    Case(
        "expect-100",
        .post("Expect: 100-continue\r\nContent-Length: 3\r\n", "abc"),
        .answered([100, 200, 200])),
    Case(
        "expect-other",
        .post("Expect: tea\r\nContent-Length: 3\r\n", "abc"),
        .refused(417, "expectation_failed")),
    Case(
        "upgrade-h2c",
        .get(
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                + "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"),
        .answered([200, 200])),
    Case("conn-close-list", .get("Connection: keep-alive, close\r\n"), .answered([200])),
    Case(
        "body-70k",
        .post("Content-Length: 70000\r\n", String(repeating: "a", count: 70000)),
        .refused(413, "body_too_large")),
]
