// SPDX-License-Identifier: Apache-2.0

public import HTTPServer
public import Identity
public import JSON
public import Metering
internal import Observability

/// A route: a path whose segments in braces are parameters, and whom it is for.
struct Route: Sendable {
    typealias Handler = @Sendable (API, API.Call) async throws -> HTTPResponse

    let method: HTTPMethod
    let path: [Substring]
    let name: String
    let access: Access
    let handler: Handler
    /// Whether a request may change something: whoever has only the cookie of a session is then asked where
    /// it comes from.
    let changes: Bool
    /// Whether it goes through all subjects, so that a process answers only some of them at a time.
    let isLong: Bool
    /// Whether the first parameter of the path is the subject whose own it is.
    let namesSubject: Bool

    /// - Parameter changes: nil for a route that changes something as its method says.
    init(
        _ method: HTTPMethod, _ path: String, access: Access, changes: Bool? = nil,
        isLong: Bool = false, _ handler: @escaping Handler
    ) {
        self.method = method
        self.changes = changes ?? (method != .get)
        self.path = path.split(separator: "/")
        name = path
        self.access = access
        self.isLong = isLong
        self.handler = handler
        namesSubject = self.path.contains { Self.subjectParameters.contains($0) }
    }

    private static let subjectParameters: Set<Substring> = ["{id}", "{subject}", "{user_id}"]
}

/// Takes each request to the route that it is for, in the workspace of its caller, if the caller
/// may. On one loop.
public final class Router: HTTPResponder {
    static let routes: [Route] =
        API.eventRoutes + API.historyRoutes + API.exportRoutes + API.readRoutes
        + API.subjectRoutes + API.mergeRoutes + API.eraseRoutes
        + API.leaderboardRoutes + API.seriesRoutes + API.forecastRoutes + API.ruleRoutes
        + API.creditRoutes + API.checkRoutes + API.holdRoutes + API.gatewayRoutes
        + API.workspaceRoutes + API.keyRoutes + API.keyPoolRoutes + API.tokenRoutes
        + API.costRoutes + API.guestRoutes + API.trackRoutes + API.creditMonitoringRoutes
        + API.sessionRoutes + API.streamRoutes + API.alertRoutes + API.auditRoutes
        + API.descriptionRoutes + API.healthRoutes

    private let environment: API.Environment
    private let store: DirectoryStore
    private let json: JSONReader
    private let authentication: Authentication
    private let crossOrigin: CrossOrigin
    private let make: (WorkspaceSettings, JSONReader) -> API
    private var apis: [WorkspaceID: (api: API, settings: WorkspaceSettings)] = [:]
    /// The one that was asked for last.
    private var latest: (api: API, settings: WorkspaceSettings)?
    /// The directory's, when `apis` was looked through last.
    private var generation = 0
    private let fallback: API
    private let eventsRoute: RouteMetrics.Route
    private let checkRoute: RouteMetrics.Route
    private let gatewayRoute: RouteMetrics.Route
    private let healthRoute: RouteMetrics.Route

    /// - Parameters:
    ///   - operatorKey: at least 16 characters; the caller has checked that.
    ///   - tokens: verifies tokens of other applications; nil accepts none.
    ///   - make: makes the API of a workspace on this loop, when it is first asked for, and when
    ///     its settings change.
    public init(
        environment: API.Environment, operatorKey: String, store: DirectoryStore,
        attempts: AttemptLimiter, tokens: TokenVerifier? = nil,
        crossOrigin: CrossOrigin = CrossOrigin(origins: []), json: JSONReader,
        _ make: @escaping (WorkspaceSettings, JSONReader) -> API
    ) {
        self.json = json
        self.environment = environment
        self.store = store
        self.make = make
        authentication = Authentication(
            operatorKey: operatorKey, store: store, attempts: attempts, tokens: tokens)
        self.crossOrigin = crossOrigin
        eventsRoute = environment.routes.route("/v1/events")
        checkRoute = environment.routes.route("/v1/check")
        gatewayRoute = environment.routes.route(API.gatewayPath)
        healthRoute = environment.routes.route("/healthz")
        // The first request shall not pay for it.
        let defaults = store.directory.defaults
        fallback = make(defaults, json)
        introduce(fallback, defaults)
    }

