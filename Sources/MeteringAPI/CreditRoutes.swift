// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import JSON
internal import Metering

/// What subjects pay with.
extension API {
    static let creditRoutes: [Route] = [
        Route(.get, "/v1/credits/{subject}", access: .oneself) { try await $0.credits($1) },
        Route(.put, "/v1/credits/{subject}/allowance", access: .admin) {
            try await $0.setAllowance($1)
        },
        Route(.post, "/v1/credits/{subject}/grants", access: .admin) { try await $0.grant($1) },
        Route(.get, "/v1/credits/{subject}/ledger", access: .oneself) { try await $0.ledger($1) },
        Route(.post, "/v1/events/{id}/reverse", access: .admin) { try await $0.reverse($1) },
    ]

    func credits(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        return try await account(of: try await owner(try subject(call, at: 0)))
    }

    private func account(
        of subject: SubjectID, status: HTTPStatus = .ok
    ) async throws -> HTTPResponse {
        let account = try await engine.account(of: subject)
        var json = JSONWriter()
        json.beginObject()
        json.key("subject")
        json.string(bytes: subject.id.bytes)
        json.key("current_balance")
        json.micros(account.balance)
        json.key("held")
        json.micros(account.held)
        json.key("monthly_allowance")
        json.micros(account.monthlyAllowance)
        json.key("current_month_consumed")
        json.micros(account.monthConsumed)
        json.key("total_consumed")
        json.micros(account.totalConsumed)
        json.key("next_reset_at")
        json.time(account.nextReset)
        json.key("grants")
        json.beginArray()
        for grant in account.grants {
            json.beginObject()
            json.key("id")
            json.string(bytes: grant.id.bytes)
            json.key("remaining")
            json.micros(grant.left)
            json.key("expires_at")
            json.time(grant.expires)
            json.key("priority")
            json.integer(grant.priority)
            json.endObject()
        }
        json.endArray()
        json.endObject()
        var response = HTTPResponse.json(json.bytes)
        response.status = status
        return response
    }

    /// `{"monthly_allowance": "100"}`
    func setAllowance(_ call: Call) async throws -> HTTPResponse {
        let subject = try subject(call, at: 0)
        let allowance = try EventDecoder.allowance(try body(of: call))
        let verdict = try await engine.decide(
            Decision(.setAllowance, subject: subject, credits: allowance))
        guard verdict.status == .allowed else { return denial(of: verdict, at: call.request.path) }
        return try await account(of: try await owner(subject))
    }

    /// `{"id", "credits", "expires_at"?, "priority"?}`: 201, and 200 when it was granted before.
    func grant(_ call: Call) async throws -> HTTPResponse {
        let subject = try subject(call, at: 0)
        let body = try DecisionBody(
            try body(of: call), members: [.id, .credits, .expires, .priority])
        guard let id = body.id else {
            throw HTTPProblem.unprocessable(
                "field_required",
                "id: a grant has an id in its body (no Idempotency-Key), so that it is not granted twice"
            )
        }
        guard let credits = body.credits, credits > 0 else {
            throw HTTPProblem.unprocessable(
                body.credits == nil ? "field_required" : "out_of_range",
                "credits: more than 0")
        }
        // That others are to come is judged when the id is known to be new: one sent again may have
        // expired since.
        if let expires = body.expires, expires.milliseconds <= 0 {
            throw HTTPProblem.unprocessable("out_of_range", "expires_at: a time to come")
        }
        let verdict = try await engine.decide(
            Decision(
                .grant(id: id, expires: body.expires, priority: body.priority), subject: subject,
                credits: credits))
        guard verdict.status == .allowed || verdict.status == .repeated else {
            return denial(of: verdict, at: call.request.path)
        }
        do {
            return try await account(
                of: try await owner(subject), status: verdict.status == .allowed ? .created : .ok)
        } catch let error as MeteringError {
            // It was granted, whatever stands in the way of telling the balance.
            throw MeteringError.undecided(reason: error.reason)
        }
    }

