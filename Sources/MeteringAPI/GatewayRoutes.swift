// SPDX-License-Identifier: Apache-2.0
//
// One check for all gateways, whose rules differ: nginx passes only 401 and 403 on, Envoy takes
// only 200 for a yes and every 5xx for its own error. So yes is exactly 200, no is the status that
// was asked for, and what a client has in its hands never makes a 5xx. docs/gateways.md shows the
// configurations.

internal import HTTPServer
internal import Identity
internal import JSON
internal import Metering

extension API {
    static let gatewayPath = "/v1/gateway/check"
    /// Where a request of a gateway is never answered with a 5xx, whatever its client sent.
    public static let pathsForGateways = "/v1/gateway/"

    /// For the router, which knows paths by method; `respondNow` answers all of them.
    static let gatewayRoutes: [Route] = HTTPMethod.allCases.filter { $0 != .head }.map { method in
        // A check takes, whatever its method is.
        Route(method, gatewayPath, access: .holder, changes: true) { api, call in
            await api.response { api.checkForGateway(call, for: $0) }
        }
    }

    /// Whether a path is the gateway's: the check itself, or below it, where Envoy puts the
    /// original path.
    static func isGatewayPath(_ path: String) -> Bool {
        path.utf8.starts(with: gatewayPath.utf8)
            && (path.utf8.count == gatewayPath.utf8.count
                || path.utf8.dropFirst(gatewayPath.utf8.count).first == UInt8(ascii: "/"))
    }

    /// What a gateway asks, but for whom.
    private struct GatewayQuestion {
        let query: QueryParameters
        let limits: [String]?
        let amounts: [(Meter, Int)]
        let credits: Int?
        let consumes: Bool
        let denied: HTTPStatus
        let allowsOnError: Bool
    }

    func checkForGateway(_ call: Call, for recipient: Recipient) {
        let request = call.request
        let (asked, decision): (GatewayQuestion, Decision)
        do {
            asked = try gatewayQuestion(request)
            if let other = try otherWorkspace(asked.query, call.principal) {
                return other.checkForGateway(call, for: recipient)
            }
            var checked = Decision(
                asked.consumes ? .consume : .check, subject: try subject(call, asked.query),
                credits: asked.credits, amounts: asked.amounts, limits: asked.limits)
            // Limits alone ask whether they are used up: an amount of 0 would always be allowed.
            if asked.amounts.isEmpty, asked.credits == nil { checked.defaultAmount = 1 }
            decision = checked
        } catch {
            let problem = problem(error)
            let isUndecided = problem.status.code >= 500
            return send(
                isUndecided
                    ? answerUnknownGateway(request) : problem.response(at: request.path),
                to: recipient)
        }
        guard environment.readiness.isAccepted else {
            return send(undecided(asked, at: request.path), to: recipient)
        }
        decide(decision) { [self, path = request.path] result in
            send(answer(result, asked, at: path), to: recipient)
        }
    }

    /// What a gateway is answered while nobody can say whose key it brings. Nothing is told of anybody and
    /// nothing counted, and the query is the gateway's own: so it is as it chose.
    func answerUnknownGateway(_ request: HTTPRequest) -> HTTPResponse {
        do {
            return undecided(try gatewayQuestion(request), at: request.path)
        } catch {
            return problem(error).response(at: request.path)
        }
    }

    private func answer(
        _ result: Result<Verdict, any Error>, _ asked: GatewayQuestion, at path: String
    ) -> HTTPResponse {
        switch result {
        case .success(let verdict) where verdict.status == .allowed:
            return allowed(verdict, takes: asked.consumes)
        case .success(let verdict) where verdict.status.isDenial:
            var response = denial(of: verdict, at: path, status: asked.denied)
            response.headers += Self.remaining(verdict, taken: false)
            // A gateway may copy 401 to a client, which has to be told how to sign in.
            if asked.denied == .unauthorized {
                response.headers.append(("WWW-Authenticate", "Bearer realm=\"tally\""))
            }
            return response
        case .success(let verdict): return denial(of: verdict, at: path)
        case .failure(let error):
            let problem = problem(error)
            return problem.status.code >= 500
                ? undecided(asked, at: path) : problem.response(at: path)
        }
    }

    private func allowed(_ verdict: Verdict, takes: Bool) -> HTTPResponse {
        // Of somebody who is not counted nothing is.
        let taken = takes && verdict.skipped == nil
        return HTTPResponse(
            headers: texts.headers(verdict, taken: taken) + Self.remaining(verdict, taken: taken))
    }

    /// The least that is left, of limits that are some.
    private static func remaining(
        _ verdict: Verdict, taken: Bool
    ) -> [(name: String, value: String)] {
        let left = verdict.limits.filter { $0.most != nil }.map { $0.remaining(taken: taken) }.min()
        return left.map { [("X-Tally-Remaining", "\($0)")] } ?? []
    }

    /// Redis did not say: as the gateway chose.
    private func undecided(_ asked: GatewayQuestion, at path: String) -> HTTPResponse {
        environment.routes.undecided(isAllowed: asked.allowsOnError)
        if asked.allowsOnError {
            return HTTPResponse(headers: [("X-Tally-Degraded", "true")])
        }
        var problem = HTTPProblem(
            asked.denied, code: "backend_unavailable",
            detail: "it cannot be told now whether this is allowed")
        problem.headers = [("Retry-After", "1")]
        return problem.response(at: path)
    }

    // MARK: What is asked

