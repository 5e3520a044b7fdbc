// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Glibc
internal import HTTPServer
internal import Identity
internal import JSON
internal import Metering
internal import MeteringAPI
internal import Observability
internal import Pages
internal import Redis
internal import TallyCommand
internal import Transfer

/// The loops, each with a server, an engine and a Redis connection of its own.
final class Service: Sendable {
    private let loops: [EventLoop]
    private let servers: [HTTPServer]
    private let maintenance: Maintenance
    private let snapshots: SnapshotKeeper
    private let queries: QueryEngines
    private let directory: Directory
    private let configuration: ServiceConfiguration

    init(
        _ configuration: ServiceConfiguration, redis: RedisConfiguration,
        settings: WorkspaceSettings, adminKey: String, connectionsMax: Int,
        metrics: MetricsRegistry, logger: Logger
    ) throws {
        self.configuration = configuration
        let loops = try (0..<configuration.threads).map { _ in try EventLoop() }
        let readiness = Readiness(loopCount: configuration.threads)
        let clock = SystemClock()
        let engineMetrics = MeteringMetrics(metrics)
        let epoch = DenialEpoch()
        // Loops of their own: files may hold them up.
        let (querying, flushing) = (try EventLoop(), try EventLoop())
        let directory = Directory(defaults: settings)
        self.directory = directory
        let courier = Courier(configuration.outbound)
        queries = QueryEngines(
            on: querying, redis: redis, directory: directory, clock: clock,
            data: configuration.dataFolder,
            metrics: metrics, logger: logger, carry: courier.carry)
        let environment = API.Environment(
            metrics: metrics, routes: RouteMetrics(metrics), readiness: readiness,
            subjectHeader: configuration.subjectHeader, courier: courier)
        let attempts = AttemptLimiter()
        let pages = Pages(charts: ChartLibrary.read(logger))
        let tokens = try configuration.signIn.keysFile.map { path in
            try TokenFile(
                path, configuration.signIn, directory: directory, clock: clock, logger: logger)
        }
        var limits = HTTPServerConfiguration()
        limits.pathsForGateways = API.pathsForGateways
        limits.maxConnections = min(limits.maxConnections, connectionsMax)
        let load = HTTPServerLoad()
        servers = loops.map { [queries] loop in
            HTTPServer(
                on: loop, configuration: limits, load: load, metrics: metrics, logger: logger
            ) {
                let client = RedisClient(
                    on: loop, configuration: redis, scripts: ScriptLibrary.all, metrics: metrics,
                    logger: logger)
                guard let json = try? JSONReader(), let records = try? JSONReader() else {
                    preconditionFailure("no memory at the start")
                }
                var isFirst = true
                client.whenReady {
                    if isFirst { readiness.loopDidConnect() }
                    isFirst = false
                }
                client.connect()
                let store = DirectoryStore(
                    client: client, directory: directory, clock: clock, json: records)
                let router = Router(
                    environment: environment, operatorKey: adminKey, store: store,
                    attempts: attempts, tokens: tokens?.verifier,
                    crossOrigin: CrossOrigin(origins: configuration.signIn.corsOrigins), json: json
                ) { settings, json in
                    let queries = queries.engine(of: settings)
                    let engine = MeteringEngine(
                        on: loop, client: client, settings: settings, clock: clock,
                        metrics: engineMetrics, epoch: epoch, thaw: { await queries.thaw($0) })
                    return API(
                        engine: engine, queries: queries, environment: environment, store: store,
                        json: json)
                }
                return PagesResponder(pages, before: router) { environment.routes.observePages($0) }
            }
        }
        maintenance = Maintenance(
            on: loops[0], redis: redis, directory: directory, queries: queries, tokens: tokens,
            clock: clock,
            readiness: readiness, allowsVolatile: configuration.allowsVolatile, metrics: metrics,
            engineMetrics: engineMetrics, logger: logger)
        snapshots = SnapshotKeeper(
            on: flushing, redis: redis, directory: directory, clock: clock, readiness: readiness,
            data: configuration.dataFolder, intervalSeconds: configuration.flushIntervalSeconds,
            metrics: metrics, logger: logger)
        self.loops = loops + [querying, flushing]
    }

    /// Starts the loops and listens. Redis is connected to in the background.
    func start(isPrivateRedis: Bool) async throws {
        let port = UInt16(configuration.port)
        try Self.checkAddress(of: configuration)
        for loop in loops { loop.start() }
        await maintenance.start()
        await snapshots.start()
        queries.keep()
        for server in servers {
            let descriptor: Int32
            do throws(EventLoop.Failure) {
                descriptor = try HTTPServer.bind(host: configuration.host, port: port).descriptor
            } catch {
                throw Self.cannotListen(error, configuration)
            }
            await server.listen(on: descriptor)
        }
    }

    /// Throws when another process listens where this one is to.
    static func checkAddress(of configuration: ServiceConfiguration) throws {
        do throws(EventLoop.Failure) {
            try HTTPServer.checkIsFree(
                host: configuration.host, port: UInt16(configuration.port))
        } catch {
            throw cannotListen(error, configuration)
        }
    }

    private static func cannotListen(
        _ error: EventLoop.Failure, _ configuration: ServiceConfiguration
    ) -> any Error {
        switch error {
        case .unresolved(let reason):
            UsageError(option: "listen", value: configuration.listenAddress, problem: reason)
        case .system(_, let code):
            StartFailure(
                description: "--listen \(configuration.listenAddress): "
                    + String(cString: strerror(code))
                    + (code == EADDRINUSE ? "; is another service there?" : ""))
        }
    }

    /// Takes no more connections, answers what is in flight, writes what changed, and ends the loops.
    func stop() async {
        await withTaskGroup { group in
            for server in servers { group.addTask { await server.shutdown(deadline: .seconds(8)) } }
        }
        await queries.stop()
        await maintenance.stop()
        await snapshots.stop()
        for loop in loops { loop.stop() }
    }
}

extension Courier {
    /// A courier as the service is configured.
    fileprivate convenience init(_ configuration: OutboundConfiguration) {
        var server: MailServer?
        if let url = configuration.smtpURL, let from = configuration.smtpFrom {
            server = MailServer(
                url: url, from: from, user: configuration.smtpUser,
                password: configuration.smtpPassword)
        }
        self.init(
            allowsPrivate: configuration.allowsPrivateWebhooks, mailServer: server,
            agent: "tally/\(TallyCommand.version)")
    }

    /// Takes the messages of alerts.
    fileprivate var carry: AlertCarrier {
        { message, workspace in
            let outcome =
                switch message {
                case .webhook(let url, let headers, let body):
                    await self.post(
                        url, headers: headers, body: body, for: workspace.text)
                case .email(let to, let subject, let text, let id):
                    await self.mail(
                        to: to, subject: subject, text: text, id: id, for: workspace.text)
                }
            switch outcome {
            case .delivered: return .delivered
            case .failed(let fault): return .failed(fault)
            case .refused(let fault): return .refused(fault)
            case .unsent(let fault): return .unsent(fault)
            }
        }
    }
}
