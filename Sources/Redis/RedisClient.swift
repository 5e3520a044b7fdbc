// SPDX-License-Identifier: Apache-2.0

public import EventLoop
public import Observability

/// Redis, for the code of one loop: keeps one connection alive, with the scripts loaded.
///
/// It belongs to the loop's thread, as all it calls back. Commands of one turn of the loop go out
/// together; any number may wait for replies. Nothing is sent again by itself, with one exception:
/// a script that Redis turned down unrun, for it does not know it, is loaded and run once more.
public final class RedisClient {
    public typealias Completion = (Result<RedisValue, RedisError>) -> Void

    private enum Phase {
        case idle, waiting, connecting(SocketConnector)
        case preparing(RedisConnection), ready(RedisConnection), closed
    }

    private struct ReadyHandler {
        /// Whether whom it is for has gone.
        let isOver: () -> Bool
        let call: () -> Void
    }

    /// What is known of a script once it was loaded.
    private struct LoadedScript {
        let hash: [UInt8]
        /// `EVALSHA hash count`, kept for the count of keys that was last asked for.
        var head: RedisArguments
        var headKeyCount: Int
        var isReloading = false
    }

    private let loop: EventLoop
    private let configuration: RedisConfiguration
    private let scripts: [RedisScript]
    private let logger: Logger
    private let metrics: RedisMetrics
    private var phase = Phase.idle
    private var loaded: [String: LoadedScript] = [:]
    private var backoff = Backoff(first: .milliseconds(20), max: .seconds(1))
    private var timer: LoopTimer?
    private var lastProblem = "not connected yet"
    private var loggedProblem: String?
    private var wasReady = false
    private var readySince: ContinuousClock.Instant?

    private var readyHandlers: [ReadyHandler] = []
    /// Called each time a client that was ready no longer is, before its commands fail.
    public var onLost: (() -> Void)?

    /// Makes a client that does not connect yet. On the loop's thread only.
    public init(
        on loop: EventLoop, configuration: RedisConfiguration, scripts: [RedisScript],
        metrics: MetricsRegistry, logger: Logger
    ) {
        self.loop = loop
        self.configuration = configuration
        self.scripts = scripts
        self.logger = logger
        self.metrics = RedisMetrics(metrics)
        timer = LoopTimer(on: loop) { [weak self] in self?.timerFired() }
    }

    deinit { close() }

    /// Adds what is to be called each time the client becomes ready, in the order of adding.
    public func whenReady(_ handler: @escaping () -> Void) {
        readyHandlers.append(ReadyHandler(isOver: { false }, call: handler))
    }

    /// As `whenReady`, for one of several that share the client: its handler goes with it.
    public func whenReady<Owner: AnyObject>(
        for owner: Owner, _ handler: @escaping (Owner) -> Void
    ) {
        // Those of owners that have gone since make room.
        readyHandlers.removeAll { $0.isOver() }
        readyHandlers.append(
            ReadyHandler(isOver: { [weak owner] in owner == nil }) { [weak owner] in
                if let owner { handler(owner) }
            })
    }

    /// How many handlers are kept.
    var readyHandlerCount: Int { readyHandlers.count }

    /// Whether commands can be sent: connected, logged in, all scripts loaded.
    public var isReady: Bool {
        if case .ready = phase { true } else { false }
    }

    /// Why the client is not ready, in words; nil when it is.
    public var problem: String? { isReady ? nil : configuration.serverProblem?() ?? lastProblem }

    /// Connects, and keeps doing so each time the connection breaks, until `close`.
    public func connect() {
        assert(loop.isCurrent, "a Redis client is used off the thread of its loop")
        guard case .idle = phase else { return }
        attempt()
    }

    /// Ends for good. What waits fails with `disconnected`.
    public func close() {
        let old = phase
        phase = .closed
        lastProblem = "closed"
        timer?.cancel()
        switch old {
        case .ready(let connection), .preparing(let connection): connection.close("closed")
        default: break
        }
        // They hold those who hold the client.
        readyHandlers = []
        onLost = nil
    }

    // MARK: Commands

    /// Sends a command. `completion` is called once: at the reply, when the connection breaks, or
    /// at once, before this returns, when the client is not ready or too much is waiting.
    public func send(_ command: RedisCommand, completion: @escaping Completion) {
        assert(loop.isCurrent, "a Redis client is used off the thread of its loop")
        guard case .ready(let connection) = phase else { return refuse(completion) }
        connection.send(command.arguments, completion: completion)
    }

