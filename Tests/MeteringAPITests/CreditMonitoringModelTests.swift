// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPServer
import Metering
import TestSupport
import Testing

/// Random events and profiles, and what a plain list of them says to each question.
private struct CreditModel {
    struct Event {
        let subject: String
        let action: String
        let time: Int
        /// Millionths.
        let credits: Int
        /// Nil when no cost is known.
        let cost: Int?
        var isReversed = false

        var body: String {
            creditEvent(
                subject, action, credits: MicroDecimal.text(credits),
                cost: cost.map { MicroDecimal.text($0) },
                time: Timestamp(milliseconds: time).text)
        }
    }

    var events: [Event] = []
    var emails: [String: String] = [:]
    var demo: Set<String> = []

    /// What counts of the last days: events, and those of subjects who had one, undone ones too.
    func shown(_ days: Int) -> (counted: [Event], all: [Event]) {
        let first = noon / 86_400_000 - days + 1
        let all = events.filter { !demo.contains($0.subject) && $0.time / 86_400_000 >= first }
        return (all.filter { !$0.isReversed }, all)
    }

    func email(_ subject: String) -> String? {
        emails[subject] ?? (subject.contains("@") ? subject : nil)
    }
}

/// A decimal of an answer in millionths.
private func micros(_ value: Any?) -> Int? {
    (value as? Double).map { Int(($0 * 1_000_000).rounded()) }
}