    public func respondNow(to request: HTTPRequest, reply: HTTPReply) -> Bool {
        if request.method == .get, request.path == "/healthz", request.query == nil,
            crossOrigin.origin(of: request) == nil
        {
            reply.send(API.healthy)
            healthRoute.observe(.ok, microseconds: 0)
            return true
        }
        if API.isGatewayPath(request.path) {
            return answer(request, reply, gatewayRoute, for: .holder) {
                $0.checkForGateway($1, for: $2)
            }
        }
        guard request.method == .post, crossOrigin.origin(of: request) == nil else {
            return false
        }
        if request.path == "/v1/events", request.query == nil {
            return answer(request, reply, eventsRoute) { $0.recordEvents($1, for: $2) }
        }
        if request.path == "/v1/check" {
            return answer(request, reply, checkRoute) { $0.check($1, for: $2) }
        }
        return false
    }

    /// The hot path: what back ends call. False when it has to be found out first who calls.
    private func answer(
        _ request: HTTPRequest, _ reply: HTTPReply, _ route: RouteMetrics.Route,
        for access: Access = .writer, _ handler: (API, API.Call, Recipient) -> Void
    ) -> Bool {
        // All that is answered here counts or takes.
        let finding = authentication.find(request, changes: true)
        switch finding {
        case .unknown, .unknownWorkspace: return false
        // Whether it is a user by now has to be asked.
        case .principal(let principal) where principal.subject?.kind == .guest: return false
        case .principal, .refused: break
        }
        environment.routes.inFlight.add(1)
        let recipient = Recipient.reply(reply, route, since: monotonicMicroseconds())
        do throws(HTTPProblem) {
            guard case .principal(let principal) = finding else {
                if case .refused(let problem) = finding { throw problem }
                throw .unknownKey
            }
            guard access.includes(principal.role) else { throw .forbidden(to: access) }
            let api = try api(of: principal.workspace, born: principal.birth)
            handler(api, API.Call(request: request, principal: principal), recipient)
        } catch {
            let isUndecided = error.status.code >= 500 && API.isGatewayPath(request.path)
            fallback.send(
                isUndecided
                    ? fallback.answerUnknownGateway(request) : error.response(at: request.path),
                to: recipient)
        }
        return true
    }

    public func respond(to request: HTTPRequest) async -> HTTPResponse {
        if let response = crossOrigin.preflight(request) { return response }
        let start = monotonicMicroseconds()
        environment.routes.inFlight.add(1)
        var (name, response) = await answer(request)
        if let origin = crossOrigin.origin(of: request) { crossOrigin.open(&response, to: origin) }
        environment.routes.inFlight.add(-1)
        environment.routes.route(name).observe(
            response.status, microseconds: monotonicMicroseconds() - start)
        return response
    }

    private func answer(_ request: HTTPRequest) async -> (route: String, HTTPResponse) {
        do {
            let (route, parameters) = try await route(for: request)
            do {
                let principal = try await caller(of: request, for: route, parameters)
                let call = API.Call(
                    request: request, parameters: parameters, principal: principal)
                let api =
                    route.access == .open
                    ? fallback : try api(of: principal.workspace, born: principal.birth)
                // An id that anybody may know shall not be the user's, nor a key that the guest was given.
                if let guest = principal.subject, guest.kind == .guest,
                    try await back(api.queries.user(ofGuest: guest)) != nil
                {
                    throw HTTPProblem.guestMerged
                }
                let slot = route.isLong ? try await api.questionSlot(for: call) : nil
                defer { withExtendedLifetime(slot) {} }
                let response =
                    route.isNoted(call)
                    ? try await api.noted(route, call) : try await route.handler(api, call)
                return (route.name, response)
            } catch {
                let problem = fallback.problem(
                    error, isChange: request.method != .get && request.method != .head)
                if route.name == API.gatewayPath, problem.status.code >= 500 {
                    return (route.name, fallback.answerUnknownGateway(request))
                }
                return (route.name, problem.response(at: request.path))
            }
        } catch {
            return ("none", fallback.problem(error).response(at: request.path))
        }
    }

    /// Who asks, if it may ask this.
    private func caller(
        of request: HTTPRequest, for route: Route, _ parameters: [String]
    ) async throws -> Principal {
        if route.access == .open {
            return Principal(role: .guest, workspace: .default, name: "anybody")
        }
        let guest = route.access.includes(.guest) ? try authentication.guest(request) : nil
        let principal: Principal
        if let guest {
            if let wait = environment.guests.wait(
                of: request.remoteAddress, atUS: monotonicMicroseconds())
            {
                throw HTTPProblem.tooManyGuestRequests(wait)
            }
            principal = guest
        } else if API.isOfGuestClients(request.path), Authentication.secret(of: request) == nil,
            request.headers.value(of: "authorization") == nil
        {
            throw HTTPProblem.notAuthenticated
        } else {
            principal = try await authentication.principal(of: request, changes: route.changes)
        }
        guard route.access.includes(principal.role) else {
            throw HTTPProblem.forbidden(to: route.access)
        }
        if let subject = principal.subject, let named = parameters.first, route.namesSubject,
            SubjectID(named) != subject
        {
            throw HTTPProblem.forbidden("this is for what is one's own")
        }
        return principal
    }

