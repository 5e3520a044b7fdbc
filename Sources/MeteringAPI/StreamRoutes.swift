// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import Identity
internal import JSON
internal import Metering

/// Events as they are counted, as server-sent events (HTML Standard, section 9.2).
extension API {
    static let streamRoutes: [Route] = [
        Route(.get, "/v1/stream", access: .oneself) { try await $0.stream($1) }
    ]

    /// `GET /v1/stream?meter=&action=&model=&subject=&summary=`.
    private func stream(_ call: Call) async throws -> HTTPResponse {
        let parameters = try QueryParameters(
            call.request.query, allowed: ["meter", "action", "model", "subject", "summary"])
        let query = try liveQuery(parameters, call)
        let isSummary = try parameters.flag("summary")
        var last: LiveID?
        if let text = call.request.headers.value(of: "last-event-id"), !text.isEmpty {
            guard let id = LiveID(text) else {
                throw HTTPProblem.badRequest(
                    "invalid_parameter", "Last-Event-ID is the id of an event of this stream")
            }
            last = id
        }
        let slot = try slot(of: environment.streams, for: call)
        guard let begun = try await back(queries.beginLive(query, after: last)) else {
            throw HTTPProblem(
                .gone, code: "too_far_behind", title: "Gone",
                detail: "too much was counted since then, or the log is another one; "
                    + "ask without Last-Event-ID")
        }
        let stream = EventStream(
            query: query, isSummary: isSummary, queries: queries, begun: begun, slot: slot
        ) { [isStillAllowed] in await isStillAllowed(call) }
        return HTTPResponse(
            headers: [
                (name: "Content-Type", value: "text/event-stream; charset=utf-8"),
                (name: "Cache-Control", value: "no-store"),
                (name: "X-Accel-Buffering", value: "no"),
            ],
            body: .stream { try await stream.send(to: $0) })
    }

    private func liveQuery(_ parameters: QueryParameters, _ call: Call) throws -> LiveQuery {
        var query = LiveQuery()
        if let name = parameters.text("meter") {
            guard let meter = Meter(name: Array(name.utf8)) else {
                throw HTTPProblem.badRequest("invalid_parameter", "meter is the name of a meter")
            }
            query.meter = meter
        }
        query.filter.action = parameters.text("action").map { ByteString($0) }
        query.filter.model = parameters.text("model").map { ByteString($0) }
        query.filter.subject = try subject(parameters, for: call.principal)
        return query
    }
}

/// Sends events to one who watches.
private struct EventStream: Sendable {
    /// A comment keeps proxies from ending what says nothing, and finds out who is gone.
    private static let quietTurns = 50
    private static let summaryTurns = 5
    /// Of a fifth of a second each.
    private static let judgedTurns = 4

    let query: LiveQuery
    let isSummary: Bool
    let queries: QueryEngine
    let begun: (QueryEngine.LiveEvents, LivePlace)
    let slot: AnswerSlots.Slot
    /// Bound to the loop, as all that sends the answer is.
    nonisolated(unsafe) let isStillAllowed: () async -> Bool

    /// Sends until the reader is gone, is too far behind, or may not read any more, or the service stops; a
    /// browser comes back then by itself, and says how far it was.
    func send(to output: HTTPBodyWriter) async throws {
        var (events, place) = begun
        var summary = LiveSummary()
        var quiet = 0
        var turn = 0
        try await output.write(Array("retry: 1000\n\n".utf8))
        while !output.isEnding {
            var bytes: [UInt8] = []
            turn += 1
            if isSummary {
                summary.add(events)
                if turn.isMultiple(of: Self.summaryTurns) { bytes = summary.take() }
            } else {
                for (id, event) in events { bytes += Self.message(id, event) }
            }
            quiet = bytes.isEmpty ? quiet + 1 : 0
            if quiet == Self.quietTurns {
                bytes = Array(":\n\n".utf8)
                quiet = 0
            }
            if turn.isMultiple(of: Self.judgedTurns) {
                guard await isStillAllowed() else { return }
            }
            try await output.write(bytes)
            do {
                guard let next = try await back(queries.live(query, from: place)) else { return }
                (events, place) = next
            } catch {
                // With a workspace goes its engine, and with its settings.
                guard await isStillAllowed() else { return }
                throw error
            }
        }
    }

    private static func message(_ id: LiveID, _ event: HistoryEvent) -> [UInt8] {
        var json = JSONWriter()
        json.event(event)
        return Array("id: \(id.text)\nevent: usage\ndata: ".utf8) + json.bytes
            + Array("\n\n".utf8)
    }
}

/// What was counted within about a second: for who looks, and need not see each event.
private struct LiveSummary {
    private static let shownMax = 10

    private var count = 0
    private var amounts: [(meter: Meter, total: Int)] = []
    private var latest: [(id: LiveID, event: HistoryEvent)] = []

    mutating func add(_ events: QueryEngine.LiveEvents) {
        count += events.count
        latest = latest.suffix(Self.shownMax) + events.suffix(Self.shownMax)
        for (_, event) in events {
            for (meter, amount) in event.recorded.amounts {
                if let index = amounts.firstIndex(where: { $0.meter == meter }) {
                    amounts[index].total &+= amount
                } else {
                    amounts.append((meter, amount))
                }
            }
        }
    }

    /// The message with it; every second, also when nothing came, so that rates fall to 0.
    mutating func take() -> [UInt8] {
        var json = JSONWriter()
        json.beginObject()
        json.key("events")
        json.integer(count)
        json.key("meters")
        json.meters(amounts)
        json.key("latest")
        json.beginArray()
        for (_, event) in latest.suffix(Self.shownMax) { json.event(event) }
        json.endArray()
        json.endObject()
        let id = latest.last.map { "id: \($0.id.text)\n" } ?? ""
        self = LiveSummary()
        return Array("\(id)event: summary\ndata: ".utf8) + json.bytes + Array("\n\n".utf8)
    }
}