@Suite(.timeLimit(.minutes(15))) struct CreditMonitoringModelTests {
    private static let actions = ["chat", "file", "image"]

    private static func fill(
        _ model: inout CreditModel, _ api: Harness, _ random: inout SeededGenerator
    ) async throws {
        for number in 0..<14 {
            let subject = number % 3 == 0 ? "u\(number)@example.com" : "u\(number)"
            if number % 2 == 0 {
                model.emails[subject] = "P\(number)@Example.com"
                await api.introduce(subject, "P\(number)@Example.com")
            }
            if number % 4 == 0 { await api.allow(subject, "\(number * 3)") }
        }
        for _ in 0..<300 {
            let number = Int.random(in: 0..<14, using: &random)
            let credits = Int.random(in: 0...3_000_000, using: &random)
            let age = Int.random(in: 0..<45 * 86_400, using: &random)
            let isRecent = Int.random(in: 0..<4, using: &random) == 0
            model.events.append(
                CreditModel.Event(
                    subject: number % 3 == 0 ? "u\(number)@example.com" : "u\(number)",
                    action: Self.actions[Int.random(in: 0..<3, using: &random)],
                    time: noon - (isRecent ? age % 7200 : age) * 1000, credits: credits,
                    cost: Bool.random(using: &random) ? credits / 9 : nil))
        }
        let answer = await api.post(
            "[\(model.events.map(\.body).joined(separator: ","))]", query: "backfill=true")
        let ids = answer.results.compactMap { $0["id"] as? String }
        try #require(ids.count == model.events.count)
        for index in model.events.indices where Int.random(in: 0..<12, using: &random) == 0 {
            let reversal = await api.send(
                .authorized(.post, "/v1/events/\(percentEncoded(ids[index]))/reverse"))
            #expect(reversal.status == 200, "\(reversal.text)")
            model.events[index].isReversed = true
        }
    }

    /// Compares all sums with the model's.
    private static func compare(
        _ model: CreditModel, _ api: Harness, _ name: Comment
    ) async throws {
        for days in [1, 2, 7, 30, 44, 365] {
            let (counted, all) = model.shown(days)
            let overview = await api.credits("overview", "days=\(days)")
            #expect(overview.json["total_events"] as? Int == counted.count, name)
            #expect(
                micros(overview.json["total_credits"]) == counted.reduce(0) { $0 + $1.credits },
                name)
            #expect(
                micros(overview.json["total_api_cost_dollars"])
                    == counted.reduce(0) { $0 + ($1.cost ?? 0) }, name)
            #expect(
                overview.json["active_users"] as? Int == Set(all.map(\.subject)).count, name)
            for action in Self.actions {
                let its = counted.filter { $0.action == action }
                let row = overview.list("by_action_type").first {
                    $0["action_type"] as? String == action
                }
                #expect(row?["event_count"] as? Int ?? 0 == its.count, name)
                #expect(
                    micros(row?["total_credits"]) ?? 0 == its.reduce(0) { $0 + $1.credits }, name)
            }
            try await compareTrend(model, days, api, name)
            try await compareConsumers(model, days, api, name)
        }
        for days in [1, 30] { await compareCharges(model, days, api, name) }
    }

    private static func compareTrend(
        _ model: CreditModel, _ days: Int, _ api: Harness, _ name: Comment
    ) async throws {
        let trend = await api.credits("daily-trend", "days=\(days)").list("daily_trend")
        try #require(trend.count == days)
        let today = noon / 86_400_000
        let (counted, all) = model.shown(days)
        for (index, row) in trend.enumerated() {
            let day = today - days + 1 + index
            let its = counted.filter { $0.time / 86_400_000 == day }
            #expect(row["date"] as? String == "\(CivilDay(number: day))", name)
            #expect(row["events"] as? Int == its.count, name)
            #expect(micros(row["total_credits"]) == its.reduce(0) { $0 + $1.credits }, name)
            let users = Set(all.filter { $0.time / 86_400_000 == day }.map(\.subject))
            #expect(row["unique_users"] as? Int == users.count, name)
        }
    }

    private static func compareConsumers(
        _ model: CreditModel, _ days: Int, _ api: Harness, _ name: Comment
    ) async throws {
        var sums: [String: (credits: Int, events: Int)] = [:]
        for event in model.shown(days).counted {
            sums[event.subject, default: (0, 0)].credits += event.credits
            sums[event.subject, default: (0, 0)].events += 1
        }
        let expected = sums.filter { $0.value.credits > 0 }.sorted {
            ($1.value.credits, $0.key) < ($0.value.credits, $1.key)
        }.prefix(5)
        let answer = await api.credits("top-consumers", "days=\(days)&limit=5")
        let told = answer.list("top_consumers")
        try #require(told.count == expected.count, "\(name): \(answer.text)")
        for (row, (subject, sums)) in zip(told, expected) {
            #expect(row["email"] as? String == model.email(subject), name)
            #expect(micros(row["total_credits"]) == sums.credits, name)
            #expect(row["events"] as? Int == sums.events, name)
        }
    }

    private static func compareCharges(
        _ model: CreditModel, _ days: Int, _ api: Harness, _ name: Comment
    ) async {
        let answer = await api.credits("validation", "days=\(days)")
        for action in Self.actions {
            let its = model.shown(days).counted.filter {
                $0.action == action && $0.cost ?? 0 > 0
            }
            let row = answer.list("validation").first { $0["action_type"] as? String == action }
            let charged = its.reduce(0) { $0 + $1.credits }
            let expected = its.reduce(0) { $0 + 10 * ($1.cost ?? 0) }
            #expect(row?["event_count"] as? Int ?? 0 == its.count, name)
            #expect(micros(row?["total_credits_charged"]) ?? 0 == charged, name)
            #expect(micros(row?["expected_credits_from_api"]) ?? 0 == expected, name)
            #expect(micros(row?["difference"]) ?? 0 == charged - expected, name)
        }
    }

    private static func compareUsers(_ model: CreditModel, _ api: Harness) async throws {
        let all = await api.credits("users", "limit=1000&sort_by=email").list("users")
        func key(_ row: [String: Any], _ name: String) -> Int { micros(row[name]) ?? .min }
        for (order, name) in [
            ("consumed", "current_month_consumed"), ("total", "total_consumed"),
            ("balance", "current_balance"),
        ] {
            let answer = await api.credits("users", "limit=4&sort_by=\(order)")
            let values = answer.list("users").map { key($0, name) }
            #expect(values == Array(all.map { key($0, name) }.sorted(by: >).prefix(4)), "\(order)")
            #expect(answer.json["count"] as? Int == 4)
        }
        let emails = all.map { ($0["email"] as? String)?.lowercased() }
        #expect(emails.compactMap { $0 } == emails.compactMap { $0 }.sorted())
        #expect(emails.drop { $0 != nil }.allSatisfy { $0 == nil })
        let subjects = Set(model.events.filter { $0.credits > 0 }.map(\.subject)).union(
            (0..<14).filter { $0 % 4 == 0 }.map {
                $0 % 3 == 0 ? "u\($0)@example.com" : "u\($0)"
            })
        let shown = subjects.subtracting(model.demo)
        #expect(
            emails.compactMap { $0 }.sorted()
                == shown.compactMap { model.email($0)?.lowercased() }.sorted())
        #expect(emails.count == shown.count)
        #expect(
            await api.credits("coverage").json["users_with_balance"] as? Int == shown.count)
        for subject in shown {
            guard let email = model.email(subject) else { continue }
            let events = model.shown(365).counted.filter { $0.subject == subject }
            let answer = await api.credits("user/\(percentEncoded(email.uppercased()))")
            if model.emails[subject] == nil, email != email.uppercased() {
                // An id is found as it is and in lower case.
                #expect(answer.status == 200, "\(email)")
            }
            #expect(
                key(answer.json["balance"] as? [String: Any] ?? [:], "total_consumed")
                    == events.reduce(0) { $0 + $1.credits }, "\(email)")
        }
    }

    @Test(arguments: [1, 2] as [UInt64])
    func `All answers are those of a plain list of events`(seed: UInt64) async throws {
        try await withAPI { _, api, _ in
            var random = SeededGenerator(seed)
            var model = CreditModel()
            await api.price(#"{"credit_rate":"10"}"#)
            try await Self.fill(&model, api, &random)
            try await Self.compare(model, api, "all")
            try await Self.compareUsers(model, api)
            // What was counted before somebody is in demo mode is told nowhere from then on.
            for subject in ["u4", "u7", "u9@example.com"] {
                let email = model.emails[subject] ?? "was-\(subject.prefix(2))@example.org"
                await api.introduce(subject, email, #","demo":true"#)
                model.demo.insert(subject)
                #expect(await api.credits("user/\(percentEncoded(email))").status == 404)
            }
            try await Self.compare(model, api, "with three in demo mode")
            try await Self.compareUsers(model, api)
            let stats = await api.credits("stats")
            let counted = model.shown(365).counted
            #expect(stats.json["total_events"] as? Int == counted.count)
            #expect(
                micros(stats.json["total_credits_consumed"])
                    == counted.reduce(0) { $0 + $1.credits })
            let recent = model.events.filter {
                $0.time > noon - 60 * 60_000 && !model.demo.contains($0.subject)
            }
            let health = await api.credits("health")
            #expect(
                health.json["events_last_hour"] as? Int == recent.count { !$0.isReversed })
            #expect(
                health.json["users_last_hour"] as? Int == Set(recent.map(\.subject)).count)
            let events = await api.credits("events", "limit=1000").list("events")
            let reversals = model.events.count {
                $0.isReversed && !model.demo.contains($0.subject)
            }
            #expect(events.count == model.shown(365).all.count + reversals)
            let demo = model.events.count {
                !$0.isReversed && model.demo.contains($0.subject)
            }
            #expect(await api.credits("coverage").json["demo_events"] as? Int == demo)
        }
    }
}

