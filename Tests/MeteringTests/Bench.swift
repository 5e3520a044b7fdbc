// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import Observability
import Redis
import Synchronization
import TestSupport

/// A clock that tests move.
final class ManualClock: Metering.Clock {
    private let time: Mutex<Int>
    private let system = SystemClock()

    init(_ milliseconds: Int) { time = Mutex(milliseconds) }

    var now: Timestamp { Timestamp(milliseconds: time.withLock { $0 }) }
    /// Deadlines are not what these tests move.
    var monotonicMS: Int { system.monotonicMS }

    func set(_ milliseconds: Int) { time.withLock { $0 = milliseconds } }
    func advance(_ milliseconds: Int) { time.withLock { $0 += milliseconds } }
}

/// An engine on a loop, with its own connection.
final class Bench {
    let engine: MeteringEngine
    let closer: DayCloser
    let client: RedisClient
    let clock: ManualClock
    /// To be started for one question, and stopped.
    let queries: QueryEngine
    private let loop: EventLoop

    init(
        _ path: String, on loop: EventLoop, clock: ManualClock,
        settings: WorkspaceSettings = WorkspaceSettings(), timeout: Duration = .seconds(20)
    ) async {
        self.loop = loop
        let registry = MetricsRegistry()
        var configuration = RedisConfiguration(address: .unix(path))
        configuration.commandTimeout = timeout
        client = RedisClient(
            on: loop, configuration: configuration, scripts: ScriptLibrary.all, metrics: registry,
            logger: Logger(level: .error))
        self.clock = clock
        engine = MeteringEngine(
            on: loop, client: client, settings: settings, clock: clock,
            metrics: MeteringMetrics(registry))
        closer = DayCloser(client: client, settings: settings, clock: clock)
        queries = QueryEngine(
            on: loop, redis: configuration, settings: settings, clock: clock,
            data: "/nonexistent", metrics: registry, logger: Logger(level: .error))
        client.connect()
        while !client.isReady { await loop.sleep(for: .milliseconds(1)) }
    }

    /// The heads of a leaderboard, as a process tells them that has just begun.
    func leaders(
        _ window: LeaderboardWindow, limit: Int = 100
    ) async throws -> [LeaderboardEntry] {
        await queries.start()
        while await !queries.isReady { await loop.sleep(for: .milliseconds(1)) }
        do {
            let page = try await queries.leaderboard(.tokens, window, limit: limit, after: nil)
            await queries.stop()
            return page.entries
        } catch {
            await queries.stop()
            throw error
        }
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
