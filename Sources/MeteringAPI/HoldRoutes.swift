// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import HTTPServer
internal import JSON
internal import Metering

/// What is set aside for work under way, and settled with what it really used.
extension API {
    static let holdRoutes: [Route] = [
        Route(.post, "/v1/holds", access: .writer) { try await $0.openHold($1) },
        Route(.get, "/v1/holds", access: .reader) { try await $0.holds($1) },
        Route(.get, "/v1/holds/{id}", access: .reader) { try await $0.hold($1) },
        Route(.post, "/v1/holds/{id}/commit", access: .writer) { try await $0.commitHold($1) },
        Route(.post, "/v1/holds/{id}/release", access: .writer) { try await $0.releaseHold($1) },
    ]

    private static let defaultHoldSeconds = 600

    /// `{"id"?, "subject", "credits"?, "amounts"?, "ttl_s"?}`
    func openHold(_ call: Call) async throws -> HTTPResponse {
        let body = try DecisionBody(
            try body(of: call), members: [.id, .subject, .credits, .amounts, .limits, .ttl])
        guard let subject = body.subject else {
            throw HTTPProblem.unprocessable("field_required", "subject: a hold has a subject")
        }
        guard body.credits ?? 0 > 0 || body.amounts.contains(where: { $0.1 > 0 }) else {
            throw HTTPProblem.unprocessable(
                "field_required", "credits: a hold sets credits or amounts aside")
        }
        let key = try idempotencyKey(call.request).map { key in
            try key.withUnsafeBufferPointer { try EventDecoder.eventID($0) }
        }
        if let key, let id = body.id, key != id {
            throw HTTPProblem.unprocessable(
                "invalid_id", "id: the body's id and the Idempotency-Key differ; send one of them")
        }
        let id = body.id ?? key ?? ByteString(UUID().uuidString.lowercased())
        let seconds = body.seconds ?? Self.defaultHoldSeconds
        let verdict = try await engine.decide(
            Decision(
                .openHold(id: id, seconds: seconds), subject: subject, credits: body.credits,
                amounts: body.amounts, limits: body.limits))
        let isRepeated = verdict.status == .repeated
        guard verdict.status == .allowed || isRepeated else {
            return denial(of: verdict, at: call.request.path)
        }
        let expires =
            verdict.holdEnd ?? Timestamp(milliseconds: verdict.time.milliseconds + seconds * 1000)
        var json = JSONWriter()
        json.beginObject()
        json.key("id")
        json.string(bytes: id.bytes)
        json.key("state")
        json.string((verdict.holdState ?? .open).name)
        json.key("expires_at")
        json.string(expires.text)
        if !isRepeated { texts.write(verdict, taken: true, to: &json) }
        json.endObject()
        var response = HTTPResponse.json(json.bytes)
        response.status = isRepeated ? .ok : .created
        response.headers += texts.headers(verdict, taken: true)
        return response
    }

    func holds(_ call: Call) async throws -> HTTPResponse {
        let query = try QueryParameters(
            call.request.query, allowed: ["state", "subject", "limit", "cursor"])
        let limit = try query.integer("limit", in: 1...1000, default: 100)
        let name = query.text("state") ?? "open"
        guard let state = HoldState(name: name) else {
            throw HTTPProblem.badRequest(
                "invalid_parameter", "state is open, settled, released or expired")
        }
        var subject: SubjectID?
        if let text = query.text("subject") {
            guard let id = SubjectID(existing: text) else { throw HTTPProblem.invalidSubject }
            subject = id
        }
        let question = paged("holds", [name, subject?.id.text])
        let cursor = try query.place(of: question, code: "invalid_parameter") {
            HoldCursor($0, of: state)
        }
        let page = try await back(
            queries.holds(
                state, of: subject, limit: limit, after: cursor))
        var json = JSONWriter()
        json.beginObject()
        json.key("holds")
        json.beginArray()
        for hold in page.holds { json.hold(hold) }
        json.endArray()
        json.key("next")
        if let next = page.next { json.string(question.cursor(next.text)) } else { json.null() }
        json.endObject()
        return .json(json.bytes)
    }

