// SPDX-License-Identifier: Apache-2.0

/// Where the body ends: lengths, codings, chunks.
let framingCases: [Case] = [
    Case("ok-get", .get(""), .answered([200, 200])),
    Case("ok-post", .post("Content-Length: 3\r\n", "abc"), .answered([200, 200])),
    Case(
        "ok-chunked",
        .post("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
        .answered([200, 200])),
    // No alias: gateways write hyphens for the underscores of some.
    Case("cl-underscore", .get("Content_Length: 30\r\n"), .answered([200, 200])),
    Case("te-underscore", .get("Transfer_Encoding: chunked\r\n"), .answered([200, 200])),
    Case(
        "cl-underscore-too",
        .post("Content_Length: 30\r\nContent-Length: 3\r\n", "abc"),
        .answered([200, 200])),
    Case(
        "cl+te",
        .post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
        .refused(400, "ambiguous_framing")),
    Case(
        "te+cl-order",
        .post("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "3\r\nabc\r\n0\r\n\r\n"),
        .refused(400, "ambiguous_framing")),
    Case(
        "dup-cl-same",
        .post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"),
        .refused(400, "ambiguous_framing")),
    Case(
        "dup-cl-diff",
        .post("Content-Length: 3\r\nContent-Length: 0\r\n", "abc"),
        .refused(400, "ambiguous_framing")),
    Case(
        "dup-cl-diff-rev",
        .post("Content-Length: 0\r\nContent-Length: 3\r\n", "abc"),
        .refused(400, "ambiguous_framing")),
    Case(
        "cl-list-same",
        .post("Content-Length: 3, 3\r\n", "abc"),
        .refused(400, "invalid_content_length")),
    Case(
        "cl-plus",
        .post("Content-Length: +3\r\n", "abc"),
        .refused(400, "invalid_content_length")),
    Case(
        "cl-neg",
        .post("Content-Length: -1\r\n", "abc"),
        .refused(400, "invalid_content_length")),
    Case(
        "cl-hex",
        .post("Content-Length: 0x3\r\n", "abc"),
        .refused(400, "invalid_content_length")),
    Case(
        "cl-empty",
        .post(
            "Content-Length:\r\n"
                + "", "abc"), .refused(400, "invalid_content_length")),
    Case(
        "cl-2^64+3",
        .post("Content-Length: 18446744073709551619\r\n", "abc"),
        .refused(400, "invalid_content_length")),
    Case(
        "cl-2^63",
        .post("Content-Length: 9223372036854775808\r\n", "abc"),
        .refused(413, "body_too_large")),
    Case(
        "cl-underscore",
        .post("Content-Length: 3_0\r\n", "abc"),
        .refused(400, "invalid_content_length")),
    Case(
        "cl-space-inside",
        .post("Content-Length: 3 0\r\n", "abc"),
        .refused(400, "invalid_content_length")),
    Case(
        "cl-nul-trunc",
        .post("Content-Length: 3\u{0}junk\r\n", "abc"),
        .refused(400, "invalid_content_length")),
    Case(
        "cl-vt",
        .post("Content-Length: \u{b}3\r\n", "abc"),
        .refused(400, "invalid_content_length")),
    Case("cl-tab", .post("Content-Length:\t3\r\n", "abc"), .answered([200, 200])),
    Case(
        "cl-name-space",
        .post(
            "Content-Length : 3\r\n"
                + "", "abc"), .refused(400, "invalid_header")),
    Case("cl-name-tab", .post("Content-Length\t: 3\r\n", "abc"), .refused(400, "invalid_header")),
    Case(
        "cl-obsfold",
        .post("Content-Length:\r\n 3\r\n", "abc"),
        .refused(400, "obsolete_folding")),
    Case(
        "te-name-space",
        .post("Transfer-Encoding : chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
        .refused(400, "invalid_header")),
    Case(
        "te-xchunked",
        .post("Transfer-Encoding: xchunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
        .refused(501, "transfer_coding_unsupported")),
    Case(
        "te-gzip",
        .post("Transfer-Encoding: gzip\r\n", "3\r\nabc\r\n0\r\n\r\n"),
        .refused(501, "transfer_coding_unsupported")),
    Case(
        "te-gzip-chunked",
        .post("Transfer-Encoding: gzip, chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
        .refused(501, "transfer_coding_unsupported")),
    Case(
        "te-chunked-gzip",
        .post("Transfer-Encoding: chunked, gzip\r\n", "3\r\nabc\r\n0\r\n\r\n"),
        .refused(400, "invalid_transfer_encoding")),
    Case(
        "te-chunked-chunked",
        .post("Transfer-Encoding: chunked, chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
        .refused(400, "invalid_transfer_encoding")),
    Case(
        "te-identity",
        .post("Transfer-Encoding: identity\r\n", ""),
        .refused(501, "transfer_coding_unsupported")),
    Case(
        "te-dup",
        .post(
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            "3\r\n"
                + "abc\r\n0\r\n\r\n"),
        .refused(400, "invalid_transfer_encoding")),
    Case(
        "te-quoted",
        .post("Transfer-Encoding: \"chunked\"\r\n", "3\r\nabc\r\n0\r\n\r\n"),
        .refused(501, "transfer_coding_unsupported")),
    Case(
        "te-vt",
        .post("Transfer-Encoding: \u{b}chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
        .refused(400, "invalid_header")),
    Case(
        "te-nul",
        .post("Transfer-Encoding: chunked\u{0}\r\n", "3\r\nabc\r\n0\r\n\r\n"),
        .refused(400, "invalid_header")),
    Case(
        "te-http10",
        .raw(
            "POST /a HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n"
                + "abc\r\n0\r\n\r\n"),
        .refused(400, "ambiguous_framing")),
    Case(
        "te-empty",
        .post("Transfer-Encoding:\r\n", ""),
        .refused(400, "invalid_transfer_encoding")),
    Case(
        "te-on-get",
        .raw(
            "GET /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
                + "0\r\n\r\n"),
        .refused(400, "body_not_allowed")),
    Case(
        "cl-on-get",
        .raw("GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"),
        .refused(400, "body_not_allowed")),
    Case(
        "cl-on-head",
        .raw(
            "HEAD /a HTTP/1.1\r\nHost: x\r\nContent-Length: 41\r\n\r\n"
                + "GET /smug HTTP/1.1\r\nHost: x\r\nX-Pad: abc\r\n"),
        .refused(400, "body_not_allowed")),
    Case(
        "cl-on-delete",
        .raw("DELETE /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"),
        .refused(400, "body_not_allowed")),
    Case(
        "unknown-method-body",
        .raw(
            "FROB /a HTTP/1.1\r\nHost: x\r\nContent-Length: 31\r\n\r\n"
                + "GET /smug HTTP/1.1\r\nHost: x\r\n\r\n"),
        .refused(501, "method_not_implemented")),
    Case(
        "options-body",
        .raw(
            "OPTIONS /a HTTP/1.1\r\nHost: x\r\nContent-Length: 31\r\n\r\n"
                + "GET /smug HTTP/1.1\r\nHost: x\r\n\r\n"),
        .refused(400, "body_not_allowed")),
    Case(
        "trace",
        .raw("TRACE /a HTTP/1.1\r\nHost: x\r\n\r\n"),
        .refused(405, "method_not_allowed")),
    Case(
        "connect",
        .raw("CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n"),
        .refused(501, "method_not_implemented")),
    Case("post-no-length", .post("", ""), .refused(411, "length_required")),
    Case("chunk-ext", .chunked("3;a=b\r\nabc\r\n0\r\n\r\n"), .answered([200, 200])),
    Case("chunk-ext-lf", .chunked("3;a\nabc\r\n0\r\n\r\n"), .refused(400, "invalid_chunk")),
    Case("chunk-size-neg", .chunked("-3\r\nabc\r\n0\r\n\r\n"), .refused(400, "invalid_chunk")),
    Case("chunk-size-plus", .chunked("+3\r\nabc\r\n0\r\n\r\n"), .refused(400, "invalid_chunk")),
    Case("chunk-size-0x", .chunked("0x3\r\nabc\r\n0\r\n\r\n"), .refused(400, "invalid_chunk")),
    Case("chunk-size-space", .chunked(" 3\r\nabc\r\n0\r\n\r\n"), .refused(400, "invalid_chunk")),
    Case(
        "chunk-size-trail-space",
        .chunked("3 \r\nabc\r\n0\r\n\r\n"),
        .refused(400, "invalid_chunk")),
    Case(
        "chunk-size-junk",
        .chunked("3 junk\r\nabc\r\n0\r\n\r\n"),
        .refused(400, "invalid_chunk")),
    Case("chunk-size-empty", .chunked("\r\nabc\r\n0\r\n\r\n"), .refused(400, "invalid_chunk")),
    Case(
        "chunk-size-huge",
        .chunked("FFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n"),
        .refused(400, "invalid_chunk")),
    Case(
        "chunk-size-2^64+3",
        .chunked("10000000000000003\r\nabc\r\n0\r\n\r\n"),
        .refused(400, "invalid_chunk")),
    Case(
        "chunk-leading-zeros",
        .chunked("00000000000000000003\r\nabc\r\n0\r\n\r\n"),
        .refused(400, "invalid_chunk")),
    Case("chunk-noCRLF-after", .chunked("3\r\nabc0\r\n\r\n"), .refused(400, "invalid_chunk")),
    Case(
        "chunk-data-overrun",
        .chunked("3\r\nabcXX\r\n0\r\n\r\n"),
        .refused(400, "invalid_chunk")),
    Case(
        "chunk-blank-line",
        .chunked("3\r\nabc\r\n\r\n\r\n0\r\n\r\n"),
        .refused(400, "invalid_chunk")),
    Case("chunk-lf-only", .chunked("3\nabc\n0\n\n"), .refused(400, "invalid_chunk")),
    Case("chunk-cr-only", .chunked("3\rabc\r0\r\r"), .refused(400, "invalid_chunk")),
    Case(
        "chunk-nul-size",
        .chunked(
            "3\u{0}\r\nabc\r\n0\r\n\r\n"
                + ""), .refused(400, "invalid_chunk")),
    Case("chunk-trailer", .chunked("3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"), .answered([200, 200])),
    Case(
        "chunk-trailer-cl",
        .chunked("3\r\nabc\r\n0\r\nContent-Length: 5\r\nAuthorization: Bearer z\r\n\r\n"),
        .answered([200, 200])),
]