    /// Whose account it is: that of the user whom a guest became.
    func owner(_ subject: SubjectID) async throws -> SubjectID {
        guard subject.kind == .guest else { return subject }
        return try await back(queries.user(ofGuest: subject)) ?? subject
    }

    func ledger(_ call: Call) async throws -> HTTPResponse {
        let query = try QueryParameters(call.request.query, allowed: ["limit", "before"])
        let limit = try query.integer("limit", in: 1...1000, default: 100)
        let subject = try subject(call, at: 0)
        let question = paged("ledger", [subject.id.text])
        let cursor = try query.place(
            of: question, ("before", "older"), code: "invalid_parameter"
        ) { LogPosition(cursor: $0) }
        let account = try await engine.account(of: subject)
        let ledger = try await back(
            queries.ledger(
                of: subject, account, limit: limit, before: cursor))
        var json = JSONWriter()
        json.beginObject()
        json.key("subject")
        json.string(bytes: subject.id.bytes)
        json.key("current_balance")
        json.micros(account.balance)
        json.key("opening_balance")
        json.micros(ledger.openingBalance)
        json.key("older")
        if let older = ledger.older { json.string(question.cursor(older)) } else { json.null() }
        json.key("entries")
        json.beginArray()
        for line in ledger.lines { json.line(line) }
        json.endArray()
        json.endObject()
        return .json(json.bytes)
    }

    /// `{"reason"}`, which may be missing: undoes an event, once.
    func reverse(_ call: Call) async throws -> HTTPResponse {
        var reason = ByteString.empty
        if !call.request.body.isEmpty { reason = try EventDecoder.reason(try body(of: call)) }
        guard let id = SubjectID(call.parameters[0])?.id else { throw HTTPProblem.invalidSubject }
        guard let outcome = try await engine.reverse(id, reason: reason) else {
            throw HTTPProblem.notFound("no event of this id is known, or not any more")
        }
        switch outcome {
        case .counted(let event), .duplicate(let event):
            return reversed(id, event, isDuplicate: outcome.isDuplicate)
        // Reversals are never skipped.
        case .skipped: throw HTTPProblem.unavailable("the reversal was not taken; send it again")
        case .refused(let verdict) where verdict.status == .repeated:
            return reversed(id, nil, isDuplicate: true)
        case .refused(let verdict): return denial(of: verdict, at: call.request.path)
        case .rejected(let rejection): throw rejection
        case .unavailable(let reason):
            throw HTTPProblem.outcomeUnknown(
                "\(reason); whether it was undone is not known: send it again, it is done only once"
            )
        case .postponed(let reason, let fault):
            throw MeteringError.postponed(reason: reason, fault: fault)
        }
    }

    private func reversed(
        _ id: ByteString, _ event: CountedEvent?, isDuplicate: Bool
    ) -> HTTPResponse {
        var json = JSONWriter()
        json.beginObject()
        json.key("id")
        json.string(bytes: id.bytes)
        json.key("status")
        json.string("reversed" as StaticString)
        json.key("duplicate")
        json.boolean(isDuplicate)
        if let event {
            json.key("reversal")
            json.string(bytes: event.id.bytes)
            json.key("totals")
            json.meters(event.totals)
            if let balance = event.balance {
                json.key("balance")
                json.micros(balance)
            }
        }
        json.endObject()
        return .json(json.bytes)
    }
}

extension EventOutcome {
    fileprivate var isDuplicate: Bool { if case .duplicate = self { true } else { false } }
}

extension JSONWriter {
    /// A time, or null.
    mutating func time(_ time: Timestamp?) {
        if let time { string(time.text) } else { null() }
    }

    fileprivate mutating func line(_ line: LedgerLine) {
        beginObject()
        key("time")
        string(line.time.text)
        key("type")
        string(line.kind.name)
        key("amount")
        micros(line.change)
        key("balance")
        micros(line.balance)
        key("held")
        micros(line.heldChange)
        key("reference")
        if let reference = line.reference { string(bytes: reference.bytes) } else { null() }
        endObject()
    }
}
