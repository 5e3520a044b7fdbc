// SPDX-License-Identifier: Apache-2.0

internal import MeteringAPI
internal import Observability
internal import Redis

/// Tells when the disk of Redis does not keep up. With `appendfsync everysec` Redis goes on after two
/// seconds without waiting for it: a crash of Redis then takes more than the last second.
struct DiskWatch {
    private static let problem =
        "the disk of Redis is slow: what was acknowledged in the last seconds may not be on it yet"

    private let delayed: Counter
    private let readiness: Readiness
    private let logger: Logger
    /// At the look before.
    private var count: Int?
    private var isSlow = false

    init(_ metrics: MetricsRegistry, _ readiness: Readiness, _ logger: Logger) {
        delayed = metrics.counter(
            "tally_redis_delayed_fsyncs_total",
            help: "How often Redis went on though the disk had not taken its log for two seconds.")
        self.readiness = readiness
        self.logger = logger
    }

    /// Takes what Redis says now; one that was started anew counts from zero.
    mutating func look(at report: RedisServerReport) {
        guard let now = report.delayedSyncCount else { return }
        let before = count.map { $0 <= now ? $0 : 0 } ?? now
        count = now
        delayed.add(now - before)
        guard isSlow != (now > before) else { return }
        isSlow.toggle()
        readiness.setDisk(problem: isSlow ? Self.problem : nil)
        if isSlow {
            logger.warning("the disk of Redis does not keep up: a crash may take some seconds")
        } else {
            logger.notice("the disk of Redis keeps up again")
        }
    }
}
