// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Metering
internal import MeteringAPI
internal import Observability
internal import Redis

/// Writes snapshots now and then, and once more at the end. Its loop is its own, and so is its
/// connection: a slow disk holds up nobody else.
actor SnapshotKeeper {
    /// How long the end may take: what cannot be written by then is written by the next start.
    private static let farewellMS = 4_000
    /// How soon it is tried again after a failure, at most.
    private static let retryMS = 10_000

    private nonisolated let loop: EventLoop
    private let redis: RedisConfiguration
    private let settings: WorkspaceSettings
    private let clock: any Clock
    private let readiness: Readiness
    private let data: String
    private let intervalMS: Int
    private let metrics: MetricsRegistry
    private let logger: Logger
    private var client: RedisClient?
    private var flusher: Flusher?
    private var isStopped = false
    private var isFlushing = false

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(
        on loop: EventLoop, redis: RedisConfiguration, settings: WorkspaceSettings,
        clock: any Clock, readiness: Readiness, data: String, intervalSeconds: Int,
        metrics: MetricsRegistry, logger: Logger
    ) {
        self.loop = loop
        self.redis = redis
        self.settings = settings
        self.clock = clock
        self.readiness = readiness
        self.data = data
        intervalMS = intervalSeconds * 1000
        self.metrics = metrics
        self.logger = logger
    }

    func start() {
        let client = RedisClient(
            on: loop, configuration: redis, scripts: ScriptLibrary.forSnapshots, metrics: metrics,
            logger: logger)
        self.client = client
        flusher = Flusher(
            client: client, settings: settings, clock: clock, data: data,
            metrics: FlushMetrics(metrics), logger: logger)
        client.connect()
        Task { await run() }
    }

    /// Writes what changed, as far as there is time.
    func stop() async {
        isStopped = true
        let deadline = clock.monotonicMS + Self.farewellMS
        while isFlushing, clock.monotonicMS < deadline { await loop.sleep(for: .milliseconds(10)) }
        // Another process may be about to write.
        while !isFlushing, clock.monotonicMS < deadline {
            let report = await flush(deadlineMS: deadline)
            guard let report, report.isElsewhere else { break }
            await loop.sleep(for: .milliseconds(100))
        }
        client?.close()
    }

    private func run() async {
        var nextMS = clock.monotonicMS + min(intervalMS, 1_000)
        while !isStopped {
            await loop.sleep(for: .milliseconds(50))
            guard clock.monotonicMS >= nextMS, !isStopped, let report = await flush() else {
                continue
            }
            let isDone = report.problem == nil && !report.isElsewhere
            nextMS = clock.monotonicMS + (isDone ? intervalMS : min(intervalMS, Self.retryMS))
        }
    }

    /// Nil when there is no Redis to ask: others tell that.
    private func flush(deadlineMS: Int = .max) async -> Flusher.Report? {
        guard let client, client.isReady, let flusher else { return nil }
        isFlushing = true
        defer { isFlushing = false }
        let report = await flusher.flush(deadlineMS: deadlineMS)
        if report.problem != nil || !report.isElsewhere {
            readiness.setSnapshots(problem: report.problem)
        }
        return report
    }
}
