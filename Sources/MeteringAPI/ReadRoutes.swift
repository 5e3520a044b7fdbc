// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import Identity
internal import JSON
internal import Metering

extension API {
    static let readRoutes: [Route] = [
        Route(.get, "/v1/subjects/{id}", access: .anyone) { try await $0.subject($1) },
        Route(.get, "/v1/usage/hourly", access: .reader) { try await $0.hourlyUsage($1) },
    ]

    func subject(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        guard let id = SubjectID(call.parameters[0]) else {
            throw HTTPProblem.invalidSubject
        }
        let usage = try await engine.reader.subject(id)
        // A guest's id is no secret: whoever has it sees sums, and nothing of the person.
        let isGuest = call.principal.role == .guest
        let profile = isGuest ? nil : try await engine.reader.profile(of: id)
        guard usage != nil || profile != nil else {
            throw HTTPProblem.notFound("nothing was counted for this subject")
        }
        var json = JSONWriter()
        json.beginObject()
        json.key("subject")
        json.string(bytes: id.id.bytes)
        json.key("events")
        json.integer(usage?.eventCount ?? 0)
        json.key("totals")
        json.meters(usage?.totals ?? [])
        json.key("first_event_at")
        json.time(usage?.firstEventAt)
        json.key("last_event_at")
        json.time(usage?.lastEventAt)
        if !isGuest {
            json.key("profile")
            if let profile { json.profile(profile) } else { json.null() }
            json.key("recent")
            json.beginArray()
            for event in usage?.recent ?? [] {
                json.beginObject()
                json.members(of: event)
                json.endObject()
            }
            json.endArray()
        }
        json.endObject()
        return .json(json.bytes)
    }

    func hourlyUsage(_ call: Call) async throws -> HTTPResponse {
        let query = try QueryParameters(call.request.query, allowed: ["date"])
        let reader = engine.reader
        let day: CivilDay
        if let text = query.text("date") {
            guard let date = CivilDay(text) else {
                throw HTTPProblem.unprocessable("invalid_date", "date is a day such as 2026-11-21")
            }
            day = date
        } else {
            day = reader.today
        }
        let reading = try await back(queries.hourlyUsage(day))
        var json = JSONWriter()
        json.beginObject()
        json.key("date")
        json.string("\(day)")
        json.key("zone")
        json.string(reader.calendar.zone)
        json.key("hours")
        json.beginArray()
        let cells = Dictionary(grouping: reading.cells) { reader.calendar.start(ofHour: $0.hour) }
        for hour in reader.calendar.hours(of: day) { try json.hour(hour, cells[hour] ?? []) }
        json.endArray()
        json.warnings(reading.warnings)
        json.endObject()
        return .json(json.bytes)
    }
}

extension JSONWriter {
    /// The member that names what an answer lacks; none when it is whole.
    mutating func warnings(_ warnings: [String]) {
        guard !warnings.isEmpty else { return }
        key("warnings")
        beginArray()
        for warning in warnings { string(warning) }
        endArray()
    }

    fileprivate mutating func hour(_ start: Int, _ cells: [HourlyUsage]) throws {
        var totals: [Meter: Int] = [:]
        for cell in cells {
            for (meter, total) in cell.sums {
                // Each cell is bounded; their sum, over any number of actions and models, is not.
                let (sum, overflows) = totals[meter, default: 0].addingReportingOverflow(total)
                guard !overflows, sum <= 9_007_199_254_740_991 else {
                    throw HTTPProblem.unprocessable(
                        "counter_overflow", "the sum of an hour of this day passes 9007199254740991"
                    )
                }
                totals[meter] = sum
            }
        }
        beginObject()
        key("start")
        string(Timestamp(milliseconds: start * 1000).text)
        key("events")
        integer(cells.reduce(0) { $0 + $1.eventCount })
        key("meters")
        meters(totals.map { ($0.key, $0.value) }.sorted { $0.0.name < $1.0.name })
        key("groups")
        beginArray()
        for cell in cells {
            beginObject()
            key("action")
            string(bytes: cell.action.bytes)
            key("model")
            if cell.model.bytes.isEmpty { null() } else { string(bytes: cell.model.bytes) }
            key("events")
            integer(cell.eventCount)
            key("meters")
            meters(cell.sums.sorted { $0.meter.name < $1.meter.name })
            endObject()
        }
        endArray()
        endObject()
    }

    /// An object of meters and their values.
    mutating func meters(_ values: [(meter: Meter, total: Int)]) {
        beginObject()
        for (meter, value) in values {
            key(bytes: meter.name.utf8)
            integer(value)
        }
        endObject()
    }

    /// The members of an event as it was counted.
    mutating func members(of event: RecordedEvent) {
        key("id")
        string(bytes: event.id.bytes)
        key("time")
        string(event.time.text)
        key("subject")
        string(bytes: event.subject.bytes)
        key("action")
        string(bytes: event.action.bytes)
        key("model")
        if event.model.bytes.isEmpty { null() } else { string(bytes: event.model.bytes) }
        key("meters")
        meters(event.amounts.map { ($0.0, $0.1) })
        key("description")
        if event.description.bytes.isEmpty {
            null()
        } else {
            string(bytes: event.description.bytes)
        }
    }
}
