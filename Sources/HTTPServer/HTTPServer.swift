// SPDX-License-Identifier: Apache-2.0

public import EventLoop
internal import Glibc
public import Observability

/// An HTTP/1.1 server on one event loop. For several loops make one for each, each with its own
/// listener on the same port: they share nothing but the load that their bounds are for.
///
/// The loop must run while the server is used. Call `shutdown` before the last reference goes.
public actor HTTPServer {
    private nonisolated let loop: EventLoop
    private let configuration: HTTPServerConfiguration
    private let load: HTTPServerLoad
    private let metrics: ServerMetrics
    private let logger: Logger
    private let makeResponder: @Sendable () -> any HTTPResponder
    /// Made with the first listener, because everything in it belongs to the loop's thread.
    private var core: ServerCore?
    private var isShutDown = false

    public nonisolated var unownedExecutor: UnownedSerialExecutor {
        loop.asUnownedSerialExecutor()
    }

    /// A server that does not listen yet. `makeResponder` is called once, on the loop.
    public init(
        on loop: EventLoop, configuration: HTTPServerConfiguration = HTTPServerConfiguration(),
        load: HTTPServerLoad = HTTPServerLoad(), metrics: MetricsRegistry, logger: Logger,
        makeResponder: @escaping @Sendable () -> any HTTPResponder
    ) {
        self.loop = loop
        self.configuration = configuration.bounded
        self.load = load
        self.metrics = ServerMetrics(metrics)
        self.logger = logger
        self.makeResponder = makeResponder
    }

    /// Binds a TCP socket that several servers can listen on at once (`SO_REUSEPORT`).
    ///
    /// - Parameters:
    ///   - host: a name, or an IPv4 or IPv6 address without brackets.
    ///   - port: 0 for any free one.
    /// - Returns: a listening descriptor, to be given to `listen`, and the port it has.
    /// - Throws: `EventLoop.Failure.system`, for instance when the port is taken.
    public static func bind(
        host: String, port: UInt16
    ) throws(EventLoop.Failure) -> (descriptor: Int32, port: UInt16) {
        let descriptor = try SocketAddress.bind(host: host, port: port)
        return (descriptor, SocketAddress.port(of: descriptor))
    }

    /// Fails when another process already listens there: shared ports would let it in unseen.
    public static func checkIsFree(host: String, port: UInt16) throws(EventLoop.Failure) {
        close(try SocketAddress.bind(host: host, port: port, isShared: false))
    }

    /// Accepts connections from a listening socket, TCP or Unix, and takes it over. It may be
    /// called for several sockets; after `shutdown` it closes the socket at once.
    public func listen(on descriptor: Int32) {
        guard !isShutDown else {
            close(descriptor)
            return
        }
        let core =
            core
            ?? ServerCore(
                loop: loop, configuration: configuration, load: load, responder: makeResponder(),
                metrics: metrics, logger: logger, server: self)
        self.core = core
        core.listen(descriptor)
    }

    /// Stops accepting, closes idle connections, answers what is in flight (with
    /// `Connection: close`), and returns when all connections are gone, or cuts those that are
    /// left at the deadline.
    public func shutdown(deadline: Duration) async {
        isShutDown = true
        guard let core else { return }
        core.beginShutdown()
        if !core.connections.isEmpty {
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                var waiting: CheckedContinuation<Void, Never>? = continuation
                let finish = {
                    waiting?.resume()
                    waiting = nil
                }
                let timer = LoopTimer(on: loop, handler: finish)
                timer.start(after: deadline)
                core.whenEmpty = {
                    timer.cancel()
                    finish()
                }
                // The last one may have gone on the way here.
                if core.connections.isEmpty { core.whenEmpty?() }
            }
        }
        core.endShutdown()
        self.core = nil
    }

    // The tasks prefer the loop as their executor. Being isolated to this actor is not enough: in
    // Swift 6.3 a continuation resumes its task on the default executor first, which would cost
    // two thread hops for each wait (swiftlang/swift#88157).

    /// Starts the async answer of one request.
    func startResponding(to request: HTTPRequest, _ sequence: Int, on id: Int) {
        Task(executorPreference: loop) { await self.respond(to: request, sequence, on: id) }
    }

    private func respond(to request: HTTPRequest, _ sequence: Int, on id: Int) async {
        guard let core else { return }
        let response = await core.responder.respond(to: request)
        core.connections[id]?.answerAsync(sequence, response)
    }

    /// Starts to produce the body of the answer that a connection is sending.
    func startStream(on id: Int) {
        Task(executorPreference: loop) { await self.runStream(on: id) }
    }

    private func runStream(on id: Int) async {
        guard let connection = core?.connections[id], let stream = connection.stream else {
            return
        }
        let writer = HTTPBodyWriter(connection, stream)
        do {
            try await stream.produce(writer)
            writer.finish()
        } catch {
            if connection.stream === stream { connection.cut() }
        }
    }
}
