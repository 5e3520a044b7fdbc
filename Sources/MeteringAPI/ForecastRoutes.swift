// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import JSON
internal import Metering

/// What is to be expected.
extension API {
    static let forecastRoutes: [Route] = [
        Route(.get, "/v1/forecast", access: .oneself) { try await $0.forecast($1) },
        Route(.get, "/v1/credits/{subject}/forecast", access: .oneself) {
            try await $0.creditForecast($1)
        },
    ]

    func forecast(_ call: Call) async throws -> HTTPResponse {
        let parameters = try QueryParameters(call.request.query, allowed: ["meter", "subject"])
        let (meter, subject) = (try meter(parameters), try subject(parameters, for: call.principal))
        let forecast = try await back(queries.monthForecast(of: meter, subject: subject))
        var json = JSONWriter()
        json.beginObject()
        json.key("meter")
        json.string(meter.name)
        if let subject {
            json.key("subject")
            json.string(bytes: subject.id.bytes)
        }
        json.key("from")
        json.string("\(forecast.first)")
        json.key("to")
        json.string("\(forecast.last)")
        json.key("so_far")
        json.integer(forecast.soFar)
        json.key("forecast")
        if let value = forecast.value { json.integer(value) } else { json.null() }
        json.key("interval")
        if let interval = forecast.interval {
            json.beginObject()
            json.key("probability")
            json.raw("0.8".utf8)
            json.key("low")
            json.integer(interval.lowerBound)
            json.key("high")
            json.integer(interval.upperBound)
            json.endObject()
        } else {
            json.null()
        }
        json.method(forecast.method, forecast.dayCount)
        json.key("warnings")
        json.strings(forecast.warnings)
        json.endObject()
        return .json(json.bytes)
    }

    func creditForecast(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        let subject = try subject(call, at: 0)
        let account = try await engine.account(of: subject)
        let policy = try await engine.rules().credits
        let forecast = try await back(
            queries.balanceForecast(
                of: account, subject: subject, policy: policy))
        var json = JSONWriter()
        json.beginObject()
        json.key("subject")
        json.string(bytes: subject.id.bytes)
        json.key("current_balance")
        json.micros(account.balance)
        json.key("next_reset_at")
        json.time(account.nextReset)
        json.key("credits_per_day")
        if let perDay = forecast.perDay { json.micros(perDay) } else { json.null() }
        json.key("runs_out_on")
        json.day(forecast.depletion?.day)
        json.key("interval")
        if let depletion = forecast.depletion {
            json.beginObject()
            json.key("probability")
            json.raw("0.8".utf8)
            json.key("earliest")
            json.day(depletion.earliest)
            json.key("latest")
            json.day(depletion.latest)
            json.endObject()
        } else {
            json.null()
        }
        json.method(forecast.method, forecast.dayCount)
        json.key("warnings")
        json.strings(forecast.warnings)
        json.endObject()
        return .json(json.bytes)
    }
}

extension JSONWriter {
    fileprivate mutating func method(_ method: Forecast.Method?, _ dayCount: Int) {
        key("method")
        if let method { string(method.rawValue) } else { null() }
        key("days")
        integer(dayCount)
    }

    fileprivate mutating func day(_ day: CivilDay?) {
        if let day { string("\(day)") } else { null() }
    }
}
