// SPDX-License-Identifier: Apache-2.0
//
// The service from start to end: Redis, then the loops with their engines and servers, then
// waiting for a signal, and all of it backwards.

internal import Dispatch
internal import EventLoop
internal import Glibc
internal import HTTPServer
internal import Metering
internal import MeteringAPI
internal import Observability
internal import Redis
internal import TallyCommand

/// Why the service did not start.
struct StartFailure: Error, CustomStringConvertible {
    let description: String
}

/// Runs the service until SIGTERM, SIGINT or SIGHUP.
///
/// - Returns: the exit status: 1 when the private Redis lost what it had acknowledged.
@Sendable func serve(_ configuration: ServiceConfiguration, logger: Logger) async throws -> Int32 {
    signal(SIGPIPE, SIG_IGN)
    // What is made from here on, by the private Redis too, is nobody else's.
    umask(0o077)
    let descriptors = raiseDescriptorLimit()
    guard connectionsMax(descriptors) >= configuration.threads else {
        throw StartFailure(
            description: "only \(descriptors) files may be open, and 512 are needed: ulimit -n 512")
    }
    let metrics = MetricsRegistry()
    metrics.computed(
        "tally_build_info", help: "1, with the version.", labels: ["version": TallyCommand.version]
    ) { 1 }
    // Nothing is asked for by these; unheeded they would end the process without its shutdown.
    for number in [SIGUSR1, SIGUSR2, SIGALRM] { signal(number, SIG_IGN) }
    let signals = SignalWait([SIGTERM, SIGINT] + (isHangupIgnored() ? [] : [SIGHUP]))

    let settings = try workspaceSettings(configuration)
    // Before anything is made or loaded, and again when all is ready.
    try Service.checkAddress(of: configuration)
    // Until the end of all that writes to the folder.
    let lock = try folderLock(configuration)
    defer { withExtendedLifetime(lock) {} }
    // Its data may take minutes to load: a signal ends that, too.
    let starting = Task { try await startRedis(for: configuration, metrics, logger) }
    let ending = Task { [stream = signals.stream] in
        for await signal in stream {
            let names = [SIGTERM: "SIGTERM", SIGINT: "SIGINT", SIGHUP: "SIGHUP"]
            logger.notice("stopping", ["signal": names[signal] ?? "\(signal)"])
            break
        }
        starting.cancel()
    }
    defer { withExtendedLifetime(signals) {} }
    let (redis, child): (RedisConfiguration, RedisServerProcess?)
    do {
        (redis, child) = try await starting.value
    } catch RedisServerError.stopped {
        logger.notice("stopped")
        return 0
    }
    do {
        let key = try adminKey(configuration, logger)
        let service = try Service(
            configuration, redis: redis, settings: settings, adminKey: key,
            connectionsMax: connectionsMax(descriptors), metrics: metrics, logger: logger)
        try await service.start(isPrivateRedis: child != nil)
        logger.notice(
            "listening", ["address": configuration.listenAddress, "version": TallyCommand.version])
        await ending.value
        await service.stop()
    } catch {
        await child?.stop()
        throw error
    }
    let isWritten = await child?.stop() ?? true
    logger.notice("stopped")
    return isWritten ? 0 : 1
}

/// Whether whoever started the process wants it to outlive its terminal, as `nohup` does.
private func isHangupIgnored() -> Bool {
    var action = sigaction()
    sigaction(SIGHUP, nil, &action)
    return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
        == unsafeBitCast(SIG_IGN, to: Int.self)
}

private func workspaceSettings(_ configuration: ServiceConfiguration) throws -> WorkspaceSettings {
    guard let calendar = WorkspaceCalendar(zone: configuration.timeZone) else {
        throw StartFailure(
            description:
                "time zone \(configuration.timeZone): not a name such as Europe/Berlin or UTC")
    }
    let meters = try configuration.rankedMeters.map { name in
        guard let meter = Meter(name: Array(name.utf8)) else {
            throw StartFailure(description: "ranked meter \(name): not a meter's name")
        }
        return meter
    }
    var settings = WorkspaceSettings(
        calendar: calendar, rankedMeters: meters, idempotencyHours: configuration.idempotencyHours,
        lateDays: configuration.lateDays, hotDays: configuration.hotDays,
        eventsDays: configuration.eventsDays)
    settings.auditDays = configuration.auditDays
    return settings
}

/// The Redis to use: the one that is named, or a private one in the data folder.
private func startRedis(
    for configuration: ServiceConfiguration, _ metrics: MetricsRegistry, _ logger: Logger
) async throws -> (RedisConfiguration, RedisServerProcess?) {
    var redis: RedisConfiguration
    var child: RedisServerProcess?
    if let url = configuration.redisURL {
        redis = try RedisConfiguration(url: url)
    } else {
        let started = try await RedisServerProcess.start(
            RedisServerConfiguration(
                folder: configuration.dataFolder,
                durability: configuration.durability == .always ? .always : .everysec),
            metrics: metrics, logger: logger)
        redis = RedisConfiguration(address: started.address)
        redis.serverProblem = { started.problem }
        child = started
    }
    redis.commandTimeout = .milliseconds(configuration.redisTimeoutMilliseconds)
    return (redis, child)
}

/// The lock of the data folder of a service that has no Redis in it, where one of its own has one: nobody restores
/// to it, or starts a Redis in it, while its snapshots are written.
private func folderLock(_ configuration: ServiceConfiguration) throws -> DataFolderLock? {
    guard configuration.redisURL != nil else { return nil }
    do throws(RedisServerError) {
        return try DataFolderLock(configuration.dataFolder, isShared: true)
    } catch {
        if case .locked = error { throw error }
        // Where nothing can be written there is nothing to be kept from others; `/readyz` tells.
        return nil
    }
}

private func adminKey(_ configuration: ServiceConfiguration, _ logger: Logger) throws -> String {
    let key = try AdminKey(configured: configuration.adminKey, folder: configuration.dataFolder)
    if key.isNew {
        // Shown once, and not through the log, which may be kept.
        let line =
            "The administrator's key, kept in \(configuration.dataFolder)/admin.key: \(key.value)\n"
        _ = write(2, line, line.utf8.count)
    }
    return key.value
}

/// Takes as many descriptors as the system lets this process have, and returns how many these are.
private func raiseDescriptorLimit() -> Int {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
    limit.rlim_cur = max(limit.rlim_cur, min(limit.rlim_max, 65_536))
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    return Int(clamping: limit.rlim_cur)
}

/// Clients may not take what Redis, files and the runtime need: libdispatch ends a process in which it can
/// open nothing.
private func connectionsMax(_ descriptors: Int) -> Int {
    descriptors - min(4096, max(256, descriptors / 4))
}

/// Waits for signals, which otherwise would end the process.
private final class SignalWait {
    let stream: AsyncStream<Int32>
    private let sources: [any DispatchSourceSignal]

    init(_ signals: [Int32]) {
        let (stream, continuation) = AsyncStream<Int32>.makeStream(
            bufferingPolicy: .bufferingNewest(1))
        self.stream = stream
        sources = signals.map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { continuation.yield(number) }
            source.activate()
            return source
        }
    }
}
