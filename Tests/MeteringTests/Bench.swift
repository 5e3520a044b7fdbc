// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import Observability
import Redis
import TestSupport

/// An engine on a loop, with its own connection.
final class Bench {
    let engine: MeteringEngine
    let closer: DayCloser
    let client: RedisClient
    let clock: ManualClock
    let queries: QueryEngine
    let registry = MetricsRegistry()

    /// - Parameters:
    ///   - data: where days that leave Redis have their files.
    ///   - heldMS: so much that what is counted together goes in one step, however slow the machine is.
    init(
        _ path: String, on loop: EventLoop, clock: ManualClock,
        settings: WorkspaceSettings = WorkspaceSettings(), timeout: Duration = .seconds(20),
        data: String = "/nonexistent", waitMS: Int = 1_000, heldMS: Int = 1_000_000
    ) async {
        var configuration = RedisConfiguration(address: .unix(path))
        configuration.commandTimeout = timeout
        client = RedisClient(
            on: loop, configuration: configuration, scripts: ScriptLibrary.all, metrics: registry,
            logger: Logger(level: .error))
        self.clock = clock
        queries = QueryEngine(
            on: loop, redis: configuration, settings: settings, clock: clock, data: data,
            metrics: registry, logger: Logger(level: .error))
        engine = MeteringEngine(
            on: loop, client: client, settings: settings, clock: clock,
            metrics: MeteringMetrics(registry), thaw: { [queries] in await queries.thaw($0) },
            waitMS: waitMS, heldMS: heldMS)
        closer = DayCloser(client: client, settings: settings, clock: clock)
        client.connect()
        await queries.start(isKeeping: false)
        while !client.isReady { await loop.sleep(for: .milliseconds(1)) }
        while await !queries.isReady { await loop.sleep(for: .milliseconds(1)) }
    }

    deinit { queries.assumeIsolated { $0.stop() } }

    /// The heads of a leaderboard.
    func leaders(
        _ window: LeaderboardWindow, limit: Int = 100
    ) async throws -> [LeaderboardEntry] {
        try await queries.leaderboard(.tokens, window, limit: limit, after: nil).entries
    }

    func record(_ events: [UsageEvent]) async -> [EventOutcome] {
        await withCheckedContinuation { continuation in
            engine.record(events) { continuation.resume(returning: $0) }
        }
    }

    func record(_ event: UsageEvent) async -> EventOutcome { await record([event])[0] }
}

/// 2026-11-21T10:00:00Z
let noon = 1_795_255_200_000

func event(
    _ subject: String, _ amounts: [String: Int] = ["tokens": 1], id: String? = nil,
    at time: Int? = nil, action: String = "chat", model: String = "m"
) -> UsageEvent {
    UsageEvent(
        id: id.map { ByteString($0) }, time: time.map { Timestamp(milliseconds: $0) },
        subject: subjectID(subject), action: ByteString(action), model: ByteString(model),
        description: ByteString(""),
        amounts: amounts.compactMap { name, amount in
            Meter(name: Array(name.utf8)).map { ($0, amount) }
        }.sorted { $0.0.name < $1.0.name })
}

func subjectID(_ text: String) -> SubjectID {
    guard let id = SubjectID(text) else { preconditionFailure("no valid subject: \(text)") }
    return id
}

let tokens = Meter.tokens

extension EventOutcome {
    var counted: CountedEvent? { if case .counted(let event) = self { event } else { nil } }
    var duplicate: CountedEvent? { if case .duplicate(let event) = self { event } else { nil } }
    var code: String? { if case .rejected(let rejection) = self { rejection.code } else { nil } }
    func total(_ meter: Meter = tokens) -> Int? {
        (counted ?? duplicate)?.totals.first { $0.meter == meter }?.total
    }
}
