// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Metering
internal import MeteringAPI
internal import Observability
internal import Redis

/// What has to happen now and then, whoever asks: it looks at Redis when it (re)connects, and
/// closes days that have ended.
actor Maintenance {
    private nonisolated let loop: EventLoop
    private let redis: RedisConfiguration
    private let settings: WorkspaceSettings
    private let clock: any Clock
    private let readiness: Readiness
    private let allowsVolatile: Bool
    private let metrics: MetricsRegistry
    private let engineMetrics: MeteringMetrics
    private let logger: Logger
    private var client: RedisClient?
    private var isStopped = false
    private let connections = Counter()

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(
        on loop: EventLoop, redis: RedisConfiguration, settings: WorkspaceSettings,
        clock: any Clock, readiness: Readiness, allowsVolatile: Bool, metrics: MetricsRegistry,
        engineMetrics: MeteringMetrics, logger: Logger
    ) {
        self.engineMetrics = engineMetrics
        self.loop = loop
        self.redis = redis
        self.settings = settings
        self.clock = clock
        self.readiness = readiness
        self.allowsVolatile = allowsVolatile
        self.metrics = metrics
        self.logger = logger
    }

    func start() {
        let client = RedisClient(
            on: loop, configuration: redis,
            scripts: [ScriptLibrary.closeDays, ScriptLibrary.forgetHolds], metrics: metrics,
            logger: logger)
        self.client = client
        // Every new connection may lead to another Redis.
        client.onReady = { [connections] in connections.add() }
        client.connect()
        Task { await run(client) }
    }

    func stop() {
        isStopped = true
        client?.close()
    }

    private func run(_ client: RedisClient) async {
        let closer = DayCloser(client: client, settings: settings, clock: clock)
        let holds = HoldKeeper(
            client: client, settings: settings, clock: clock, metrics: engineMetrics)
        var checked = 0
        var turns = 0
        while !isStopped {
            let current = connections.current
            if client.isReady, checked != current {
                if await check(client) { checked = current }
            } else if client.isReady {
                // Every 10 and every 100 seconds.
                if turns % 100 == 0 {
                    await attempt("holds were not counted") { try await holds.keep() }
                }
                if turns % 1000 == 0 {
                    await attempt("days were not closed") { try await closer.closeDays() }
                }
            }
            turns += 1
            await loop.sleep(for: checked == current ? .milliseconds(100) : .milliseconds(5))
        }
    }

    private func attempt(_ failure: String, _ work: () async throws -> Void) async {
        do {
            try await work()
        } catch {
            logger.warning(failure, ["reason": "\(error)"])
        }
    }

    /// Looks at what Redis promises; false when it could not be asked.
    private func check(_ client: RedisClient) async -> Bool {
        guard let report = try? await RedisServerReport(askedFrom: client),
            let isRestoring = try? await RestoreMark.isSet(client, settings.id)
        else { return false }
        if let problem = fault(of: report)
            ?? (isRestoring ? "a restore of these data has not ended: run it again" : nil)
            ?? (allowsVolatile ? nil : risk(of: report))
        {
            readiness.refuse(problem)
            logger.error("this Redis is refused", ["reason": problem])
        } else {
            readiness.accept(durability: report.durability.rawValue)
        }
        return true
    }

    /// Why this Redis cannot be used.
    private func fault(of report: RedisServerReport) -> String? {
        if let version = report.version,
            let major = version.split(separator: ".").first.flatMap({ Int($0) }),
            major < 7
        {
            return "Redis \(version) is too old: 7.0 or later is needed"
        }
        if report.isReplica == true { return "this Redis follows another one and takes no writes" }
        return report.isClusterNode == true ? "Redis Cluster is not supported" : nil
    }

    /// Why this Redis may lose what was acknowledged.
    private func risk(of report: RedisServerReport) -> String? {
        let hint = "; --allow-volatile accepts it"
        if report.durability == .none {
            return "Redis does not keep its data (appendonly no)" + hint
        }
        if let policy = report.evictionPolicy, policy != "noeviction" {
            return "Redis may throw data away (maxmemory-policy \(policy))" + hint
        }
        return nil
    }
}
