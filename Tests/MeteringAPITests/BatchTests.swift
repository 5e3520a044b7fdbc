// SPDX-License-Identifier: Apache-2.0

import HTTPServer
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct BatchTests {
    /// Items, what becomes of each, and its code where it fails.
    private static let items: [(text: String, status: String, code: String?)] = [
        (#"{"id":"1","subject":"a","meters":{"x":1}}"#, "counted", nil),
        (#"{"id":"2","subject":"","meters":{"x":1}}"#, "failed", "invalid_id"),
        (#"{"id":"3","subject":"a","meters":{"x":-1}}"#, "failed", "out_of_range"),
        (#"{"id":"1","subject":"a","meters":{"x":1}}"#, "duplicate", nil),
        (#"{"id":"1","subject":"a","meters":{"x":2}}"#, "failed", "idempotency_key_reused"),
        ("null", "failed", "wrong_type"), ("[]", "failed", "wrong_type"),
        ("1", "failed", "wrong_type"),
        (#"{"subject":"a","meters":{"x":1.0}}"#, "failed", "integer_required"),
        (#"{"subject":"a","meters":{"x":4},"extra":1}"#, "failed", "unknown_field"),
        (#"{"id":7,"subject":"a","meters":{"x":4}}"#, "failed", "wrong_type"),
        (
            #"{"subject":"a","time":"2026-11-14T09:59:59Z","meters":{"x":4}}"#, "failed",
            "timestamp_too_old"
        ),
        (#"{"subject":"a","meters":{"x":9007199254740991}}"#, "failed", "counter_overflow"),
        (#"{"id":"9","subject":"a","meters":{"x":16}}"#, "counted", nil),
    ]
    /// Lines that an array could not hold.
    private static let lines: [(text: String, status: String, code: String?)] = [
        ("{", "failed", "invalid_json"),
        (#"{"subject":"a","subject":"b"}"#, "failed", "duplicate_key"),
        (#"{"subject":"\ud800"}"#, "failed", "invalid_string"), ("x", "failed", "invalid_json"),
        (String(repeating: "[", count: 1000), "failed", "too_deep"),
        ("\0", "failed", "invalid_encoding"),
        (
            #"{"subject":"a","meters":{"x":\#(String(repeating: "9", count: 50))}}"#, "failed",
            "invalid_number"
        ),
        (
            #"{"id":"8","subject":"a","meters":{"x":32}}{"subject":"a","meters":{"x":1}}"#,
            "failed", "invalid_json"
        ),
    ]

    private static func expect(
        _ answer: Answer, _ items: [(text: String, status: String, code: String?)]
    ) {
        #expect(answer.status == 200, "\(answer.text)")
        #expect(answer.statuses == items.map(\.status), "\(answer.text)")
        #expect(answer.codes == items.map(\.code), "\(answer.text)")
        for (name, status) in [
            ("counted", "counted"), ("duplicates", "duplicate"), ("failed", "failed"),
        ] {
            #expect(answer.json[name] as? Int == items.count { $0.status == status }, "\(name)")
        }
        #expect(answer.json["skipped"] as? Int == 0)
        for result in answer.results where result["status"] as? String == "failed" {
            let detail = (result["error"] as? [String: Any])?["detail"] as? String
            #expect(detail?.isEmpty == false, "\(result)")
        }
    }

    @Test func `A bad item of an array spoils no other, and results come in order`() async throws {
        try await withAPI { host, harness, redis in
            let body = "[\(Self.items.map(\.text).joined(separator: ","))]"
            let answer = await harness.post(body)
            Self.expect(answer, Self.items)
            #expect(await harness.totals("a") == ["x": 17])
            #expect(answer.results[1]["id"] as? String == "2")
            let error = answer.results[2]["error"] as? [String: Any]
            #expect((error?["detail"] as? String)?.hasPrefix("meters.x: ") == true)
            // Again: what was counted is a duplicate now, and nothing else changes.
            let again = await harness.post(body)
            #expect(
                again.statuses
                    == Self.items.map { $0.status == "counted" ? "duplicate" : $0.status })
            #expect(again.codes == Self.items.map(\.code))
            #expect(await harness.totals("a") == ["x": 17])
        }
    }

    @Test(arguments: ["\n", "\r\n", "\n\n", "\r\n \t\r\n"])
    func `A bad line spoils no other, whatever ends lines`(end: String) async throws {
        let items = Self.items.dropLast() + Self.lines + Self.items.suffix(1)
        try await withAPI { host, harness, redis in
            for last in ["", end] {
                let subject = last.isEmpty ? "a" : "b"
                let body = end + items.map(\.text).joined(separator: end) + last
                let answer = await harness.postLines(
                    body.split(separator: "\"a\"", omittingEmptySubsequences: false).joined(
                        separator: "\"\(subject)\""
                    )
                    .split(separator: "\"id\":\"", omittingEmptySubsequences: false)
                    .joined(separator: "\"id\":\"\(subject)"))
                Self.expect(answer, Array(items))
                #expect(await harness.totals(subject) == ["x": 17])
                // What is no JSON has no id that it could be found by: its line is told, empty ones counted.
                let step = end.count { $0.isNewline }
                let place = items.firstIndex { $0.text == "x" } ?? 0
                let error = answer.results[place]["error"] as? [String: Any]
                #expect(
                    (error?["detail"] as? String)?.hasPrefix("line \((place + 1) * step + 1): ")
                        == true, "\(answer.text)")
            }
        }
    }

    @Test func `A batch of bad items only counts nothing`() async throws {
        try await withAPI { host, harness, redis in
            let before = try redis.fingerprint()
            let answer = await harness.post("[1,2,{}]")
            #expect(answer.statuses == ["failed", "failed", "failed"], "\(answer.text)")
            #expect(try redis.fingerprint() == before)
            await harness.expectGoesOn()
        }
    }

    @Test func `The largest batch is counted, as an array and as lines`() async throws {
        let items = (0..<10_000).map { #"{"subject":"s\#($0 % 7)","meters":{"x":1}}"# }
        try await withAPI { host, harness, redis in
            let array = await harness.post("[\(items.joined(separator: ","))]")
            #expect(array.json["counted"] as? Int == 10_000, "\(array.text.prefix(300))")
            let lines = await harness.postLines(items.joined(separator: "\n"))
            #expect(lines.json["counted"] as? Int == 10_000, "\(lines.text.prefix(300))")
            #expect(await harness.totals("s0") == ["x": 2858])
        }
    }

    @Test func `The sums of a day are exact, too, whatever its events are called`() async throws {
        try await withAPI { _, harness, _ in
            let most = 9_007_199_254_740_991
            func count(_ action: String, _ tokens: Int) async -> Answer {
                await harness.post(
                    #"{"subject":"\#(action)","action":"\#(action)","meters":{"tokens":\#(tokens)}}"#
                )
            }
            #expect(await count("a", most - 1).status == 200)
            #expect(await count("b", 1).status == 200)
            // Each cell and each subject has room; the day has none.
            for (action, tokens) in [("b", 1), ("c", 1), ("c", most)] {
                let answer = await count(action, tokens)
                #expect(answer.status == 422 && answer.code == "counter_overflow")
            }
            #expect(await harness.totals("b") == ["tokens": 1])
            #expect(await harness.totals("c") == nil)
            let many = (0..<40).map {
                #"{"subject":"m\#($0)","action":"m\#($0)","meters":{"x":\#(most)}}"#
            }
            let answer = await harness.post("[\(many.joined(separator: ","))]")
            #expect(answer.json["counted"] as? Int == 1 && answer.json["failed"] as? Int == 39)
            let series = await harness.get("/v1/series", query: "meter=tokens&bucket=day")
            #expect(series.status == 200 && series.text.contains("\(most)"))
        }
    }
}
