// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPServer
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct IdempotencyTests {
    private static let plain = #"{"subject":"a","meters":{"x":1}}"#

    @Test func `A key in the header names the event, quoted or bare`() async throws {
        let longest = String(repeating: "k", count: 255)
        let other = String(repeating: "o", count: 255)
        try await withAPI { host, harness, redis in
            for (key, id) in [
                ("k-1", "k-1"), ("\"k-2\"", "k-2"), ("a b", "a b"), ("{}", "{}"), ("'k'", "'k'"),
                (longest, longest),
                ("\"\(other)\"", other),
            ] {
                let headers = ["Idempotency-Key": key]
                let first = await harness.post(Self.plain, headers: headers)
                #expect(first.json["id"] as? String == id, "\(key): \(first.text)")
                #expect(first.isDuplicate == false)
                #expect(await harness.post(Self.plain, headers: headers).isDuplicate == true)
                // The same name in the body is the same event.
                let body = #"{"id":\#(quoted(id)),"subject":"a","meters":{"x":1}}"#
                #expect(await harness.post(body).isDuplicate == true)
                #expect(await harness.post(body, headers: headers).isDuplicate == true)
            }
            #expect(await harness.totals("a") == ["x": 7])
        }
    }

    @Test func `A key that is none, or contradicts the body, is refused`() async throws {
        let malformed = [
            "", "\"\"", "\"", "\"a", "a\"", "a\"b", "\"a\"b\"", "\"a\\\"b\"", "a\\b", "é", "\"é\"",
            "😀", "a\tb", "a\u{7f}",
            "\"\"\"", "\"a\", \"b\"", String(repeating: "k", count: 256),
            "\"\(String(repeating: "k", count: 256))\"",
        ]
        try await withAPI { host, harness, redis in
            for key in malformed {
                try await harness.expectRefusal(
                    .post(Self.plain, headers: ["Idempotency-Key": key]), 400,
                    "invalid_idempotency_key", key)
            }
            let named = #"{"id":"other","subject":"a","meters":{"x":1}}"#
            try await harness.expectRefusal(
                .post(named, headers: ["Idempotency-Key": "k"]), 422, "invalid_id", "contradiction")
            try await harness.expectRefusal(
                .post(Self.plain, headers: ["Idempotency-Key": "tly-1-1-1"]), 422, "invalid_id",
                "reserved")
        }
    }

    /// Passed over, it would let a client believe that it may send the same again.
    @Test func `A check that consumes takes no key, and a grant has its id in the body`()
        async throws
    {
        try await withAPI { host, harness, redis in
            func request(_ path: String, _ body: String, _ key: String) -> HTTPRequest {
                .authorized(
                    .post, path,
                    headers: ["Content-Type": "application/json", "Idempotency-Key": key],
                    body: Array(body.utf8))
            }
            let taken = #"{"subject":"a","amounts":{"files_uploaded":1},"consume":true}"#
            for key in ["k", "\"k\"", ""] {
                let refused = try await harness.expectRefusal(
                    request("/v1/check", taken, key), 422, "idempotency_key_unsupported", key)
                let detail = refused.json["detail"] as? String
                #expect(detail?.contains("POST /v1/events") == true)
            }
            // What takes nothing may be asked again.
            let looked = taken.replacing("true", with: "false")
            #expect(await harness.send(request("/v1/check", looked, "k")).status == 200)
            #expect(await harness.send(.post, "/v1/check", taken).status == 200)
            let grant = try await harness.expectRefusal(
                request("/v1/credits/a/grants", #"{"credits":1}"#, "k"), 422, "field_required",
                "grant")
            let detail = grant.json["detail"] as? String
            #expect(detail?.contains("in its body") == true, "\(grant.text)")
        }
    }

    @Test func `A key for several events is refused, because it cannot name them all`() async throws
    {
        try await withAPI { host, harness, redis in
            for (type, body) in [
                ("application/json", "[\(Self.plain)]"),
                ("application/json", "[\(Self.plain),\(Self.plain)]"),
                ("application/x-ndjson", "\(Self.plain)\n\(Self.plain)"),
                ("application/x-ndjson", Self.plain),
            ] {
                try await harness.expectRefusal(
                    .post(body, headers: ["Content-Type": type, "Idempotency-Key": "k"]), 400,
                    "invalid_idempotency_key", body)
            }
        }
    }

    @Test func `The same id with any other payload is refused and changes nothing`() async throws {
        let others = [
            #""subject":"b","meters":{"x":1}"#, #""subject":"a","meters":{"x":2}"#,
            #""subject":"a","meters":{"y":1}"#,
            #""subject":"a","meters":{"x":1,"y":0}"#,
            #""subject":"a","meters":{"x":1},"action":"other""#,
            #""subject":"a","meters":{"x":1},"model":"m""#,
            #""subject":"a","meters":{"x":1},"description":"d""#,
            #""subject":"a","meters":{"x":1},"time":"2026-11-21T10:00:00Z""#,
            #""subject":"a","usage":{"prompt_tokens":1}"#,
        ]
        try await withAPI { host, harness, redis in
            let first = await harness.post(#"{"id":"1","subject":"a","meters":{"x":1}}"#)
            #expect(first.status == 200)
            for other in others {
                let answer = await harness.post(#"{"id":"1",\#(other)}"#)
                #expect(answer.status == 422, "\(other): \(answer.text)")
                #expect(answer.code == "idempotency_key_reused", "\(other)")
                expectProblem(answer, at: "/v1/events", other)
                await harness.expectGoesOn()
            }
            #expect(await harness.totals("a") == ["x": 1])
            #expect(await harness.totals("b") == nil)
        }
    }

    @Test func `The same id gets the first answer again, byte for byte but for the mark`()
        async throws
    {
        let body =
            #"{"subject":"a","meters":{"zz":3,"tokens":5,"aa":7,"input_tokens":2},"id":"é\"{}","time":"2026-11-21T09:00:00.5+02:00"}"#
        // Written otherwise, and the same event.
        let same =
            #" { "time" : "2026-11-21T07:00:00.500Z", "id":"\u00e9\u0022{}", "meters":{"input_tokens":2,"aa":7,"tokens":5,"zz":3}, "subject":"\u0061", "action":"usage","description":"" }"#
        try await withAPI { host, harness, redis in
            _ = await harness.post(#"{"subject":"a","meters":{"tokens":100,"aa":1000}}"#)
            let first = await harness.post(body)
            #expect(
                first.totals == ["zz": 3, "tokens": 105, "aa": 1007, "input_tokens": 2],
                "\(first.text)")
            _ = await harness.post(#"{"subject":"a","meters":{"tokens":9,"aa":9,"zz":9}}"#)
            let expected = first.text.replacingOccurrences(
                of: #""duplicate":false"#, with: #""duplicate":true"#)
            for repetition in [body, same, body] {
                harness.clock.advance(3_600_000)
                #expect(await harness.post(repetition).text == expected)
            }
            #expect(await harness.totals("a")?["tokens"] == 114)
        }
    }

    @Test func `A total at its limit refuses one more and stays`() async throws {
        try await withAPI { host, harness, redis in
            let most = await harness.post(#"{"subject":"a","meters":{"tokens":9007199254740991}}"#)
            #expect(most.totals == ["tokens": 9_007_199_254_740_991])
            let answer = await harness.post(#"{"subject":"a","meters":{"tokens":1,"x":1}}"#)
            #expect(answer.status == 422)
            #expect(answer.code == "counter_overflow")
            expectProblem(answer, at: "/v1/events", "overflow")
            #expect(await harness.totals("a") == ["tokens": 9_007_199_254_740_991])
            await harness.expectGoesOn()
        }
    }
}