    /// Runs a script. The first `keyCount` of `arguments` are its keys, the others its arguments.
    /// For `completion` see `send`.
    public func run(
        _ script: RedisScript, keyCount: Int, _ arguments: RedisArguments,
        completion: @escaping Completion
    ) {
        assert(loop.isCurrent, "a Redis client is used off the thread of its loop")
        precondition(keyCount <= arguments.count, "a script's keys are among its arguments")
        guard case .ready(let connection) = phase else { return refuse(completion) }
        evaluate(script, keyCount, arguments, on: connection) { [weak self] result in
            guard case .failure(.server(code: "NOSCRIPT", _)) = result, let self,
                case .ready(let connection) = phase
            else { return completion(result) }
            reload(script, on: connection)
            evaluate(script, keyCount, arguments, on: connection, completion: completion)
        }
    }

    /// Runs a script with keys and arguments of their own lists.
    public func run(
        _ script: RedisScript, keys: [[UInt8]], arguments: [[UInt8]],
        completion: @escaping Completion
    ) {
        run(script, keyCount: keys.count, RedisArguments(keys, arguments), completion: completion)
    }

    /// Sends a command and waits for the reply, at most as long as a command may take; cancelling
    /// the task does not shorten that. Must be called from an actor of the client's loop.
    public func send(_ command: RedisCommand) async throws(RedisError) -> RedisValue {
        try await withCheckedContinuation { continuation in
            send(command) { continuation.resume(returning: $0) }
        }.get()
    }

    /// Runs a script and waits for the reply. Must be called from an actor of the client's loop.
    public func run(
        _ script: RedisScript, keyCount: Int, _ arguments: RedisArguments
    ) async throws(RedisError) -> RedisValue {
        try await withCheckedContinuation { continuation in
            run(script, keyCount: keyCount, arguments) { continuation.resume(returning: $0) }
        }.get()
    }

    /// Runs a script and waits for the reply. Must be called from an actor of the client's loop.
    public func run(
        _ script: RedisScript, keys: [[UInt8]], arguments: [[UInt8]]
    ) async throws(RedisError) -> RedisValue {
        try await run(script, keyCount: keys.count, RedisArguments(keys, arguments))
    }

    /// Sends commands in one go and waits for all replies, which come in their order; the first
    /// error is thrown. Must be called from an actor of the client's loop.
    public func send(_ commands: [RedisCommand]) async throws(RedisError) -> [RedisValue] {
        guard !commands.isEmpty else { return [] }
        let results = await withCheckedContinuation { continuation in
            var results: [Result<RedisValue, RedisError>] = []
            for command in commands {
                send(command) { result in
                    results.append(result)
                    if results.count == commands.count { continuation.resume(returning: results) }
                }
            }
        }
        var values: [RedisValue] = []
        values.reserveCapacity(results.count)
        for result in results { values.append(try result.get()) }
        return values
    }

    private func refuse(_ completion: Completion) {
        let error = RedisError.disconnected(reason: problem ?? lastProblem)
        metrics.count(error)
        completion(.failure(error))
    }

    // MARK: Scripts

    private func evaluate(
        _ script: RedisScript, _ keyCount: Int, _ arguments: RedisArguments,
        on connection: RedisConnection, completion: @escaping Completion
    ) {
        guard var known = loaded[script.name] else {
            // Not one of those loaded at the start: Redis takes the source as well.
            var command = RedisCommand("EVAL")
            command.append(script.source)
            command.append(keyCount)
            return connection.send(command.arguments, arguments, completion: completion)
        }
        if known.headKeyCount != keyCount {
            known.head = Self.head(known.hash, keyCount)
            known.headKeyCount = keyCount
            loaded[script.name] = known
        }
        connection.send(known.head, arguments, completion: completion)
    }

    /// Many calls may find the script missing at once; it is loaded for the first of them, and
    /// the others go out behind that.
    private func reload(_ script: RedisScript, on connection: RedisConnection) {
        guard loaded[script.name]?.isReloading == false else { return }
        loaded[script.name]?.isReloading = true
        logger.notice("Redis lost a script; loading it again", ["script": script.name])
        connection.send(Self.load(script)) { [weak self] _ in
            self?.loaded[script.name]?.isReloading = false
        }
    }

    private static func load(_ script: RedisScript) -> RedisArguments {
        var command = RedisCommand("SCRIPT")
        command.append("LOAD")
        command.append(script.source)
        return command.arguments
    }

    private static func head(_ hash: [UInt8], _ keyCount: Int) -> RedisArguments {
        var command = RedisCommand("EVALSHA")
        command.append(hash)
        command.append(keyCount)
        return command.arguments
    }

    // MARK: Keeping a connection

    private func timerFired() {
        switch phase {
        case .waiting: attempt()
        case .preparing(let connection):
            abandon(connection, "not ready within \(configuration.connectTimeout)")
        default: break
        }
    }

