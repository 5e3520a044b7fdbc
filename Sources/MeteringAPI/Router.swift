// SPDX-License-Identifier: Apache-2.0

public import HTTPServer
internal import Identity
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
    /// Whether the first parameter of the path is a subject: that of an end user who asks, then.
    let isOfSubject: Bool
    let handler: Handler

    init(
        _ method: HTTPMethod, _ path: String, access: Access, _ handler: @escaping Handler
    ) {
        self.method = method
        self.path = path.split(separator: "/")
        name = path
        isOfSubject = self.path.first { $0.first == "{" } != "{provider}"
        self.access = access
        self.handler = handler
    }
}

/// Takes each request to the route that it is for, in the workspace of its caller, if the caller
/// may. On one loop.
public final class Router: HTTPResponder {
    static let routes: [Route] =
        API.eventRoutes + API.historyRoutes + API.exportRoutes + API.readRoutes
        + API.leaderboardRoutes + API.seriesRoutes + API.forecastRoutes + API.ruleRoutes
        + API.creditRoutes + API.checkRoutes + API.holdRoutes + API.gatewayRoutes
        + API.healthRoutes + API.keyPoolRoutes + API.tokenRoutes

    private let environment: API.Environment
    private let json: JSONReader
    private let make: (WorkspaceID, JSONReader) -> API
    private var apis: [WorkspaceID: API] = [:]
    private let eventsRoute: RouteMetrics.Route
    private let checkRoute: RouteMetrics.Route
    private let gatewayRoute: RouteMetrics.Route
    private let healthRoute: RouteMetrics.Route

    /// - Parameter make: makes the API of a workspace on this loop, when it is first asked for.
    public init(
        environment: API.Environment, _ make: @escaping (WorkspaceID, JSONReader) -> API
    ) {
        guard let json = try? JSONReader() else { preconditionFailure("no memory at the start") }
        self.json = json
        self.environment = environment
        self.make = make
        eventsRoute = environment.routes.route("/v1/events")
        checkRoute = environment.routes.route("/v1/check")
        gatewayRoute = environment.routes.route(API.gatewayPath)
        healthRoute = environment.routes.route("/healthz")
        // The first request shall not pay for it.
        _ = api(of: .default)
    }

    public func respondNow(to request: HTTPRequest, reply: HTTPReply) -> Bool {
        if request.method == .get, request.path == "/healthz", request.query == nil {
            reply.send(API.healthy)
            healthRoute.observe(.ok, microseconds: 0)
            return true
        }
        if API.isGatewayPath(request.path) {
            answer(request, reply, gatewayRoute) { $0.checkForGateway($1, for: $2) }
        } else if request.method == .post, request.path == "/v1/events" {
            answer(request, reply, eventsRoute) { $0.recordEvents($1, for: $2) }
        } else if request.method == .post, request.path == "/v1/check" {
            answer(request, reply, checkRoute) { $0.check($1, for: $2) }
        } else {
            return false
        }
        return true
    }

    /// The hot path: what back ends call.
    private func answer(
        _ request: HTTPRequest, _ reply: HTTPReply, _ route: RouteMetrics.Route,
        _ handler: (API, API.Call, Recipient) -> Void
    ) {
        environment.routes.inFlight.add(1)
        let recipient = Recipient.reply(reply, route, since: monotonicMicroseconds())
        do throws(HTTPProblem) {
            let principal = try environment.authentication.principal(of: request)
            guard Access.writer.includes(principal.role) else {
                throw .forbidden(to: .writer)
            }
            let api = api(of: principal.workspace)
            handler(api, API.Call(request: request, principal: principal), recipient)
        } catch {
            api(of: .default).send(error.response(at: request.path), to: recipient)
        }
    }

    public func respond(to request: HTTPRequest) async -> HTTPResponse {
        let start = monotonicMicroseconds()
        environment.routes.inFlight.add(1)
        let (name, response) = await answer(request)
        environment.routes.inFlight.add(-1)
        environment.routes.route(name).observe(
            response.status, microseconds: monotonicMicroseconds() - start)
        return response
    }

    private func answer(_ request: HTTPRequest) async -> (route: String, HTTPResponse) {
        do throws(HTTPProblem) {
            let (route, parameters) = try route(for: request)
            do {
                let principal = try caller(of: request, for: route, parameters)
                let call = API.Call(
                    request: request, parameters: parameters, principal: principal)
                return (route.name, try await route.handler(api(of: principal.workspace), call))
            } catch {
                let problem = api(of: .default).problem(error)
                return (route.name, problem.response(at: request.path))
            }
        } catch {
            return ("none", error.response(at: request.path))
        }
    }

    /// Who asks, if it may ask this.
    private func caller(
        of request: HTTPRequest, for route: Route, _ parameters: [String]
    ) throws(HTTPProblem) -> Principal {
        if route.access == .open {
            return Principal(role: .guest, workspace: .default, name: "anybody")
        }
        let principal = try environment.authentication.principal(of: request)
        guard route.access.includes(principal.role) else { throw .forbidden(to: route.access) }
        if route.isOfSubject, let subject = principal.subject, let named = parameters.first,
            SubjectID(named) != subject
        {
            throw .forbidden("this key is for what is its subject's own")
        }
        return principal
    }

    private func api(of workspace: WorkspaceID) -> API {
        if let api = apis[workspace] { return api }
        let api = make(workspace, json)
        apis[workspace] = api
        return api
    }

    /// The route of a request, or 404, or 405 with the methods that the path has.
    private func route(for request: HTTPRequest) throws(HTTPProblem) -> (Route, [String]) {
        let segments = request.path.split(separator: "/", omittingEmptySubsequences: false)
            .dropFirst()
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
            _ = try environment.authentication.principal(of: request)
        }
        guard !allowed.isEmpty else { throw .notFound("there is nothing at this path") }
        throw .methodNotAllowed(allowed.map(\.name).sorted())
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
