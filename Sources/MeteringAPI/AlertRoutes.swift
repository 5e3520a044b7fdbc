// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import JSON
internal import Metering
internal import Transfer

/// Alerts, and notices of them that did not arrive: docs/alerts.md.
extension API {
    static let alertRoutes: [Route] = [
        Route(.get, "/v1/alerts", access: .admin) { try await $0.alerts($1) },
        Route(.put, "/v1/alerts", access: .admin) { try await $0.setAlerts($1) },
        Route(.get, "/v1/alerts/deliveries", access: .admin) { try await $0.notices($1) },
        Route(.post, "/v1/alerts/deliveries/{delivery}/retry", access: .admin) {
            try await $0.retryNotice($1)
        },
    ]

    private func alerts(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        return Self.answer(with: try await back(queries.alerts()))
    }

    /// `PUT /v1/alerts` `{"alerts": [...]}`, with `If-Match` only if the list is still that one.
    private func setAlerts(_ call: Call) async throws -> HTTPResponse {
        let draft = try AlertBook.Draft(try body(of: call))
        try await checkTargets(draft)
        let (book, secrets) = try await back(
            queries.setAlerts(draft, ifTag: tagToReplace(call)))
        return Self.answer(with: book, secrets: secrets)
    }

    private static func answer(
        with book: AlertBook, secrets: [String: String] = [:]
    ) -> HTTPResponse {
        var json = JSONWriter(capacity: 64 + 256 * book.alerts.count)
        book.write(&json, secrets: secrets)
        var response = HTTPResponse.json(json.bytes)
        response.headers.append((name: "ETag", value: book.entityTag))
        if !secrets.isEmpty {
            response.headers.append((name: "Cache-Control", value: "no-store"))
        }
        return response
    }

    /// Looks whether what is named may be told, and can be.
    private func checkTargets(_ draft: AlertBook.Draft) async throws {
        let courier = environment.courier
        let workspace = engine.settings.id.text
        var faults: [String: String?] = [:]
        var urls: Set<String> = []
        for (index, alert) in draft.alerts.enumerated() {
            switch alert.target {
            case .webhook(let url): urls.insert(url)
            case .email where !courier.canMail:
                throw EventRejection(
                    code: "email_not_configured", field: "alerts.\(index).to.email",
                    detail: "the service has no server for e-mail: --smtp-url and --smtp-from")
            case .email: break
            }
        }
        await withTaskGroup(of: (String, String?).self) { group in
            for url in urls {
                group.addTask { (url, await courier.fault(ofWebhook: url, for: workspace)) }
            }
            for await (url, fault) in group { faults[url] = fault }
        }
        for (index, alert) in draft.alerts.enumerated() {
            guard case .webhook(let url) = alert.target, let fault = faults[url] ?? nil else {
                continue
            }
            throw EventRejection(
                code: "target_forbidden", field: "alerts.\(index).to.webhook", detail: fault)
        }
    }

    /// `GET /v1/alerts/deliveries?status=dead|pending&limit=&cursor=`
    private func notices(_ call: Call) async throws -> HTTPResponse {
        let query = try QueryParameters(
            call.request.query, allowed: ["status", "limit", "cursor"])
        let limit = try query.integer("limit", in: 1...200, default: 100)
        guard let state = NoticeState(rawValue: query.text("status") ?? "pending") else {
            throw HTTPProblem.badRequest("invalid_parameter", "status is pending or dead")
        }
        let question = paged("notices", [state.rawValue])
        let cursor = try query.place(of: question, code: "invalid_parameter") { NoticeCursor($0) }
        let page = try await back(queries.notices(state, limit: limit, after: cursor))
        var json = JSONWriter(capacity: 64 + 256 * page.notices.count)
        json.beginObject()
        json.key("deliveries")
        json.beginArray()
        for (notice, at) in page.notices { json.notice(notice, state, at) }
        json.endArray()
        json.key("next")
        if let next = page.next { json.string(question.cursor(next.text)) } else { json.null() }
        json.endObject()
        return .json(json.bytes)
    }

    /// `POST /v1/alerts/deliveries/{id}/retry`: one that was given up is delivered again.
    private func retryNotice(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        guard call.request.body.isEmpty else {
            throw HTTPProblem.badRequest("unexpected_body", "this call takes no body")
        }
        let id = call.parameters[0]
        guard AlertNotice.isID(id), try await back(queries.retryNotice(id)) else {
            throw HTTPProblem(
                .notFound, code: "delivery_not_found", detail: "there is no such delivery")
        }
        var json = JSONWriter()
        json.beginObject()
        json.key("id")
        json.string(id)
        json.key("status")
        json.string("pending" as StaticString)
        json.endObject()
        var response = HTTPResponse.json(json.bytes)
        response.status = .accepted
        return response
    }
}

extension JSONWriter {
    fileprivate mutating func notice(_ notice: AlertNotice, _ state: NoticeState, _ at: Timestamp) {
        beginObject()
        key("id")
        string(notice.id)
        key("status")
        string(state.rawValue)
        key("alert")
        string(notice.alertName)
        key("limit")
        if notice.limitName.isEmpty { null() } else { string(notice.limitName) }
        key("subject")
        text(notice.subject)
        key("percent")
        integer(notice.percent)
        key("reached_at")
        string(notice.time.text)
        key("attempts")
        integer(notice.attempts)
        key("last_error")
        if notice.fault.isEmpty { null() } else { string(notice.fault) }
        key(state == .dead ? "given_up_at" : "due_at")
        string(at.text)
        endObject()
    }
}
