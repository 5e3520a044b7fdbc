// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPServer
import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct HistoryRouteTests {
    static let refusals: [(query: String, status: Int, code: String)] = [
        ("limit=0", 400, "invalid_parameter"), ("limit=1001", 400, "invalid_parameter"),
        ("limit=1e2", 400, "invalid_parameter"), ("limit=", 400, "invalid_parameter"),
        ("cursor=", 400, "invalid_cursor"), ("cursor=1.1.0123456789abcdef", 400, "invalid_cursor"),
        ("cursor=%00", 400, "invalid_cursor"), ("sort=time", 400, "invalid_parameter"),
        ("sort=", 400, "invalid_parameter"), ("action=", 400, "invalid_parameter"),
        ("subject=", 422, "invalid_id"), ("subject=%0a", 422, "invalid_id"),
        ("min_credits=", 422, "malformed_number"), ("min_credits=-1", 422, "out_of_range"),
        ("min_credits=0.0000001", 422, "too_precise"), ("min_credits=01", 422, "malformed_number"),
        ("min_credits=1e99", 422, "out_of_range"), ("min_credits=NaN", 422, "malformed_number"),
        ("from=yesterday", 400, "invalid_parameter"), ("from=2026-02-30", 400, "invalid_parameter"),
        ("to=2026-11-21T10:00:00", 400, "invalid_parameter"), ("to=", 400, "invalid_parameter"),
        ("from=0000-01-01", 400, "invalid_parameter"), ("to=20261121", 400, "invalid_parameter"),
        ("from=2026-11-22&to=2026-11-21", 400, "invalid_parameter"),
        ("from=2026-11-21T10:00:00.001Z&to=2026-11-21T10:00:00Z", 400, "invalid_parameter"),
        ("offset=1", 400, "unknown_parameter"), ("Action=a", 400, "unknown_parameter"),
        ("action=a&action=b", 400, "duplicate_parameter"),
        ("format=csv", 400, "unknown_parameter"),
    ]

    @Test func `A parameter that is wrong is named`() async throws {
        try await withAPI { host, harness, redis in
            for (query, status, code) in Self.refusals {
                for path in ["/v1/events", "/v1/subjects/a/events"] {
                    // There the subject is no parameter.
                    let isOther = path != "/v1/events" && query.hasPrefix("subject")
                    try await harness.expectRefusal(
                        .authorized(.get, path, query: query), isOther ? 400 : status,
                        isOther ? "unknown_parameter" : code, "\(path)?\(query)")
                }
            }
            for (path, query, code) in [
                ("events", "format=xml", "invalid_parameter"),
                ("events", "format=", "invalid_parameter"),
                ("events", "limit=5", "unknown_parameter"),
                ("events", "cursor=x", "unknown_parameter"),
                ("events", "sort=credits", "unknown_parameter"),
                ("events", "from=x", "invalid_parameter"),
                ("balances", "format=CSV", "invalid_parameter"),
                ("balances", "subject=a", "unknown_parameter"),
                ("leaderboard", "", "invalid_parameter"),
                ("leaderboard", "meter=files", "invalid_parameter"),
                ("leaderboard", "meter=tokens&window=7x", "invalid_parameter"),
                ("leaderboard", "meter=tokens&limit=0", "invalid_parameter"),
            ] {
                try await harness.expectRefusal(
                    .authorized(.get, "/v1/export/\(path)", query: query), 400, code,
                    "\(path)?\(query)")
            }
            let far = await harness.get("/v1/events", query: "from=0001-01-01&to=9999-12-31")
            #expect(far.status == 200)
        }
    }

    @Test func `The history is of the caller only, and nobody else's`() async throws {
        try await withAPI { _, harness, _ in
            for path in ["/v1/events", "/v1/subjects/a/events", "/v1/export/events"] {
                let answer = await harness.send(
                    .authorized(.get, path, headers: ["Authorization": "Bearer another-key"]))
                #expect(answer.status == 401)
            }
        }
    }

    @Test func `An event shows what it took and what became of it`() async throws {
        try await withAPI { _, harness, _ in
            let event = #"""
                {"id":"e","subject":"a","action":"chat","model":"m","description":"d","credits":"1.5",
                "api_cost":"0.25","meters":{"tokens":7}}
                """#
            #expect(await harness.post(event).status == 200)
            #expect(await harness.post(#"{"id":"f","subject":"b","meters":{"x":1}}"#).status == 200)
            let reversal = await harness.send(.authorized(.post, "/v1/events/e/reverse"))
            #expect(reversal.status == 200, "\(reversal.text)")
            let answer = await harness.get("/v1/events")
            let id = reversal.json["reversal"] as? String ?? ""
            #expect(
                answer.text
                    == #"{"events":[{"id":"\#(id)","time":"2026-11-21T10:00:00Z","subject":"a","#
                    + #""action":"chat","model":"m","meters":{"tokens":-7,"credits_micro":-1500000,"#
                    + #""cost_micro":-250000},"description":null,"credits":-1.5,"cost":-0.25,"#
                    + #""reversal":true,"reverses":"e"},{"id":"f","time":"2026-11-21T10:00:00Z","subject":"b","#
                    + #""action":"usage","model":null,"meters":{"x":1},"description":null},{"id":"e","#
                    + #""time":"2026-11-21T10:00:00Z","subject":"a","action":"chat","model":"m","#
                    + #""meters":{"tokens":7,"credits_micro":1500000,"cost_micro":250000},"#
                    + #""description":"d","credits":1.5,"cost":0.25,"reversed":true}],"next":null}"#
            )
            let page = await harness.get("/v1/subjects/a/events", query: "limit=1&sort=credits")
            #expect((page.json["events"] as? [[String: Any]])?.first?["id"] as? String == "e")
            let next = page.json["next"] as? String ?? ""
            let rest = await harness.get(
                "/v1/events", query: "subject=a&limit=5&sort=credits&cursor=\(next)")
            #expect((rest.json["events"] as? [[String: Any]])?.map { $0["id"] as? String } == [id])
            #expect(rest.json["next"] is NSNull)
            #expect(
                await harness.get("/v1/subjects/never-seen/events").text
                    == #"{"events":[],"next":null}"#)
        }
    }

    @Test func `A reversal names the event that it undid, as long as that is known`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let folder = try makeTemporaryFolder()
                defer { removeFolder(folder) }
                let harness = await Harness(redis, on: host.loop, data: folder)
                // The event without an id is named by its place.
                let unnamed = await harness.post(#"{"subject":"a","meters":{"x":1}}"#)
                let place = unnamed.json["id"] as? String ?? ""
                let several =
                    #"[{"id":"g","subject":"b","meters":{"x":2}},{"id":"h","subject":"a","meters":{"x":3}}]"#
                #expect(await harness.post(several).status == 200)
                for id in [place, "h", "g"] {
                    let answer = await harness.send(.authorized(.post, "/v1/events/\(id)/reverse"))
                    #expect(answer.status == 200, "\(answer.text)")
                }
                func undone() async -> [String?] {
                    let answer = await harness.get("/v1/events")
                    return (answer.json["events"] as? [[String: Any]] ?? [])
                        .filter { $0["reversal"] as? Bool == true }.map {
                            $0["reverses"] as? String
                        }
                }
                #expect(await undone() == ["g", "h", place])
                let erased = await harness.send(
                    .authorized(.delete, "/v1/subjects/a", query: "erase=true"))
                // 202 where it took longer than a caller waits.
                #expect([200, 202].contains(erased.status), "\(erased.text)")
                var receipt = erased
                for _ in 0..<200 where receipt.json["state"] as? String == "running" {
                    try await Task.sleep(for: .milliseconds(50))
                    let id = erased.json["id"] as? String ?? ""
                    receipt = await harness.get("/v1/erasures/\(id)")
                }
                #expect(await undone() == ["g", nil, nil], "\(receipt.text)")
                // More than are looked up at a time.
                let singles = (1...20).map { "single-\($0)" }
                for id in singles {
                    _ = await harness.post(#"{"id":"\#(id)","subject":"b","meters":{"x":1}}"#)
                    let answer = await harness.send(.authorized(.post, "/v1/events/\(id)/reverse"))
                    #expect(answer.status == 200, "\(answer.text)")
                }
                #expect(await undone() == singles.reversed() + ["g", nil, nil])
                await harness.queries.stop()
            }
        }
    }

    @Test func `Dates are whole days, instants end before themselves`() async throws {
        try await withAPI { _, harness, _ in
            let times = [
                "2026-11-19T23:59:59.999Z", "2026-11-20T00:00:00Z", "2026-11-20T23:59:59.999Z",
                "2026-11-21T00:00:00Z",
            ]
            for (index, time) in times.enumerated() {
                let event = #"{"id":"\#(index)","time":"\#(time)","subject":"a","meters":{"x":1}}"#
                #expect(await harness.post(event).status == 200)
            }
            for (query, ids) in [
                ("from=2026-11-20&to=2026-11-20", ["2", "1"]), ("from=2026-11-21", ["3"]),
                ("to=2026-11-19", ["0"]), ("to=2026-11-20T00:00:00Z", ["0"]),
                ("from=2026-11-20T00:00:00Z&to=2026-11-20T23:59:59.999Z", ["1"]),
                ("from=2026-11-20T01:00:00%2B01:00&to=2026-11-20T00:00:00.001Z", ["1"]),
                ("from=2026-11-20T00:00:00Z&to=2026-11-20T00:00:00Z", []),
            ] {
                let answer = await harness.get("/v1/events", query: query)
                let found = (answer.json["events"] as? [[String: Any]])?.map { $0["id"] as? String }
                #expect(found == ids, "\(query): \(answer.text)")
            }
        }
    }
}
