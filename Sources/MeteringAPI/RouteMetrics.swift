// SPDX-License-Identifier: Apache-2.0

public import HTTPServer
public import Observability
internal import Synchronization

/// Counts requests by route and status class, and their latency.
public final class RouteMetrics: Sendable {
    /// A route, as it is named in metrics: never the path itself, which clients choose.
    final class Route: Sendable {
        private let registry: MetricsRegistry
        private let name: String
        /// The usual answer, without looking its counter up.
        private let ok: Counter
        private let others = Mutex<[Int: Counter]>([:])
        private let latency: Histogram

        init(_ name: String, _ registry: MetricsRegistry) {
            self.registry = registry
            self.name = name
            ok = Self.counter(name, 200, registry)
            latency = registry.histogram(
                "tally_http_request_seconds", help: "From the whole request to its answer.",
                scale: 1e-6, labels: ["route": name])
        }

        private static func counter(_ name: String, _ status: Int, _ registry: MetricsRegistry)
            -> Counter
        {
            registry.counter(
                "tally_http_requests_total", help: "Requests answered, by route and status.",
                labels: ["route": name, "status": "\(status)"])
        }

        /// Counts an answer; `microseconds` since the request was whole.
        func observe(_ status: HTTPStatus, microseconds: Int) {
            (status.code == 200 ? ok : other(status.code)).add()
            latency.observe(microseconds)
        }

        /// Denials come as fast as anything: the registry, which reads names, is asked once.
        private func other(_ status: Int) -> Counter {
            others.withLock { others in
                if let counter = others[status] { return counter }
                let counter = Self.counter(name, status, registry)
                others[status] = counter
                return counter
            }
        }
    }

    let inFlight: Gauge
    // There from the start: what watches them sees them grow.
    private let undecidedAllowed: Counter
    private let undecidedDenied: Counter
    private let registry: MetricsRegistry
    private let routes = Mutex<[String: Route]>([:])

    public init(_ registry: MetricsRegistry) {
        self.registry = registry
        inFlight = registry.gauge("tally_http_requests_in_flight", help: "Requests being answered.")
        func undecided(_ answer: String) -> Counter {
            registry.counter(
                "tally_gateway_undecided_total",
                help: "Checks of gateways that could not be decided, by what the gateway chose.",
                labels: ["answer": answer])
        }
        (undecidedAllowed, undecidedDenied) = (undecided("allow"), undecided("deny"))
    }

    /// Counts a gateway's check that Redis did not answer.
    func undecided(isAllowed: Bool) { (isAllowed ? undecidedAllowed : undecidedDenied).add() }

    /// Counts an answer of the pages, which are made at once.
    public func observePages(_ status: HTTPStatus) {
        route("pages").observe(status, microseconds: 0)
    }

    func route(_ name: String) -> Route {
        routes.withLock { routes in
            if let route = routes[name] { return route }
            let route = Route(name, registry)
            routes[name] = route
            return route
        }
    }
}