@Suite(.timeLimit(.minutes(15))) struct CreditMonitoringRefusalTests {
    @Test(arguments: [
        ("overview", "days=0", 422), ("overview", "days=366", 422), ("overview", "days=", 422),
        ("overview", "days=1.5", 422), ("overview", "days=-1", 422),
        ("overview", "days=99999999999999999999", 422), ("overview", "days=1&days=2", 400),
        ("overview", "limit=5", 400), ("daily-trend", "days=366", 422),
        ("users", "limit=0", 422), ("users", "limit=1001", 422), ("users", "limit=x", 422),
        ("users", "sort_by=name", 422), ("users", "sort_by=", 422), ("users", "days=3", 400),
        ("top-consumers", "limit=1001", 422), ("top-consumers", "days=0", 422),
        ("user/a@example.com", "days=400", 422), ("user/a@example.com", "", 404),
        ("user/%20", "", 404), ("events", "min_credits=-1", 422),
        ("events", "min_credits=0.0000001", 422), ("events", "min_credits=", 422),
        ("events", "sort=oldest", 422), ("events", "limit=0", 422), ("events", "cursor=1", 400),
        ("events", "days=0", 422), ("health", "days=1", 400), ("validation", "days=0", 422),
        ("coverage", "limit=1001", 422), ("stats", "x=1", 400), ("export.csv", "format=csv", 400),
    ])
    func `What cannot be answered is refused`(
        call: String, query: String, status: Int
    ) async throws {
        try await withAPI { _, api, _ in
            let answer = await api.credits(call, query)
            #expect(answer.status == status, "\(answer.text)")
            expectProblem(answer, at: "\(creditsPath)/\(call)", call)
        }
    }

    @Test func `Only administrators see any of it`() async throws {
        try await withAPI { _, api, _ in
            for role in ["writer", "reader", "admin"] {
                let made = await api.send(
                    .post, "/v1/keys", #"{"role":"\#(role)","name":"x"}"#)
                let secret = try #require(made.json["secret"] as? String)
                for call in [
                    "overview", "users", "user/a@example.com", "top-consumers", "daily-trend",
                    "events", "health", "validation", "coverage", "stats", "export.csv",
                ] {
                    let answer = await api.send(
                        .authorized(
                            .get, "\(creditsPath)/\(call)",
                            headers: ["Authorization": "Bearer \(secret)"]))
                    #expect((answer.status == 403) == (role != "admin"), "\(role) \(call)")
                    #expect(answer.status != 401)
                }
            }
        }
    }
}
