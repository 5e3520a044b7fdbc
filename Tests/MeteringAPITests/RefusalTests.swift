// SPDX-License-Identifier: Apache-2.0

import HTTPServer
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct RefusalTests {
    @Test(arguments: [
        paths, methods, contentTypes, queries, dates, syntax, encodings, sizes, fields, types,
        numbers, times,
    ])
    func `A refused request counts nothing, says why, and spoils nothing`(table: RefusalTable)
        async throws
    {
        try await withAPI { host, harness, redis in
            for row in table.rows {
                try await harness.expectRefusal(row.request, row.status, row.code, row.name)
            }
        }
    }

    static let paths = RefusalTable(
        name: "paths",
        rows: [
            "/", "/nothing", "/v1", "/v1/", "/v1/nothing", "/v1/events/", "/v1/events/1",
            "/V1/events",
            "/v1//events", "/v1/%65vents", "/v1/subjects/", "/v1/subjects/a/b",
            "/v1/subjects/never-seen", "/v1/leaderboards/files", "/v1/leaderboards/NOT-A-METER",
            "/v1/usage", "/healthz/", "/healthz/x", "/v1/subjects/%zz", "/v1/subjects/%",
            "/v1/subjects/%0",
            "/v1/subjects/%c0%ae", "/v1/subjects/%ff", "/v1/events%00",
            "/<script>alert(1)</script>", "/a%2f..%2fb", "/v1%2Fevents", "/v1/subjects%2fa",
        ].map { .get($0, 404, "not_found") } + [
            .get("/v1/subjects/\(String(repeating: "a", count: 257))", 422, "invalid_id"),
            .get("/v1/subjects/a%0Ab", 422, "invalid_id"),
            .get("/v1/subjects/%00", 422, "invalid_id"),
            .get("/v1/subjects/%c2%80", 422, "invalid_id"),
        ])

    static let methods = RefusalTable(
        name: "methods",
        rows: [
            (.put, "/v1/events"), (.patch, "/v1/events"), (.delete, "/v1/events"),
            (.options, "/v1/events"),
            (.post, "/v1/subjects/a"), (.post, "/v1/subjects"),
            (.post, "/v1/leaderboards/tokens"),
            (.put, "/v1/usage/hourly"), (.post, "/healthz"), (.delete, "/readyz"),
            (.post, "/metrics"),
        ].map { (method: HTTPMethod, path: String) in
            Refusal("\(method.name) \(path)", .authorized(method, path), 405, "method_not_allowed")
        })

    static let contentTypes = RefusalTable(
        name: "content types",
        rows: [
            absent, "", "text/plain", "text/json", "application/x-www-form-urlencoded",
            "multipart/form-data",
            "application/json; charset=latin1", "application/json; charset=utf-16",
            "application/x-ndjson; charset=latin1", "application/jsonx", "*/*", ";",
            "application/json, text/plain",
        ].map { type in
            Refusal(
                "Content-Type: \(type)", .post(valid, headers: ["Content-Type": type]), 415,
                "unsupported_media_type")
        }
            + ["gzip", "br", "identity, gzip", "x"].map { coding in
                Refusal(
                    "Content-Encoding: \(coding)",
                    .post(valid, headers: ["Content-Encoding": coding]), 415,
                    "unsupported_media_type")
            })

    static let queries = RefusalTable(
        name: "queries",
        rows: [
            .get("/v1/events?limit=5&limit=5", 400, "duplicate_parameter"),
            .get("/v1/events?limit=5&%6cimit=6", 400, "duplicate_parameter"),
            .get("/v1/events?Limit=5", 400, "unknown_parameter"),
            .get("/v1/events?cursor=x", 400, "invalid_cursor"),
            .get("/v1/events?%0d%0aSet-Cookie:x", 400, "unknown_parameter"),
            .get("/v1/events?=5", 400, "unknown_parameter"),
            .get("/v1/events?%zz=5", 400, "invalid_parameter"),
            .get("/v1/events?limit=%ff", 400, "invalid_parameter"),
            .get("/v1/subjects/a?limit=5", 400, "unknown_parameter"),
        ]
            + [
                "", "0", "-1", "-0", "+5", "1e3", "1.0", " 5", "5%20", "0x5", "1001", "99999999999",
                "%d9%a1",
                "99999999999999999999999999", "NaN", "5;",
            ].map { .get("/v1/events?limit=\($0)", 400, "invalid_parameter") }
            + [
                ("backfill=maybe", "invalid_parameter"), ("backfill=", "invalid_parameter"),
                ("backfill", "invalid_parameter"), ("backfill=TRUE", "invalid_parameter"),
                ("backfill=true&backfill=true", "duplicate_parameter"),
                ("limit=5", "unknown_parameter"),
            ].map { (query: String, code: String) in
                Refusal("POST ?\(query)", .post(valid, query: query), 400, code)
            })

    static let dates = RefusalTable(
        name: "dates",
        rows: [
            "", "2026-02-29", "2026-13-01", "2026-00-10", "2026-04-31", "2026-11-00", "2026-2-3",
            "20260203",
            "%202026-02-03", "2026-02-03x", "2026-02-03T00:00:00Z", "10000-01-01", "0000-01-01",
            "-0001-01-01",
            "%EF%BC%92026-02-03", "today", "1900-02-29", "2026%2D02%2D30",
        ].map { .get("/v1/usage/hourly?date=\($0)", 422, "invalid_date") })

    static let valid = #"{"subject":"a","meters":{"x":1}}"#
    private static let start = #"{"subject":"a","meters":{"x":1}"#

    static let syntax = RefusalTable(
        name: "syntax",
        rows: [
            "", " ", "\r\n\t", "{", "}", "[", "]", "{]", "nul", "truefalse", start, "\(start),}",
            "\(valid),",
            "\(valid)\(valid)", "\(valid)x", "\(valid)\0", "[\(valid),]", "[,\(valid)]",
            "[\(valid)",
            "/**/\(valid)", "// x\n\(valid)", "{'subject':'a'}", "{subject:\"a\"}",
            #"{"subject" "a"}"#,
            #"{"subject":}"#, #"{"subject"}"#, #"{1:2}"#, #"{"subject":"a"#, "\u{000c}\(valid)",
            "\u{00a0}\(valid)",
            "abc", "'a'", "NaN", "Infinity", "undefined", "True", "NULL",
        ].map { .body($0, 400, "invalid_json") }
            + [
                .body(#"{"subject":"a\#u{01}"}"#, 400, "invalid_string"),
                .body("{\"subject\":\"a\nb\",\"meters\":{\"x\":1}}", 400, "invalid_string"),
                .body(#"{"subject":"\x"}"#, 400, "invalid_string"),
                .body(#"{"subject":"\u00g0"}"#, 400, "invalid_string"),
                .body(#"{"subject":"\ud800","meters":{"x":1}}"#, 400, "invalid_string"),
                .body(#"{"subject":"\udc00\ud800","meters":{"x":1}}"#, 400, "invalid_string"),
                .body(#"{"subject":"\ud800\u0041","meters":{"x":1}}"#, 400, "invalid_string"),
                .body(#"{"subject":"a\u0000","meters":{"x":1}}"#, 400, "invalid_string"),
                .body(#"{"\u0000":1}"#, 400, "invalid_string"),
                .body(#"{"subject":"a","subject":"a","meters":{"x":1}}"#, 400, "duplicate_key"),
                .body(
                    #"{"subject":"a","\u0073ubject":"b","meters":{"x":1}}"#, 400, "duplicate_key"),
                .body(#"{"subject":"a","meters":{"x":1,"\u0078":1}}"#, 400, "duplicate_key"),
                .body(#"{"subject":"a","usage":{"x":{"a":1,"a":2}}}"#, 400, "duplicate_key"),
                .body(#"{"":1,"":1}"#, 400, "duplicate_key"),
            ])

    private static func bytes(_ name: String, _ bytes: [UInt8]) -> Refusal {
        Refusal(name, .post(bytes: bytes), 400, "invalid_encoding")
    }

    private static func inSubject(_ name: String, _ text: [UInt8]) -> Refusal {
        bytes(name, Array(#"{"meters":{"x":1},"subject":"a"#.utf8) + text + Array(#""}"#.utf8))
    }

    static let encodings = RefusalTable(
        name: "encodings",
        rows: [
            bytes("byte order mark", [0xef, 0xbb, 0xbf] + valid.utf8),
            bytes(
                "UTF-16 with a mark",
                [0xff, 0xfe] + valid.utf16.flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }),
            bytes("UTF-16LE", valid.utf16.flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }),
            bytes("UTF-32BE", valid.unicodeScalars.flatMap { [0, 0, 0, UInt8($0.value)] }),
            inSubject("lone continuation", [0x80]), inSubject("cut sequence", [0xe2, 0x82]),
            inSubject("overlong slash", [0xc0, 0xaf]), inSubject("overlong NUL", [0xc0, 0x80]),
            inSubject("overlong in three bytes", [0xe0, 0x80, 0xaf]),
            inSubject("surrogate", [0xed, 0xa0, 0x80]),
            inSubject("a pair of surrogates", [0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]),
            inSubject("past U+10FFFF", [0xf4, 0x90, 0x80, 0x80]), inSubject("0xff", [0xff]),
            inSubject("Latin-1", [0xe9]),
            bytes("after the end", valid.utf8 + [0xff]),
        ])

    static let sizes = RefusalTable(
        name: "sizes",
        rows: [
            .body(String(repeating: "[", count: 100_000), 400, "too_deep"),
            .body(String(repeating: #"{"a":"#, count: 100_000), 400, "too_deep"),
            .body(#"{"subject":"a","usage":{"x":\#(nested(15))}}"#, 400, "too_deep"),
            .amount(String(repeating: "9", count: 1 << 20), 400, "invalid_number"),
            .amount(String(repeating: "9", count: 33), 400, "invalid_number"),
            .amount(String(repeating: "9", count: 400), 400, "invalid_number"),
            .amount("1.\(String(repeating: "0", count: 1 << 20))", 400, "invalid_number"),
            .body(
                "{\((0..<1001).map { #""\#($0)":1"# }.joined(separator: ","))}", 400,
                "too_many_fields"),
            .body(
                "{\((0..<100_000).map { #""\#($0)":1"# }.joined(separator: ","))}", 400,
                "too_many_fields"),
            .member(
                #""description":"\#(String(repeating: "x", count: 1 << 20))""#, 400,
                "string_too_long"),
            .member(#""\#(String(repeating: "x", count: 1 << 20))":1"#, 400, "string_too_long"),
            .member(#""\#(String(repeating: "x", count: 60_000))":1"#, 400, "unknown_field"),
            .member(
                #""description":"\#(String(repeating: "x", count: 1025))""#, 422, "invalid_text"),
            .member(#""action":"\#(String(repeating: "x", count: 129))""#, 422, "invalid_text"),
            .member(#""model":"\#(String(repeating: "x", count: 129))""#, 422, "invalid_text"),
            .member(#""action":"\#(String(repeating: "é", count: 65))""#, 422, "invalid_text"),
            .member(#""id":"\#(String(repeating: "x", count: 257))""#, 422, "invalid_id"),
            .body(subject(String(repeating: "x", count: 257)), 422, "invalid_id"),
            .body(subject(String(repeating: "é", count: 129)), 422, "invalid_id"),
            .body(subject(String(repeating: "x", count: 1 << 20)), 400, "string_too_long"),
            .body(#"{"subject":"a","meters":{\#(meters(33))}}"#, 422, "too_many_meters"),
            .body(
                #"{"subject":"a","meters":{"\#(String(repeating: "x", count: 65))":1}}"#, 422,
                "unknown_meter"),
            .body("[]", 422, "batch_size"), .body(" [ ] ", 422, "batch_size"),
            .body(
                "[\(Array(repeating: valid, count: 10_001).joined(separator: ","))]", 422,
                "batch_size"),
            .body(
                "[\(Array(repeating: "1", count: 1_000_000).joined(separator: ","))]", 422,
                "batch_size"),
        ]
            + ["", "\n", "\r\n\r\n", " \n\t\n", String(repeating: "\n", count: 100_000)].map {
                Refusal(
                    "empty lines", .post($0, headers: ["Content-Type": "application/x-ndjson"]),
                    422, "batch_size")
            } + [
                Refusal(
                    "too many lines",
                    .post(
                        String(repeating: valid + "\n", count: 10_001),
                        headers: ["Content-Type": "application/x-ndjson"]), 422, "batch_size")
            ])

    static func nested(_ depth: Int) -> String {
        String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    }

    static func subject(_ text: String) -> String {
        #"{"subject":\#(quoted(text)),"meters":{"x":1}}"#
    }

    static func meters(_ count: Int) -> String {
        (0..<count).map { #""m\#($0)":1"# }.joined(separator: ",")
    }

    static let fields = RefusalTable(
        name: "fields",
        rows: [
            .body("{}", 422, "field_required"), .body(#"{"subject":"a"}"#, 422, "field_required"),
            .body(#"{"meters":{"x":1}}"#, 422, "field_required"),
            .body(#"{"subject":null,"meters":{"x":1}}"#, 422, "field_required"),
            .body(#"{"subject":"a","meters":null}"#, 422, "field_required"),
            .body(#"{"subject":"a","meters":{}}"#, 422, "field_required"),
            .body(#"{"subject":"a","meters":null,"usage":null}"#, 422, "field_required"),
            .amount("null", 422, "field_required"),
            .member(#""Amount":1"#, 400, "unknown_field"),
            .member(#""Subject":"b""#, 400, "unknown_field"),
            .member(#""__proto__":{}"#, 400, "unknown_field"),
            .member(#""":1"#, 400, "unknown_field"),
            .member(#""subject ":"b""#, 400, "unknown_field"),
            .member(#""a\nb":1"#, 400, "unknown_field"),
            .member(#""user_id":"b""#, 400, "unknown_field"),
            .member(#""usage":{"prompt_tokens":1}"#, 422, "ambiguous_amounts"),
            .member(#""id":"""#, 422, "invalid_id"), .member(#""id":"a\nb""#, 422, "invalid_id"),
            .member(#""id":"a\u007f""#, 422, "invalid_id"),
            .member(#""id":"tly-1-1-1""#, 422, "invalid_id"),
            .member(#""action":"""#, 422, "invalid_text"),
            .member(#""model":"""#, 422, "invalid_text"),
            .member(#""action":"a\tb""#, 422, "invalid_text"),
            .member(#""model":"\u0085""#, 422, "invalid_text"),
            .member(#""description":"a\nb""#, 422, "invalid_text"),
        ]
            + [
                "", "\\n", "a\\nb", "a\\r\\nDEL x", "\\t", "\\u001b[2J", "\\u007f", "\\u0080",
                "\\u009f", "a\\u0085",
            ].map {
                .body(#"{"subject":"\#($0)","meters":{"x":1}}"#, 422, "invalid_id")
            }
            + [
                "", "X", "1x", "_x", "x-y", "x.y", "x y", "é", "ｘ", "x\\u000a", "input_tokens ",
                "{x}", "*",
            ].map {
                .body(#"{"subject":"a","meters":{"\#($0)":1}}"#, 422, "unknown_meter")
            })

    static let types = RefusalTable(
        name: "types",
        rows: ["null", "1", #""abc""#, "true", "false", "-1.5e3"].map {
            .body($0, 422, "wrong_type")
        }
            + ["1", "true", "[]", "{}", #"["a"]"#].flatMap { value in
                ["id", "time", "action", "model", "description"].map {
                    Refusal.member(#""\#($0)":\#(value)"#, 422, "wrong_type")
                } + [.body(#"{"subject":\#(value),"meters":{"x":1}}"#, 422, "wrong_type")]
            }
            + ["1", "true", "[]", #""x""#, #"[{"x":1}]"#].flatMap { value in
                [
                    Refusal.body(#"{"subject":"a","meters":\#(value)}"#, 422, "wrong_type"),
                    .body(#"{"subject":"a","usage":\#(value)}"#, 422, "wrong_type"),
                ]
            }
            + [#""5""#, #""""#, "true", "false", "[]", "[1]", "{}", #"{"value":1}"#, #""١٢""#].map {
                .amount($0, 422, "wrong_type")
            })

    static let numbers = RefusalTable(
        name: "numbers",
        rows: [
            "-0", "1.0", "1.5", "0.0", "1e2", "1E2", "100e-2", "1e-400", "1e400", "-1e400", "-1.5",
            "1e0", "-0.0",
        ]
        .map { .amount($0, 422, "integer_required") }
            + [
                "-1", "-9007199254740991", "9007199254740992", "9007199254740993",
                "9223372036854775807",
                "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
                "18446744073709551615",
                "18446744073709551616", "99999999999999999999999999999999",
            ].map { .amount($0, 422, "out_of_range") }
            + ["01", "00", "-01", "1.", "1e", "1e+", "-", "-Infinity", "0x10", "1_0"].map {
                .amount($0, 400, "invalid_number")
            }
            + ["NaN", "nan", "Infinity", "+1", ".5", "1,5", "1 000", "１２"].map {
                .amount($0, 400, "invalid_json")
            }
            + [
                .body(
                    #"{"subject":"a","meters":{"input_tokens":9007199254740991,"output_tokens":1}}"#,
                    422,
                    "out_of_range")
            ])

    static let times = RefusalTable(
        name: "times",
        rows: [
            "", "now", "2026-11-21", "2026-11-21T10:00:00", "2026-11-21 10:00:00Z",
            "2026-11-21T10:00Z",
            "2026-11-21t10:00:00Z", "2026-11-21T10:00:00z", "2026-11-21T10:00:00,5Z",
            "2026-11-21T10:00:00.Z",
            "2026-11-21T10:00:00.1234567890Z", "2026-02-29T10:00:00Z", "2026-13-01T10:00:00Z",
            "2026-00-10T10:00:00Z", "2026-04-31T10:00:00Z", "2026-11-31T10:00:00Z",
            "2026-11-00T10:00:00Z",
            "2026-11-21T24:00:00Z", "2026-11-21T25:00:00Z", "2026-11-21T23:60:00Z",
            "2026-11-21T23:59:60Z",
            "2026-11-21T10:00:00+25:00", "2026-11-21T10:00:00+14:01", "2026-11-21T10:00:00-00:00",
            "2026-11-21T10:00:00+0100", "2026-11-21T10:00:00+01", "2026-11-21T10:00:00+01:60",
            "2026-11-21T10:00:00ZZ", "2026-11-21T10:00:00Z ", " 2026-11-21T10:00:00Z",
            "20261121T100000Z",
            "10000-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "-0001-01-01T00:00:00Z",
            "２026-11-21T10:00:00Z",
            "2026-11-21T10:00:00\\u0000Z", "1795255200", "2026-W47-6T10:00:00Z",
            "2026-325T10:00:00Z",
        ].map {
            let isText = !$0.contains("\\u0000")
            return .member(
                #""time":"\#($0)""#, isText ? 422 : 400,
                isText ? "invalid_timestamp" : "invalid_string")
        } + [
            .member(#""time":"2026-11-21T10:05:00.001Z""#, 422, "timestamp_in_future"),
            .member(#""time":"2026-11-21T10:05:01Z""#, 422, "timestamp_in_future"),
            .member(#""time":"2026-11-21T11:05:01+01:00""#, 422, "timestamp_in_future"),
            .member(#""time":"9999-12-31T23:59:59-14:00""#, 422, "invalid_timestamp"),
            .member(#""time":"2026-11-14T09:59:59.999Z""#, 422, "timestamp_too_old"),
            .member(#""time":"2026-11-14T09:59:59Z""#, 422, "timestamp_too_old"),
            .member(#""time":"1969-12-31T23:59:59Z""#, 422, "timestamp_too_old"),
            .member(#""time":"0001-01-01T00:00:00+14:00""#, 422, "invalid_timestamp"),
        ])
}
