// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Identity
internal import Metering
internal import Observability
internal import Redis
internal import Synchronization

/// The engines that answer long questions: one for each workspace, on one loop, shared by all that
/// serve requests. Each has a connection of its own.
final class QueryEngines: Sendable {
    private let loop: EventLoop
    private let redis: RedisConfiguration
    private let directory: Directory
    private let clock: any Clock
    private let data: String
    private let metrics: MetricsRegistry
    private let logger: Logger
    private let carry: AlertCarrier
    private let engines = Mutex<[WorkspaceID: (settings: WorkspaceSettings, engine: QueryEngine)]>(
        [:])

    init(
        on loop: EventLoop, redis: RedisConfiguration, directory: Directory, clock: any Clock,
        data: String,
        metrics: MetricsRegistry, logger: Logger, carry: @escaping AlertCarrier
    ) {
        self.carry = carry
        self.directory = directory
        (self.loop, self.redis, self.clock, self.data) = (loop, redis, clock, data)
        (self.metrics, self.logger) = (metrics, logger)
    }

    /// The engine of a workspace as it is now: whoever asks may have read its settings a moment ago.
    /// Retired if there is no such workspace any more, whoever has its id.
    func engine(of workspace: WorkspaceSettings) -> QueryEngine {
        if let engine = engine(of: workspace.id, born: workspace.birth) { return engine }
        let engine = unstarted(workspace)
        engine.retire()
        return engine
    }

    /// Starts the engines of all workspaces, and ends those of others.
    func keep() {
        let ids = engines.withLock { Set($0.keys) }.union(directory.workspaces.map(\.id))
        for id in ids { _ = engine(of: id, born: nil) }
    }

    /// Makes and starts it where there is none, or one that goes by other settings.
    private func engine(of id: WorkspaceID, born birth: String?) -> QueryEngine? {
        engines.withLock { engines in
            let settings = directory.settings(of: id)
            if let made = engines[id], made.settings != settings {
                made.engine.retire()
                engines[id] = nil
            }
            guard let settings, birth == nil || birth == settings.birth else { return nil }
            if let made = engines[id] { return made.engine }
            let engine = unstarted(settings)
            engines[id] = (settings, engine)
            Task { await engine.start() }
            return engine
        }
    }

    /// What the folders of this service say whose they are.
    func ownedFolders() async -> [OwnedFolder] {
        await back(unstarted(directory.defaults).ownedFolders())
    }

    /// Removes the files of a workspace that was deleted.
    func removeSnapshots(of id: WorkspaceID, dataset: String) async throws {
        try await back(unstarted(WorkspaceSettings(id: id)).removeSnapshots(of: dataset))
    }

    func stop() async {
        let all = engines.withLock { engines in
            defer { engines = [:] }
            return engines.values.map(\.engine)
        }
        for engine in all { await engine.stop() }
    }

    private func unstarted(_ settings: WorkspaceSettings) -> QueryEngine {
        QueryEngine(
            on: loop, redis: redis, settings: settings, clock: clock, data: data, metrics: metrics,
            logger: logger, carry: carry)
    }
}
