// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import JSON
internal import Metering

/// How credits are taken: the paths, names and meanings of the monitoring guide of an older
/// application, over the same numbers as everything else.
extension API {
    private static let prefix = "/api/v1/admin/credits"

    static let creditMonitoringRoutes: [Route] = [
        Route(.get, "\(prefix)/overview", access: .admin, isLong: true) {
            try await $0.creditOverview($1)
        },
        Route(.get, "\(prefix)/users", access: .admin, isLong: true) {
            try await $0.creditUsers($1)
        },
        Route(.get, "\(prefix)/user/{email}", access: .admin) { try await $0.creditUser($1) },
        Route(.get, "\(prefix)/top-consumers", access: .admin, isLong: true) {
            try await $0.creditConsumers($1)
        },
        Route(.get, "\(prefix)/daily-trend", access: .admin, isLong: true) {
            try await $0.creditTrend($1)
        },
        Route(.get, "\(prefix)/events", access: .admin) { try await $0.creditEvents($1) },
        Route(.get, "\(prefix)/health", access: .admin) { try await $0.creditActivity($1) },
        Route(.get, "\(prefix)/validation", access: .admin, isLong: true) {
            try await $0.creditCharges($1)
        },
        Route(.get, "\(prefix)/coverage", access: .admin, isLong: true) {
            try await $0.creditCoverage($1)
        },
        Route(.get, "\(prefix)/stats", access: .admin, isLong: true) {
            try await $0.creditStats($1)
        },
        Route(.get, "\(prefix)/export.csv", access: .admin) { try await $0.exportCredits($1) },
    ]

    private func creditOverview(_ call: Call) async throws -> HTTPResponse {
        let query = try QueryParameters(call.request.query, allowed: ["days"])
        let days = try query.creditDays()
        let overview = try await back(queries.creditOverview(days: days))
        var json = JSONWriter()
        json.beginObject()
        json.key("period_days")
        json.integer(days)
        json.key("total_events")
        json.integer(overview.eventCount)
        json.key("total_credits")
        json.micros(overview.credits)
        json.key("total_api_cost_dollars")
        json.micros(overview.cost)
        json.key("active_users")
        json.integer(overview.activeCount)
        json.creditActions(overview.actions)
        json.warnings(overview.warnings)
        json.endObject()
        return .json(json.bytes)
    }

    private func creditUsers(_ call: Call) async throws -> HTTPResponse {
        let query = try QueryParameters(call.request.query, allowed: ["limit", "sort_by"])
        let limit = try query.creditLimit(default: 50)
        let order = try query.creditWord("sort_by", CreditUserOrder.self) ?? .consumed
        let users = try await back(queries.creditUsers(by: order, limit: limit))
        var json = JSONWriter(capacity: 64 + 256 * users.count)
        json.beginObject()
        json.key("users")
        json.beginArray()
        for user in users {
            json.beginObject()
            json.creditPerson(user.person)
            json.creditBalance(user.account)
            json.endObject()
        }
        json.endArray()
        json.key("count")
        json.integer(users.count)
        json.endObject()
        return .json(json.bytes)
    }

    private func creditUser(_ call: Call) async throws -> HTTPResponse {
        let query = try QueryParameters(call.request.query, allowed: ["days"])
        let days = try query.creditDays()
        let found = try await back(queries.creditUser(email: call.parameters[0], days: days))
        guard let found else {
            throw HTTPProblem(
                .notFound, code: "user_not_found",
                detail: "nobody has this e-mail, or who has it is in demo mode")
        }
        var account = found.user.account
        if account == nil, let subject = SubjectID(found.user.person.subject.text) {
            // What it would begin with, as `GET /v1/credits/{subject}` tells.
            account = AccountSummary(try await engine.account(of: subject), of: subject)
        }
        var json = JSONWriter(capacity: 8192)
        json.beginObject()
        json.key("user")
        json.beginObject()
        json.creditPerson(found.user.person)
        json.key("demo_mode")
        // Nothing is told of who is.
        json.boolean(false)
        json.endObject()
        json.key("balance")
        json.beginObject()
        json.creditBalance(account)
        json.endObject()
        json.key("recent_events")
        json.beginArray()
        for event in found.recent {
            json.beginObject()
            json.creditMembers(of: event)
            json.endObject()
        }
        json.endArray()
        json.creditActions(found.actions)
        json.warnings(found.warnings)
        json.endObject()
        return .json(json.bytes)
    }

