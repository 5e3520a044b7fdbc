// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Glibc
import HTTPServer
import Observability
import Synchronization
import Testing

/// One raw request and what becomes of it.
struct Case: Sendable, CustomTestStringConvertible {
    enum Input: Sendable {
        case raw(String)
        /// `GET /a` with further header lines.
        case get(String)
        /// `POST /a` with further header lines and a body.
        case post(String, String)
        /// `POST /a` with a chunked body, as it is on the wire.
        case chunked(String)
    }
    enum Outcome: Sendable {
        /// The statuses of all answers; where the connection stays, the canary's is the last.
        case answered([Int])
        case refused(Int, String)
    }

    let name: String
    let input: Input
    let outcome: Outcome
    var testDescription: String { name }

    init(_ name: String, _ input: Input, _ outcome: Outcome) {
        self.name = name
        self.input = input
        self.outcome = outcome
    }

    var bytes: [UInt8] {
        switch input {
        case .raw(let text): latin1(text)
        case .get(let head): latin1("GET /a HTTP/1.1\r\nHost: x\r\n\(head)\r\n")
        case .post(let head, let body):
            latin1("POST /a HTTP/1.1\r\nHost: x\r\n\(head)\r\n\(body)")
        case .chunked(let body):
            latin1(
                "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\(body)")
        }
    }
}

func latin1(_ text: String) -> [UInt8] {
    text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
}

/// What reached the responder.
final class Journal: Sendable {
    private let entries = Mutex<[String]>([])
    private let gone = Mutex(false)
    private let strayed = Mutex(false)
    func add(_ entry: String) { entries.withLock { $0.append(entry) } }
    var all: [String] { entries.withLock { $0 } }
    func noteStrayed() { strayed.withLock { $0 = true } }
    var stayedOnLoop: Bool { strayed.withLock { !$0 } }
    func notePeerGone() { gone.withLock { $0 = true } }
    var sawPeerGone: Bool { gone.withLock { $0 } }
}

/// Answers `u=[PATH] len=LENGTH`, and does what some paths say.
final class TestResponder: HTTPResponder {
    private let loop: EventLoop
    private let journal: Journal
    private var held: [HTTPReply] = []
    private var kept: (HTTPRequest, HTTPReply)?
    private var timers: [LoopTimer] = []
    /// Bodies that are made once, as those of pages are.
    private lazy var shared = (
        middling: Self.filler(300_000), large: Self.filler(8_000_000)
    )

    init(_ loop: EventLoop, _ journal: Journal) {
        self.loop = loop
        self.journal = journal
    }

    private func echo(_ request: HTTPRequest) -> HTTPResponse {
        HTTPResponse(
            headers: [("Content-Type", "text/plain")],
            body: .bytes(Array("u=[\(request.path)] len=\(request.body.count)".utf8)))
    }

    func respondNow(to request: HTTPRequest, reply: HTTPReply) -> Bool {
        journal.add(request.path)
        switch request.path {
        case "/async", "/async/300000", "/large", "/shared", "/told", "/stream", "/broken",
            "/endless":
            return false
        case "/forget": return true
        case "/nothing": reply.send(HTTPResponse(status: .noContent))
        case "/bytes/300000": reply.send(HTTPResponse(body: .bytes(Self.filler(300_000))))
        case "/bytes/8000000": reply.send(HTTPResponse(body: .bytes(Self.filler(8_000_000))))
        case "/inject":
            reply.send(
                HTTPResponse(headers: [
                    ("X-A", "b\r\nSet-Cookie: c"), ("X\r\nY", "z"), ("Content-Length", "999"),
                ]))
        case "/header":
            let value = request.headers.value(of: "x-note") ?? "none"
            reply.send(HTTPResponse(body: .bytes(Array(value.utf8))))
        case "/composed": reply.send(HTTPResponse(headers: [("X-Name", "\u{e9}")]))
        case "/decomposed": reply.send(HTTPResponse(headers: [("X-Name", "e\u{301}")]))
        case "/hold": held.append(reply)
        case "/keep": kept = (request, reply)
        case "/release":
            reply.send(echo(request))
            // Those that wait are answered in the wrong order.
            for waiting in held.reversed() { waiting.send(echo(request)) }
            held = []
            if let (request, reply) = kept { reply.send(echo(request)) }
            kept = nil
        case "/late":
            let answer = echo(request)
            let timer = LoopTimer(on: loop) { reply.send(answer) }
            timer.start(after: .milliseconds(60))
            timers.append(timer)
        default: reply.send(echo(request))
        }
        return true
    }

