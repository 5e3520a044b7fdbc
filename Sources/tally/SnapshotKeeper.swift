// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Identity
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
    private let directory: Directory
    private let clock: any Clock
    private let readiness: Readiness
    private let data: String
    private let intervalMS: Int
    private let metrics: MetricsRegistry
    private let logger: Logger
    private var client: RedisClient?
    private var flushers: [WorkspaceID: (settings: WorkspaceSettings, flusher: Flusher)] = [:]
    private var isStopped = false
    private var isFlushing = false

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(
        on loop: EventLoop, redis: RedisConfiguration, directory: Directory,
        clock: any Clock, readiness: Readiness, data: String, intervalSeconds: Int,
        metrics: MetricsRegistry, logger: Logger
    ) {
        self.loop = loop
        self.redis = redis
        self.directory = directory
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
            // Snapshots whose folder is not there are not current, whenever they would be due.
            guard clock.monotonicMS >= nextMS || redis.serverProblem?() != nil, !isStopped,
                let report = await flush()
            else { continue }
            let isDone = report.problem == nil && !report.isElsewhere
            nextMS = clock.monotonicMS + (isDone ? intervalMS : min(intervalMS, Self.retryMS))
        }
    }

    /// Writes what changed in all workspaces. Nil when there is no Redis to ask: others tell that.
    private func flush(deadlineMS: Int = .max) async -> Flusher.Report? {
        if let problem = redis.serverProblem?() {
            readiness.setSnapshots(problem: problem)
            var report = Flusher.Report()
            report.problem = problem
            return report
        }
        guard let client, client.isReady else { return nil }
        isFlushing = true
        defer { isFlushing = false }
        let workspaces = directory.workspaces
        var whole = Flusher.Report()
        for settings in workspaces {
            let report = await flusher(settings, client).flush(deadlineMS: deadlineMS)
            if let problem = report.problem, whole.problem == nil {
                whole.problem =
                    workspaces.count == 1 ? problem : "\(settings.id.text): \(problem)"
            }
            if report.isElsewhere { whole.isElsewhere = true }
        }
        let ids = Set(workspaces.map(\.id))
        flushers = flushers.filter { ids.contains($0.key) }
        if whole.problem != nil || !whole.isElsewhere {
            readiness.setSnapshots(problem: whole.problem)
        }
        return whole
    }

    private func flusher(_ settings: WorkspaceSettings, _ client: RedisClient) -> Flusher {
        if let made = flushers[settings.id], made.settings == settings { return made.flusher }
        let flusher = Flusher(
            client: client, settings: settings, clock: clock, data: data,
            metrics: FlushMetrics(metrics), logger: logger)
        flushers[settings.id] = (settings, flusher)
        return flusher
    }
}
