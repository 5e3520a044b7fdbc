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
import Transfer

/// 2026-11-21T10:00:00Z
let noon = 1_795_255_200_000
let key = "a-key-for-tests-only"

/// An answer of the API, taken apart.
struct Answer {
    let status: Int
    let headers: [String: String]
    let body: [UInt8]

    init(_ response: HTTPResponse) {
        status = response.status.code
        headers = Dictionary(response.headers.map { ($0.name.lowercased(), $0.value) }) {
            $0 + ", " + $1
        }
        if case .bytes(let bytes) = response.body { body = bytes } else { body = [] }
    }

    var text: String { String(decoding: body, as: UTF8.self) }
    var json: [String: Any] {
        (try? JSONSerialization.jsonObject(with: Data(body))) as? [String: Any] ?? [:]
    }
    var code: String? { json["code"] as? String }
    var detail: String { json["detail"] as? String ?? "" }
    var totals: [String: Int] { json["totals"] as? [String: Int] ?? [:] }
    var isDuplicate: Bool? { json["duplicate"] as? Bool }
    var results: [[String: Any]] { json["results"] as? [[String: Any]] ?? [] }
    var statuses: [String] { results.map { $0["status"] as? String ?? "" } }
    /// For each result of a batch, the code of its error.
    var codes: [String?] { results.map { ($0["error"] as? [String: Any])?["code"] as? String } }
}

/// The API on a test's loop, in front of a Redis. What a request goes through on a socket is left
/// out.
final class Harness {
    let api: Router
    let clock = ManualClock(noon)
    let readiness = Readiness()
    private let redis: RedisServer
    private let client: RedisClient
    let queries: QueryEngine
    private var canaries = 0

    init(
        _ redis: RedisServer, on loop: EventLoop, timeout: Duration = .seconds(20),
        data: String = "/nonexistent", settings: WorkspaceSettings = WorkspaceSettings(),
        courier: Courier = Courier()
    ) async {
        self.redis = redis
        (api, client, queries) = makeAPI(
            redis.socketPath, on: loop, clock, readiness, timeout: timeout, data: data,
            settings: settings, courier: courier)
        client.connect()
        await queries.start(isKeeping: false)
        while !client.isReady { await loop.sleep(for: .milliseconds(1)) }
        while await !queries.isReady { await loop.sleep(for: .milliseconds(1)) }
    }

    func send(_ request: HTTPRequest) async -> Answer {
        let response = await api.respond(to: request)
        let answer = Answer(response)
        var isRead = true
        if case .stream = response.body { isRead = false }
        ExchangeLog.shared.add(
            request.method.name, request.path + (request.query.map { "?\($0)" } ?? ""),
            sent: (request.headers.value(of: "content-type"), request.body), answer.status,
            answer.headers, isRead ? answer.body : nil)
        return answer
    }

    func post(
        _ body: String, query: String? = nil, headers: [String: String] = [:]
    ) async -> Answer {
        await send(.post(body, query: query, headers: headers))
    }

    /// Sends a JSON body.
    func send(_ method: HTTPMethod, _ path: String, _ body: String) async -> Answer {
        await send(
            .authorized(
                method, path, headers: ["Content-Type": "application/json"],
                body: Array(body.utf8)))
    }

    /// Posts lines.
    func postLines(_ body: String) async -> Answer {
        await send(.post(body, headers: ["Content-Type": "application/x-ndjson"]))
    }

    func get(_ path: String, query: String? = nil) async -> Answer {
        await send(.authorized(.get, path, query: query))
    }

    /// What a subject used, by meter; nil when it is not known.
    func totals(_ subject: String) async -> [String: Int]? {
        let answer = await get("/v1/subjects/\(percentEncoded(subject))")
        return answer.status == 200 ? answer.totals : nil
    }

    /// The line of a metric that has no labels; nil when there is none.
    func metric(_ name: String) async -> Substring? {
        await get("/metrics").text.split(separator: "\n").first { $0.hasPrefix("\(name) ") }
    }