    private func attempt() {
        let connector = SocketConnector(on: loop, configuration: configuration) {
            [weak self] result in
            switch result {
            case .success(let descriptor): self?.prepare(descriptor)
            case .failure(.disconnected(let reason, _)): self?.retryLater(reason)
            case .failure(let error): self?.retryLater("\(error)")
            }
        }
        phase = .connecting(connector)
        connector.start()
    }

    /// Logs in, and then loads the scripts. Redis takes nothing but small commands of who has not logged
    /// in, and breaks off at others: what it has to say about the login would be lost.
    private func prepare(_ descriptor: Int32) {
        guard
            let connection = RedisConnection(
                descriptor: descriptor, on: loop, configuration: configuration, metrics: metrics)
        else { return retryLater("out of memory") }
        connection.onLoss = { [weak self] reason in self?.retryLater(reason) }
        phase = .preparing(connection)
        timer?.start(after: configuration.connectTimeout)
        guard let password = configuration.password else {
            return step(RedisCommand("PING").arguments, "PING", on: connection) { [weak self] _ in
                self?.loadScripts(connection)
            }
        }
        var command = RedisCommand("AUTH")
        if let user = configuration.user { command.append(user) }
        command.append(password)
        step(command.arguments, "AUTH", on: connection) { [weak self] _ in
            self?.loadScripts(connection)
        }
    }

    /// All in one go. Redis answers in order, so the first error is the one that matters, and the reply
    /// to the last command means that all is done.
    private func loadScripts(_ connection: RedisConnection) {
        if configuration.database != 0 {
            var command = RedisCommand("SELECT")
            command.append(configuration.database)
            step(command.arguments, "SELECT \(configuration.database)", on: connection)
        }
        loaded = [:]
        for script in scripts {
            step(Self.load(script), "SCRIPT LOAD of \(script.name)", on: connection) {
                [weak self] value in
                guard let hash = value.bytes, !hash.isEmpty else { return }
                self?.loaded[script.name] = LoadedScript(
                    hash: hash, head: Self.head(hash, 1), headKeyCount: 1)
            }
        }
        // Also refused while Redis still loads its data.
        step(RedisCommand("PING").arguments, "PING", on: connection) { [weak self] _ in
            self?.becomeReady(connection)
        }
    }

    private func step(
        _ command: RedisArguments, _ name: String, on connection: RedisConnection,
        then next: @escaping (RedisValue) -> Void = { _ in }
    ) {
        connection.send(command) { [weak self] result in
            guard let self, case .preparing(let current) = phase, current === connection else {
                return
            }
            switch result {
            case .success(let value): next(value)
            case .failure(.server(let code, let message)):
                // A wrong password or a missing right stays wrong: no storm of attempts. Loading
                // ends soon by itself.
                if code != "LOADING" { backoff.jumpToMax() }
                abandon(connection, "\(name): \(code) \(message)\(Self.remedy(code))")
            case .failure: break
            }
        }
    }

    /// What is to be done about an answer that stays the same until somebody does something.
    private static func remedy(_ code: String) -> String {
        switch code {
        case "NOAUTH":
            " This Redis wants a password: put it into its address, redis://[USER]:PASSWORD@HOST"
        case "WRONGPASS":
            " Mend user and password in the address of Redis, or in Redis with ACL SETUSER"
        case "NOPERM":
            "; give the user what docs/keys.md tells, with ACL SETUSER"
        default: ""
        }
    }

    private func becomeReady(_ connection: RedisConnection) {
        timer?.stop()
        phase = .ready(connection)
        readySince = .now
        if wasReady { metrics.reconnects.add() }
        wasReady = true
        if loggedProblem != nil {
            logger.notice("connected to Redis", ["address": "\(configuration.address)"])
        }
        loggedProblem = nil
        for handler in readyHandlers { handler.call() }
    }

    private func abandon(_ connection: RedisConnection, _ reason: String) {
        connection.onLoss = nil
        retryLater(reason)
        connection.close(reason)
    }

    private func retryLater(_ reason: String) {
        if case .closed = phase { return }
        let wasLost = isReady
        // A connection that breaks as soon as it is made is no success.
        if let readySince, readySince.duration(to: .now) > .seconds(1) { backoff.reset() }
        readySince = nil
        phase = .waiting
        lastProblem = reason
        let reason = problem ?? reason
        if reason != loggedProblem {
            loggedProblem = reason
            logger.warning(
                "no connection to Redis; trying again",
                ["address": "\(configuration.address)", "reason": reason])
        }
        timer?.start(after: backoff.delay())
        if wasLost { onLost?() }
    }
}

extension RedisArguments {
    /// Keys, then arguments, in one list.
    init(_ keys: [[UInt8]], _ arguments: [[UInt8]]) {
        let lists = [keys, arguments].joined()
        self.init(
            minimumCapacity: keys.count + arguments.count,
            bytes: lists.reduce(0) { $0 + $1.count })
        for bytes in lists { append(bytes) }
    }
}
