// SPDX-License-Identifier: Apache-2.0

public import EventLoop
public import Observability
public import Redis
internal import Synchronization

/// Answers questions that go over many days, subjects or events, or that read files.
///
/// It has a loop and a Redis connection of its own, so that a long answer holds up no event. What it
/// asks of Redis it asks in small pieces, and it gives its thread back between them.
public actor QueryEngine {
    nonisolated let loop: EventLoop
    let settings: WorkspaceSettings
    let clock: any Clock
    let keys: Keyspace
    /// The folder that `rollups` is in.
    let data: String
    let logger: Logger
    private let redis: RedisConfiguration
    private let retired = Atomic(false)
    let metrics: MetricsRegistry
    private var connection: RedisClient?
    private(set) var boards: WindowBoards?
    private(set) var charges: ChargeLog?
    private var daysToCome: LaterLogs?
    private var files: Archive?
    private var sums: DayRollups?
    private var alertDispatch: AlertDispatch?
    private let carry: AlertCarrier?
    /// For those who watch events; made for the first of them.
    var feed: LiveFeed?
    /// Days that are being brought back.
    var thaws: [CivilDay: Task<String?, Never>] = [:]
    /// Counts what moves for erasures; made for the first of them.
    var moving: MeteringEngine?
    /// The erasures that are being worked at.
    var erasing: Task<String?, Never>?
    /// What days that have left add up to, once it was read.
    var coldSums: ActivityReader.ColdSums = [:]
    /// Why sealed secrets cannot be read, as it was told last; nil when they can, or there are none.
    public nonisolated var secretsProblem: String? { toldSecretsProblem.withLock { $0 } }
    let toldSecretsProblem = Mutex<String?>(nil)
    /// Types of processing that the workspace has.
    var knownTypes: Set<ByteString> = []

    public nonisolated var unownedExecutor: UnownedSerialExecutor {
        loop.asUnownedSerialExecutor()
    }

    /// - Parameters:
    ///   - loop: its own; files may hold it up.
    ///   - carry: delivers what alerts tell; nil leaves that to others.
    public init(
        on loop: EventLoop, redis: RedisConfiguration, settings: WorkspaceSettings,
        clock: any Clock, data: String, metrics: MetricsRegistry, logger: Logger,
        carry: AlertCarrier? = nil
    ) {
        self.carry = carry
        self.loop = loop
        self.redis = redis
        self.settings = settings
        self.clock = clock
        self.data = data
        self.metrics = metrics
        self.logger = logger
        keys = Keyspace(settings)
    }

    /// Connects. Until Redis can be reached, questions throw `MeteringError.unavailable`.
    ///
    /// - Parameter isKeeping: whether it also goes along the log by itself now and then, so that no
    ///   question finds it far behind.
    public func start(isKeeping: Bool = true) {
        guard !isRetired else { return }
        let client = RedisClient(
            on: loop, configuration: redis, scripts: ScriptLibrary.forQueries, metrics: metrics,
            logger: logger)
        connection = client
        let boards = WindowBoards(client, settings, clock, archive: try? archive, logger)
        self.boards = boards
        let laterLogs = LaterLogs(client, keys, clock)
        daysToCome = laterLogs
        let charges = ChargeLog(client, settings, clock, laterLogs)
        self.charges = charges
        let sums = DayRollups(client: client, keys: keys)
        self.sums = sums
        // Another connection may lead to other data.
        client.whenReady { [weak self] in
            boards.follower.reset()
            charges.reset()
            laterLogs.forget()
            sums.forget()
            self?.assumeIsolated { $0.feed?.reset() }
        }
        client.connect()
        if isKeeping {
            Task { await keepBoards() }
            Task { await followUsage() }
            Task { await keepErasing() }
            if let carry { Task { await keepAlerts(by: carry) } }
        }
    }

    /// Ends the connection, on the loop, which has to run until then.
    public func stop() {
        connection?.close()
        connection = nil
        boards = nil
        charges = nil
        daysToCome = nil
        files = nil
        sums = nil
        alertDispatch?.forgetCounts()
        alertDispatch = nil
        feed = nil
        moving = nil
    }

    /// Ends it, from anywhere: another one has taken its place.
    public nonisolated func retire() {
        retired.store(true, ordering: .relaxed)
        Task { await stop() }
    }

    /// Whether another one has taken its place.
    public nonisolated var isRetired: Bool { retired.load(ordering: .relaxed) }

    /// Whether Redis can be asked now.
    public var isReady: Bool { connection?.isReady ?? false }

    /// The connection; there is one once it was started.
    var client: RedisClient {
        get throws(MeteringError) {
            guard let connection else {
                throw .unavailable(.disconnected(reason: "it was not started"))
            }
            return connection
        }
    }

    /// Reads the days that have left Redis.
    var archive: Archive {
        get throws(MeteringError) {
            if let files { return files }
            do {
                let files = try Archive(
                    client: client, settings: settings, data: data, metrics: metrics)
                self.files = files
                return files
            } catch let error as MeteringError {
                throw error
            } catch {
                throw .damaged(what: "\(error)")
            }
        }
    }

    /// Reads what days add up to in Redis.
    var rollups: DayRollups {
        get throws(MeteringError) {
            guard let sums else {
                throw .unavailable(.disconnected(reason: "it was not started"))
            }
            return sums
        }
    }

    /// Finds the logs of days to come.
    var laterLogs: LaterLogs {
        get throws(MeteringError) {
            guard let daysToCome else {
                throw .unavailable(.disconnected(reason: "it was not started"))
            }
            return daysToCome
        }
    }

    /// Looks after alerts.
    var dispatch: AlertDispatch {
        get throws(MeteringError) {
            if let alertDispatch { return alertDispatch }
            let made = AlertDispatch(
                client: try client, settings: settings, clock: clock, data: data, metrics: metrics)
            alertDispatch = made
            return made
        }
    }

    func send(_ command: RedisCommand) async throws(MeteringError) -> RedisValue {
        let client = try client
        do {
            return try await client.send(command)
        } catch {
            throw .unavailable(error)
        }
    }

    func run(
        _ script: RedisScript, keys: [[UInt8]], arguments: [[UInt8]]
    ) async throws(MeteringError) -> RedisValue {
        let client = try client
        do {
            return try await client.run(script, keys: keys, arguments: arguments)
        } catch {
            throw .unavailable(error)
        }
    }
}