    func respond(to request: HTTPRequest) async -> HTTPResponse {
        switch request.path {
        case "/async/300000":
            await loop.sleep(for: .milliseconds(1))
            return HTTPResponse(body: .bytes(shared.middling))
        case "/large":
            journal.add("done /large")
            return HTTPResponse(body: .bytes(shared.large))
        case "/shared":
            var response = HTTPResponse(body: .bytes(shared.large))
            response.sharesBody = true
            journal.add("done /shared")
            return response
        case "/told":
            let journal = journal
            journal.add("done /told")
            return HTTPResponse(
                body: .stream { writer in
                    journal.add("streaming")
                    try await writer.write(latin1("told"))
                })
        case "/stream":
            return HTTPResponse(
                body: .stream { writer in
                    for part in 0..<40 {
                        try await writer.write([UInt8](repeating: UInt8(part), count: 50_000))
                    }
                    try await writer.write([])
                })
        case "/broken":
            return HTTPResponse(
                body: .stream { writer in
                    try await writer.write([1, 2, 3])
                    throw CancellationError()
                })
        case "/endless":
            let journal = journal
            return HTTPResponse(
                body: .stream { writer in
                    do {
                        while true {
                            try await writer.write([UInt8](repeating: 0x61, count: 50_000))
                        }
                    } catch {
                        journal.notePeerGone()
                        throw error
                    }
                })
        default:
            if !loop.isCurrent { journal.noteStrayed() }
            await loop.sleep(for: .milliseconds(5))
            if !loop.isCurrent { journal.noteStrayed() }
            return echo(request)
        }
    }

    static func filler(_ count: Int) -> [UInt8] { [UInt8](repeating: 0x78, count: count) }
}

/// A server on a loop and a port of its own.
struct LiveServer: Sendable {
    let loop: EventLoop
    let server: HTTPServer
    let port: UInt16
    let journal = Journal()
    let metrics = MetricsRegistry()

    init(
        _ configuration: HTTPServerConfiguration, load: HTTPServerLoad = HTTPServerLoad()
    ) async throws {
        let loop = try EventLoop()
        let journal = journal
        self.loop = loop
        server = HTTPServer(
            on: loop, configuration: configuration, load: load, metrics: metrics,
            logger: Logger(level: .error)
        ) { TestResponder(loop, journal) }
        let bound = try HTTPServer.bind(host: "127.0.0.1", port: 0)
        port = bound.port
        loop.start()
        await server.listen(on: bound.descriptor)
    }
}

/// Runs a test against a server that is stopped afterwards.
func withServer(
    _ adjust: (inout HTTPServerConfiguration) -> Void = { _ in },
    load: HTTPServerLoad = HTTPServerLoad(), _ test: (LiveServer) async throws -> Void
) async throws {
    var configuration = HTTPServerConfiguration()
    // On a busy machine a test may come back to what it has not read after long.
    configuration.writeDeadline = .seconds(120)
    adjust(&configuration)
    let live = try await LiveServer(configuration, load: load)
    do {
        try await test(live)
    } catch {
        await live.server.shutdown(deadline: .zero)
        live.loop.stop()
        throw error
    }
    await live.server.shutdown(deadline: .zero)
    live.loop.stop()
}

/// A client that sends what it is told, byte by byte if need be.
final class Client {
    private let descriptor: Int32
    private var isOpen = true
    /// Whether reading ended with a reset, and not with the end that a peer gives.
    private(set) var wasReset = false

    struct Failure: Error {}

    init(_ live: LiveServer) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = live.port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        // Only a bound for a test that went wrong; a right one waits for nothing as long.
        var timeout = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(
            descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout,
            socklen_t(MemoryLayout<timeval>.size))
        var on: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else { throw Failure() }
    }

    deinit { close() }

    /// Sends all, or as much as the server takes before it closes.
    func send(_ bytes: [UInt8]) {
        var start = 0
        while start < bytes.count {
            let count = bytes.withUnsafeBytes { buffer -> Int in
                guard let base = buffer.baseAddress else { return 0 }
                return Glibc.send(
                    descriptor, base + start, bytes.count - start, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            start += count
        }
    }

    func send(_ text: String) { send(latin1(text)) }

    /// Sends no more.
    func end() { shutdown(descriptor, Int32(SHUT_WR)) }

    func close() {
        if isOpen { Glibc.close(descriptor) }
        isOpen = false
    }

    /// What comes next, nil at the end (also when the server resets the connection).
    func read(_ size: Int = 65_536) -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: size)
        let count = recv(descriptor, &buffer, size, 0)
        if count < 0, errno == ECONNRESET { wasReset = true }
        return count > 0 ? Array(buffer[..<count]) : nil
    }

    /// All that comes until the server closes.
    func readToEnd() -> [UInt8] {
        var all: [UInt8] = []
        while let part = read() { all += part }
        return all
    }

    func readTextToEnd() -> String { String(decoding: readToEnd(), as: UTF8.self) }

    /// Reads until the text ends like this.
    func read(until suffix: String) -> String {
        var all: [UInt8] = []
        while !all.reversed().starts(with: suffix.utf8.reversed()), let part = read() {
            all += part
        }
        return String(decoding: all, as: UTF8.self)
    }
}

/// The statuses of the answers in a stream of them.
func statuses(_ text: String) -> [Int] {
    text.split(separator: "HTTP/1.1 ", omittingEmptySubsequences: false).dropFirst().compactMap {
        Int($0.prefix(3))
    }
}

/// The bodies of the test responder's answers.
func echoes(_ text: String) -> [String] {
    text.split(separator: "u=[", omittingEmptySubsequences: false).dropFirst().map {
        String($0.prefix { $0 != "]" })
    }
}

let canary = "GET /canary HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
