// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import JSON
internal import Metering

extension API {
    static let checkRoutes: [Route] = [
        // As posting events, this is the hot path, which `respondNow` answers.
        Route(.post, "/v1/check", access: .writer) { api, call in
            await api.response { api.check(call, for: $0) }
        }
    ]

    /// `POST /v1/check`: whether amounts and credits may be used; takes them with `consume`.
    func check(_ call: Call, for recipient: Recipient) {
        let request = call.request
        do {
            try requireReadiness()
            if request.query != nil { _ = try QueryParameters(request.query, allowed: []) }
            let body = try DecisionBody(
                try body(of: request), members: [.subject, .amounts, .credits, .limits, .consume])
            guard let subject = body.subject else {
                throw HTTPProblem.unprocessable("field_required", "subject: a check has a subject")
            }
            if body.consume, request.headers.bytes(of: "idempotency-key") != nil {
                throw HTTPProblem.consumingIsNotRepeatable
            }
            let decision = Decision(
                body.consume ? .consume : .check, subject: subject, credits: body.credits,
                amounts: body.amounts, limits: body.limits)
            let taken = body.consume
            decide(decision) { [self, path = request.path] result in
                switch result {
                case .failure(let error):
                    send(
                        problem(error, isChange: taken).response(at: path), to: recipient)
                case .success(let verdict):
                    send(
                        answer(verdict, taken: taken && verdict.skipped == nil, at: path),
                        to: recipient)
                }
            }
        } catch {
            send(problem(error).response(at: request.path), to: recipient)
        }
    }

    private func answer(_ verdict: Verdict, taken: Bool, at path: String) -> HTTPResponse {
        guard verdict.status == .allowed else { return denial(of: verdict, at: path) }
        var json = JSONWriter()
        json.beginObject()
        texts.write(verdict, taken: taken, to: &json)
        json.endObject()
        var response = HTTPResponse.json(json.bytes)
        response.headers += texts.headers(verdict, taken: taken)
        return response
    }

    /// Takes a decision whose limits, where it names some, must be known.
    func decide(
        _ decision: Decision, completion: @escaping (Result<Verdict, any Error>) -> Void
    ) {
        engine.decide(decision) { outcome in
            switch outcome {
            case .decided(let verdict): completion(.success(verdict))
            case .rejected(let rejection): completion(.failure(rejection))
            case .unavailable(let reason):
                completion(.failure(MeteringError.undecided(reason: reason)))
            case .postponed(let reason, let fault):
                completion(.failure(MeteringError.postponed(reason: reason, fault: fault)))
            }
        }
    }

    /// Refuses what comes before Redis is known to be fit.
    func requireReadiness() throws {
        guard environment.readiness.isAccepted else {
            throw HTTPProblem.unavailable(environment.readiness.current.detail)
        }
    }
}

extension HTTPProblem {
    /// Passed over, it would leave a client in the belief that it may take the same again.
    fileprivate static let consumingIsNotRepeatable = HTTPProblem.unprocessable(
        "idempotency_key_unsupported",
        "Idempotency-Key: a check that consumes takes each time; where it may be sent again, count with "
            + "POST /v1/events, \"enforce\": true and an id, or open a hold")
}
