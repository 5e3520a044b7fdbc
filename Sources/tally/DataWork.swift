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
    umask(0o077)
    // One for all workspaces: each loop costs descriptors.
    let loop = try EventLoop()
    loop.start()
    defer { loop.stop() }
    switch task {
    case .verify(let place):
        try await withRedis(place, mayRun: true) { redis in
            let data = DataAccess(place: place, redis: redis, loop: loop)
            try await verify(data, console)
        }
    case .restore(let folder, let place, let isForced):
        let found = try WorkspaceSnapshots.all(in: folder).filter { isNamed($0.workspace, place) }
        for stranger in place.workspace == nil ? try WorkspaceSnapshots.strangers(in: folder) : [] {
            console.warn(
                "\(Escaping.text(stranger)) holds snapshots, but its name is no workspace's id: they are "
                    + "not restored")
        }
        guard !found.isEmpty else {
            let whose = place.workspace.map { " of \($0)" } ?? ""
            throw StartFailure(description: "\(folder): there are no snapshots\(whose)")
        }
        try checkFolder(of: place, outside: folder)
        // Before the data folder is made, and a Redis started in it.
        for workspace in found {
            let name = workspace.workspace.text
            try await workspace.check { console.show("checking \(name)", done: $0, of: $1) }
        }
        try await withRedis(place, mayRun: false) { redis in
            let data = DataAccess(place: place, redis: redis, loop: loop)
            try await restore(found, data, isForced, console)
        }
    }
}

/// The data that a command is about, and the loop on which it works.
private struct DataAccess {
    let place: DataPlace
    let redis: RedisConfiguration
    let loop: EventLoop
}

/// Refuses a data folder within the snapshots: what a service makes in it would be among them.
private func checkFolder(of place: DataPlace, outside snapshots: String) throws {
    guard let folder = place.folder, let source = resolved(Array(snapshots.utf8)) else { return }
    // What is not there is made below the first that is. By bytes: names that look the same may differ.
    var path = Array(folder.utf8)
    var target = resolved(path)
    while target == nil, path != [UInt8(ascii: ".")], path != [UInt8(ascii: "/")] {
        let slash = path.lastIndex(of: UInt8(ascii: "/"))
        path =
            slash.map { $0 == 0 ? [UInt8(ascii: "/")] : Array(path[..<$0]) } ?? [UInt8(ascii: ".")]
        target = resolved(path)
    }
    guard let target, target == source || target.starts(with: source + [UInt8(ascii: "/")]) else {
        return
    }
    throw StartFailure(
        description: "--data \(folder) lies in the snapshots \(snapshots): name another folder")
}

/// The full path without links, of what is there.
private func resolved(_ path: [UInt8]) -> [UInt8]? {
    guard let full = realpath(path.map { CChar(bitPattern: $0) } + [0], nil) else { return nil }
    defer { free(full) }
    return Array(UnsafeRawBufferPointer(start: full, count: strlen(full)))
}

private func isNamed(_ workspace: WorkspaceID, _ place: DataPlace) -> Bool {
    place.workspace.map { $0 == workspace.text } ?? true
}

/// The workspaces to verify: those that there are files of, and those that Redis knows; and by the names of
/// those of which Redis has damaged settings what there is of them.
private func workspaces(
    _ data: DataAccess
) async throws -> (found: [WorkspaceSnapshots], damaged: [String: Difference]) {
    let place = data.place
    let folder = place.rollups ?? ""
    let found = try WorkspaceSnapshots.all(in: folder)
    // One workspace's folder says which one is meant.
    let isOne = found.first?.path == folder
    var all = Dictionary(uniqueKeysWithValues: found.map { ($0.workspace, $0) })
    let listed = try await withQueries(WorkspaceSettings(), data) {
        try await $0.listedWorkspaces()
    }
    for var settings in listed.settings + [WorkspaceSettings()]
    where !isOne || settings.id == found.first?.workspace {
        // Of `default` the files tell the zone, which is an option of the service.
        if settings.id == .default { settings.calendar = all[.default]?.settings.calendar ?? .utc }
        let path = all[settings.id]?.path ?? "\(folder)/\(settings.id.text)"
        all[settings.id] = WorkspaceSnapshots(path: path, settings: settings, hasSettings: true)
    }
    let chosen = all.values.filter { isNamed($0.workspace, place) }
    let damaged = listed.damaged.filter { name, _ in
        place.workspace.map { $0 == name } ?? (!isOne || name == found.first?.workspace.text)
    }
    if chosen.isEmpty, damaged.isEmpty, let name = place.workspace {
        throw StartFailure(description: "there is no workspace \(name)")
    }
    return (chosen.sorted { $0.workspace.text < $1.workspace.text }, damaged)
}

private func verify(_ data: DataAccess, _ console: DataConsole) async throws {
    let found: [WorkspaceSnapshots]
    var damaged: [String: Difference]
    (found, damaged) = try await workspaces(data)
    func tell(_ name: String) {
        console.begin(Escaping.text(name))
        guard let fault = damaged.removeValue(forKey: name) else { return }
        console.print(Escaping.text("\(name): \(fault.description)"))
    }
    for workspace in found {
        tell(workspace.workspace.text)
        try await verify(workspace, data, console)
    }
    // Of these there are no files that would tell how to read what they have.
    for name in damaged.keys.sorted() { tell(name) }
}

