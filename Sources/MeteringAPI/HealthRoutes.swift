// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HTTPServer
internal import JSON
internal import Metering
internal import Observability
internal import Synchronization

/// What is known of Redis and of the process, for `/readyz`.
public final class Readiness: Sendable {
    private let state = Mutex((durability: "unknown", detail: "Redis was not reached yet"))
    private let accepted = Atomic(false)
    /// Why Redis does not answer; nil while it does.
    private let silence = Mutex<String?>(nil)
    private let snapshotProblem = Mutex<String?>(nil)
    private let diskProblem = Mutex<String?>(nil)
    private let directoryProblem = Mutex<String?>(nil)
    private let secretsProblem = Mutex<String?>(nil)
    private let waiting: Atomic<Int>

    /// - Parameter loopCount: how many loops connect to Redis.
    public init(loopCount: Int = 0) { waiting = Atomic(loopCount) }

    /// Whether this Redis may be counted in. Cheap: asked for each request.
    var isAccepted: Bool {
        accepted.load(ordering: .relaxed) && waiting.load(ordering: .relaxed) <= 0
    }

    /// Says that one more loop has its connection, for the first time: whoever was told that the
    /// service is ready may get to any of them.
    public func loopDidConnect() { waiting.subtract(1, ordering: .relaxed) }

    /// Says which durability holds: `fsynced`, `kernel`, `none`, `unknown`.
    public func accept(durability: String) {
        state.withLock { $0 = (durability, "") }
        accepted.store(true, ordering: .relaxed)
    }

    /// Says why the service is not ready, and which durability holds where that is known.
    public func refuse(_ detail: String, durability: String? = nil) {
        state.withLock { $0 = (durability ?? $0.durability, detail) }
        accepted.store(false, ordering: .relaxed)
    }

    /// Says why Redis does not answer; nil when it does. Only `/readyz` goes by it: calls are tried, and
    /// may come through.
    public func setSilence(_ problem: String?) {
        silence.withLock { $0 = problem }
    }

    var silenceProblem: String? { silence.withLock { $0 } }

    /// Says why the snapshots are behind; nil when they are not. Events are counted all the same, so
    /// the service stays ready.
    public func setSnapshots(problem: String?) { snapshotProblem.withLock { $0 = problem } }

    /// Says that the disk of Redis does not keep up; nil when it does. What is counted is counted.
    public func setDisk(problem: String?) { diskProblem.withLock { $0 = problem } }

    /// Says that entries of workspaces cannot be read; nil when all can. Others are served, so the service stays
    /// ready.
    public func setDirectory(problem: String?) { directoryProblem.withLock { $0 = problem } }

    /// Says that secrets of workspaces cannot be read; nil when all can. All else goes on, so the service stays
    /// ready.
    public func setSecrets(problem: String?) { secretsProblem.withLock { $0 = problem } }

    /// What is amiss though the service is ready.
    var concerns: String {
        [
            diskProblem.withLock { $0 }, directoryProblem.withLock { $0 },
            secretsProblem.withLock { $0 },
        ].compactMap(\.self).joined(separator: "; ")
    }

    var snapshots: String { snapshotProblem.withLock { $0 } ?? "current" }

    var current: (durability: String, detail: String) { state.withLock { $0 } }
}

extension API {
    static let healthRoutes: [Route] = [
        Route(.get, "/healthz", access: .open) { _, _ in healthy },
        Route(.get, "/readyz", access: .open) { api, call in api.readiness(at: call.request.path) },
        Route(.get, "/metrics", access: .open) { api, _ in
            HTTPResponse(
                headers: [
                    (name: "Content-Type", value: "text/plain; version=0.0.4; charset=utf-8")
                ],
                body: .bytes(Array(api.environment.metrics.text().utf8)))
        },
    ]

    static let healthy = HTTPResponse.json(Array(#"{"status":"ok"}"#.utf8))

    private func readiness(at path: String) -> HTTPResponse {
        var (durability, detail) = environment.readiness.current
        let silence = engine.problem ?? environment.readiness.silenceProblem
        let isReady = environment.readiness.isAccepted && silence == nil
        // What Redis said last, before it fell silent, or while it lets nobody in.
        if let silence, detail.isEmpty || durability == "unknown" { detail = silence }
        if detail.isEmpty { detail = environment.readiness.concerns }
        let members: [(name: StaticString, value: String)] = [
            (name: "redis", value: silence == nil ? "connected" : "not_connected"),
            (name: "durability", value: durability),
            (name: "snapshots", value: environment.readiness.snapshots),
        ]
        guard isReady else {
            if detail.isEmpty { detail = "not every thread has reached Redis yet" }
            return HTTPProblem(
                .serviceUnavailable, code: "not_ready", detail: detail,
                extra: members.map { ("\($0.name)", $0.value) }
            ).response(at: path)
        }
        if !detail.isEmpty { return .ready(members + [(name: "detail", value: detail)]) }
        return .ready(members)
    }
}

extension HTTPResponse {
    /// 200 of `/readyz`.
    fileprivate static func ready(_ members: [(name: StaticString, value: String)]) -> HTTPResponse
    {
        var json = JSONWriter()
        json.beginObject()
        json.key("status")
        json.string("ready")
        for member in members {
            json.key(member.name)
            json.string(member.value)
        }
        json.endObject()
        return .json(json.bytes)
    }

    /// 200 with a JSON body.
    static func json(_ bytes: [UInt8]) -> HTTPResponse {
        HTTPResponse(
            headers: [(name: "Content-Type", value: "application/json")],
            body: .bytes(bytes))
    }
}

extension HTTPProblem {
    /// The answer that this problem is, to a request of this path.
    func response(at path: String) -> HTTPResponse {
        var problem = self
        problem.instance = path
        if API.isOfPoolClients(path) { problem.extra.append(("success", false)) }
        var response = problem.response()
        switch status {
        case .unauthorized:
            response.headers.append((name: "WWW-Authenticate", value: "Bearer realm=\"tally\""))
        case .serviceUnavailable where !headers.contains { $0.name == "Retry-After" }:
            response.headers.append((name: "Retry-After", value: "1"))
        default: break
        }
        return response
    }
}

/// Microseconds of the monotonic clock.
func monotonicMicroseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1_000_000 + time.tv_nsec / 1000
}
