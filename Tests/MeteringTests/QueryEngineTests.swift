// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import Observability
import Redis
import TestSupport
import Testing

/// Each workspace has engines, and gets others when its settings change.
@Suite(.timeLimit(.minutes(10))) struct QueryEngineTests {
    private struct Weak {
        weak var object: AnyObject?
        init(_ object: AnyObject) { self.object = object }
    }

    @Test(arguments: [false, true])
    func `An engine that has ended is let go, with its connection and its loop`(
        isKeeping: Bool
    ) async throws {
        try await withRedis { redis in
            try await Self.expectNothingStays(redis, isKeeping: isKeeping) { engine in
                for window in [LeaderboardWindow.lifetime, .days(2)] {
                    _ = try await engine.page(.tokens, window)
                }
                let now = SystemClock().now.milliseconds
                _ = try await engine.series(SeriesQuery(.tokens, .day, now - 86_400_000..<now))
                _ = try await engine.beginLive(LiveQuery(), after: nil)
                try await engine.keepAlerts { _, _ in .delivered }
                _ = try await engine.activity()
                try await engine.verify(snapshots: "/nonexistent", isOnlyFolder: true) { _ in
                } report: { _ in
                }
            }
        }
    }

    @Test func `An engine that has erased somebody is let go, too`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = await Bench(
                    redis.socketPath, on: host.loop, clock: ManualClock(noon))
                #expect(await bench.record(event("ann")).code == nil)
            }
            try await Self.expectNothingStays(redis, isKeeping: false) { engine in
                let subject = subjectID("ann")
                let anonymous = try await engine.anonymousID(for: subject)
                let begun = try #require(try await engine.erase(subject, as: anonymous))
                #expect(try await engine.erasure(begun.id, withinMS: 60_000)?.isDone == true)
            }
        }
    }

    /// Waits until what an engine has had, and its loop, are gone.
    private static func expectNothingStays(
        _ redis: RedisServer, isKeeping: Bool, of use: (QueryEngine) async throws -> Void
    ) async throws {
        weak var engine: QueryEngine?
        weak var loop: EventLoop?
        do {
            let its = try EventLoop()
            loop = its
            its.start()
            let made = QueryEngine(
                on: its, redis: patient(redis),
                settings: WorkspaceSettings(), clock: SystemClock(), data: redis.folder,
                metrics: MetricsRegistry(), logger: Logger(level: .error)
            ) { _, _ in .delivered }
            engine = made
            await made.start(isKeeping: isKeeping)
            while await !made.isReady { try await Task.sleep(for: .milliseconds(2)) }
            try await use(made)
            await made.stop()
        }
        // What it does now and then ends at the next turn, on the loop.
        while engine != nil { try await Task.sleep(for: .milliseconds(2)) }
        loop?.stop()
        // Connections hold it.
        while loop != nil { try await Task.sleep(for: .milliseconds(2)) }
    }

    /// They wait for each other's steps, and nobody comes after the last of them.
    @Test func `Questions that are asked at once are all answered`() async throws {
        try await withRedis { redis in
            let loop = try EventLoop()
            loop.start()
            defer { loop.stop() }
            let engine = QueryEngine(
                on: loop, redis: Self.patient(redis), settings: WorkspaceSettings(),
                clock: SystemClock(), data: redis.folder, metrics: MetricsRegistry(),
                logger: Logger(level: .error))
            await engine.start(isKeeping: false)
            while await !engine.isReady { try await Task.sleep(for: .milliseconds(2)) }
            _ = try await engine.page(.tokens, .lifetime)
            for _ in 0..<50 {
                try await withThrowingTaskGroup { group in
                    for _ in 0..<8 {
                        group.addTask { _ = try await engine.page(.tokens, .lifetime) }
                    }
                    try await group.waitForAll()
                }
            }
            await engine.stop()
        }
    }

    private static func patient(_ redis: RedisServer) -> RedisConfiguration {
        var configuration = RedisConfiguration(address: .unix(redis.socketPath))
        configuration.commandTimeout = .seconds(20)
        return configuration
    }

    @Test func `What counted and wrote for a workspace is let go, though its connection stays`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let client = RedisClient(
                    on: host.loop,
                    configuration: Self.patient(redis),
                    scripts: ScriptLibrary.all, metrics: MetricsRegistry(),
                    logger: Logger(level: .error))
                client.connect()
                while !client.isReady { await host.loop.sleep(for: .milliseconds(2)) }
                let ended = try await Self.countAndWrite(client, redis.folder, on: host)
                for each in ended {
                    while each.object != nil { await host.loop.sleep(for: .milliseconds(2)) }
                }
                #expect(client.isReady)
                client.close()
            }
        }
    }

    private static func countAndWrite(
        _ client: RedisClient, _ data: String, on host: isolated LoopHost
    ) async throws -> [Weak] {
        let (settings, clock, metrics) = (
            WorkspaceSettings(), ManualClock(noon), MetricsRegistry()
        )
        let engine = MeteringEngine(
            on: host.loop, client: client, settings: settings, clock: clock,
            metrics: MeteringMetrics(metrics), thaw: { _ in nil })
        let outcome = await withCheckedContinuation { continuation in
            engine.record(event("ann", ["files_uploaded": 1])) {
                continuation.resume(returning: $0)
            }
        }
        #expect(outcome.counted != nil)
        let check = Decision(.check, subject: subjectID("ann"))
        #expect(try await engine.decide(check).status == .allowed)
        let flusher = Flusher(
            client: client, settings: settings, clock: clock, data: data,
            metrics: FlushMetrics(metrics), logger: Logger(level: .error))
        #expect(await flusher.flush().problem == nil)
        let closer = DayCloser(client: client, settings: settings, clock: clock)
        try await closer.closeDays()
        let holds = HoldKeeper(client: client, settings: settings, clock: clock)
        _ = try await holds.keep()
        return [engine, engine.reader, engine.accounts, flusher, closer, holds].map {
            Weak($0 as AnyObject)
        }
    }
}
