// SPDX-License-Identifier: Apache-2.0

import HTTPServer
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct OwnLimitTests {
    private static let limits = """
        {"limits":[
        {"name":"files","meter":"files_uploaded","window":"day","user":5},
        {"name":"bytes","meter":"input_bytes","window":"month","user":100,"guest":10}]}
        """

    @Test func `A subject's own amount is told beside the one in force`() async throws {
        try await withAPI { host, harness, redis in
            #expect(await harness.send(.put, "/v1/limits", Self.limits).status == 200)
            func told(_ limit: String, _ subject: String) async -> String {
                await harness.get("/v1/limits/\(limit)/subjects/\(percentEncoded(subject))").text
            }
            #expect(
                await told("bytes", "a")
                    == #"{"name":"bytes","subject":"a","limit":null,"effective":100}"#)
            #expect(
                await told("bytes", "guest:a")
                    == #"{"name":"bytes","subject":"guest:a","limit":null,"effective":10}"#)
            #expect(
                await told("files", "guest:a")
                    == #"{"name":"files","subject":"guest:a","limit":null,"effective":null}"#)
            let path = "/v1/limits/bytes/subjects/a"
            for amount in ["0", "7", "9007199254740991"] {
                let put = await harness.send(.put, path, #"{"limit":\#(amount)}"#)
                #expect(put.text == #"{"name":"bytes","subject":"a","limit":\#(amount)}"#)
                #expect(
                    await told("bytes", "a")
                        == #"{"name":"bytes","subject":"a","limit":\#(amount),"effective":\#(amount)}"#
                )
            }
            // Of that limit and that subject only.
            #expect(await told("files", "a").contains(#""limit":null,"effective":5"#))
            #expect(await told("bytes", "b").contains(#""limit":null,"effective":100"#))
            for _ in 1...2 {
                #expect(await harness.send(.put, path, #"{"limit":null}"#).status == 200)
                #expect(await told("bytes", "a").contains(#""limit":null,"effective":100"#))
            }
        }
    }

    @Test func `A merged guest's own amount, and the one in force, are those of its user`()
        async throws
    {
        try await withAPI { host, harness, redis in
            #expect(await harness.send(.put, "/v1/limits", Self.limits).status == 200)
            let path = "/v1/limits/bytes/subjects/guest%3Ae"
            func told() async -> String { await harness.get(path).text }
            #expect(await harness.send(.put, path, #"{"limit":3}"#).status == 200)
            _ = await harness.post(#"{"subject":"guest:e","meters":{"input_bytes":1}}"#)
            let merged = await harness.send(
                .post, "/v1/subjects/ann/merge", #"{"guest":"guest:e"}"#)
            #expect(merged.status == 200, "\(merged.text)")
            let name = #"{"name":"bytes","subject":"guest:e","limit":"#
            // The guest's own has gone with it.
            #expect(await told() == name + #"null,"effective":100}"#)
            for amount in ["7", "null"] {
                let put = await harness.send(.put, path, #"{"limit":\#(amount)}"#)
                #expect(put.text == name + "\(amount)}")
                let effective = amount == "null" ? "100" : amount
                #expect(await told() == name + #"\#(amount),"effective":\#(effective)}"#)
                let check = await harness.send(
                    .post, "/v1/check", #"{"subject":"guest:e","limits":["bytes"]}"#)
                #expect(check.text.contains(#""limit":\#(effective),"#), "\(check.text)")
            }
        }
    }

    @Test func `What is not known, or not asked rightly, is refused, and asking changes nothing`()
        async throws
    {
        try await withAPI { host, harness, redis in
            let path = "/v1/limits/files_per_day/subjects/a"
            let before = try redis.fingerprint()
            #expect(await harness.get(path).status == 200)
            #expect(try redis.fingerprint() == before)
            for (request, status, code) in [
                (
                    HTTPRequest.authorized(.get, "/v1/limits/none/subjects/a"), 404,
                    "limit_not_found"
                ),
                (.authorized(.get, path, query: "x=1"), 400, "unknown_parameter"),
                (.authorized(.get, "/v1/limits/files_per_day/subjects/%00"), 422, "invalid_id"),
                (.authorized(.delete, path), 405, "method_not_allowed"),
            ] {
                try await harness.expectRefusal(request, status, code, request.path)
            }
        }
    }

    @Test func `The policy tells the length of the month and of the day that are now`() async throws
    {
        try await withAPI { host, harness, redis in
            let ask = #"{"subject":"a"}"#
            func policy() async -> String {
                await harness.send(.post, "/v1/check", ask).headers["ratelimit-policy"] ?? ""
            }
            // November, December, then January to March of 2027.
            for (days, length) in [(0, 30), (10, 31), (31, 31), (31, 28), (28, 31)] {
                harness.clock.advance(days * 86_400_000)
                let text = await policy()
                #expect(
                    text.contains(#"tally-meter="processing_ms";w=\#(length * 86_400)"#), "\(text)")
                #expect(text.contains(#"tally-meter="files_uploaded";w=86400"#), "\(text)")
            }
        }
    }

    @Test func `All limits of a subject are told to it and to readers, with what is used`()
        async throws
    {
        try await withAPI { host, harness, redis in
            let limits = """
                {"limits":[
                {"name":"files","meter":"files_uploaded","window":"day","user":5},
                {"name":"bytes","meter":"input_bytes","window":"rate","period_s":60,"burst":7,"user":100,"guest":10},
                {"name":"jobs","meter":"jobs","window":"concurrent","user":2}]}
                """
            #expect(await harness.send(.put, "/v1/limits", limits).status == 200)
            func told(_ subject: String) async -> String {
                await harness.get("/v1/subjects/\(percentEncoded(subject))/limits").text
            }
            func whole(_ subject: String, _ rows: String) -> String {
                #"{"subject":"\#(subject)","limits":[\#(rows)]}"#
            }
            let bytes =
                #"{"name":"bytes","meter":"input_bytes","window":"rate","period_s":60,"burst":7"#
            let jobs = #"{"name":"jobs","meter":"jobs","window":"concurrent","own":null"#
            let files = #"{"name":"files","meter":"files_uploaded","window":"day""#
            let before = try redis.fingerprint()
            let free = #","limit":null,"used":0,"remaining":null,"resets_at":null}"#
            let none = whole(
                "guest:g",
                files
                    + #","own":null,"limit":null,"used":0,"remaining":null,"resets_at":"2026-11-22T00:00:00Z"},"#
                    + bytes
                    + #","own":null,"limit":7,"used":0,"remaining":7,"resets_at":"2026-11-21T10:00:00Z"},"#
                    + jobs + free)
            let guest = await told("guest:g")
            #expect(guest == none)
            #expect(try redis.fingerprint() == before)
            _ = await harness.post(#"{"subject":"ann","meters":{"files_uploaded":3}}"#)
            #expect(
                await harness.send(.put, "/v1/limits/files/subjects/ann", #"{"limit":2}"#).status
                    == 200)
            let hold = await harness.send(
                .post, "/v1/holds", #"{"subject":"ann","amounts":{"jobs":1},"ttl_s":60}"#)
            #expect(hold.status == 201, "\(hold.text)")
            let own = whole(
                "ann",
                files
                    + #","own":2,"limit":2,"used":3,"remaining":0,"resets_at":"2026-11-22T00:00:00Z"},"#
                    + bytes
                    + #","own":null,"limit":7,"used":0,"remaining":7,"resets_at":"2026-11-21T10:00:00Z"},"#
                    + jobs
                    + #","limit":2,"used":1,"remaining":1,"resets_at":"2026-11-21T10:01:00Z"}"#)
            let ofAnn = await told("ann")
            #expect(ofAnn == own)
            let ann = try await Caller(harness, #"{"role":"self","subject":"ann","name":"page"}"#)
            #expect(await ann.send(.get, "/v1/subjects/ann/limits").text == own)
            #expect(await ann.send(.get, "/v1/subjects/bob/limits").status == 403)
            try await harness.expectRefusal(
                .authorized(.get, "/v1/subjects/ann/limits", query: "x=1"), 400,
                "unknown_parameter", "query")
            try await harness.expectRefusal(
                .authorized(.get, "/v1/subjects/%00/limits"), 422, "invalid_id", "id")
        }
    }
}
