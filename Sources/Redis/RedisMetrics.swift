// SPDX-License-Identifier: Apache-2.0

public import Observability

extension MetricsRegistry {
    /// Counts commands of all clients that failed with a code.
    public func redisErrors(_ code: String) -> Counter {
        counter(
            "tally_redis_errors_total", help: "Commands that failed, by code.",
            labels: ["code": code])
    }
}

/// What is counted about Redis; shared by the clients of all loops.
final class RedisMetrics {
    let roundTrip: Histogram
    let outstanding: Gauge
    let reconnects: Counter
    private let registry: MetricsRegistry
    private var errors: [String: Counter] = [:]

    /// Codes with a counter of their own; a script may make up others without end.
    private static let known: Set<String> = [
        "ERR", "BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "MOVED", "NOAUTH",
        "NOPERM", "NOREPLICAS", "NOSCRIPT", "OOM", "READONLY", "WRONGPASS", "WRONGTYPE",
        "disconnected", "overloaded", "protocol", "timeout",
    ]

    init(_ registry: MetricsRegistry) {
        self.registry = registry
        roundTrip = registry.histogram(
            "tally_redis_round_trip_seconds", help: "Time from sending a command to its reply.",
            scale: 1e-6)
        outstanding = registry.gauge(
            "tally_redis_outstanding_commands", help: "Commands that wait for a reply.")
        reconnects = registry.counter(
            "tally_redis_reconnects_total", help: "Connections that were lost and made again.")
    }

    /// Counts an error, by its code.
    func countError(_ code: String) {
        let label = Self.known.contains(code) ? code : "other"
        if let counter = errors[label] { return counter.add() }
        let counter = registry.redisErrors(label)
        errors[label] = counter
        counter.add()
    }

    /// Counts a command that failed.
    func count(_ error: RedisError) {
        switch error {
        case .disconnected: countError("disconnected")
        case .timedOut: countError("timeout")
        case .server(let code, _): countError(code)
        case .unexpectedReply: countError("protocol")
        case .overloaded: countError("overloaded")
        }
    }
}