    /// Header fields that only the gateway may set.
    private var trusted: [String] {
        ["X-Tally-Check", environment.subjectHeader, "X-Guest-ID", "X-Original-Content-Length"]
    }
    private static let named = [
        "limits", "subject", "deny", "on_error", "consume", "credits", "workspace",
    ]

    private func gatewayQuestion(_ request: HTTPRequest) throws -> GatewayQuestion {
        for name in trusted where request.headers.values(of: name.lowercased()).count > 1 {
            throw HTTPProblem.badRequest(
                "duplicate_header", "\(name) is given twice: the gateway has to replace it")
        }
        // Below the path, query and path are the client's own: only the header counts there. At
        // the path it is the other way round, since a gateway may hand clients' headers on.
        let isBelow = request.path.utf8.count > Self.gatewayPath.utf8.count
        let text = isBelow ? try Self.headerQuery(request) : request.query
        let query = try QueryParameters(
            text, isKnown: { Self.named.contains($0) || Meter(name: Array($0.utf8)) != nil })
        var amounts: [(Meter, Int)] = []
        for (name, value) in query.values where !Self.named.contains(name) {
            guard let meter = Meter(name: Array(name.utf8)) else { continue }
            amounts.append((meter, try Self.amount(value, of: name, request, query)))
        }
        let limits = query.text("limits").map { $0.split(separator: ",").map(String.init) }
        var credits: Int?
        if let text = query.text("credits") { credits = try MicroDecimal.micros(text, "credits") }
        guard credits == nil || !amounts.contains(where: { $0.0 == .creditsMicro }) else {
            throw EventRejection.ambiguous("credits", "credits_micro")
        }
        let asksForRoom = amounts.isEmpty && credits == nil
        guard limits?.isEmpty != true, limits != nil || !asksForRoom else {
            throw HTTPProblem.badRequest(
                "nothing_asked",
                "name limits (limits=files_per_day), amounts (files_uploaded=1) or credits")
        }
        let consumes = try query.text("consume") == nil || query.flag("consume")
        return GatewayQuestion(
            query: query, limits: limits, amounts: try EventDecoder.withTokens(amounts),
            credits: credits, consumes: consumes && !asksForRoom,
            denied: try Self.denied(query), allowsOnError: try Self.allowsOnError(query))
    }

    /// The workspace that the operator's gateway names, if it is another one. A header would be its client's to choose.
    private func otherWorkspace(
        _ query: QueryParameters, _ principal: Principal
    ) throws(HTTPProblem) -> API? {
        guard let name = query.text("workspace"), name != engine.settings.id.text else {
            return nil
        }
        guard principal.role == .operator, let id = WorkspaceID(name) else {
            throw .noSuchWorkspace
        }
        return try sibling(id)
    }

    private static func headerQuery(_ request: HTTPRequest) throws -> String? {
        guard let bytes = request.headers.bytes(of: "x-tally-check") else { return nil }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw HTTPProblem.badRequest("invalid_parameter", "X-Tally-Check is not valid UTF-8")
        }
        return text
    }

    /// Whose key it is, where the gateway hands an end user's on; of a back end's key the query's subject,
    /// else that of the gateway's header, else a guest's.
    private func subject(_ call: Call, _ query: QueryParameters) throws -> SubjectID {
        let request = call.request
        let header = request.headers.bytes(of: environment.subjectHeader).flatMap {
            $0.isEmpty ? nil : $0
        }
        let named = try (query.text("subject").map { Array($0.utf8)[...] } ?? header).map { bytes in
            guard let subject = SubjectID(bytes: bytes) else { throw HTTPProblem.invalidSubject }
            return subject
        }
        if call.principal.role == .oneself {
            let own = try ownSubject(call)
            guard named == nil || named == own else {
                throw HTTPProblem.forbidden("a key of an end user is checked for that user alone")
            }
            return own
        }
        if let named { return named }
        guard let guest = request.headers.bytes(of: "x-guest-id"), !guest.isEmpty else {
            throw HTTPProblem.unauthorized(
                "name the subject: subject= in the query, \(environment.subjectHeader), or X-Guest-ID; "
                    + "or come with the user's own key"
            )
        }
        guard let subject = SubjectID(guest: guest) else { throw HTTPProblem.invalidGuest }
        return subject
    }

    private static func amount(
        _ text: String, of name: String, _ request: HTTPRequest, _ query: QueryParameters
    ) throws -> Int {
        guard text == "content-length" else {
            return try query.integer(name, in: 0...9_007_199_254_740_991, default: 0)
        }
        // Gateways ask without the body, so their own Content-Length says nothing of it.
        guard let length = request.headers.value(of: "x-original-content-length"),
            length.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
            let bytes = Int(length), bytes <= 9_007_199_254_740_991
        else {
            throw HTTPProblem(
                .lengthRequired, code: "length_required",
                detail: "X-Original-Content-Length has to say how long the request is")
        }
        return bytes
    }

    private static func denied(_ query: QueryParameters) throws -> HTTPStatus {
        switch query.text("deny") {
        case nil, "429": .tooManyRequests
        case "401": .unauthorized
        case "403": .forbidden
        default: throw HTTPProblem.badRequest("invalid_parameter", "deny is 401, 403 or 429")
        }
    }

    private static func allowsOnError(_ query: QueryParameters) throws -> Bool {
        switch query.text("on_error") {
        case nil, "deny": false
        case "allow": true
        default: throw HTTPProblem.badRequest("invalid_parameter", "on_error is allow or deny")
        }
    }
}
