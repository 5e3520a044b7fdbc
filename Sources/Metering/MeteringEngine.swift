// SPDX-License-Identifier: Apache-2.0

public import EventLoop
internal import Observability
public import Redis

/// Counts and reads the usage of a workspace, on one loop. It knows nothing of HTTP.
///
/// Nothing that must be right lives here: several engines, in one process or many, may serve one
/// Redis. Made and used on its loop's thread.
public final class MeteringEngine {
    /// Reads what was counted.
    public let reader: UsageReader
    private let client: RedisClient
    private let batcher: EventBatcher
    private let clock: any Clock
    private let settings: WorkspaceSettings

    public init(
        on loop: EventLoop, client: RedisClient, settings: WorkspaceSettings,
        clock: any Clock, metrics: MeteringMetrics
    ) {
        self.client = client
        self.clock = clock
        self.settings = settings
        batcher = EventBatcher(
            on: loop, client: client, script: ScriptLibrary.recordEvents, settings: settings,
            clock: clock, metrics: metrics)
        reader = UsageReader(
            client: client, settings: settings, clock: clock,
            leaderboard: ScriptLibrary.readLifetimeLeaders)
        client.onReady = { [batcher] in batcher.resume() }
    }

    /// Whether Redis can be asked now.
    public var isReady: Bool { client.isReady }

    /// Whether an event may be counted now by its time: nil, or why not.
    ///
    /// - Parameter isBackfill: lifts the bound on late events, as administrators may.
    public func rejection(of event: UsageEvent, isBackfill: Bool) -> EventRejection? {
        guard let time = event.time else { return nil }
        let age = clock.now.milliseconds - time.milliseconds
        if age < -5 * 60_000 {
            return EventRejection(
                status: 422, code: "timestamp_in_future", field: "time",
                detail: "the event is more than 5 minutes in the future")
        }
        if age > settings.lateMS, !isBackfill {
            return EventRejection(
                status: 422, code: "timestamp_too_old", field: "time",
                detail: "the event is more than \(settings.lateMS / 86_400_000) days old; "
                    + "administrators may send it with ?backfill=true")
        }
        return nil
    }

    /// Counts events; their outcomes come in order, on the loop, after Redis has acknowledged.
    public func record(_ events: [UsageEvent], completion: @escaping ([EventOutcome]) -> Void) {
        batcher.record(events, completion: completion)
    }

    /// Counts one event.
    public func record(_ event: UsageEvent, completion: @escaping (EventOutcome) -> Void) {
        batcher.record(event, completion: completion)
    }
}