private func verify(
    _ workspace: WorkspaceSnapshots, _ data: DataAccess, _ console: DataConsole
) async throws {
    let name = workspace.workspace.text
    try await withQueries(workspace, data) { queries in
        // A Redis of one's own has one service; another one may have several, each with its folder.
        let isOnly = data.place.redisURL == nil && data.place.snapshots == nil
        try await queries.verify(
            snapshots: workspace.path, isOnlyFolder: isOnly
        ) { what in
            console.show("\(name): looking at \(Escaping.text(what))")
        } report: { difference in
            console.print("\(name): \(Escaping.text(difference.description))")
        }
    }
}

/// The files are whole. All else is checked before anything is written, and nothing counts before all is
/// written: a service looks at `default` first, which is written first, and all are ended in one step.
private func restore(
    _ found: [WorkspaceSnapshots], _ data: DataAccess, _ isForced: Bool, _ console: DataConsole
) async throws {
    let token = RestoreToken()
    let order =
        found.filter { $0.workspace == .default } + found.filter { $0.workspace != .default }
    for workspace in order {
        guard let file = workspace.missingState else { continue }
        console.warn(
            "\(Escaping.text(file)) is missing: settings, API keys, rules, balances, grants, holds and "
                + "profiles of \(workspace.workspace.text) are in no other file, and are not restored"
        )
    }
    if data.place.redisURL != nil,
        try await withQueries(WorkspaceSettings(), data, { try await $0.isServed() })
    {
        throw StartFailure(
            description: "a service counts on this Redis: stop all services on it before a restore")
    }
    for workspace in order {
        try await withQueries(workspace, data) { queries in
            try await queries.checkPlace(
                ofSnapshots: workspace.path, into: data.place.folder, isForced: isForced)
        }
    }
    var reports: [RestoreReport] = []
    for workspace in order {
        let name = workspace.workspace.text
        reports.append(
            try await withQueries(workspace, data) { queries in
                try await queries.writeSnapshots(
                    at: workspace.path, into: data.place.folder, isForced: isForced, token: token
                ) { console.show("restoring \(name)", done: $0, of: $1) }
            })
    }
    let written = reports
    try await withQueries(WorkspaceSettings(), data) { queries in
        try await queries.endRestore(written, token: token)
    }
    for report in reports {
        guard let problem = report.secretsProblem else { continue }
        console.warn(
            "secrets of pools and webhooks of \(report.workspace.text) cannot be read: \(problem)")
    }
    let lacking = Set(order.filter { $0.missingState != nil }.map(\.workspace))
    for report in reports.sorted(by: { $0.workspace.text < $1.workspace.text }) {
        console.print(
            "restored \(report.workspace.text): \(report.days) days (\(report.coldDays) of them stay "
                + "in their files), \(report.subjectDays) lines of subjects, "
                + "\(report.accounts) accounts, \(report.apiKeys) keys"
                + (report.removedFiles > 0
                    ? "; removed \(report.removedFiles) files of before" : "")
                + (lacking.contains(report.workspace) ? ", without its state.json" : ""))
    }
}

/// Runs a body with a Redis: the one that is named, that of a service which runs on the folder (if it
/// may run), or one that is started on the folder and ended afterwards.
private func withRedis(
    _ place: DataPlace, mayRun: Bool, _ body: (RedisConfiguration) async throws -> Void
) async throws {
    if let url = place.redisURL {
        // What is restored goes to a folder that no service writes to meanwhile.
        let lock = try mayRun ? nil : place.folder.map { try DataFolderLock($0, isShared: false) }
        defer { withExtendedLifetime(lock) {} }
        return try await body(patient(RedisConfiguration(url: url)))
    }
    let folder = place.folder ?? "./data"
    if mayRun, access(folder, F_OK) != 0 {
        throw StartFailure(
            description: "data folder \(folder): \(String(cString: strerror(errno)))")
    }
    // An empty Redis would differ from nothing where there is nothing, as in a folder of another name.
    if mayRun, access("\(folder)/appendonlydir", F_OK) != 0, errno == ENOENT {
        throw StartFailure(
            description:
                "data folder \(folder): there is no service's Redis in it; name the one that "
                + "the service uses with --redis")
    }
    let child: RedisServerProcess
    do {
        child = try await RedisServerProcess.start(
            RedisServerConfiguration(folder: folder), metrics: MetricsRegistry(),
            logger: Logger(level: .error))
    } catch {
        guard case .locked = error, mayRun else { throw error }
        guard let address = DataFolderLock.redis(of: folder) else {
            throw StartFailure(
                description: "\(error), whose Redis is elsewhere; name it with --redis")
        }
        return try await body(patient(RedisConfiguration(address: address)))
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

/// Runs a body with an engine of a workspace, with the settings that its service has.
private func withQueries<Value: Sendable>(
    _ workspace: WorkspaceSnapshots, _ data: DataAccess,
    _ body: (QueryEngine) async throws -> Value
) async throws -> Value {
    var settings = workspace.settings
    if settings.id == .default || !workspace.hasSettings {
        settings.hotDays = data.place.hotDays
        settings.eventsDays = data.place.eventsDays
    }
    return try await withQueries(settings, data, body)
}

/// Runs a body with an engine of its own.
private func withQueries<Value: Sendable>(
    _ settings: WorkspaceSettings, _ data: DataAccess,
    _ body: (QueryEngine) async throws -> Value
) async throws -> Value {
    let queries = QueryEngine(
        on: data.loop, redis: data.redis, settings: settings, clock: SystemClock(),
        data: data.place.folder ?? "", metrics: MetricsRegistry(), logger: Logger(level: .error))
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
