// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import JSON
internal import Metering

/// Single events that were counted.
extension API {
    static let historyRoutes: [Route] = [
        Route(.get, "/v1/events", access: .reader) { try await $0.history($1) },
        Route(.get, "/v1/subjects/{id}/events", access: .oneself) { api, call in
            try await api.history(call, of: try api.subject(call, at: 0))
        },
    ]

    func history(_ call: Call, of subject: SubjectID? = nil) async throws -> HTTPResponse {
        let filters = EventQuery.filters(ofSubject: subject != nil)
        let query = try QueryParameters(
            call.request.query, allowed: ["limit", "cursor", "sort"] + filters)
        let limit = try query.integer("limit", in: 1...1000, default: 50)
        var asked = try EventQuery(query, calendar: engine.reader.calendar)
        if let subject { asked.subject = subject }
        let bytes = try await back(
            queries.page(
                asked, limit: limit, after: query.text("cursor")))
        return .json(bytes)
    }
}

extension QueryEngine {
    /// A page of events as JSON, written on the engine's own loop.
    fileprivate func page(
        _ query: EventQuery, limit: Int, after cursor: String?
    ) async throws -> [UInt8] {
        let page = try await events(query, limit: limit, after: cursor)
        var json = JSONWriter(capacity: 256 + 320 * page.events.count)
        json.beginObject()
        json.key("events")
        json.beginArray()
        for event in page.events { json.event(event) }
        json.endArray()
        json.key("next")
        if let next = page.next { json.string(next) } else { json.null() }
        json.endObject()
        return json.bytes
    }
}

extension JSONWriter {
    mutating func event(_ event: HistoryEvent) {
        beginObject()
        members(of: event.recorded)
        if let credits = event.credits {
            key("credits")
            micros(credits)
        }
        if let cost = event.cost {
            key("cost")
            micros(cost)
        }
        if event.isReversal {
            key("reversal")
            boolean(true)
            key("reverses")
            if let reverses = event.reverses { string(bytes: reverses.bytes) } else { null() }
        }
        if event.isReversed {
            key("reversed")
            boolean(true)
        }
        endObject()
    }
}

extension EventQuery {
    /// Parameters that choose events; the subject's are in its path already.
    static func filters(ofSubject: Bool = false) -> [String] {
        (ofSubject ? [] : ["subject"]) + ["action", "model", "min_credits", "from", "to"]
    }

    /// Reads what a query asks for.
    ///
    /// - Parameter calendar: in whose zone dates begin and end.
    init(
        _ query: QueryParameters, calendar: WorkspaceCalendar
    ) throws {
        self.init()
        if let text = query.text("subject") {
            guard let subject = SubjectID(existing: text) else { throw HTTPProblem.invalidSubject }
            self.subject = subject
        }
        if let text = query.text("action") {
            guard !text.isEmpty else {
                throw HTTPProblem.badRequest("invalid_parameter", "action is the name of an action")
            }
            action = ByteString(text)
        }
        model = query.text("model").map { ByteString($0) }
        if let text = query.text("min_credits") {
            minCredits = try MicroDecimal.micros(text, "min_credits")
        }
        if let text = query.text("sort") {
            guard let order = Order(rawValue: text) else {
                throw HTTPProblem.badRequest("invalid_parameter", "sort is newest or credits")
            }
            self.order = order
        }
        from = try query.instant("from", calendar)
        until = try query.instant("to", calendar, isEnd: true)
        // A date that the zone skips has no instants, and is no mistake.
        if let from, let until,
            until < from || until == from && query.text("from") != query.text("to")
        {
            throw HTTPProblem.badRequest("invalid_parameter", "to is before from")
        }
    }
}

extension QueryParameters {
    /// A date, which stands for all of it, or an instant: when the range begins, or the first
    /// instant behind it.
    func instant(
        _ name: String, _ calendar: WorkspaceCalendar, isEnd: Bool = false
    ) throws(HTTPProblem) -> Timestamp? {
        guard let text = text(name) else { return nil }
        if let day = CivilDay(text) {
            let start = calendar.start(of: CivilDay(number: day.number + (isEnd ? 1 : 0)))
            return Timestamp(milliseconds: start * 1000)
        }
        guard let time = Timestamp(text) else {
            throw .badRequest(
                "invalid_parameter",
                "\(name) is a date such as 2026-11-21 or an instant such as 2026-11-21T10:00:00Z")
        }
        return time
    }
}
