// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Metering
internal import Observability
internal import Redis
internal import Synchronization

/// The engines that answer long questions: one for each workspace, on one loop, shared by all that
/// serve requests. Each has a connection of its own.
final class QueryEngines: Sendable {
    private let loop: EventLoop
    private let redis: RedisConfiguration
    private let clock: any Clock
    private let data: String
    private let metrics: MetricsRegistry
    private let logger: Logger
    private let carry: AlertCarrier
    private let engines = Mutex<[WorkspaceID: (settings: WorkspaceSettings, engine: QueryEngine)]>(
        [:])

    init(
        on loop: EventLoop, redis: RedisConfiguration, clock: any Clock, data: String,
        metrics: MetricsRegistry, logger: Logger, carry: @escaping AlertCarrier
    ) {
        self.carry = carry
        (self.loop, self.redis, self.clock, self.data) = (loop, redis, clock, data)
        (self.metrics, self.logger) = (metrics, logger)
    }

    /// The engine of a workspace, which is made and started where there is none, or one that goes by
    /// other settings.
    func engine(of settings: WorkspaceSettings) -> QueryEngine {
        engines.withLock { engines in
            if let made = engines[settings.id] {
                if made.settings == settings { return made.engine }
                Task { await made.engine.stop() }
            }
            let engine = unstarted(settings)
            engines[settings.id] = (settings, engine)
            Task { await engine.start() }
            return engine
        }
    }

    /// Starts the engines of workspaces, and ends those of others.
    func keep(_ workspaces: [WorkspaceSettings]) {
        for settings in workspaces { _ = engine(of: settings) }
        let ids = Set(workspaces.map(\.id))
        engines.withLock { engines in
            for (id, made) in engines where !ids.contains(id) {
                Task { await made.engine.stop() }
                engines[id] = nil
            }
        }
    }

    /// Removes the files of a workspace that was deleted, but those of another dataset.
    func removeSnapshots(of id: WorkspaceID, but dataset: String?) async throws {
        try await back(unstarted(WorkspaceSettings(id: id)).removeSnapshots(but: dataset))
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
