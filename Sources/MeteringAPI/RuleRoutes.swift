// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import JSON
internal import Metering

/// What the workspace decides by: prices, limits, the policy of credits.
extension API {
    static let ruleRoutes: [Route] = [
        Route(.get, "/v1/prices", access: .reader) { try await $0.prices($1) },
        Route(.put, "/v1/prices", access: .admin) { try await $0.setPrices($1) },
        Route(.get, "/v1/limits", access: .reader) { try await $0.limits($1) },
        Route(.put, "/v1/limits", access: .admin) { try await $0.setLimits($1) },
        Route(.get, "/v1/subjects/{id}/limits", access: .oneself) {
            try await $0.limitsOfSubject($1)
        },
        Route(.get, "/v1/limits/{name}/subjects/{id}", access: .reader) {
            try await $0.amounts($1)
        },
        Route(.put, "/v1/limits/{name}/subjects/{id}", access: .admin) {
            try await $0.setOverride($1)
        },
        Route(.get, "/v1/credit-policy", access: .reader) { try await $0.creditPolicy($1) },
        Route(.put, "/v1/credit-policy", access: .admin) { try await $0.setCreditPolicy($1) },
    ]

    func prices(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        return Self.answer(with: try await engine.rules(), .prices)
    }

    /// `PUT /v1/prices`, with `If-Match` only if the book is still that one. So with the others.
    func setPrices(_ call: Call) async throws -> HTTPResponse {
        let prices = try PriceBook(try body(of: call))
        return Self.answer(
            with: try await engine.setPrices(prices, ifTag: tagToReplace(call)), .prices)
    }

    private static func answer(with rules: Rules, _ part: Rules.Part) -> HTTPResponse {
        var json = JSONWriter()
        switch part {
        case .prices: rules.prices.write(&json)
        case .limits: rules.limits.write(&json)
        case .credits: rules.credits.write(&json)
        case .alerts: rules.alerts.write(&json)
        }
        var response = HTTPResponse.json(json.bytes)
        response.headers.append((name: "ETag", value: rules.entityTag(of: part)))
        return response
    }

    func limits(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        return Self.answer(with: try await engine.rules(), .limits)
    }

    func setLimits(_ call: Call) async throws -> HTTPResponse {
        let draft = try LimitBook.Draft(try body(of: call))
        return Self.answer(
            with: try await engine.setLimits(draft, ifTag: tagToReplace(call)), .limits)
    }

    /// `GET /v1/limits/{name}/subjects/{id}`: the subject's own amount, and the one in force.
    func amounts(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        let subject = try subject(call, at: 1)
        let name = call.parameters[0]
        // As it is changed: that of the user whom a guest became.
        let owner = try await owner(subject)
        guard let amounts = try await engine.amounts(ofLimit: name, for: owner) else {
            throw HTTPProblem.noSuchLimit
        }
        var json = JSONWriter()
        json.beginObject()
        json.limit(name, of: subject, amounts.own)
        json.key("effective")
        if let amount = amounts.effective { json.integer(amount) } else { json.null() }
        json.endObject()
        return .json(json.bytes)
    }

    /// `GET /v1/subjects/{id}/limits`: what the subject may still use, by limit.
    func limitsOfSubject(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        let subject = try subject(call, at: 0)
        let limits = try await engine.limits(of: try await owner(subject))
        var json = JSONWriter(capacity: 1024)
        json.beginObject()
        json.key("subject")
        json.string(bytes: subject.id.bytes)
        json.key("limits")
        json.beginArray()
        for (state, own) in limits {
            json.beginObject()
            json.key("name")
            json.string(state.limit.name)
            json.key("meter")
            json.string(state.limit.meter.name)
            state.limit.window.write(&json)
            json.key("own")
            if let own { json.integer(own) } else { json.null() }
            texts.write(state, taken: false, to: &json)
            json.endObject()
        }
        json.endArray()
        json.endObject()
        return .json(json.bytes)
    }

    /// `PUT /v1/limits/{name}/subjects/{id}` `{"limit": n}`; null goes back to the class's amount.
    func setOverride(_ call: Call) async throws -> HTTPResponse {
        let subject = try subject(call, at: 1)
        let amount = try EventDecoder.override(try body(of: call))
        let rules = try await engine.rules()
        guard rules.limits.index(named: call.parameters[0].utf8) != nil else {
            throw HTTPProblem.noSuchLimit
        }
        let verdict = try await engine.decide(
            Decision(.setOverride(amount), subject: subject, limits: [call.parameters[0]]))
        guard verdict.status == .allowed else { return denial(of: verdict, at: call.request.path) }
        var json = JSONWriter()
        json.beginObject()
        json.limit(call.parameters[0], of: subject, amount)
        json.endObject()
        return .json(json.bytes)
    }

    func creditPolicy(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        return Self.answer(with: try await engine.rules(), .credits)
    }

    func setCreditPolicy(_ call: Call) async throws -> HTTPResponse {
        let policy = try CreditPolicy(try body(of: call))
        return Self.answer(
            with: try await engine.setCreditPolicy(policy, ifTag: tagToReplace(call)), .credits)
    }

    /// The entity tag that what is replaced has to have (`If-Match`); nil for any.
    func tagToReplace(_ call: Call) -> String? {
        call.request.headers.value(of: "if-match").flatMap { $0 == "*" ? nil : $0 }
    }
}

extension API {
    /// The JSON body of a request. It stands until the next document is read: before any `await`.
    func body(of call: Call) throws -> JSONValue {
        _ = try QueryParameters(call.request.query, allowed: [])
        return try body(of: call.request)
    }

    func body(of request: HTTPRequest) throws -> JSONValue {
        guard try !isNDJSON(request) else {
            throw HTTPProblem.unsupportedMediaType("send application/json, in UTF-8")
        }
        try requirePlain(request)
        return try json.read(request.body)
    }

    /// Refuses a body that is compressed: what it unpacks to is not bounded.
    func requirePlain(_ request: HTTPRequest) throws(HTTPProblem) {
        let isPlain = request.headers.withBytes(of: "content-encoding") {
            $0.elementsEqual("identity".utf8)
        }
        guard isPlain != false else {
            throw .unsupportedMediaType("send the body without Content-Encoding")
        }
    }

    /// The subject that a parameter of the path names.
    func subject(_ call: Call, at index: Int) throws -> SubjectID {
        guard let id = SubjectID(call.parameters[index]) else { throw HTTPProblem.invalidSubject }
        return id
    }
}

extension JSONWriter {
    /// Members that tell what a subject has of a limit instead of its class.
    fileprivate mutating func limit(_ name: String, of subject: SubjectID, _ amount: Int?) {
        key("name")
        string(name)
        key("subject")
        string(bytes: subject.id.bytes)
        key("limit")
        if let amount { integer(amount) } else { null() }
    }
}

extension HTTPProblem {
    fileprivate static let noSuchLimit = HTTPProblem(
        .notFound, code: "limit_not_found", detail: "there is no limit of this name")

    static let invalidSubject = HTTPProblem.unprocessable(
        "invalid_id", "a subject is \(SubjectID.rule)")
    static let invalidGuest = HTTPProblem.unprocessable(
        "invalid_id",
        "X-Guest-ID is 1 to 250 bytes without control characters, and does not begin with "
            + SubjectID.guestPrefix)
}
