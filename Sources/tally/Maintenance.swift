// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Identity
internal import JSON
internal import Metering
internal import MeteringAPI
internal import Observability
internal import Redis

/// What has to happen now and then, whoever asks: it looks at Redis when it (re)connects and whether
/// it takes writes, and closes days that have ended.
actor Maintenance {
    nonisolated let loop: EventLoop
    private let redis: RedisConfiguration
    let directory: Directory
    let queries: QueryEngines
    private let tokens: TokenFile?
    private let clock: any Clock
    private let readiness: Readiness
    private let allowsVolatile: Bool
    private let metrics: MetricsRegistry
    private let engineMetrics: MeteringMetrics
    let logger: Logger
    private var client: RedisClient?
    private var isStopped = false
    private let connections = Counter()
    /// Workspaces whose data are being removed.
    var removing: Set<Directory.Doomed> = []
    /// The directory's, when the engines were last made to follow it.
    private var generation = -1
    /// Workspaces whose entries in Redis could not be read when they were last looked at.
    private var damaged: Set<String> = []
    /// What cannot be read of the rules of workspaces, by which nothing is counted in them.
    private var unreadable: [String: String] = [:]
    /// The directory's, when folders were last looked through for what is left of workspaces.
    var sweptGeneration = -1
    /// What the Redis that may be used promises; nil when it may not.
    private var durability: String?
    /// Why this Redis may not be used; nil when it may.
    private var refusal: String?
    private var dataset: DatasetWatch?
    /// Whether this Redis, or one before it, was accepted.
    private var hasCounted = false
    /// Why Redis takes no writes; nil when it does.
    private var writeProblem: String?
    /// Commands, of whomever, that the user of Redis had no right to.
    private let forbidden: Counter
    private var disk: DiskWatch
    /// How many they were when rights were last looked at.
    private var forbiddenCount = 0

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(
        on loop: EventLoop, redis: RedisConfiguration, directory: Directory,
        queries: QueryEngines, tokens: TokenFile?, clock: any Clock, readiness: Readiness,
        allowsVolatile: Bool,
        metrics: MetricsRegistry,
        engineMetrics: MeteringMetrics, logger: Logger
    ) {
        self.engineMetrics = engineMetrics
        self.loop = loop
        self.redis = redis
        self.directory = directory
        self.queries = queries
        self.tokens = tokens
        self.clock = clock
        self.readiness = readiness
        self.allowsVolatile = allowsVolatile
        self.metrics = metrics
        self.logger = logger
        forbidden = metrics.redisErrors("NOPERM")
        disk = DiskWatch(metrics, readiness, logger)
    }

    func start() {
        let client = RedisClient(
            on: loop, configuration: redis,
            scripts: [
                ScriptLibrary.closeDays, ScriptLibrary.forgetHolds, ScriptLibrary.changeDirectory,
                ScriptLibrary.unlinkDoomed, ScriptLibrary.checkRights, ScriptLibrary.keepZone,
            ], metrics: metrics, logger: logger)
        self.client = client
        // Every new connection may lead to another Redis.
        client.whenReady { [connections] in connections.add() }
        client.connect()
        Task { await run(client) }
        Task { await follow(client) }
    }

    func stop() {
        isStopped = true
        client?.close()
    }

    private func store(_ client: RedisClient) -> DirectoryStore {
        guard let json = try? JSONReader() else { preconditionFailure("no memory at the start") }
        return DirectoryStore(client: client, directory: directory, clock: clock, json: json)
    }

    /// Takes what others change of workspaces and keys, and the keys of tokens, so that it is in force within a
    /// second: also where this Redis may not be used, and while other work is long. Who has counted on it goes on
    /// to write its probe, by which a restore sees that somebody is here.
    private func follow(_ client: RedisClient) async {
        let store = store(client)
        let probe = WriteProbe(client: client, settings: directory.defaults)
        var turns = 0
        var problem: String?
        while !isStopped {
            if client.isReady {
                do {
                    try await store.refresh()
                    problem = nil
                } catch {
                    // Once for each reason, and not five times a second.
                    if problem != "\(error)" {
                        logger.warning("workspaces were not read", ["reason": "\(error)"])
                    }
                    problem = "\(error)"
                }
                // Others that serve requests read the directory, too: what they have read counts as well.
                if generation != directory.generation { keepEngines() }
            }
            if turns % 5 == 0 {
                tokens?.reloadIfChanged()
                if hasCounted, client.isReady { _ = await probe.find() }
            }
            turns += 1
            await loop.sleep(for: .milliseconds(200))
        }
    }

    private func run(_ client: RedisClient) async {
        let store = store(client)
        let probe = WriteProbe(client: client, settings: directory.defaults)
        let rights = CommandRights(client: client, settings: directory.defaults)
        let dataset = DatasetWatch(
            client: client, settings: directory.defaults, mayForget: allowsVolatile)
        self.dataset = dataset
        var checked = 0
        var turns = 0
        while !isStopped {
            let current = connections.current
            // An idle connection does not notice that Redis has stopped answering; this one asks.
            readiness.setSilence(
                client.isReady ? nil : client.problem ?? "there is no connection to Redis")
            if client.isReady, checked != current {
                guard await begin(client, store, rights, probe) else {
                    await loop.sleep(for: .seconds(1))
                    continue
                }
                checked = current
            } else if client.isReady {
                // A fifth of a second, a second, 5, 10 and 100 seconds.
                if turns % 2 == 0 { removeDoomed(store) }
                if turns % 10 == 0 { tellSecrets() }
                // What was wrong may be mended, and what was right be changed, while Redis runs.
                // A right that somebody has missed is looked for at once.
                let isMissed = refusal == nil && forbidden.current != forbiddenCount
                if turns % 50 == 0 || (turns % 10 == 0 && refusal != nil) || isMissed {
                    await check(client, rights, probe)
                } else if turns % 10 == 0 {
                    await look(probe)
                    if (try? await dataset.problem()) != nil { await check(client, rights, probe) }
                }
                if turns % 100 == 0 {
                    await keepHolds(client)
                    await readRules(client)
                    await attempt("what is left of workspaces was not removed") {
                        try await store.removeOrphans()
                    }
                    await removeLeftSnapshots(store)
                }
                if turns % 1000 == 0 { await closeDays(client) }
            }
            turns += 1
            await loop.sleep(for: checked == current ? .milliseconds(100) : .milliseconds(5))
        }
    }

    private func keepEngines() {
        generation = directory.generation
        queries.keep()
        tellDamaged()
    }

    /// Tells once which workspaces cannot be served: not anybody who asks, but who reads the log.
    private func tellDamaged() {
        let found = directory.damaged
        for name in found.subtracting(damaged).sorted() {
            logger.error(
                "a workspace is not served: its entry in Redis cannot be read",
                ["workspace": name])
        }
        for name in damaged.subtracting(found).sorted() {
            logger.notice("a workspace is served again, or gone", ["workspace": name])
        }
        damaged = found
        tellUnserved()
    }

    private func tellUnserved() {
        let count = damaged.count + unreadable.count
        readiness.setDirectory(
            problem: count == 0 ? nil : "\(count) workspaces are not served: the log tells which")
    }

    /// Tells once in which workspaces nothing is counted since their rules cannot be read.
    private func readRules(_ client: RedisClient) async {
        var found: [String: String] = [:]
        for settings in directory.workspaces {
            let id = settings.id.text
            do {
                found[id] = try await RulesProbe.problem(client, settings)
            } catch {
                // Redis did not say.
                found[id] = unreadable[id]
            }
        }
        for (id, what) in found.sorted(by: { $0.key < $1.key }) where unreadable[id] != what {
            logger.error(
                "the rules of a workspace cannot be read, and who has not read them counts nothing: restore it",
                ["workspace": id, "reason": what])
        }
        for id in unreadable.keys.sorted() where found[id] == nil {
            logger.notice(
                "the rules of a workspace can be read again, or it is gone", ["workspace": id])
        }
        unreadable = found
        tellUnserved()
    }

    /// Tells in how many workspaces secrets cannot be read; their engines have told the log why.
    private func tellSecrets() {
        let count = directory.workspaces.count {
            queries.engine(of: $0).secretsProblem != nil
        }
        engineMetrics.sealedWorkspaces.set(count)
        readiness.setSecrets(
            problem: count == 0
                ? nil
                : "secrets of pools and webhooks of \(count) workspaces cannot be read: the log tells why"
        )
    }

    private func keepHolds(_ client: RedisClient) async {
        var counts = (open: 0, expired: 0)
        for settings in directory.workspaces {
            let holds = HoldKeeper(client: client, settings: settings, clock: clock)
            await attempt("holds were not counted") { _ = try await holds.keep() }
            counts.open += holds.counts.open
            counts.expired += holds.counts.expired
        }
        engineMetrics.openHolds.set(counts.open)
        engineMetrics.leakedHolds.set(counts.expired)
    }

    private func closeDays(_ client: RedisClient) async {
        for settings in directory.workspaces {
            let closer = DayCloser(client: client, settings: settings, clock: clock)
            await attempt("days were not closed") { try await closer.closeDays() }
        }
    }

    @discardableResult func attempt(
        _ failure: String, _ work: () async throws -> Void
    ) async -> Bool {
        do {
            try await work()
            return true
        } catch {
            logger.warning(failure, ["reason": "\(error)"])
            return false
        }
    }

    /// Begins on a new connection; false when that has to be tried again.
    private func begin(
        _ client: RedisClient, _ store: DirectoryStore, _ rights: CommandRights, _ probe: WriteProbe
    ) async -> Bool {
        if let problem = await rights.problem() {
            refuse(problem)
            return false
        }
        await attempt("workspaces were not read") {
            try await store.refresh(isOfAnotherRedis: true)
        }
        keepEngines()
        // Before snapshots are written beside them.
        await removeLeftSnapshots(store)
        // Whoever is told that the service is ready may ask anything.
        await queries.engine(of: directory.defaults).waitUntilReady()
        return await inspect(client, probe, isNew: true)
    }

    /// Looks at what the user of Redis may do, and what Redis promises.
    private func check(
        _ client: RedisClient, _ rights: CommandRights, _ probe: WriteProbe
    ) async {
        // What the look itself may not ask Redis for is no reason to look again.
        defer { forbiddenCount = forbidden.current }
        if let problem = await rights.problem() { return refuse(problem) }
        _ = await inspect(client, probe)
    }

    /// Looks at what Redis promises; false when it could not be asked.
    ///
    /// - Parameter isNew: whether it is asked for the first time on this connection.
    private func inspect(
        _ client: RedisClient, _ probe: WriteProbe, isNew: Bool = false
    ) async -> Bool {
        let report: RedisServerReport
        do throws(RedisError) {
            report = try await RedisServerReport(askedFrom: client)
        } catch {
            guard case .server(let code, let message) = error else { return false }
            refuse("\(code) \(message)")
            return true
        }
        disk.look(at: report)
        var problem = report.fault
        if problem == nil { problem = (try? await dataset?.problem()) ?? nil }
        for settings in directory.workspaces where problem == nil {
            do throws(RedisError) {
                if try await RestoreMark.isSet(client, settings) {
                    problem = "a restore of these data has not ended: run it again"
                }
            } catch {
                guard case .server(let code, let message) = error else { return false }
                problem = "\(code) \(message)"
            }
        }
        if !allowsVolatile { problem = problem ?? report.risk }
        if problem == nil {
            do throws(RedisError) {
                problem = try await ZoneNote.problem(
                    client, directory.defaults, takesPlace: isNew)
            } catch {
                // A Redis that takes no writes is told of as that.
                guard case .server = error else { return false }
            }
        }
        if let problem {
            refuse(problem, durability: report.durability.rawValue)
        } else {
            if refusal != nil { logger.notice("this Redis is accepted now") }
            let isKnown = durability == report.durability.rawValue && !isNew
            refusal = nil
            hasCounted = true
            durability = report.durability.rawValue
            if !isKnown, report.durability != .none, report.loadsTruncatedLog == true {
                logger.warning(
                    "if this Redis is killed while it writes, it may bring half of a batch back: "
                        + "set aof-load-truncated no",
                    ["aof-load-truncated": "yes"])
            }
            await look(probe)
        }
        return true
    }

    private func refuse(_ problem: String, durability known: String? = nil) {
        durability = nil
        readiness.refuse(problem, durability: known)
        if refusal != problem { logger.error("this Redis is refused", ["reason": problem]) }
        refusal = problem
    }

    /// Looks whether Redis takes writes. A Redis that is full, or cannot save, goes on answering what
    /// is read; nothing can be counted until it takes writes again, which is seen by itself. A private one
    /// whose data folder is not in its place would take them, but no start would find them.
    private func look(_ probe: WriteProbe) async {
        var problem = redis.serverProblem?()
        if problem == nil {
            switch await probe.find() {
            case .refused(let reason): problem = "Redis takes no writes: \(reason)"
            case .taken: break
            case .unknown: problem = writeProblem
            }
        }
        guard let durability else { return }
        if let problem {
            if writeProblem != problem {
                logger.error("nothing can be counted", ["reason": problem])
            }
            readiness.refuse(problem)
        } else {
            if writeProblem != nil { logger.notice("Redis takes writes again") }
            readiness.accept(durability: durability)
        }
        writeProblem = problem
    }
}
