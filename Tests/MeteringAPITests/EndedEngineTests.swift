// SPDX-License-Identifier: Apache-2.0

import EventLoop
import HTTPServer
import Identity
import JSON
import Metering
import MeteringAPI
import Observability
import Redis
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(5))) struct EndedEngineTests {
    /// What a router was given for a workspace, while it is there.
    private final class Made {
        weak var api: API?
        weak var engine: MeteringEngine?
        weak var queries: QueryEngine?
        /// Whoever starts it has it until it ends.
        private var started: QueryEngine?
        let workspace: WorkspaceID

        init(
            _ api: API, _ engine: MeteringEngine, _ queries: QueryEngine, of workspace: WorkspaceID
        ) {
            (self.api, self.engine, self.queries) = (api, engine, queries)
            self.workspace = workspace
            started = queries
        }

        func retire() {
            started?.retire()
            started = nil
        }

        func stop() async {
            await started?.stop()
            started = nil
        }
    }

    private final class List {
        var made: [Made] = []
    }

    private static func makeRouter(
        _ redis: RedisServer, on loop: EventLoop, asking: EventLoop, _ list: List
    ) async throws -> Router {
        let (metrics, logger) = (MetricsRegistry(), Logger(level: .error))
        var configuration = RedisConfiguration(address: .unix(redis.socketPath))
        configuration.commandTimeout = .seconds(20)
        let clock = ManualClock(noon)
        let client = RedisClient(
            on: loop, configuration: configuration, scripts: ScriptLibrary.all, metrics: metrics,
            logger: logger)
        client.connect()
        while !client.isReady { await loop.sleep(for: .milliseconds(1)) }
        let json = try JSONReader()
        let store = DirectoryStore(
            client: client, directory: Directory(defaults: WorkspaceSettings()), clock: clock,
            json: json)
        let readiness = Readiness()
        readiness.accept(durability: "none")
        let environment = API.Environment(
            metrics: metrics, routes: RouteMetrics(metrics), readiness: readiness)
        return Router(
            environment: environment, operatorKey: key, store: store, attempts: AttemptLimiter(),
            json: json
        ) { [configuration] settings, json in
            let queries = QueryEngine(
                on: asking, redis: configuration, settings: settings, clock: clock,
                data: redis.folder, metrics: metrics, logger: logger)
            Task { await queries.start(isKeeping: false) }
            let engine = MeteringEngine(
                on: loop, client: client, settings: settings, clock: clock,
                metrics: MeteringMetrics(metrics), thaw: { await queries.thaw($0) })
            let api = API(
                engine: engine, queries: queries, environment: environment, store: store,
                json: json)
            list.made.append(Made(api, engine, queries, of: settings.id))
            return api
        }
    }

    @Test func `Engines whose workspace has changed, or is gone, are let go`() async throws {
        try await withRedis { redis in
            weak var loop: EventLoop?
            do {
                let asking = try EventLoop()
                loop = asking
                asking.start()
                try await onLoop { host in
                    try await Self.change(redis, asking: asking, on: host)
                }
            }
            loop?.stop()
            // Connections hold it.
            while loop != nil { try await Task.sleep(for: .milliseconds(2)) }
        }
    }

    private static func change(
        _ redis: RedisServer, asking: EventLoop, on host: isolated LoopHost
    ) async throws {
        let list = List()
        let router = try await makeRouter(redis, on: host.loop, asking: asking, list)
        func send(_ method: HTTPMethod, _ path: String, _ body: String) async -> Answer {
            let isAboutAll = path.hasPrefix("/v1/workspaces")
            let headers = [
                "Content-Type": "application/json",
                "X-Tally-Workspace": isAboutAll ? absent : "acme",
            ]
            return Answer(
                await router.respond(
                    to: .authorized(
                        method, path, headers: headers, body: Array(body.utf8))))
        }
        #expect(await send(.post, "/v1/workspaces", #"{"id":"acme"}"#).status == 201)
        for currency in ["EUR", "VND", nil] {
            let counted = await send(
                .post, "/v1/events", #"{"subject":"a","meters":{"tokens":1}}"#)
            #expect(counted.status == 200, "\(counted.text)")
            #expect(
                await send(.get, "/v1/leaderboards/tokens", "").status == 200)
            let answer =
                if let currency {
                    await send(
                        .patch, "/v1/workspaces/acme", #"{"currency":"\#(currency)"}"#)
                } else {
                    await send(.delete, "/v1/workspaces/acme", "")
                }
            #expect(answer.status / 100 == 2, "\(answer.text)")
        }
        // Of `default`, which stays; whoever comes next looks through the others.
        #expect(await send(.get, "/v1/workspaces", "").status == 200)
        let ended = list.made.filter { $0.workspace != .default }
        #expect(ended.count >= 3)
        for made in ended { made.retire() }
        for made in ended {
            while made.api != nil || made.engine != nil || made.queries != nil {
                await host.loop.sleep(for: .milliseconds(2))
            }
        }
        for made in list.made { await made.stop() }
    }
}
