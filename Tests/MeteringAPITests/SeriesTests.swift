// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPServer
import Testing

@Suite(.timeLimit(.minutes(15))) struct SeriesTests {
    private static func post(_ harness: Harness, _ body: String) async {
        let answer = await harness.post(body, query: "backfill=true")
        #expect(answer.status == 200, "\(answer.text)")
    }

    @Test func `A series tells buckets, groups, total and the period before`() async throws {
        try await withAPI { _, harness, _ in
            await Self.post(
                harness,
                """
                [{"subject":"a","action":"x","model":"m","time":"2026-11-18T10:00:00Z","meters":{"tokens":40}},
                {"subject":"a","action":"x","model":"m","time":"2026-11-20T10:00:00Z","meters":{"tokens":30}},
                {"subject":"b","action":"y","time":"2026-11-20T11:00:00Z","meters":{"tokens":20}},
                {"subject":"b","action":"y","time":"2026-11-21T09:59:00Z","meters":{"messages":1}}]
                """)
            let answer = await harness.get(
                "/v1/series",
                query: "meter=tokens&from=2026-11-19&to=2026-11-21&group_by=action&fill=zero"
                    + "&compare=previous")
            #expect(
                answer.text == """
                    {"meter":"tokens","bucket":"day","zone":"UTC","buckets":[\
                    {"start":"2026-11-19T00:00:00Z","value":0,"events":0,"subjects":0,"groups":[]},\
                    {"start":"2026-11-20T00:00:00Z","value":50,"events":2,"subjects":2,"groups":[\
                    {"action":"x","value":30,"events":1},{"action":"y","value":20,"events":1}]},\
                    {"start":"2026-11-21T00:00:00Z","value":0,"events":1,"subjects":1,"groups":[\
                    {"action":"y","value":0,"events":1}]}],"total":{"value":50,"events":3},\
                    "previous":{"from":"2026-11-16T00:00:00Z","to":"2026-11-19T00:00:00Z",\
                    "value":40,"events":1,"change_percent":"25.00"},"warnings":[]}
                    """)
            let minutes = await harness.get(
                "/v1/series", query: "meter=messages&bucket=minute&subject=b")
            #expect(
                minutes.text == """
                    {"meter":"messages","subject":"b","bucket":"minute","zone":"UTC","buckets":[\
                    {"start":"2026-11-21T09:59:00Z","value":1,"events":1}],\
                    "total":{"value":1,"events":1},"warnings":[]}
                    """)
            let months = await harness.get(
                "/v1/series", query: "meter=tokens&bucket=month&group_by=model")
            #expect(
                months.text == """
                    {"meter":"tokens","bucket":"month","zone":"UTC","buckets":[\
                    {"start":"2026-11-01T00:00:00Z","value":90,"events":4,"subjects":2,"groups":[\
                    {"model":"m","value":70,"events":2},{"model":null,"value":20,"events":2}]}],\
                    "total":{"value":90,"events":4},"warnings":[]}
                    """)
        }
    }

    @Test func `The period before has nothing of the first bucket`() async throws {
        try await withAPI { _, harness, _ in
            await Self.post(
                harness,
                #"[{"subject":"a","time":"2026-11-20T10:50:20Z","meters":{"tokens":7}}]"#)
            for (bucket, from, to) in [
                ("hour", "10:30:00", "11:00:00"), ("minute", "10:50:10", "10:51:00"),
            ] {
                let answer = await harness.get(
                    "/v1/series",
                    query: "meter=tokens&bucket=\(bucket)&compare=previous"
                        + "&from=2026-11-20T\(from)Z&to=2026-11-20T\(to)Z")
                let before = answer.json["previous"] as? [String: Any]
                #expect(before?["value"] as? Int == 0, "\(answer.text)")
                #expect((before?["to"] as? String)?.hasSuffix(":00Z") == true)
            }
        }
    }

    @Test func `End users get what is their own, whether they name themselves or not`() async throws
    {
        try await withAPI { _, harness, _ in
            await Self.post(
                harness,
                #"[{"subject":"a","meters":{"tokens":7}},{"subject":"b","meters":{"tokens":4}}]"#)
            let own = try await Caller(harness, #"{"role":"self","subject":"a","name":"page"}"#)
            func told(_ path: String, _ query: String) async -> Answer {
                await harness.send(
                    .authorized(
                        .get, path, query: query,
                        headers: ["Authorization": "Bearer \(own.secret)"]))
            }
            for path in ["/v1/series", "/v1/forecast"] {
                let whole = await harness.get(path, query: "meter=tokens&subject=a")
                #expect(whole.status == 200)
                #expect(await told(path, "meter=tokens").text == whole.text)
                #expect(await told(path, "meter=tokens&subject=a").text == whole.text)
                #expect(await told(path, "meter=tokens&subject=b").status == 403)
            }
        }
    }

    @Test(arguments: [
        ("minute", 60, "2026-10-31T10:00:30Z"), ("hour", 24, "2026-10-31T10:00:30Z"),
        ("day", 30, "2026-01-31"), ("month", 12, "2026-10-31"), ("month", 12, "2027-01-29"),
        ("month", 12, "9999-12-31"),
    ])
    func `Without a begin there are as many buckets as documented`(
        bucket: String, count: Int, to: String
    ) async throws {
        try await withAPI { _, harness, _ in
            let answer = await harness.get(
                "/v1/series", query: "meter=tokens&bucket=\(bucket)&fill=zero&to=\(to)")
            let buckets = answer.json["buckets"] as? [Any]
            #expect(buckets?.count == count, "\(answer.text)")
        }
    }

    @Test func `Minutes of long ago are not told as none`() async throws {
        try await withAPI { _, harness, _ in
            let answer = await harness.get(
                "/v1/series",
                query:
                    "meter=tokens&bucket=minute&from=2026-11-21T06:00:00Z&to=2026-11-21T07:00:00Z")
            #expect(answer.status == 200)
            #expect(answer.json["warnings"] as? [String] == ["minutes are kept for 2 hours"])
        }
    }

    @Test(arguments: [
        "", "meter=", "meter=Tokens", "meter=tokens&meter=tokens", "meter=tokens&bucket=week",
        "meter=tokens&bucket=", "meter=tokens&from=yesterday", "meter=tokens&from=2026-02-30",
        "meter=tokens&from=2026-11-21&to=2026-11-20", "meter=tokens&to=2026-11-21T10:00:00",
        "meter=tokens&from=2026-11-21T10:00:00Z&to=2026-11-21T10:00:00Z",
        "meter=tokens&group_by=subject", "meter=tokens&fill=one", "meter=tokens&compare=next",
        "meter=tokens&limit=5", "meter=tokens&from=2026-11-22", "meter=%ff",
    ])
    func `A question that cannot be is refused`(query: String) async throws {
        _ = try await withAPI { _, harness, _ in
            let code =
                query.contains("meter=tokens&meter")
                ? "duplicate_parameter"
                : query.contains("limit") ? "unknown_parameter" : "invalid_parameter"
            try await harness.expectRefusal(
                .authorized(.get, "/v1/series", query: query), 400, code, query)
        }
    }

    @Test(arguments: [
        ("bucket=minute&from=2026-01-01", "range_too_wide"),
        ("bucket=hour&from=2020-01-01", "range_too_wide"),
        ("bucket=day&from=0001-01-01", "range_too_wide"),
        ("bucket=month&from=0001-01-01&to=9999-12-31", "range_too_wide"),
    ])
    func `A question that would take too long is refused`(
        query: String, code: String
    ) async throws {
        _ = try await withAPI { _, harness, _ in
            try await harness.expectRefusal(
                .authorized(.get, "/v1/series", query: "meter=tokens&" + query), 422, code, query)
        }
    }

    @Test func `A forecast of a month that is past the largest sum is refused, not rounded`()
        async throws
    {
        try await withAPI { _, harness, _ in
            let most = 9_007_199_254_740_991
            for (day, amount) in [(19, most), (20, 1)] {
                let event = """
                    {"subject":"s\(day)","time":"2026-11-\(day)T10:00:00Z","meters":{"x":\(amount)}}
                    """
                #expect(await harness.post(event).status == 200)
            }
            try await harness.expectRefusal(
                .authorized(.get, "/v1/forecast", query: "meter=x"), 422, "counter_overflow", "")
        }
    }

    @Test func `A forecast says what it rests on`() async throws {
        try await withAPI { _, harness, _ in
            let empty = await harness.get("/v1/forecast", query: "meter=tokens")
            #expect(
                empty.text == """
                    {"meter":"tokens","from":"2026-11-01","to":"2026-11-30","so_far":0,\
                    "forecast":null,"interval":null,"method":null,"days":0,"warnings":[]}
                    """)
            // A hundred a day since the 1st, and ten today.
            for day in 1...20 {
                let date = "2026-11-\(day < 10 ? "0" : "")\(day)"
                await Self.post(
                    harness,
                    #"{"subject":"a","time":"\#(date)T10:00:00Z","meters":{"tokens":100}}"#)
            }
            await Self.post(harness, #"{"subject":"a","meters":{"tokens":10}}"#)
            let answer = await harness.get("/v1/forecast", query: "meter=tokens")
            #expect(
                answer.text == """
                    {"meter":"tokens","from":"2026-11-01","to":"2026-11-30","so_far":2010,\
                    "forecast":3000,"interval":{"probability":0.8,"low":3000,"high":3000},\
                    "method":"seasonal_weekday","days":20,"warnings":[]}
                    """)
            let other = await harness.get("/v1/forecast", query: "meter=tokens&subject=b")
            #expect(other.json["forecast"] is NSNull)
            try await harness.expectRefusal(
                .authorized(.get, "/v1/forecast"), 400, "invalid_parameter", "no meter")
        }
    }

    @Test func `A balance that runs out has its day told`() async throws {
        try await withAPI { _, harness, _ in
            let none = await harness.get("/v1/credits/a/forecast")
            #expect(none.json["runs_out_on"] is NSNull && none.status == 200, "\(none.text)")
            let grant = await harness.send(
                .authorized(
                    .post, "/v1/credits/a/grants", headers: ["Content-Type": "application/json"],
                    body: Array(#"{"id":"g","credits":100}"#.utf8)))
            #expect(grant.status == 201, "\(grant.text)")
            for day in 17...20 {
                await Self.post(
                    harness,
                    #"{"subject":"a","time":"2026-11-\#(day)T10:00:00Z","meters":{},"credits":10}"#)
            }
            let answer = await harness.get("/v1/credits/a/forecast")
            #expect(
                answer.text == """
                    {"subject":"a","current_balance":60,"next_reset_at":"2026-12-21T00:00:00Z",\
                    "credits_per_day":10,"runs_out_on":"2026-11-26",\
                    "interval":{"probability":0.8,"earliest":"2026-11-26","latest":"2026-11-26"},\
                    "method":"linear","days":4,"warnings":[]}
                    """)
        }
    }

    @Test func `Months of the calendar begin on the 1st, whenever the account was opened`()
        async throws
    {
        try await withAPI { _, harness, _ in
            _ = await harness.send(.put, "/v1/credit-policy", #"{"month_reset":"calendar"}"#)
            _ = await harness.send(.put, "/v1/credits/a/allowance", #"{"monthly_allowance":100}"#)
            for day in 17...20 {
                await Self.post(
                    harness,
                    #"{"subject":"a","time":"2026-11-\#(day)T10:00:00Z","meters":{},"credits":5}"#)
            }
            let answer = await harness.get("/v1/credits/a/forecast").json
            #expect(answer["next_reset_at"] as? String == "2026-12-01T00:00:00Z")
            // 80 last until then, and 100 for 20 days.
            #expect(answer["runs_out_on"] as? String == "2026-12-20")
        }
    }
}
