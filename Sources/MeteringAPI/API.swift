// SPDX-License-Identifier: Apache-2.0

public import HTTPServer
internal import JSON
public import Metering
public import Observability

/// Answers HTTP requests from the engine of one loop. Made and used on the loop.
public final class API: HTTPResponder {
    /// What the facade says about the process, the same on all loops.
    public struct Environment: Sendable {
        public var authentication: Authentication
        public var metrics: MetricsRegistry
        public var routes: RouteMetrics
        public var readiness: Readiness
        /// Answers what goes over many days; shared by the loops.
        public var queries: QueryEngine
        /// The header field in which a gateway names the subject of a check.
        public var subjectHeader: String

        public init(
            authentication: Authentication, metrics: MetricsRegistry, routes: RouteMetrics,
            readiness: Readiness, queries: QueryEngine, subjectHeader: String = "X-Tally-Subject"
        ) {
            self.subjectHeader = subjectHeader
            self.authentication = authentication
            self.metrics = metrics
            self.routes = routes
            self.readiness = readiness
            self.queries = queries
        }
    }

    typealias Handler = @Sendable (API, Call) async throws -> HTTPResponse

    /// A route: a path whose segments in braces are parameters.
    struct Route: Sendable {
        let method: HTTPMethod
        let path: [Substring]
        let name: String
        let isOpen: Bool
        let handler: Handler

        init(
            _ method: HTTPMethod, _ path: String, isOpen: Bool = false, _ handler: @escaping Handler
        ) {
            self.method = method
            self.path = path.split(separator: "/")
            name = path
            self.isOpen = isOpen
            self.handler = handler
        }
    }

    /// A request on its way to a handler, with the parameters of its path, decoded.
    struct Call {
        let request: HTTPRequest
        let parameters: [String]
    }

    let engine: MeteringEngine
    let environment: Environment
    let json: JSONReader
    let texts = VerdictTexts()
    let labels = LabelMemory()
    private let routes: [Route]
    private let eventsRoute: RouteMetrics.Route
    private let checkRoute: RouteMetrics.Route
    private let gatewayRoute: RouteMetrics.Route
    private let healthRoute: RouteMetrics.Route

    public init(engine: MeteringEngine, environment: Environment) {
        guard let json = try? JSONReader() else { preconditionFailure("no memory at the start") }
        self.json = json
        self.engine = engine
        self.environment = environment
        routes =
            Self.eventRoutes + Self.historyRoutes + Self.readRoutes + Self.ruleRoutes
            + Self.creditRoutes
            + Self.checkRoutes + Self.holdRoutes + Self.gatewayRoutes + Self.healthRoutes
        eventsRoute = environment.routes.route("/v1/events")
        checkRoute = environment.routes.route("/v1/check")
        gatewayRoute = environment.routes.route(Self.gatewayPath)
        healthRoute = environment.routes.route("/healthz")
    }

    public func respondNow(to request: HTTPRequest, reply: HTTPReply) -> Bool {
        if request.method == .get, request.path == "/healthz", request.query == nil {
            reply.send(Self.healthy)
            healthRoute.observe(.ok, microseconds: 0)
            return true
        }
        if Self.isGatewayPath(request.path) {
            checkForGateway(request, for: recipient(reply, gatewayRoute))
        } else if request.method == .post, request.path == "/v1/events" {
            recordEvents(request, for: recipient(reply, eventsRoute))
        } else if request.method == .post, request.path == "/v1/check" {
            check(request, for: recipient(reply, checkRoute))
        } else {
            return false
        }
        return true
    }

    private func recipient(_ reply: HTTPReply, _ route: RouteMetrics.Route) -> Recipient {
        environment.routes.inFlight.add(1)
        return .reply(reply, route, since: monotonicMicroseconds())
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
                if !route.isOpen, let refusal = environment.authentication.refusal(of: request) {
                    throw refusal
                }
                return (
                    route.name,
                    try await route.handler(self, Call(request: request, parameters: parameters))
                )
            } catch {
                return (route.name, problem(error).response(at: request.path))
            }
        } catch {
            return ("none", error.response(at: request.path))
        }
    }

    /// The route of a request, or 404, or 405 with the methods that the path has.
    private func route(for request: HTTPRequest) throws(HTTPProblem) -> (Route, [String]) {
        let segments = request.path.split(separator: "/", omittingEmptySubsequences: false)
            .dropFirst()
        var allowed: Set<HTTPMethod> = []
        for route in routes {
            guard let parameters = route.parameters(of: segments) else { continue }
            if route.method == request.method || (request.method == .head && route.method == .get) {
                return (route, parameters)
            }
            allowed.insert(route.method)
            if route.method == .get { allowed.insert(.head) }
        }
        // Nothing of the service is told without a key, not even which paths exist.
        if !request.path.hasPrefix("/v1/") || environment.authentication.refusal(of: request) == nil
        {
            guard !allowed.isEmpty else { throw .notFound("there is nothing at this path") }
            throw .methodNotAllowed(allowed.map(\.name).sorted())
        }
        throw environment.authentication.refusal(of: request)
            ?? .notFound("there is nothing at this path")
    }

    /// The one place where errors become answers.
    func problem(_ error: any Error) -> HTTPProblem {
        switch error {
        case let problem as HTTPProblem: return problem
        case let rejection as EventRejection: return HTTPProblem(rejection)
        case let error as JSONError: return HTTPProblem(error)
        case MeteringError.unavailable(let error):
            return .unavailable("Redis did not answer: \(error)")
        case MeteringError.undecided(let reason):
            return .unavailable("\(reason); whether it was done is not known")
        case MeteringError.damaged(let what):
            return HTTPProblem(
                .serviceUnavailable, code: "data_conflict", title: "Service Unavailable",
                detail: "Redis holds something that Tally did not write: \(what)")
        default:
            return .unavailable("\(error)")
        }
    }
}

extension API.Route {
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

    init(_ rejection: EventRejection) {
        let status: HTTPStatus =
            switch rejection.status {
            case 400: .badRequest
            case 409: .conflict
            default: .unprocessableContent
            }
        self.init(status, code: rejection.code, detail: rejection.explanation)
    }

    init(_ error: JSONError) {
        self.init(.badRequest, code: error.code.rawValue, detail: error.message)
    }
}

extension EventRejection {
    /// What is wrong, and where.
    var explanation: String { field.isEmpty ? detail : "\(field): \(detail)" }
}
