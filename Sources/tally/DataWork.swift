// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Glibc
internal import Metering
internal import Observability
internal import Redis
internal import TallyCommand

/// Verifies or restores data, with a Redis that runs or one that is started for it.
@Sendable func work(_ task: DataTask, console: DataConsole) async throws {
    signal(SIGPIPE, SIG_IGN)
    switch task {
    case .verify(let place):
        try await withRedis(place, mayRun: true) { redis in
            try await verify(place, redis, console)
        }
    case .restore(let snapshots, let place, let isForced):
        let workspaces = QueryEngine.snapshots(in: snapshots)
        guard !workspaces.isEmpty else {
            throw StartFailure(description: "\(snapshots): there are no snapshots")
        }
        try await withRedis(place, mayRun: false) { redis in
            for workspace in workspaces {
                try await restore(workspace, place, isForced, redis, console)
            }
        }
    }
}

private func verify(
    _ place: DataPlace, _ redis: RedisConfiguration, _ console: DataConsole
) async throws {
    let folder = place.rollups ?? ""
    var workspaces = QueryEngine.snapshots(in: folder)
    if workspaces.isEmpty {
        workspaces = [(.default, "\(folder)/\(WorkspaceID.default.text)", "UTC")]
    }
    for workspace in workspaces {
        try await withQueries(workspace, place, redis) { queries in
            try await queries.verify(snapshots: workspace.path) { what in
                console.show("looking at \(Escaping.text(what))")
            } report: { difference in
                console.print(Escaping.text(difference.description))
            }
        }
    }
}

private func restore(
    _ workspace: (workspace: WorkspaceID, path: String, zone: String), _ place: DataPlace,
    _ isForced: Bool, _ redis: RedisConfiguration, _ console: DataConsole
) async throws {
    let name = workspace.workspace.text
    let report = try await withQueries(workspace, place, redis) { queries in
        try await queries.restore(from: workspace.path, into: place.folder, isForced: isForced) {
            console.show("restoring \(name)", done: $0, of: $1)
        }
    }
    console.print(
        "restored \(name): \(report.days) days (\(report.coldDays) of them stay in their files), "
            + "\(report.subjectDays) lines of subjects, \(report.accounts) accounts")
}

/// Runs a body with a Redis: the one that is named, that of a service which runs on the folder (if it
/// may run), or one that is started on the folder and ended afterwards.
private func withRedis(
    _ place: DataPlace, mayRun: Bool, _ body: (RedisConfiguration) async throws -> Void
) async throws {
    if let url = place.redisURL { return try await body(patient(RedisConfiguration(url: url))) }
    let folder = place.folder ?? "./data"
    if mayRun, access(folder, F_OK) != 0 {
        throw StartFailure(
            description: "data folder \(folder): \(String(cString: strerror(errno)))")
    }
    let child: RedisServerProcess
    do {
        child = try await RedisServerProcess.start(
            RedisServerConfiguration(folder: folder), metrics: MetricsRegistry(),
            logger: Logger(level: .error))
    } catch {
        guard case .locked = error, mayRun else { throw error }
        return try await body(patient(RedisConfiguration(address: .unix("\(folder)/redis.sock"))))
    }
    do {
        try await body(patient(RedisConfiguration(address: child.address)))
    } catch {
        await child.stop()
        throw error
    }
    await child.stop()
}

private func patient(_ redis: RedisConfiguration) -> RedisConfiguration {
    var redis = redis
    redis.commandTimeout = .seconds(20)
    return redis
}

/// Runs a body with an engine of its own loop.
private func withQueries<Value: Sendable>(
    _ workspace: (workspace: WorkspaceID, path: String, zone: String), _ place: DataPlace,
    _ redis: RedisConfiguration, _ body: (QueryEngine) async throws -> Value
) async throws -> Value {
    guard let calendar = WorkspaceCalendar(zone: workspace.zone) else {
        throw StartFailure(description: "\(workspace.path): unknown zone \(workspace.zone)")
    }
    let settings = WorkspaceSettings(
        id: workspace.workspace, calendar: calendar, hotDays: place.hotDays,
        eventsDays: place.eventsDays)
    let loop = try EventLoop()
    loop.start()
    defer { loop.stop() }
    let queries = QueryEngine(
        on: loop, redis: redis, settings: settings, clock: SystemClock(),
        data: place.folder ?? "", metrics: MetricsRegistry(), logger: Logger(level: .error))
    await queries.start(isKeeping: false)
    do {
        let value = try await body(queries)
        await queries.stop()
        return value
    } catch {
        await queries.stop()
        throw error
    }
}
