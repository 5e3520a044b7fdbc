// SPDX-License-Identifier: Apache-2.0

import HTTPServer
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct IdentifierTests {
    /// All of them different as bytes, though some look or compare alike.
    static let ids = [
        "a", "A", " ", "a ", " a", "a b", "{", "}", "{}", "a}{b", "{a}", "{default}", "\"", "'",
        "\\", "`", "a\\nb",
        "*", "?", "[a]", "%", "%41", "%00", "+", "&", "#", "=1+1", "-1", "@x", "../../etc/passwd",
        "...", "/", "/abs",
        "a/b", "a//b", "a:b", "a-b", "idem:", "sys:", "t1:{default}:subjects", "CON", "nul.json",
        "<script>alert(1)</script>", "' ; redis.call(\"flushall\")", "%s%n", "null", "0", "00",
        "1e3",
        "caf\u{e9}", "cafe\u{301}", "\u{212b}", "\u{c5}", "A\u{30a}", "ａ", "١", "\u{202e}x",
        "\u{200b}", "x\u{feff}",
        "\u{fffe}", "😀", "👨‍👩‍👧", "\u{10ffff}", "\u{a0}", "\u{2028}", "tly-1-1-1",
        String(repeating: "x", count: 256), String(repeating: "x", count: 255),
        String(repeating: "é", count: 128),
        String(repeating: "😀", count: 64),
    ]

    @Test func `Subjects are told apart by their bytes and read back as they came`() async throws {
        try await withAPI { host, harness, redis in
            for (index, id) in Self.ids.enumerated() {
                let answer = await harness.post(
                    #"{"subject":\#(quoted(id)),"meters":{"tokens":\#(index + 1)}}"#)
                #expect(answer.totals == ["tokens": index + 1], "\(id): \(answer.text)")
            }
            for (index, id) in Self.ids.enumerated() {
                let answer = await harness.get("/v1/subjects/\(percentEncoded(id))")
                #expect(answer.totals == ["tokens": index + 1], "\(id): \(answer.text)")
                // As Swift strings NFC and NFD would be equal.
                let subject = answer.json["subject"] as? String
                #expect(subject.map { Array($0.utf8) } == Array(id.utf8), "\(id)")
            }
            let board = await harness.get(
                "/v1/leaderboards/tokens", query: "limit=1000&window=lifetime")
            let entries = board.json["entries"] as? [[String: Any]] ?? []
            #expect(
                entries.map { $0["value"] as? Int } == (1...Self.ids.count).reversed().map { $0 })
            #expect(
                entries.map { Array(($0["subject"] as? String ?? "").utf8) }
                    == Self.ids.reversed().map { Array($0.utf8) })
        }
    }

    @Test func `Ids of events are told apart by their bytes`() async throws {
        try await withAPI { host, harness, redis in
            let ids = Self.ids.filter { !$0.hasPrefix("tly-") }
            for round in 0...1 {
                for id in ids {
                    let answer = await harness.post(
                        #"{"id":\#(quoted(id)),"subject":"a","meters":{"x":1}}"#)
                    #expect(answer.isDuplicate == (round == 1), "\(id): \(answer.text)")
                    #expect(
                        (answer.json["id"] as? String).map { Array($0.utf8) } == Array(id.utf8),
                        "\(id)")
                }
            }
            #expect(await harness.totals("a") == ["x": ids.count])
        }
    }

    @Test func `Names in neighbouring places never run into each other`() async throws {
        let pairs = [
            ("a-b", "c"), ("a", "b-c"), ("a:b", "c"), ("a", "b:c"), ("a}b", "c"), ("a", "}bc"),
            ("ab", "c"), ("a", "bc"),
        ]
        try await withAPI { host, harness, redis in
            for (index, (action, model)) in pairs.enumerated() {
                let answer = await harness.post(
                    #"{"subject":"s","action":"\#(action)","model":"\#(model)","meters":{"x":\#(1 << index)}}"#
                )
                #expect(answer.status == 200)
            }
            for (index, (subject, id)) in pairs.enumerated() {
                let answer = await harness.post(
                    #"{"subject":"\#(subject)","id":"\#(id)\#(index)","meters":{"y":\#(1 << index)}}"#
                )
                #expect(answer.isDuplicate == false)
            }
            let usage = await harness.get("/v1/usage/hourly")
            let hours = usage.json["hours"] as? [[String: Any]] ?? []
            let groups = hours.flatMap { $0["groups"] as? [[String: Any]] ?? [] }
            for (index, (action, model)) in pairs.enumerated() {
                let group = groups.filter {
                    $0["action"] as? String == action && $0["model"] as? String == model
                }
                #expect(group.count == 1, "\(action) \(model)")
                #expect(group.first?["meters"] as? [String: Int] == ["x": 1 << index])
            }
            #expect(await harness.totals("a") == ["y": 2 + 8 + 32 + 128])
            #expect(await harness.totals("a-b") == ["y": 1])
            #expect(await harness.totals("ab") == ["y": 64])
        }
    }

    /// No path can name them (RFC 3986, 5.2.4).
    @Test(arguments: [".", ".."])
    func `Ids that are dot segments are refused wherever they are given`(id: String) async throws {
        try await withAPI { host, harness, redis in
            let event = #"{"subject":"a","meters":{"x":1}"#
            let grants = "/v1/credits/a/grants"
            for (path, body) in [
                ("/v1/events", #"{"subject":"\#(id)","meters":{"x":1}}"#),
                ("/v1/events", event + #","id":"\#(id)"}"#),
                ("/v1/check", #"{"subject":"\#(id)","amounts":{"files_uploaded":1}}"#),
                ("/v1/holds", #"{"subject":"\#(id)","credits":1}"#),
                ("/v1/holds", #"{"subject":"a","id":"\#(id)","credits":1}"#),
                (grants, #"{"id":"\#(id)","credits":1}"#),
                ("/v1/keys", #"{"role":"self","subject":"\#(id)","name":"n"}"#),
                ("/usage/track/api-call", #"{"user_id":"\#(id)"}"#),
                ("/api/elevenlabs/bulk-assign", #"{"user_id":"\#(id)","quantity":1}"#),
            ] {
                try await harness.expectRefusal(
                    .authorized(
                        .post, path, headers: ["Content-Type": "application/json"],
                        body: Array(body.utf8)), 422, "invalid_id", "\(path) \(body)")
            }
            for (path, body) in [
                ("/v1/events", event + "}"), ("/v1/holds", #"{"subject":"a","credits":1}"#),
                ("/usage/track/api-call", #"{"user_id":"a"}"#),
            ] {
                try await harness.expectRefusal(
                    .authorized(
                        .post, path,
                        headers: ["Content-Type": "application/json", "Idempotency-Key": id],
                        body: Array(body.utf8)), 422, "invalid_id", path)
            }
            for (query, headers) in [
                ("files_uploaded=1&subject=\(id)", [:]),
                ("files_uploaded=1", ["X-Tally-Subject": id]),
            ] {
                try await harness.expectRefusal(
                    .authorized(.get, "/v1/gateway/check", query: query, headers: headers), 422,
                    "invalid_id", "\(query) \(headers)")
            }
            let alert = #"{"name":"n","on":{"balance":true},"percent":[5],"subject":"\#(id)","#
            try await harness.expectRefusal(
                .authorized(
                    .put, "/v1/alerts", headers: ["Content-Type": "application/json"],
                    body: Array(#"{"alerts":[\#(alert)"to":{"email":"a@x.org"}}]}"#.utf8)), 422,
                "invalid_id", "alert")
            let lines = await harness.postLines(event + #","id":"\#(id)"}"# + "\n")
            #expect(lines.codes == ["invalid_id"])
            let profiles = await harness.send(
                .authorized(
                    .post, "/v1/subjects/import", headers: ["Content-Type": "text/csv"],
                    body: Array("id\n\(id)\n".utf8)))
            #expect(profiles.codes == ["invalid_id"], "\(profiles.text)")
            // What was counted before they were refused can be asked for.
            for path in ["/v1/events", "/v1/holds", "/v1/series"] {
                let query = "subject=\(id)" + (path == "/v1/series" ? "&meter=tokens" : "")
                #expect(await harness.get(path, query: query).status == 200, "\(path)")
            }
        }
    }

    @Test func `Text at its limits is taken`() async throws {
        let label = String(repeating: "x", count: 128)
        let description = String(repeating: "é", count: 512)
        try await withAPI { host, harness, redis in
            let first = await harness.post(
                #"{"subject":"a","action":"\#(label)","model":"\#(label)","description":"\#(description)","meters":{"\#(label.prefix(64))":9007199254740991}}"#
            )
            #expect(
                first.totals == [String(label.prefix(64)): 9_007_199_254_740_991], "\(first.text)")
            let many = await harness.post(
                #"{"subject":"b","meters":{\#(RefusalTests.meters(32))}}"#)
            #expect(many.totals.count == 32, "\(many.text)")
            let recent = await harness.get("/v1/subjects/a").json["recent"] as? [[String: Any]]
            #expect(recent?.first?["description"] as? String == description)
            #expect(recent?.first?["action"] as? String == label)
            let zero = await harness.post(#"{"subject":"z","meters":{"x":0}}"#)
            #expect(zero.totals == ["x": 0], "\(zero.text)")
            let empty = await harness.post(
                #"{"subject":"z","description":"","id":null,"time":null,"action":null,"model":null,"meters":{"x":2}}"#
            )
            #expect(empty.totals == ["x": 2], "\(empty.text)")
            let deep = await harness.post(
                #"{"subject":"z","usage":{"prompt_tokens":1,"other":\#(RefusalTests.nested(14))}}"#)
            #expect(deep.status == 200, "\(deep.text)")
        }
    }
}
