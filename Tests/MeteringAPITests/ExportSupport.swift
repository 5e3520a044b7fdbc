// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import HTTPServer
import Identity
import JSON
import Metering
import MeteringAPI
import Observability
import Redis
import TestSupport
import Testing

/// The API behind a socket, with the queries on a loop of their own, as a process has it.
final class ExportBench: Sendable {
    let port: UInt16
    let redis: RedisServer
    let clock: ManualClock
    let metrics: MetricsRegistry
    private let server: HTTPServer
    private let queries: QueryEngine
    private let loops: [EventLoop]

    init(_ redis: RedisServer) async throws {
        let (serving, asking) = (try EventLoop(), try EventLoop())
        loops = [serving, asking]
        for loop in loops { loop.start() }
        self.redis = redis
        let (clock, metrics, readiness) = (ManualClock(noon), MetricsRegistry(), Readiness())
        self.clock = clock
        self.metrics = metrics
        var configuration = RedisConfiguration(address: .unix(redis.socketPath))
        configuration.commandTimeout = .seconds(20)
        let (logger, settings) = (Logger(level: .error), WorkspaceSettings())
        let queries = QueryEngine(
            on: asking, redis: configuration, settings: settings, clock: clock,
            data: NSTemporaryDirectory(), metrics: metrics, logger: logger)
        self.queries = queries
        await queries.start(isKeeping: false)
        readiness.accept(durability: "none")
        let redisConfiguration = configuration
        server = HTTPServer(on: serving, metrics: metrics, logger: logger) {
            let client = RedisClient(
                on: serving, configuration: redisConfiguration, scripts: ScriptLibrary.all,
                metrics: metrics, logger: logger)
            let engine = MeteringEngine(
                on: serving, client: client, settings: settings, clock: clock,
                metrics: MeteringMetrics(metrics))
            client.connect()
            let environment = API.Environment(
                metrics: metrics, routes: RouteMetrics(metrics), readiness: readiness)
            guard let json = try? JSONReader() else { preconditionFailure("no memory") }
            let store = DirectoryStore(
                client: client, directory: Directory(defaults: settings), clock: clock, json: json)
            return Router(
                environment: environment, operatorKey: key, store: store,
                attempts: AttemptLimiter(), json: json
            ) { _, json in
                API(
                    engine: engine, queries: queries, environment: environment, store: store,
                    json: json)
            }
        }
        let (descriptor, port) = try HTTPServer.bind(host: "127.0.0.1", port: 0)
        self.port = port
        await server.listen(on: descriptor)
        let client = BlockingHTTPClient(port: port, key: key)
        while try client.get("/readyz").status != 200 || client.get("/v1/events").status != 200 {
            try await Task.sleep(for: .milliseconds(2))
        }
    }

    func stop() async {
        await server.shutdown(deadline: .zero)
        await queries.stop()
        for loop in loops { loop.stop() }
    }

    func client() -> BlockingHTTPClient { BlockingHTTPClient(port: port, key: key) }

    /// How often Redis was asked for a piece of the log.
    func readCount() throws -> Int {
        let text = try redis.request("INFO commandstats")
        guard let match = text.firstMatch(of: /cmdstat_xrevrange:calls=(\d+)/) else { return 0 }
        return Int(match.1) ?? 0
    }

    /// Waits until nothing is asked of Redis any more; how often it was asked until then.
    func settledReadCount() async throws -> Int {
        var last = -1
        while true {
            let count = try readCount()
            if count == last { return count }
            last = count
            try await Task.sleep(for: .milliseconds(300))
        }
    }
}

func withExports(
    _ body: @Sendable (ExportBench) async throws -> Void
) async throws {
    try await withRedis { redis in
        let bench = try await ExportBench(redis)
        do {
            try await body(bench)
            await bench.stop()
        } catch {
            await bench.stop()
            throw error
        }
    }
}

/// A peer that reads as much as it wants to, when it wants to.
final class LazyReader {
    private let descriptor: Int32
    /// Whether reading ended with a reset.
    private(set) var wasReset = false

    init(
        port: UInt16, _ path: String, version: String = "1.1", secret: String = key
    ) throws {
        // A child that another test starts would keep the connection open behind its end.
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        // The kernel's own measure grows with time: what sockets hold would depend on the machine.
        var taken: Int32 = 1 << 18
        setsockopt(
            descriptor, SOL_SOCKET, SO_RCVBUF, &taken, socklen_t(MemoryLayout<Int32>.size))
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(
            descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(status == 0)
        let head =
            "GET \(path) HTTP/\(version)\r\nHost: a\r\nAuthorization: Bearer \(secret)\r\n\r\n"
        try #require(send(descriptor, head, head.utf8.count, 0) == head.utf8.count)
    }

    deinit { Glibc.close(descriptor) }

    /// Reads at least so many bytes, or to the end.
    func read(_ count: Int = .max) -> [UInt8] {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while bytes.count < count {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count < 0, errno == ECONNRESET { wasReset = true }
            guard count > 0 else { break }
            bytes += buffer[..<count]
        }
        return bytes
    }

    /// Reads to the end of a body of chunks, or to that of the connection.
    func readBody() -> (bytes: [UInt8], isWhole: Bool) {
        var bytes: [UInt8] = []
        while true {
            let piece = read(1)
            if piece.isEmpty { return (bytes, false) }
            bytes += piece
            if bytes.suffix(5).elementsEqual("0\r\n\r\n".utf8) { return (bytes, true) }
        }
    }
}

/// Reads text as Python's csv or json module does: rows of cells, or of values by column.
func readByPython(_ bytes: [UInt8], _ format: String) throws -> [[String: Any]] {
    let code = """
        import csv, io, json, sys
        data = sys.stdin.buffer.read().decode("utf-8")
        kind = sys.argv[1]
        if kind == "csv": rows = list(csv.DictReader(io.StringIO(data, newline=""), strict=True))
        elif kind == "json": rows = json.loads(data)
        else: rows = [json.loads(line) for line in data.split("\\n")[:-1]]
        json.dump(rows, sys.stdout)
        """
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = ["python3", "-c", code, format]
    let (input, output) = (Pipe(), Pipe())
    process.standardInput = input
    process.standardOutput = output
    try process.run()
    let writer = Thread {
        try? input.fileHandleForWriting.write(contentsOf: Data(bytes))
        try? input.fileHandleForWriting.close()
    }
    writer.start()
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0)
    return try #require(try JSONSerialization.jsonObject(with: data) as? [[String: Any]])
}