    /// - Parameter birth: of the workspace that is meant; nil for whichever has the id now.
    /// - Throws: 401 when it has gone.
    private func api(of workspace: WorkspaceID, born birth: String?) throws(HTTPProblem) -> API {
        let present = try present(workspace)
        // A key outlives its workspace for a moment, and nothing of it reaches the next one of the id.
        guard birth == nil || birth == present.settings.birth else { throw .unknownKey }
        return present.api
    }

    private func present(
        _ workspace: WorkspaceID
    ) throws(HTTPProblem) -> (api: API, settings: WorkspaceSettings) {
        let directory = store.directory
        if generation != directory.generation {
            generation = directory.generation
            latest = nil
            apis = apis.filter { id, made in directory.settings(of: id) == made.settings }
        }
        // Settings may have changed and changed back since an engine was retired.
        if let latest, latest.settings.id == workspace, !latest.api.queries.isRetired {
            return latest
        }
        if let made = apis[workspace], !made.api.queries.isRetired {
            latest = made
            return made
        }
        guard let settings = directory.settings(of: workspace) else {
            throw directory.isDamaged(workspace) ? .damagedSettings : .unknownKey
        }
        let api = make(settings, json)
        introduce(api, settings)
        return (api, settings)
    }

    private func introduce(_ api: API, _ settings: WorkspaceSettings) {
        api.sibling = { [weak self] workspace throws(HTTPProblem) in
            guard let self else { throw .noSuchWorkspace }
            if workspace == settings.id {
                return try self.api(of: workspace, born: settings.birth)
            }
            let directory = self.store.directory
            guard directory.settings(of: workspace) != nil || directory.isDamaged(workspace) else {
                throw .noSuchWorkspace
            }
            return try self.api(of: workspace, born: nil)
        }
        api.isStillAllowed = { [weak self, weak api] call in
            guard let self, let api,
                let now = try? await self.authentication.principal(
                    of: call.request, changes: false)
            else { return false }
            // The operator may ask about another workspace than it acts in.
            return now == call.principal && (try? self.present(settings.id).api) === api
        }
        apis[settings.id] = (api, settings)
    }

    /// The route of a request, or 404, or 405 with the methods that the path has.
    private func route(for request: HTTPRequest) async throws -> (Route, [String]) {
        // Below its path a gateway puts that of the request which it asks about.
        let path = API.isGatewayPath(request.path) ? API.gatewayPath : request.path
        let segments = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
        var allowed: Set<HTTPMethod> = []
        for route in Self.routes {
            guard let parameters = route.parameters(of: segments) else { continue }
            if route.method == request.method || (request.method == .head && route.method == .get) {
                return (route, parameters)
            }
            allowed.insert(route.method)
            if route.method == .get { allowed.insert(.head) }
        }
        // Nothing of the service is told without a key, not even which paths exist.
        if Self.guarded.contains(where: { request.path.hasPrefix($0) }) {
            _ = try await authentication.principal(of: request, changes: false)
        }
        guard !allowed.isEmpty else {
            throw HTTPProblem.notFound("there is nothing at this path")
        }
        throw HTTPProblem.methodNotAllowed(allowed.map(\.name).sorted())
    }

    private static let guarded = ["/v1/", "/api/", "/usage/", "/admin/"]
}

extension Route {
    /// The decoded parameters if the path matches, in order.
    fileprivate func parameters(of segments: ArraySlice<Substring>) -> [String]? {
        guard segments.count == path.count else { return nil }
        var parameters: [String] = []
        for (segment, pattern) in zip(segments, path) {
            if pattern.first == "{" {
                guard let bytes = percentDecodedBytes(segment), !bytes.isEmpty,
                    let text = String(validating: bytes, as: UTF8.self)
                else { return nil }
                parameters.append(text)
            } else if segment != pattern {
                return nil
            }
        }
        return parameters
    }
}

extension HTTPProblem {
    static func methodNotAllowed(_ allowed: [String]) -> HTTPProblem {
        var problem = HTTPProblem(
            .methodNotAllowed, code: "method_not_allowed", title: "Method Not Allowed",
            detail: "this path takes \(allowed.joined(separator: ", "))")
        problem.headers.append((name: "Allow", value: allowed.joined(separator: ", ")))
        return problem
    }

    /// 403: the caller is known, and its role is another.
    static func forbidden(to access: Access) -> HTTPProblem {
        .forbidden("this takes a key with the role \(access.names.joined(separator: " or "))")
    }
}