    func hold(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        guard let hold = try await engine.accounts.hold(ByteString(call.parameters[0])) else {
            throw HTTPProblem.noSuchHold
        }
        var json = JSONWriter()
        json.hold(hold)
        return .json(json.bytes)
    }

    /// An event as body, and `"policy": "cap" | "overflow" | "reject"`.
    func commitHold(_ call: Call) async throws -> HTTPResponse {
        let id = ByteString(call.parameters[0])
        // Who the hold is of, and what it keeps, never change while there is one of this id, and have
        // to be known before the event can be added up. The script compares both with what it finds.
        var hold: Hold?
        if try needsHold(call) {
            hold = try await engine.accounts.hold(id)
            if hold == nil { throw HTTPProblem.noSuchHold }
        }
        let value = try body(of: call)
        let policy = try Self.policy(value)
        var event = try EventDecoder.decode(value, settling: .some(hold?.subject))
        if let key = try idempotencyKey(call.request) { event = try event.named(key) }
        if let rejection = engine.rejection(of: event, isBackfill: false) { throw rejection }
        guard !event.enforce else {
            throw HTTPProblem.unprocessable(
                "invalid_value", "enforce: what a commit may take is said by its policy")
        }
        let outcome = await engine.settle(id, with: event, policy, heldCredits: hold?.credits)
        switch outcome {
        case .counted(let counted): return .json(Self.body(counted, isDuplicate: false, .settled))
        case .duplicate(let counted): return .json(Self.body(counted, isDuplicate: true, .settled))
        case .skipped(let reason): return .json(Self.body(skipped: event.id, reason, .settled))
        case .refused(let verdict): return denial(of: verdict, at: call.request.path)
        case .rejected(let rejection): throw rejection
        case .postponed(let reason, let fault):
            throw MeteringError.postponed(reason: reason, fault: fault)
        case .unavailable(let reason):
            throw HTTPProblem.outcomeUnknown(
                "\(reason); whether the hold was settled is not known: send it again with the same id"
            )
        }
    }

    private func needsHold(_ call: Call) throws -> Bool {
        let value = try body(of: call)
        return try Self.policy(value) == .cap || value["subject"] == nil
    }

    private static func policy(_ value: JSONValue) throws -> SettlePolicy {
        guard let member = value["policy"], !member.isNull else { return .overflow }
        guard let policy = member.text.flatMap({ SettlePolicy(rawValue: $0) }) else {
            throw HTTPProblem.unprocessable(
                "invalid_value", "policy: cap, overflow or reject")
        }
        return policy
    }

    func releaseHold(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        if !call.request.body.isEmpty {
            _ = try DecisionBody(try body(of: call), members: [])
        }
        let id = ByteString(call.parameters[0])
        let verdict = try await engine.decide(Decision(.releaseHold(id: id), subject: nil))
        guard verdict.status == .allowed else { return denial(of: verdict, at: call.request.path) }
        var json = JSONWriter()
        json.beginObject()
        json.key("id")
        json.string(bytes: id.bytes)
        json.key("state")
        json.string(HoldState.released.name)
        json.endObject()
        return .json(json.bytes)
    }
}

extension HoldState {
    fileprivate init?(name: String) {
        let known: [HoldState] = [.open, .settled, .released, .expired]
        guard let state = known.first(where: { $0.name == name }) else { return nil }
        self = state
    }
}

extension JSONWriter {
    fileprivate mutating func hold(_ hold: Hold) {
        beginObject()
        key("id")
        string(bytes: hold.id.bytes)
        key("subject")
        string(bytes: hold.subject.id.bytes)
        key("state")
        string(hold.state.name)
        key("credits")
        micros(hold.credits)
        key("amounts")
        meters(hold.amounts.map { ($0.meter, $0.amount) })
        key("created_at")
        string(hold.created.text)
        key("expires_at")
        string(hold.expires.text)
        key("ended_at")
        time(hold.ended)
        endObject()
    }
}

extension HTTPProblem {
    fileprivate static let noSuchHold = HTTPProblem(
        .notFound, code: "hold_not_found", detail: "there is no hold of this id")
}
