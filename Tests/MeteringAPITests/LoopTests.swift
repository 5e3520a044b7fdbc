// SPDX-License-Identifier: Apache-2.0

import EventLoop
import HTTPServer
import Identity
import JSON
import Metering
import Observability
import Redis
import Synchronization
import TestSupport
import Testing

@testable import MeteringAPI

/// Engines that answer questions are on a loop of their own, as a process has them.
@Suite(.timeLimit(.minutes(15))) struct LoopTests {
    private static func makeAPI(
        _ redis: RedisServer, serving: EventLoop, asking: EventLoop
    ) async -> (API, QueryEngine) {
        let (clock, metrics) = (ManualClock(noon), MetricsRegistry())
        var configuration = RedisConfiguration(address: .unix(redis.socketPath))
        configuration.commandTimeout = .seconds(20)
        let (settings, logger) = (WorkspaceSettings(), Logger(level: .error))
        let client = RedisClient(
            on: serving, configuration: configuration, scripts: ScriptLibrary.all, metrics: metrics,
            logger: logger)
        let engine = MeteringEngine(
            on: serving, client: client, settings: settings, clock: clock,
            metrics: MeteringMetrics(metrics))
        client.connect()
        let queries = QueryEngine(
            on: asking, redis: configuration, settings: settings, clock: clock,
            data: "/nonexistent",
            metrics: metrics, logger: logger)
        await back(queries.start(isKeeping: false))
        guard let json = try? JSONReader() else { preconditionFailure("no memory") }
        let store = DirectoryStore(
            client: client, directory: Directory(defaults: settings), clock: clock, json: json)
        let api = API(
            engine: engine, queries: queries,
            environment: API.Environment(
                metrics: metrics, routes: RouteMetrics(metrics), readiness: Readiness()),
            store: store, json: json)
        api.sibling = { [unowned api] _ throws(HTTPProblem) in api }
        while !client.isReady { await serving.sleep(for: .milliseconds(1)) }
        await back(queries.waitUntilReady())
        return (api, queries)
    }

    @Test func `An act that is noted is done on the loop of its API, and what follows it, too`()
        async throws
    {
        try await withRedis { redis in
            let asking = try EventLoop()
            asking.start()
            defer { asking.stop() }
            try await onLoop { host in
                let (api, queries) = await Self.makeAPI(redis, serving: host.loop, asking: asking)
                let places = Places()
                let fails = Route(.put, "/v1/prices", access: .admin) { api, _ in
                    places.add(api.engine.isOnItsLoop)
                    throw HTTPProblem.badRequest("refused", "as it has to be")
                }
                let works = Route(.put, "/v1/prices", access: .admin) { api, _ in
                    places.add(api.engine.isOnItsLoop)
                    return HTTPResponse(status: .noContent)
                }
                let call = API.Call(
                    request: .authorized(.put, "/v1/prices"),
                    principal: Principal(role: .operator, workspace: .default, name: "operator"))
                for _ in 0..<20 {
                    _ = try await api.noted(works, call)
                    places.add(api.engine.isOnItsLoop)
                    do {
                        _ = try await api.noted(fails, call)
                        Issue.record("it was not refused")
                    } catch {
                        #expect(error is HTTPProblem)
                    }
                    places.add(api.engine.isOnItsLoop)
                }
                #expect(places.all.count == 80)
                #expect(places.all.allSatisfy { $0 })
                await back(queries.stop())
            }
        }
    }
}

/// Whether somebody was where it should be, in order.
private final class Places: Sendable {
    private let list = Mutex<[Bool]>([])

    var all: [Bool] { list.withLock { $0 } }
    func add(_ isThere: Bool) { list.withLock { $0.append(isThere) } }
}
