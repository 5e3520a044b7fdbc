// SPDX-License-Identifier: Apache-2.0

public import Observability
internal import Synchronization

/// What is counted about snapshots, of all workspaces that this process writes.
public final class FlushMetrics: Sendable {
    /// What a workspace's flusher found last.
    struct Standing {
        var hotDays = 0
        var coldDays = 0
        /// When all its snapshots were current, in seconds since 1970; 0 for never.
        var lastSuccess = 0
    }

    let seconds: Histogram
    let days: Counter
    let failures: Counter
    let registry: MetricsRegistry
    private let lastSuccess: Gauge
    private let hotDays: Gauge
    private let coldDays: Gauge
    private let standings = Mutex<[ObjectIdentifier: Standing]>([:])

    public init(_ registry: MetricsRegistry) {
        self.registry = registry
        hotDays = registry.gauge("tally_days_hot", help: "Days whose detail is in Redis.")
        coldDays = registry.gauge(
            "tally_days_cold", help: "Days that have left Redis and are in their files only.")
        seconds = registry.histogram(
            "tally_flush_seconds", help: "Time of a turn that wrote snapshots.", scale: 1e-6)
        days = registry.counter("tally_flushed_days_total", help: "Snapshots of days written.")
        failures = registry.counter(
            "tally_flush_failures_total", help: "Turns in which a snapshot could not be written.")
        lastSuccess = registry.gauge(
            "tally_flush_last_success_timestamp_seconds",
            help: "When the snapshots of each workspace were current last, in seconds since 1970.")
    }

    /// Notes how a workspace stands: sums of days, and the time of the one that is furthest behind, are
    /// told.
    func note(_ flusher: Flusher, _ change: (inout Standing) -> Void) {
        standings.withLock {
            change(&$0[ObjectIdentifier(flusher), default: Standing()])
            tell($0)
        }
    }

    /// Forgets a workspace that is gone, or that another process writes.
    func forget(_ flusher: Flusher) {
        standings.withLock {
            guard $0.removeValue(forKey: ObjectIdentifier(flusher)) != nil else { return }
            tell($0)
        }
    }

    private func tell(_ standings: [ObjectIdentifier: Standing]) {
        hotDays.set(standings.values.reduce(0) { $0 + $1.hotDays })
        coldDays.set(standings.values.reduce(0) { $0 + $1.coldDays })
        guard let oldest = standings.values.map(\.lastSuccess).min() else { return }
        lastSuccess.set(oldest)
    }
}
