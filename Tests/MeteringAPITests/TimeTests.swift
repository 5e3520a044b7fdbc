// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct TimeTests {
    private static func body(_ time: String, subject: String = "a") -> String {
        #"{"subject":"\#(subject)","meters":{"x":1},"time":"\#(time)"}"#
    }

    @Test(arguments: [
        ("2026-11-14T10:00:00Z", "2026-11-14"), ("2026-11-14T10:00:00.000999999Z", "2026-11-14"),
        ("2026-11-21T10:05:00Z", "2026-11-21"), ("2026-11-21T10:05:00.000999999Z", "2026-11-21"),
        ("2026-11-21T23:59:59+14:00", "2026-11-21"), ("2026-11-21T01:00:00+14:00", "2026-11-20"),
        ("2026-11-20T20:05:00-14:00", "2026-11-21"), ("2026-11-21T00:00:00Z", "2026-11-21"),
        ("2026-11-20T23:59:59.999Z", "2026-11-20"), ("2026-11-21T10:00:00+00:00", "2026-11-21"),
    ])
    func `A time up to its bounds counts into its own day`(time: String, day: String) async throws {
        try await withAPI { host, harness, redis in
            let answer = await harness.post(Self.body(time))
            #expect(answer.totals == ["x": 1], "\(answer.text)")
            #expect(await Self.eventCount(harness, day) == 1)
        }
    }

    @Test(arguments: [
        "2026-11-14", "2026-02-28", "2024-02-29", "2000-01-01", "1970-01-01", "1969-12-31",
        "1900-03-01", "0001-01-01",
    ])
    func `Backfill lifts the bound on late events and counts into their own day`(day: String)
        async throws
    {
        try await withAPI { host, harness, redis in
            let body = Self.body("\(day)T09:59:59Z")
            for query in [nil, "backfill=false"] {
                try await harness.expectRefusal(
                    .post(body, query: query), 422, "timestamp_too_old", day)
            }
            let before = await Self.eventCount(harness, "2026-11-21")
            let answer = await harness.post(body, query: "backfill=true")
            #expect(answer.totals == ["x": 1], "\(answer.text)")
            #expect(await Self.eventCount(harness, day) == 1)
            #expect(await Self.eventCount(harness, "2026-11-21") == before)
            let batch = await harness.post("[\(body)]", query: "backfill=true")
            #expect(batch.statuses == ["counted"], "\(batch.text)")
            let subject = await harness.get("/v1/subjects/a")
            #expect(subject.totals == ["x": 2])
            #expect(subject.json["first_event_at"] as? String == "\(day)T09:59:59Z")
            // The future stays closed.
            try await harness.expectRefusal(
                .post(Self.body("2026-11-21T10:05:00.001Z"), query: "backfill=true"), 422,
                "timestamp_in_future", day)
        }
    }

    @Test(arguments: ["0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z"])
    func `The edge of the calendar makes nothing fail`(time: String) async throws {
        try await withAPI { host, harness, redis in
            let answer = await harness.post(Self.body(time), query: "backfill=true")
            #expect([200, 422].contains(answer.status), "\(answer.text)")
            if answer.status == 200 { #expect(await harness.totals("a") == ["x": 1]) }
            await harness.expectGoesOn()
            for date in ["0001-01-01", "9999-12-31", "1970-01-01", "2024-02-29"] {
                #expect(
                    await harness.get("/v1/usage/hourly", query: "date=\(date)").status == 200,
                    "\(date)")
            }
        }
    }

    private static func eventCount(_ harness: Harness, _ day: String) async -> Int {
        let hours =
            await harness.get("/v1/usage/hourly", query: "date=\(day)").json["hours"]
            as? [[String: Any]]
        return hours?.reduce(0) { $0 + ($1["events"] as? Int ?? 0) } ?? -1
    }
}

@Suite(.timeLimit(.minutes(15))) struct SumTests {
    @Test func `What takes the sum of an hour past the largest integer is refused`()
        async throws
    {
        try await withAPI { host, harness, redis in
            let lines = (0..<100).map {
                #"{"subject":"s\#($0)","action":"a\#($0)","meters":{"x":9007199254740991}}"#
            }
            let answer = await harness.postLines(lines.joined(separator: "\n"))
            #expect(answer.json["counted"] as? Int == 1)
            let hours = await harness.get("/v1/usage/hourly")
            #expect(hours.status == 200 && hours.text.contains("9007199254740991"))
            await harness.expectGoesOn()
        }
    }
}
