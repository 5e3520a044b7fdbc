// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPServer
import Metering
import TestSupport
import Testing

/// 2025-01-31T18:00:00Z
private let endOfJanuary = 1_738_346_400_000

extension Harness {
    /// Sends answered messages of clients, each with its own time.
    func messages(
        _ messages: [(client: String, time: String)], _ headers: [String: String] = [:]
    ) async {
        let lines = messages.enumerated().map { index, message in
            #"{"id":"m-\#(index + 1)-\#(message.time)","subject":"\#(message.client)","#
                + #""time":"\#(message.time)","action":"ai_chat_message","meters":{"messages":1}}"#
        }
        let answer = await post(
            "[\(lines.joined(separator: ","))]", query: "backfill=true", headers: headers)
        #expect(answer.json["counted"] as? Int == messages.count, "\(answer.text)")
    }

    /// The month of the guide: 25 messages, 12 of them on the 15th, 8 from 14:00; and 19 before.
    func guideMonth() async {
        var list: [(client: String, time: String)] = []
        for minute in 0..<8 {
            list.append((minute < 6 ? "mario" : "anna", "2025-01-15T14:0\(minute):00Z"))
        }
        for minute in 0..<4 {
            list.append((minute < 3 ? "mario" : "luca", "2025-01-15T10:0\(minute):00Z"))
        }
        for hour in 0..<13 {
            let digits = hour < 10 ? "0\(hour)" : "\(hour)"
            list.append((hour < 6 ? "anna" : "luca", "2025-01-\(11 + hour)T\(digits):30:00Z"))
        }
        // The 15th has its 12 already.
        list = list.map {
            $0.time == "2025-01-15T04:30:00Z" ? ($0.client, "2025-01-25T04:30:00Z") : $0
        }
        await messages(list)
        await messages((0..<19).map { ("anna", "2024-12-10T09:00:\($0 + 10)Z") })
        let mario = await send(
            .put, "/v1/subjects/mario", #"{"full_name":"Mario Rossi","phone":"+39123456789"}"#)
        #expect(mario.status == 201)
    }
}

@Suite(.timeLimit(.minutes(15))) struct CostGuideTests {
    @Test func `The guide's month has its numbers`() async throws {
        try await withAPI { _, api, _ in
            api.clock.set(endOfJanuary)
            await api.guideMonth()
            let board = await api.get("/api/usage/dashboard/default", query: "period=30")
            #expect(board.status == 200, "\(board.text)")
            #expect(
                board.text.hasPrefix(
                    """
                    {"overview":{"totalCost":0.125,"totalMessages":25,"averageDailyCost":0.0042,\
                    "monthlyComparison":{"currentMonth":0.125,"previousMonth":0.095,\
                    "growth":31.58}},"dailyTrend":[{"date":"2025-01-02","cost":0,"messages":0},
                    """
                ), "\(board.text)")
            let days = board.list("dailyTrend")
            #expect(days.count == 30 && days.last?["date"] as? String == "2025-01-31")
            #expect(board.list("peakHours").compactMap { $0["hour"] as? Int } == Array(0..<24))
            #expect(
                board.text.contains(
                    """
                    "topClients":[{"clientId":"mario","clientName":"Mario Rossi",\
                    "clientPhone":"+39123456789","cost":0.045,"messages":9},\
                    {"clientId":"anna","clientName":null,"clientPhone":null,"cost":0.04,\
                    "messages":8},{"clientId":"luca","clientName":null,"clientPhone":null,\
                    "cost":0.04,"messages":8}],"insights":{"busiestDay":\
                    {"date":"2025-01-15","cost":0.06,"messages":12},\
                    "peakHour":{"hour":14,"cost":0.04,"messages":8}},"months":[\
                    {"month":"2024-10","cost":0,"messages":0},\
                    {"month":"2024-11","cost":0,"messages":0},\
                    {"month":"2024-12","cost":0.095,"messages":19},\
                    {"month":"2025-01","cost":0.125,"messages":25}]}
                    """), "\(board.text)")
            let summary = await api.get("/api/usage/summary/default")
            #expect(
                summary.text
                    == """
                    {"totalCost":0.125,"totalMessages":25,"averageDailyCost":0.0042,\
                    "monthlyComparison":{"currentMonth":0.125,"previousMonth":0.095,"growth":31.58}}
                    """
            )
        }
    }

    @Test func `Stats of a range tell each day of it, both ends included`() async throws {
        try await withAPI { _, api, _ in
            api.clock.set(endOfJanuary)
            await api.guideMonth()
            let stats = await api.get(
                "/api/usage/stats/default", query: "startDate=2025-01-14&endDate=2025-01-16")
            #expect(stats.json["totalMessages"] as? Int == 14)
            #expect(
                stats.text.hasPrefix(
                    """
                    {"totalCost":0.07,"totalMessages":14,"dailyUsage":[\
                    {"date":"2025-01-14","cost":0.005,"messages":1},\
                    {"date":"2025-01-15","cost":0.06,"messages":12},\
                    {"date":"2025-01-16","cost":0.005,"messages":1}],"peakHours":[{"hour":0,
                    """
                ), "\(stats.text)")
            #expect(
                stats.text.hasSuffix(
                    """
                    "monthlyComparison":{"currentMonth":0.125,"previousMonth":0.095,"growth":31.58},\
                    "busiestDay":{"date":"2025-01-15","cost":0.06,"messages":12},\
                    "peakHour":{"hour":14,"cost":0.04,"messages":8},\
                    "averageDailyCost":0.0233,"averageDailyMessages":4.6667}
                    """),
                "\(stats.text)")
            let one = await api.get(
                "/api/usage/stats/default",
                query: "startDate=2025-01-15T00:00:00.000Z&endDate=2025-01-15T23:59:59Z")
            #expect(one.json["totalMessages"] as? Int == 12, "\(one.text)")
            #expect(one.list("topClients").compactMap { $0["messages"] as? Int } == [9, 2, 1])
            // Without dates: the last 30 days.
            let last = await api.get("/api/usage/stats/default")
            #expect(last.list("dailyUsage").count == 30)
            #expect(last.json["averageDailyCost"] as? Double == 0.0042)
        }
    }

    @Test func `Nothing counted is zeros, and no growth`() async throws {
        try await withAPI { _, api, _ in
            let empty = await api.get("/api/usage/stats/default", query: "endDate=2026-11-21")
            #expect(empty.status == 200, "\(empty.text)")
            #expect(empty.list("dailyUsage").count == 30)
            #expect(empty.list("peakHours").count == 24)
            #expect(empty.list("topClients").isEmpty)
            #expect(
                empty.text.hasSuffix(
                    """
                    "monthlyComparison":{"currentMonth":0,"previousMonth":0,"growth":null},\
                    "busiestDay":{"date":"2026-10-23","cost":0,"messages":0},\
                    "peakHour":{"hour":0,"cost":0,"messages":0},\
                    "averageDailyCost":0,"averageDailyMessages":0}
                    """), "\(empty.text)")
            await api.messages([("a", "2026-11-21T09:00:00Z")])
            let new = await api.get("/api/usage/summary/default")
            #expect(new.text.contains(#""currentMonth":0.005,"previousMonth":0,"growth":null"#))
        }
    }

    @Test func `A price of the workspace, or of the event, takes the place of the default`()
        async throws
    {
        try await withAPI { _, api, _ in
            #expect(await api.get("/v1/prices").json["per_message"] as? String == "0.005")
            let event = #"{"subject":"a","meters":{"messages":2}}"#
            #expect(await api.post(event).totals == ["messages": 2, "cost_micro": 10_000])
            _ = await api.send(.put, "/v1/prices", #"{"per_message":"0.02"}"#)
            #expect(await api.post(event).totals == ["messages": 4, "cost_micro": 50_000])
            let own = await api.post(#"{"subject":"a","api_cost":"0.3","meters":{"messages":1}}"#)
            #expect(own.totals == ["messages": 5, "cost_micro": 350_000])
            let stats = await api.get("/api/usage/summary/default")
            #expect(stats.text.hasPrefix(#"{"totalCost":0.35,"totalMessages":5,"#))
        }
    }
}

@Suite(.timeLimit(.minutes(15))) struct CostPolicyTests {
    @Test func `Only registered clients whose chatbot is active cost anything`() async throws {
        try await withAPI { _, api, _ in
            let shop = ["X-Tally-Workspace": "shop"]
            let made = await api.send(
                .post, "/v1/workspaces", #"{"id":"shop","count":"registered"}"#)
            #expect(made.status == 201)
            for (client, profile) in [
                ("mario", #"{"phone":"+39123"}"#), ("anna", #"{"active":false}"#),
            ] {
                let put = await api.send(
                    .authorized(
                        .put, "/v1/subjects/\(client)",
                        headers: shop.merging(["Content-Type": "application/json"]) { $1 },
                        body: Array(profile.utf8)))
                #expect(put.status == 201)
            }
            for client in ["mario", "anna", "nobody", "mario"] {
                let answer = await api.post(
                    #"{"subject":"\#(client)","meters":{"messages":1}}"#, headers: shop)
                #expect(answer.status == 200)
            }
            let stats = await api.get("/api/usage/stats/shop")
            #expect(stats.json["totalMessages"] as? Int == 2, "\(stats.text)")
            #expect(stats.list("topClients").compactMap { $0["clientId"] as? String } == ["mario"])
        }
    }

    @Test func `What is taken back is in no sum`() async throws {
        try await withAPI { _, api, _ in
            await api.messages([("a", "2026-11-21T08:00:00Z"), ("b", "2026-11-21T09:00:00Z")])
            let undone = await api.send(
                .post, "/v1/events/m-1-2026-11-21T08:00:00Z/reverse", #"{"reason":"x"}"#)
            #expect(undone.status == 200, "\(undone.text)")
            let stats = await api.get("/api/usage/stats/default", query: "startDate=2026-11-21")
            #expect(
                stats.text.hasPrefix(#"{"totalCost":0.005,"totalMessages":1,"#), "\(stats.text)")
            #expect(stats.list("topClients").compactMap { $0["clientId"] as? String } == ["b"])
        }
    }
}

@Suite(.timeLimit(.minutes(15))) struct CostRefusalTests {
    static let cases: [(method: HTTPMethod, path: String, query: String?, Int, String)] = [
        (.get, "stats/default", "startDate=2026-02-30", 400, "invalid_parameter"),
        (.get, "stats/default", "startDate=yesterday", 400, "invalid_parameter"),
        (.get, "stats/default", "startDate=", 400, "invalid_parameter"),
        (
            .get, "stats/default", "startDate=2026-11-21&endDate=2026-11-20", 400,
            "invalid_parameter"
        ),
        (.get, "stats/default", "startDate=0001-01-01", 422, "range_too_wide"),
        (.get, "stats/default", "endDate=0001-01-01", 400, "invalid_parameter"),
        (.get, "export/default", "endDate=0001-01-29", 400, "invalid_parameter"),
        (.get, "stats/default", "from=2026-11-01", 400, "unknown_parameter"),
        (
            .get, "stats/default", "endDate=2026-11-01&endDate=2026-11-01", 400,
            "duplicate_parameter"
        ),
        (.get, "stats/default", "endDate=%ff", 400, "invalid_parameter"),
        (.get, "dashboard/default", "period=0", 400, "invalid_parameter"),
        (.get, "dashboard/default", "period=366", 400, "invalid_parameter"),
        (.get, "dashboard/default", "period=1.5", 400, "invalid_parameter"),
        (.get, "dashboard/default", "period=99999999999999999999", 400, "invalid_parameter"),
        (.get, "summary/default", "period=30", 400, "unknown_parameter"),
        (.get, "export/default", "format=xml", 400, "invalid_parameter"),
        (.get, "export/default", "startDate=1", 400, "invalid_parameter"),
        (.get, "stats/nothing", nil, 404, "workspace_not_found"),
        (.get, "dashboard/Default", nil, 404, "workspace_not_found"),
        (.get, "export/%2E%2E", nil, 404, "workspace_not_found"),
        (.get, "summary/default%20", nil, 404, "workspace_not_found"),
        (.post, "stats/default", nil, 405, "method_not_allowed"),
        (.get, "stats", nil, 404, "not_found"),
    ]

    @Test(arguments: [
        ("America/New_York", "startDate=0001-01-01T00:00:00Z&endDate=0001-01-02"),
        ("Asia/Tokyo", "startDate=9999-12-31&endDate=9999-12-31T23:00:00Z"),
    ])
    func `A day that the zone has in another year than can be told is refused`(
        zone: String, query: String
    ) async throws {
        try await withAPI { _, api, redis in
            let made = await api.send(
                .post, "/v1/workspaces", #"{"id":"acme","time_zone":"\#(zone)"}"#)
            #expect(made.status == 201, "\(made.text)")
            let answer = await api.get("/api/usage/stats/acme", query: query)
            #expect(answer.status == 400 && answer.code == "invalid_parameter", "\(answer.text)")
            let boards = try redis.request("KEYS *:boards*")
            #expect(boards == "*0\r\n")
        }
    }

    @Test func `Bad questions are refused`() async throws {
        try await withAPI { _, api, _ in
            for (method, path, query, status, code) in Self.cases {
                try await api.expectRefusal(
                    .authorized(method, "/api/usage/\(path)", query: query), status, code,
                    "\(path) \(query ?? "")")
            }
            // The ends of what may be asked.
            for query in ["startDate=9999-12-31&endDate=9999-12-31", "startDate=2016-11-15"] {
                let answer = await api.get("/api/usage/stats/default", query: query)
                #expect(answer.status == 200, "\(query): \(answer.text)")
            }
            for period in ["1", "365"] {
                let answer = await api.get(
                    "/api/usage/dashboard/default", query: "period=\(period)")
                #expect(answer.list("dailyTrend").count == Int(period))
            }
        }
    }

    @Test func `A foreign workspace is as one that does not exist, for all but the operator`()
        async throws
    {
        try await withAPI { _, api, _ in
            for id in ["one", "two"] {
                let made = await api.send(
                    .post, "/v1/workspaces", #"{"id":"\#(id)","time_zone":"Asia/Tokyo"}"#)
                #expect(made.status == 201)
            }
            await api.messages(
                [("a", "2026-11-20T16:00:00Z")], ["X-Tally-Workspace": "two"])
            for role in ["admin", "writer", "reader"] {
                let key = await api.send(
                    .post, "/v1/keys", #"{"role":"\#(role)","name":"x","workspace":"one"}"#)
                let secret = try #require(key.json["secret"] as? String)
                for name in ["stats", "dashboard", "summary", "export"] {
                    func ask(_ workspace: String) async -> Answer {
                        await api.send(
                            .authorized(
                                .get, "/api/usage/\(name)/\(workspace)",
                                headers: ["Authorization": "Bearer \(secret)"]))
                    }
                    let foreign = await ask("two")
                    #expect(foreign.status == 404)
                    for other in ["nil", "default", "%2e"] {
                        let missing = await ask(other)
                        #expect(
                            missing.text == foreign.text.replacing("/two", with: "/\(other)"))
                    }
                    #expect(await ask("one").status == 200)
                }
            }
            // In Tokyo it was the next day.
            let seen = await api.get("/api/usage/stats/two", query: "startDate=2026-11-21")
            #expect(seen.json["totalMessages"] as? Int == 1, "\(seen.text)")
            let user = await api.send(
                .post, "/v1/keys", #"{"role":"self","name":"x","subject":"a"}"#)
            let refused = await api.send(
                .authorized(
                    .get, "/api/usage/summary/default",
                    headers: [
                        "Authorization": "Bearer \(user.json["secret"] as? String ?? "")"
                    ]))
            #expect(refused.status == 403)
        }
    }
}

@Suite(.serialized, .timeLimit(.minutes(15))) struct CostExportTests {
    @Test func `An export has a row for each event, with formulas defused`() async throws {
        try await withExports { bench in
            let client = bench.client()
            func post(_ method: String, _ path: String, _ body: String) throws {
                let answer = try client.request(
                    method, path, Array(body.utf8), "application/json")
                #expect((200..<300).contains(answer.status), "\(answer.text)")
            }
            try post(
                "PUT", "/v1/subjects/mario",
                #"{"full_name":"=Mario","phone":"+39123456789"}"#)
            try post(
                "POST", "/v1/events",
                """
                [{"id":"m1","subject":"mario","time":"2026-11-20T23:30:00Z","meters":{"messages":1}},
                {"id":"m2","subject":"anna","time":"2026-11-21T09:00:00Z","meters":{"tokens":5},"api_cost":"0.25"},
                {"id":"m3","subject":"anna","time":"2026-11-21T09:01:00Z","meters":{"tokens":5}},
                {"id":"m4","subject":"luca","time":"2026-11-19T09:01:00Z","meters":{"messages":1}}]
                """)
            let csv = try client.get(
                "/api/usage/export/default?format=csv&startDate=2026-11-20&endDate=2026-11-21")
            #expect(
                csv.text == """
                    id,date,clientId,clientName,clientPhone,price\r
                    "m2",2026-11-21T09:00:00Z,"anna",,,0.25\r
                    "m1",2026-11-20T23:30:00Z,"mario","'=Mario","'+39123456789",0.005\r

                    """)
            let json = try client.get("/api/usage/export/default?format=json")
            let rows = try JSONSerialization.jsonObject(with: Data(json.body)) as? [[String: Any]]
            #expect(rows?.compactMap { $0["id"] as? String } == ["m4", "m2", "m1"])
            #expect(rows?.compactMap { $0["price"] as? Double } == [0.005, 0.25, 0.005])
            #expect(rows?.last?["clientName"] as? String == "=Mario")
        }
    }
}