    private func creditConsumers(_ call: Call) async throws -> HTTPResponse {
        let query = try QueryParameters(call.request.query, allowed: ["days", "limit"])
        let days = try query.creditDays()
        let limit = try query.creditLimit(default: 20)
        guard engine.reader.isRanked(.creditsMicro) else {
            throw HTTPProblem.unprocessable(
                "not_ranked", "this workspace keeps no leaderboard of credits_micro")
        }
        let (consumers, warnings) = try await back(
            queries.creditConsumers(days: days, limit: limit))
        var json = JSONWriter(capacity: 64 + 160 * consumers.count)
        json.beginObject()
        json.key("top_consumers")
        json.beginArray()
        for consumer in consumers {
            json.beginObject()
            json.creditPerson(consumer.person)
            json.key("events")
            json.integer(consumer.eventCount)
            json.key("total_credits")
            json.micros(consumer.credits)
            json.endObject()
        }
        json.endArray()
        json.warnings(warnings)
        json.endObject()
        return .json(json.bytes)
    }

    private func creditTrend(_ call: Call) async throws -> HTTPResponse {
        let query = try QueryParameters(call.request.query, allowed: ["days"])
        let (days, warnings) = try await back(queries.creditTrend(days: try query.creditDays()))
        var json = JSONWriter(capacity: 64 + 96 * days.count)
        json.beginObject()
        json.key("daily_trend")
        json.beginArray()
        for day in days {
            json.beginObject()
            json.key("date")
            json.string("\(day.day)")
            json.key("events")
            json.integer(day.eventCount)
            json.key("total_credits")
            json.micros(day.credits)
            json.key("unique_users")
            if let subjects = day.subjects { json.integer(subjects.count) } else { json.null() }
            if day.subjects?.isEstimated == true {
                json.key("unique_users_estimated")
                json.boolean(true)
            }
            json.endObject()
        }
        json.endArray()
        json.warnings(warnings)
        json.endObject()
        return .json(json.bytes)
    }

    private func creditEvents(_ call: Call) async throws -> HTTPResponse {
        let query = try QueryParameters(
            call.request.query, allowed: ["limit", "min_credits", "sort", "days", "cursor"])
        let limit = try query.creditLimit(default: 50)
        var asked = EventQuery()
        asked.order = try query.creditWord("sort", EventQuery.Order.self) ?? .newest
        if let text = query.text("min_credits") {
            asked.minCredits = try MicroDecimal.micros(text, "min_credits")
        }
        if query.text("days") != nil {
            asked.from = await back(queries.creditWindowStart(days: try query.creditDays()))
        }
        let (page, people) = try await back(
            queries.creditEvents(
                asked, limit: limit, after: query.text("cursor")))
        var json = JSONWriter(capacity: 64 + 320 * people.count)
        json.beginObject()
        json.key("events")
        json.beginArray()
        for (event, person) in zip(page.events, people) {
            json.beginObject()
            json.key("id")
            json.string(bytes: event.recorded.id.bytes)
            json.key("email")
            json.text(person.email)
            json.creditMembers(of: event)
            // `id` is that of the event.
            json.key("subject")
            json.string(bytes: person.subject.bytes)
            json.key("full_name")
            json.text(person.fullName)
            json.key("username")
            json.text(person.username)
            json.endObject()
        }
        json.endArray()
        json.key("next")
        if let next = page.next { json.string(next) } else { json.null() }
        json.endObject()
        return .json(json.bytes)
    }

