// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import JSON
internal import Metering

extension API {
    static let leaderboardRoutes: [Route] = [
        Route(.get, "/v1/leaderboards/{meter}", access: .reader) { try await $0.leaderboard($1) },
        Route(.get, "/v1/leaderboards/{meter}/subjects/{id}", access: .reader) {
            try await $0.leaderboardPlace($1)
        },
    ]

    func leaderboard(_ call: Call) async throws -> HTTPResponse {
        let query = try QueryParameters(
            call.request.query, allowed: ["window", "limit", "cursor", "mask"])
        let limit = try query.integer("limit", in: 1...1000, default: 10)
        let isMasked = try query.flag("mask")
        let (window, name) = try leaderboardWindow(query)
        guard !isMasked || query.text("cursor") == nil else {
            throw HTTPProblem.badRequest(
                "invalid_parameter",
                "a masked leaderboard has no further pages: a cursor would tell names")
        }
        let meter = try rankedMeter(call)
        let question = paged("leaderboard", [meter.name, name])
        let cursor = try query.place(of: question) { LeaderboardCursor($0) }
        let page = try await leaderboardPage(meter, window, limit: limit, after: cursor)
        var json = JSONWriter()
        json.beginObject()
        json.board(meter, name, page.days)
        json.key("entries")
        json.entries(page.entries, from: page.firstRank, isMasked)
        json.key("next")
        if let next = page.next, !isMasked {
            json.string(question.cursor(next.text))
        } else {
            json.null()
        }
        json.warnings(page.warnings)
        json.endObject()
        return .json(json.bytes)
    }

    func leaderboardPlace(_ call: Call) async throws -> HTTPResponse {
        let query = try QueryParameters(
            call.request.query, allowed: ["window", "neighbours", "mask"])
        let neighbours = try query.integer("neighbours", in: 0...100, default: 5)
        let isMasked = try query.flag("mask")
        let (window, name) = try leaderboardWindow(query)
        guard let id = SubjectID(call.parameters[1]) else {
            throw HTTPProblem.invalidSubject
        }
        let meter = try rankedMeter(call)
        guard let place = try await leaderboardPlace(of: id, meter, window, neighbours) else {
            throw HTTPProblem.notFound(
                "this subject is not on the leaderboard: it used nothing in this window")
        }
        var json = JSONWriter()
        json.beginObject()
        json.board(meter, name, place.days)
        json.key("subject")
        json.string(bytes: id.id.bytes)
        json.key("rank")
        json.integer(place.rank)
        json.key("value")
        json.integer(place.value)
        json.key("gap")
        if let gap = place.gap { json.integer(gap) } else { json.null() }
        json.key("of")
        json.integer(place.count)
        json.key("above")
        json.entries(place.above, from: place.rank - place.above.count, isMasked)
        json.key("below")
        json.entries(place.below, from: place.rank + 1, isMasked)
        json.warnings(place.warnings)
        json.endObject()
        return .json(json.bytes)
    }

    /// Today is asked for where events are counted: it needs no other thread.
    func leaderboardPage(
        _ meter: Meter, _ window: LeaderboardWindow, limit: Int, after cursor: LeaderboardCursor?
    ) async throws(MeteringError) -> LeaderboardPage {
        if window == .days(1),
            let page = try await engine.reader.leaderboardToday(meter, limit: limit, after: cursor)
        {
            return page
        }
        return try await back(queries.leaderboard(meter, window, limit: limit, after: cursor))
    }

    private func leaderboardPlace(
        of id: SubjectID, _ meter: Meter, _ window: LeaderboardWindow, _ neighbours: Int
    ) async throws(MeteringError) -> LeaderboardPlace? {
        if window == .days(1),
            let place = try await engine.reader.leaderboardPlaceToday(
                of: id, meter, neighbours: neighbours)
        {
            return place
        }
        return try await back(
            queries.leaderboardPlace(of: id, meter, window, neighbours: neighbours))
    }

    private func rankedMeter(_ call: Call) throws(HTTPProblem) -> Meter {
        guard let meter = Meter(name: Array(call.parameters[0].utf8)), engine.reader.isRanked(meter)
        else {
            let ranked = engine.settings.rankedMeters.map(\.name).joined(separator: ", ")
            throw .notFound("this meter has no leaderboard; ranked_meters are: \(ranked)")
        }
        return meter
    }

    func leaderboardWindow(
        _ query: QueryParameters
    ) throws(HTTPProblem) -> (LeaderboardWindow, name: String) {
        let name = query.text("window") ?? "1d"
        guard let window = LeaderboardWindow(name) else {
            throw .badRequest(
                "invalid_parameter",
                "window is 1d to 3660d, month, lifetime, a day such as 2026-11-21, or two of them "
                    + "such as 2026-11-01..2026-11-21")
        }
        return (window, name)
    }
}

extension JSONWriter {
    /// The members that say which board it is.
    fileprivate mutating func board(
        _ meter: Meter, _ window: String, _ days: ClosedRange<CivilDay>?
    ) {
        key("meter")
        string(meter.name)
        key("window")
        string(window)
        key("from")
        if let days { string("\(days.lowerBound)") } else { null() }
        key("to")
        if let days { string("\(days.upperBound)") } else { null() }
    }

    fileprivate mutating func entries(
        _ entries: [LeaderboardEntry], from firstRank: Int, _ isMasked: Bool
    ) {
        beginArray()
        for (index, entry) in entries.enumerated() {
            beginObject()
            key("rank")
            integer(firstRank + index)
            key("subject")
            if isMasked {
                string(String(entry.subject.text.prefix(1)) + "***")
            } else {
                string(bytes: entry.subject.bytes)
            }
            key("value")
            integer(entry.value)
            endObject()
        }
        endArray()
    }
}