    /// Records that a valid event is counted, whatever came before it.
    func expectGoesOn(_ comment: @autoclosure () -> Comment? = nil) async {
        canaries += 1
        let answer = await post(#"{"subject":"canary","meters":{"canaries":1}}"#)
        #expect(answer.status == 200, comment())
        #expect(answer.totals == ["canaries": canaries], comment())
    }

    /// Records that a request is refused as it should be: with a problem that says all, nothing
    /// counted, and the service going on.
    @discardableResult
    func expectRefusal(
        _ request: HTTPRequest, _ status: Int, _ code: String, _ name: String
    ) async throws -> Answer {
        let before = try redis.fingerprintWithoutAudit()
        let answer = await send(request)
        #expect(try redis.fingerprintWithoutAudit() == before, "\(name): something was counted")
        #expect(answer.status == status, "\(name): \(answer.text.prefix(300))")
        #expect(answer.code == code, "\(name): \(answer.text.prefix(300))")
        expectProblem(answer, at: request.path, name)
        await expectGoesOn("\(name)")
        return answer
    }
}

/// Records that an answer is a problem with all its members and headers.
func expectProblem(_ answer: Answer, at path: String, _ name: String) {
    #expect(answer.headers["content-type"] == "application/problem+json", "\(name)")
    #expect(answer.json["type"] as? String == "about:blank", "\(name)")
    #expect(answer.json["status"] as? Int == answer.status, "\(name)")
    #expect(answer.json["instance"] as? String == path, "\(name)")
    for member in ["title", "detail", "code"] {
        #expect((answer.json[member] as? String)?.isEmpty == false, "\(name): \(member)")
    }
    #expect((answer.status == 401) == (answer.headers["www-authenticate"] != nil), "\(name)")
    #expect((answer.status == 405) == (answer.headers["allow"] != nil), "\(name)")
    #expect((answer.status == 503) == (answer.headers["retry-after"] == "1"), "\(name)")
    #expect(answer.body.count < 1000, "\(name): a refusal is short")
}

/// Runs a test's body with the API on a loop and a Redis of its own.
func withAPI<Value: Sendable>(
    _ body: @Sendable (isolated LoopHost, Harness, RedisServer) async throws -> Value
) async throws -> Value {
    try await withRedis { redis in
        try await onLoop { host in
            let harness = await Harness(redis, on: host.loop)
            do {
                let value = try await body(host, harness, redis)
                await harness.queries.stop()
                return value
            } catch {
                await harness.queries.stop()
                throw error
            }
        }
    }
}

/// The API as a process makes it, with a client that does not connect yet.
func makeAPI(
    _ path: String, on loop: EventLoop, _ clock: some Metering.Clock, _ readiness: Readiness,
    timeout: Duration = .seconds(20), data: String = "/nonexistent",
    settings: WorkspaceSettings = WorkspaceSettings(), courier: Courier = Courier()
) -> (Router, RedisClient, QueryEngine) {
    let metrics = MetricsRegistry()
    var configuration = RedisConfiguration(address: .unix(path))
    configuration.commandTimeout = timeout
    let client = RedisClient(
        on: loop, configuration: configuration, scripts: ScriptLibrary.all, metrics: metrics,
        logger: Logger(level: .error))
    let queries = QueryEngine(
        on: loop, redis: configuration, settings: settings, clock: clock, data: data,
        metrics: metrics, logger: Logger(level: .error))
    let engine = MeteringEngine(
        on: loop, client: client, settings: settings, clock: clock,
        metrics: MeteringMetrics(metrics), thaw: { await queries.thaw($0) })
    readiness.accept(durability: "none")
    let environment = API.Environment(
        metrics: metrics, routes: RouteMetrics(metrics), readiness: readiness, courier: courier)
    guard let json = try? JSONReader() else { preconditionFailure("no memory") }
    let store = DirectoryStore(
        client: client, directory: Directory(defaults: settings), clock: clock, json: json)
    let router = Router(
        environment: environment, operatorKey: key, store: store, attempts: AttemptLimiter(),
        json: json
    ) { settings, json in
        guard settings.id != .default else {
            return API(
                engine: engine, queries: queries, environment: environment, store: store,
                json: json)
        }
        let queries = QueryEngine(
            on: loop, redis: configuration, settings: settings, clock: clock, data: data,
            metrics: metrics, logger: Logger(level: .error))
        Task { await queries.start(isKeeping: false) }
        let engine = MeteringEngine(
            on: loop, client: client, settings: settings, clock: clock,
            metrics: MeteringMetrics(metrics), thaw: { await queries.thaw($0) })
        return API(
            engine: engine, queries: queries, environment: environment, store: store, json: json)
    }
    return (router, client, queries)
}

extension HTTPRequest {
    /// A request of the administrator; a header without a value is left out.
    static func authorized(
        _ method: HTTPMethod, _ path: String, query: String? = nil, headers: [String: String] = [:],
        body: [UInt8] = []
    ) -> HTTPRequest {
        let fields = ["Authorization": "Bearer \(key)"].merging(headers) { $1 }
        return HTTPRequest(
            method: method, path: path, query: query,
            headers: HTTPHeaders(
                fields.filter { $0.value != absent }.map { (name: $0.key, value: $0.value) }),
            body: body)
    }

    static func post(
        bytes: [UInt8], query: String? = nil, headers: [String: String] = [:]
    ) -> HTTPRequest {
        authorized(
            .post, "/v1/events", query: query,
            headers: ["Content-Type": "application/json"].merging(headers) { $1 }, body: bytes)
    }

    static func post(
        _ body: String, query: String? = nil, headers: [String: String] = [:]
    ) -> HTTPRequest {
        post(bytes: Array(body.utf8), query: query, headers: headers)
    }
}

/// The value of a header that is not sent.
let absent = "(absent)"

/// Escapes all but letters and digits.
func percentEncoded(_ text: String) -> String {
    text.utf8.map { byte in
        let isPlain =
            (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte)
            || (0x61...0x7a).contains(byte)
        let hex = String(byte, radix: 16)
        return isPlain ? String(UnicodeScalar(byte)) : "%\(hex.count == 1 ? "0" : "")\(hex)"
    }.joined()
}

/// A JSON string, or anything else that JSON has.
func quoted(_ text: String) -> String {
    let data = try? JSONSerialization.data(withJSONObject: text, options: .fragmentsAllowed)
    return String(decoding: data ?? Data(), as: UTF8.self)
}
