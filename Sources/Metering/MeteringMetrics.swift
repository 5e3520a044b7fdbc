// SPDX-License-Identifier: Apache-2.0

public import Observability

/// What the engine counts about itself.
public final class MeteringMetrics: Sendable {
    let batchSize: Histogram
    let batchHeld: Histogram
    let counted: Counter
    let duplicates: Counter
    let skipped: Counter
    let rejected: Counter
    let resent: Counter
    let fastDenials: Counter
    /// Holds that are open, and that expired without being ended.
    public let openHolds: Gauge
    public let leakedHolds: Gauge
    /// Workspaces whose secrets `secrets.key` does not open.
    public let sealedWorkspaces: Gauge

    public init(_ registry: MetricsRegistry) {
        batchSize = registry.histogram(
            "tally_batch_events", help: "Events per script call.", scale: 1)
        batchHeld = registry.histogram(
            "tally_batch_held_seconds", help: "Time for which a large batch held Redis.",
            scale: 1e-6)
        counted = registry.counter("tally_events_recorded_total", help: "Events counted.")
        duplicates = registry.counter(
            "tally_events_duplicate_total", help: "Events not counted again, by their id.")
        skipped = registry.counter(
            "tally_events_skipped_total", help: "Events of subjects that are not counted.")
        rejected = registry.counter(
            "tally_events_overflow_total", help: "Events refused because a total would overflow.")
        fastDenials = registry.counter(
            "tally_denials_from_memory_total", help: "Checks denied without asking Redis.")
        openHolds = registry.gauge("tally_holds_open", help: "Holds that are open.")
        leakedHolds = registry.gauge(
            "tally_holds_leaked", help: "Holds that expired without being ended, of 35 days.")
        sealedWorkspaces = registry.gauge(
            "tally_secrets_unreadable_workspaces",
            help: "Workspaces whose secrets of pools and webhooks cannot be read.")
        resent = registry.counter(
            "tally_batches_resent_total", help: "Batches sent again after an unknown outcome.")
    }
}
