// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Metering
internal import MeteringAPI
internal import Observability
internal import Redis

/// What has to happen now and then, whoever asks: it looks at Redis when it (re)connects and whether
/// it takes writes, and closes days that have ended.
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
    /// What the Redis that may be used promises; nil when it may not.
    private var durability: String?
    /// Why Redis takes no writes; nil when it does.
    private var writeProblem: String?

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
        let probe = WriteProbe(client: client, settings: settings)
        var checked = 0
        var turns = 0
        while !isStopped {
            let current = connections.current
            if client.isReady, checked != current {
                if await check(client, probe) { checked = current }
            } else if client.isReady {
                // Every second, every 10 and every 100 seconds.
                if turns % 10 == 0 { await look(probe) }
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
    private func check(_ client: RedisClient, _ probe: WriteProbe) async -> Bool {
        guard let report = try? await RedisServerReport(askedFrom: client),
            let isRestoring = try? await RestoreMark.isSet(client, settings.id)
        else { return false }
        if let problem = fault(of: report)
            ?? (isRestoring ? "a restore of these data has not ended: run it again" : nil)
            ?? (allowsVolatile ? nil : risk(of: report))
        {
            durability = nil
            readiness.refuse(problem)
            logger.error("this Redis is refused", ["reason": problem])
        } else {
            durability = report.durability.rawValue
            await look(probe)
        }
        return true
    }

    /// Looks whether Redis takes writes. A Redis that is full, or cannot save, goes on answering what
    /// is read; nothing can be counted until it takes writes again, which is seen by itself.
    private func look(_ probe: WriteProbe) async {
        let finding = await probe.find()
        guard let durability else { return }
        switch finding {
        case .refused(let reason):
            if writeProblem != reason {
                logger.error("Redis takes no writes", ["reason": reason])
            }
            writeProblem = reason
            readiness.refuse("Redis takes no writes: \(reason)")
        case .taken:
            if writeProblem != nil { logger.notice("Redis takes writes again") }
            writeProblem = nil
            readiness.accept(durability: durability)
        case .unknown:
            if writeProblem == nil { readiness.accept(durability: durability) }
        }
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
