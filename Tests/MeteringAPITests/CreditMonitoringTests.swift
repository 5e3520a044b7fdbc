// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPServer
import Metering
import TestSupport
import Testing

let creditsPath = "/api/v1/admin/credits"

extension Harness {
    func credits(_ call: String, _ query: String? = nil) async -> Answer {
        await get("\(creditsPath)/\(call)", query: query)
    }

    /// Makes a profile known.
    func introduce(_ id: String, _ email: String, _ more: String = "") async {
        let answer = await send(
            .put, "/v1/subjects/\(percentEncoded(id))", #"{"email":\#(quoted(email))\#(more)}"#)
        #expect([200, 201].contains(answer.status), "\(answer.text)")
    }

    func allow(_ id: String, _ credits: String) async {
        let answer = await send(
            .put, "/v1/credits/\(percentEncoded(id))/allowance",
            #"{"monthly_allowance":"\#(credits)"}"#)
        #expect(answer.status == 200, "\(answer.text)")
    }

    /// Records events, however old.
    func count(_ events: [String]) async {
        let answer = await post("[\(events.joined(separator: ","))]", query: "backfill=true")
        #expect(answer.statuses.allSatisfy { $0 == "counted" }, "\(answer.text.prefix(500))")
        #expect(answer.statuses.count == events.count, "\(answer.text.prefix(500))")
    }

    func price(_ book: String) async {
        #expect(await send(.put, "/v1/prices", book).status == 200)
    }
}

/// An event of surface E, as its back end sends it.
func creditEvent(
    _ subject: String, _ action: String, credits: String? = nil, cost: String? = nil,
    time: String? = nil, description: String? = nil, more: String = ""
) -> String {
    var members = [#""subject":\#(quoted(subject))"#, #""action":"\#(action)""#]
    if let credits { members.append(#""credits":"\#(credits)""#) }
    if let cost { members.append(#""api_cost":"\#(cost)""#) }
    if let time { members.append(#""time":"\#(time)""#) }
    if let description { members.append(#""description":\#(quoted(description))"#) }
    return "{\(members.joined(separator: ","))\(more)}"
}

/// The guide of the older application, step by step, with its numbers.
@Suite(.timeLimit(.minutes(15))) struct CreditMonitoringGuideTests {
    @Test func `The overview has the guide's numbers`() async throws {
        try await withAPI { _, api, _ in
            await api.price(#"{"credit_rate":"10"}"#)
            // 890 messages for 125.60 credits, 360 others for 19.72, of 45 users.
            var events = (0..<889).map { number in
                creditEvent(
                    "user\(number % 45)", "ai_chat_message", credits: "0.141", cost: "0.0141")
            }
            events.append(
                creditEvent("user0", "ai_chat_message", credits: "0.251", cost: "0.0251"))
            events += (0..<359).map { number in
                creditEvent("user\(number % 45)", "file_processing", credits: "0.05")
            }
            events.append(creditEvent("user0", "file_processing", credits: "1.77", cost: "1.97"))
            await api.count(events)
            // Of long ago, and of somebody who does not count.
            await api.count([
                creditEvent("old", "ai_chat_message", credits: "9", time: "2026-10-22T23:59:59Z")
            ])
            let overview = await api.credits("overview", "days=30")
            #expect(
                overview.text == """
                    {"period_days":30,"total_events":1250,"total_credits":145.32,\
                    "total_api_cost_dollars":14.53,"active_users":45,"by_action_type":[\
                    {"action_type":"ai_chat_message","event_count":890,"total_credits":125.6,\
                    "avg_per_event":0.1411},\
                    {"action_type":"file_processing","event_count":360,"total_credits":19.72,\
                    "avg_per_event":0.0548}]}
                    """)
            #expect(await api.credits("overview").text == overview.text)
            // A charge without a known cost is compared with nothing.
            #expect(
                await api.credits("validation", "days=30").text == """
                    {"period_days":30,"credit_rate":10,"validation":[\
                    {"action_type":"ai_chat_message","event_count":890,\
                    "total_credits_charged":125.6,"expected_credits_from_api":125.6,\
                    "difference":0},\
                    {"action_type":"file_processing","event_count":1,\
                    "total_credits_charged":1.77,"expected_credits_from_api":19.7,\
                    "difference":-17.93}]}
                    """)
            #expect(
                await api.credits("stats").text == """
                    {"total_events":1251,"total_credits_consumed":154.32,"active_users":45,\
                    "users_with_balance":46}
                    """)
        }
    }

    @Test func `A user's balance and events are those of the guide`() async throws {
        try await withAPI { _, api, _ in
            await api.introduce("17", "User@Example.com", #","full_name":"John Doe""#)
            // 2026-10-09T16:00:00Z: the month before, in which 130.55 were used.
            api.clock.set(1_791_561_600_000)
            await api.allow("17", "100")
            await api.count([creditEvent("17", "ai_chat_message", credits: "130.55")])
            api.clock.set(noon)
            await api.price(#"{"credit_rate":"10"}"#)
            await api.count([
                creditEvent("17", "file_processing", credits: "14.628"),
                creditEvent(
                    "17", "ai_chat_message", cost: "0.0142", description: "AI chat message",
                    more: #","model":"claude-3-5-sonnet","meters":{"input_tokens":1000,"#
                        + #""output_tokens":500}"#),
            ])
            let balance = """
                "current_balance":85.23,"monthly_allowance":100,\
                "current_month_consumed":14.77,"total_consumed":145.32,\
                "next_reset_at":"2026-12-09T00:00:00Z"
                """
            #expect(
                await api.credits("users", "limit=50&sort_by=consumed").text == """
                    {"users":[{"email":"User@Example.com","full_name":"John Doe","username":null,\
                    "id":"17",\(balance)}],\
                    "count":1}
                    """)
            let expected = """
                {"user":{"email":"User@Example.com","full_name":"John Doe","username":null,"id":"17",\
                "demo_mode":false},\
                "balance":{\(balance)},"recent_events":[\
                {"timestamp":"2026-11-21T10:00:00Z","action_type":"ai_chat_message",\
                "credits":0.142,"description":"AI chat message","input_tokens":1000,\
                "output_tokens":500,"model":"claude-3-5-sonnet"},\
                {"timestamp":"2026-11-21T10:00:00Z","action_type":"file_processing",\
                "credits":14.628,"description":null,"input_tokens":0,"output_tokens":0,\
                "model":null}],"by_action_type":[\
                {"action_type":"file_processing","event_count":1,"total_credits":14.628,\
                "avg_per_event":14.628},\
                {"action_type":"ai_chat_message","event_count":1,"total_credits":0.142,\
                "avg_per_event":0.142}]}
                """
            for spelling in ["user@example.com", "USER%40EXAMPLE.COM"] {
                #expect(await api.credits("user/\(spelling)", "days=30").text == expected)
            }
            #expect(
                await api.credits("top-consumers", "days=30&limit=20").text == """
                    {"top_consumers":[{"email":"User@Example.com","full_name":"John Doe","username":null,\
                    "id":"17",\
                    "events":2,"total_credits":14.77}]}
                    """)
        }
    }

    @Test func `The trend has every day, also those without events`() async throws {
        try await withAPI { _, api, _ in
            await api.count(
                (0..<45).map { number in
                    creditEvent(
                        "user\(number % 12)", "ai_chat_message",
                        credits: number == 0 ? "0.07" : "0.14", time: "2026-11-19T15:30:00Z")
                })
            #expect(
                await api.credits("daily-trend", "days=4").text == """
                    {"daily_trend":[\
                    {"date":"2026-11-18","events":0,"total_credits":0,"unique_users":0},\
                    {"date":"2026-11-19","events":45,"total_credits":6.23,"unique_users":12},\
                    {"date":"2026-11-20","events":0,"total_credits":0,"unique_users":0},\
                    {"date":"2026-11-21","events":0,"total_credits":0,"unique_users":0}]}
                    """)
            let year = await api.credits("daily-trend", "days=365").list("daily_trend")
            #expect(year.count == 365)
            #expect(year.first?["date"] as? String == "2025-11-22")
            #expect(year.reduce(0) { $0 + ($1["events"] as? Int ?? 0) } == 45)
        }
    }

    @Test func `The guide's monitoring queries are calls`() async throws {
        try await withAPI { _, api, _ in
            await api.introduce("a", "a@example.com")
            await api.introduce("b", "b+tag@example.com")
            await api.introduce("c", "c@example.com")
            await api.introduce("d", "demo@example.com", #","demo":true"#)
            #expect(
                await api.credits("health").text
                    == #"{"events_last_hour":0,"users_last_hour":0,"last_event":null}"#)
            await api.count([
                creditEvent("a", "chat", credits: "0.5", time: "2026-11-21T08:30:00Z"),
                creditEvent("a", "chat", credits: "1.5", time: "2026-11-21T09:30:00Z"),
                creditEvent("b+tag@example.com", "chat", credits: "3"),
                creditEvent("b", "chat", credits: "2.5"),
            ])
            #expect(
                await api.credits("health").text == """
                    {"events_last_hour":3,"users_last_hour":3,\
                    "last_event":"2026-11-21T10:00:00Z"}
                    """)
            let unusual = await api.credits("events", "min_credits=1&sort=credits&limit=2")
            #expect(unusual.list("events").compactMap { $0["credits"] as? Double } == [3, 2.5])
            // No profile: its id is its e-mail, since it looks like one.
            #expect(
                unusual.list("events").compactMap { $0["email"] as? String }
                    == ["b+tag@example.com", "b+tag@example.com"])
            // Whose they are all the same.
            #expect(
                unusual.list("events").compactMap { $0["subject"] as? String }
                    == ["b+tag@example.com", "b"])
            let next = try #require(unusual.json["next"] as? String)
            let rest = await api.credits(
                "events", "min_credits=1&sort=credits&limit=2&cursor=\(next)")
            #expect(rest.list("events").compactMap { $0["credits"] as? Double } == [1.5])
            #expect(
                await api.credits("events", "limit=50").list("events").compactMap {
                    $0["credits"] as? Double
                } == [2.5, 3, 1.5, 0.5])
            #expect(
                await api.credits("coverage").text == """
                    {"total_users":4,"users_with_balance":3,\
                    "users_without_balance":["c@example.com"],"demo_events":0}
                    """)
            // The profile that has the e-mail, and not the id that is one.
            let user = await api.credits("user/b+tag%40example.com")
            #expect(user.at("balance", "total_consumed") as? Double == 2.5)
            #expect(await api.credits("user/b%2Btag@example.com").text == user.text)
            #expect(await api.credits("user/b%20tag@example.com").status == 404)
        }
    }

    @Test func `The id of a guest is no e-mail`() async throws {
        try await withAPI { _, api, _ in
            await api.count([creditEvent("guest:joe@example.com", "chat", credits: "1")])
            let users = await api.credits("users").list("users")
            #expect(users.compactMap { $0["id"] as? String } == ["guest:joe@example.com"])
            #expect(users.allSatisfy { $0["email"] is NSNull })
            for email in ["guest:joe@example.com", "joe@example.com"] {
                #expect(await api.credits("user/\(percentEncoded(email))").status == 404)
            }
            await api.introduce("guest:joe@example.com", "joe@example.com")
            let told = await api.credits("user/joe%40example.com")
            #expect(told.at("user", "email") as? String == "joe@example.com", "\(told.text)")
        }
    }

    @Test func `The export has all balances, most consumed first`() async throws {
        try await withExports { bench in
            let client = bench.client()
            func post(_ path: String, _ body: String, _ method: String = "POST") throws {
                let answer = try client.request(
                    method, path, Array(body.utf8), "application/json")
                #expect((200...201).contains(answer.status), "\(answer.text)")
            }
            try post("/v1/subjects/1", #"{"email":"=1+1@example.com"}"#, "PUT")
            try post("/v1/credits/1/allowance", #"{"monthly_allowance":"100"}"#, "PUT")
            try post(
                "/v1/events",
                "[" + creditEvent("1", "chat", credits: "14.77") + ","
                    + creditEvent("2@example.com", "chat", credits: "20") + ","
                    + creditEvent("3", "chat", credits: "0.000001") + "]")
            let answer = try client.get("\(creditsPath)/export.csv")
            #expect(answer.status == 200)
            #expect(
                String(decoding: answer.body, as: UTF8.self).replacing("\r\n", with: "\n") == """
                    email,current_balance,current_month_consumed,total_consumed,next_reset_at
                    "2@example.com",-20,20,20,2026-12-21T00:00:00Z
                    "'=1+1@example.com",85.23,14.77,14.77,2026-12-21T00:00:00Z
                    ,-0.000001,0.000001,0.000001,2026-12-21T00:00:00Z

                    """)
        }
    }

    @Test func `Who has no account yet has what the policy gives with it`() async throws {
        try await withAPI { _, api, _ in
            let policy = await api.send(
                .put, "/v1/credit-policy", #"{"default_allowance":"100"}"#)
            #expect(policy.status == 200, "\(policy.text)")
            await api.introduce("new", "new@example.com")
            let credits = await api.get("/v1/credits/new")
            let user = await api.credits("user/new@example.com")
            #expect(user.at("balance", "current_balance") as? Int == 100, "\(user.text)")
            #expect(user.at("balance", "monthly_allowance") as? Int == 100)
            let reset = try #require(credits.json["next_reset_at"] as? String)
            #expect(user.at("balance", "next_reset_at") as? String == reset)
            // Nobody has got it by being looked at.
            #expect(await api.credits("users").json["count"] as? Int == 0)
        }
    }

    @Test func `Of the users of the last hour a guest who has become one of them is one`()
        async throws
    {
        try await withAPI { _, api, _ in
            await api.count(
                ["guest:v", "guest:w", "guest:stays", "ann"].map {
                    creditEvent($0, "chat", credits: "1")
                })
            func users() async -> Int? {
                await api.credits("health").json["users_last_hour"] as? Int
            }
            #expect(await users() == 4)
            for (guest, user) in [("guest:v", "ann"), ("guest:w", "bob")] {
                let merged = await api.send(
                    .post, "/v1/subjects/\(user)/merge", #"{"guest":"\#(guest)"}"#)
                #expect(merged.status == 200, "\(merged.text)")
            }
            #expect(await users() == 3)
        }
    }
}
