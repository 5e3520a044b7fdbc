// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import Identity
internal import JSON
internal import Metering

/// What administrators did. No route changes it.
extension API {
    static let auditRoutes: [Route] = [
        Route(.get, "/v1/audit", access: .admin) { try await $0.audit($1) },
        Route(.get, "/v1/export/audit", access: .admin) { try await $0.exportAudit($1) },
    ]

    private static let filters = ["actor", "action", "from", "to"]

    /// `GET /v1/audit?limit=&cursor=&actor=&action=&from=&to=`: the newest first.
    private func audit(_ call: Call) async throws -> HTTPResponse {
        let query = try QueryParameters(
            call.request.query, allowed: ["limit", "cursor"] + Self.filters)
        let limit = try query.integer("limit", in: 1...1000, default: 100)
        let asked = try auditQuery(query, call)
        let instants = [asked.from, asked.until].map { $0.map { "\($0.milliseconds)" } }
        let question = paged("audit", [asked.actor?.text, asked.action] + instants)
        let cursor = try query.place(of: question) { AuditPosition($0) }
        let page = try await back(queries.auditPage(asked, limit: limit, after: cursor))
        var json = JSONWriter(capacity: 64 + 512 * page.entries.count)
        json.beginObject()
        json.key("entries")
        json.beginArray()
        for entry in page.entries { json.entry(entry) }
        json.endArray()
        json.key("next")
        if let next = page.next { json.string(question.cursor(next.text)) } else { json.null() }
        json.endObject()
        return .json(json.bytes)
    }

    private func exportAudit(_ call: Call) async throws -> HTTPResponse {
        let query = try QueryParameters(call.request.query, allowed: ["format"] + Self.filters)
        let writer = ExportWriter(
            try ExportFormat(query),
            columns: [
                "id", "time", "actor", "role", "address", "action", "path", "status",
                "finished_at", "before", "after",
            ])
        let asked = try auditQuery(query, call)
        return try await export("audit", call, writer) { [queries] writer, cursor in
            let page = try await back(
                queries.auditPage(
                    asked, limit: 500, after: cursor.flatMap { AuditPosition($0) }))
            var writer = writer
            for entry in page.entries { writer.row(entry.cells) }
            return (writer, page.next?.text)
        }
    }

    /// What is done with workspaces is the operator's to know, of whose log it is part.
    private static let operatorActions = Set(
        Router.routes.filter { $0.access == .operator }.map { "\($0.method.name) \($0.name)" })

    private func auditQuery(_ query: QueryParameters, _ call: Call) throws -> AuditQuery {
        var asked = try AuditQuery(query, calendar: engine.reader.calendar)
        if call.principal.role != .operator { asked.hidden = Self.operatorActions }
        return asked
    }
}

extension AuditQuery {
    fileprivate init(
        _ query: QueryParameters, calendar: WorkspaceCalendar
    ) throws(HTTPProblem) {
        self.init()
        actor = query.text("actor").map { ByteString($0) }
        action = query.text("action")
        from = try query.instant("from", calendar)
        until = try query.instant("to", calendar, isEnd: true)
        // A date that the zone skips has no instants, and is no mistake.
        if let from, let until,
            until < from || until == from && query.text("from") != query.text("to")
        {
            throw .badRequest("invalid_parameter", "to is before from")
        }
    }
}

extension AuditEntry {
    fileprivate var cells: [ExportCell] {
        func json(_ text: [UInt8]?) -> ExportCell { text.map { .json($0) } ?? .none }
        func text(_ text: String) -> ExportCell { .text(ByteString(text)) }
        return [
            text(id.text), .time(began), .text(act.actor), text(act.role), text(act.address),
            text(act.action), text(act.path), outcome.map { .integer($0.status) } ?? .none,
            outcome.map { .time($0.ended) } ?? .none, json(act.before), json(outcome?.after),
        ]
    }
}

extension JSONWriter {
    fileprivate mutating func entry(_ entry: AuditEntry) {
        beginObject()
        key("id")
        string(entry.id.text)
        key("time")
        string(entry.began.text)
        key("actor")
        string(bytes: entry.act.actor.bytes)
        key("role")
        string(entry.act.role)
        key("address")
        string(entry.act.address)
        key("action")
        string(entry.act.action)
        key("path")
        string(entry.act.path)
        key("status")
        if let outcome = entry.outcome { integer(outcome.status) } else { null() }
        key("finished_at")
        time(entry.outcome?.ended)
        key("before")
        if let before = entry.act.before { raw(before) } else { null() }
        key("after")
        if let after = entry.outcome?.after { raw(after) } else { null() }
        endObject()
    }
}