    private func creditActivity(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        let activity = try await back(queries.creditActivity())
        var json = JSONWriter()
        json.beginObject()
        json.key("events_last_hour")
        json.integer(activity.eventCount)
        json.key("users_last_hour")
        json.integer(activity.subjectCount)
        json.key("last_event")
        json.time(activity.last)
        json.endObject()
        return .json(json.bytes)
    }

    private func creditCharges(_ call: Call) async throws -> HTTPResponse {
        let query = try QueryParameters(call.request.query, allowed: ["days"])
        let days = try query.creditDays()
        let told: (charges: [ActionCharge], rate: Int, warnings: [String])
        do {
            told = try await back(queries.creditCharges(days: days))
        } catch MeteringError.building(let what) {
            throw HTTPProblem(
                .serviceUnavailable, code: "validation_building", title: "Service Unavailable",
                detail: "\(what) is being made; ask again, it goes on where it was")
        }
        var json = JSONWriter()
        json.beginObject()
        json.key("period_days")
        json.integer(days)
        json.key("credit_rate")
        json.micros(told.rate)
        json.key("validation")
        json.beginArray()
        for charge in told.charges {
            json.beginObject()
            json.key("action_type")
            json.string(bytes: charge.action.bytes)
            json.key("event_count")
            json.integer(charge.eventCount)
            json.key("total_credits_charged")
            json.micros(charge.charged)
            json.key("expected_credits_from_api")
            json.micros(charge.expected)
            json.key("difference")
            json.micros(charge.difference)
            json.endObject()
        }
        json.endArray()
        json.warnings(told.warnings)
        json.endObject()
        return .json(json.bytes)
    }

    private func creditCoverage(_ call: Call) async throws -> HTTPResponse {
        let query = try QueryParameters(call.request.query, allowed: ["limit"])
        let coverage = try await back(
            queries.creditCoverage(limit: try query.creditLimit(default: 1000)))
        var json = JSONWriter()
        json.beginObject()
        json.key("total_users")
        json.integer(coverage.userCount)
        json.key("users_with_balance")
        json.integer(coverage.withBalanceCount)
        json.key("users_without_balance")
        json.beginArray()
        for name in coverage.without { json.string(bytes: name.bytes) }
        json.endArray()
        json.key("demo_events")
        json.integer(coverage.demoEventCount)
        json.endObject()
        return .json(json.bytes)
    }

    private func creditStats(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        let stats = try await back(queries.creditStats())
        var json = JSONWriter()
        json.beginObject()
        json.key("total_events")
        json.integer(stats.eventCount)
        json.key("total_credits_consumed")
        json.micros(stats.credits)
        json.key("active_users")
        json.integer(stats.activeCount)
        json.key("users_with_balance")
        json.integer(stats.withBalanceCount)
        json.endObject()
        return .json(json.bytes)
    }

    private func exportCredits(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        let writer = ExportWriter(
            .csv,
            columns: [
                "email", "current_balance", "current_month_consumed", "total_consumed",
                "next_reset_at",
            ])
        // All of them are held until they are sent.
        let slot = try slot(of: environment.exports, for: call)
        let accounts = try await back(queries.creditBalances())
        return try await export("credits", call, writer, in: slot) { [queries] writer, cursor in
            let start = cursor.flatMap { Int($0) } ?? 0
            let end = min(start + 1000, accounts.count)
            guard start < end else { return (writer, nil) }
            var writer = writer
            for user in try await back(queries.creditUsers(of: Array(accounts[start..<end]))) {
                guard let account = user.account else { continue }
                writer.row([
                    user.person.email.map { .text($0) } ?? .none, .micros(account.balance),
                    .micros(account.monthConsumed), .micros(account.totalConsumed),
                    account.nextReset.map { .time($0) } ?? .none,
                ])
            }
            return (writer, "\(end)")
        }
    }
}
