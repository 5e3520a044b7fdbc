// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Glibc
internal import Observability

/// What the connections of one loop share. Made on the loop and used only there.
final class ServerCore {
    let loop: EventLoop
    let configuration: HTTPServerConfiguration
    let load: HTTPServerLoad
    let responder: any HTTPResponder
    let metrics: ServerMetrics
    let logger: Logger
    /// The actor, whose isolation the async answers run in.
    weak var server: HTTPServer?
    /// Every connection reads into this one, and parses what it read before the next one reads.
    let input: UnsafeMutableRawBufferPointer
    private(set) var connections: [Int: Connection] = [:]
    private(set) var isShuttingDown = false
    /// Called when the last connection is gone, during a shutdown.
    var whenEmpty: (() -> Void)?

    private var nextID = 0
    private var listeners: [Listener] = []
    private var sweeper: LoopTimer?
    private let head: ResponseHead

    init(
        loop: EventLoop, configuration: HTTPServerConfiguration, load: HTTPServerLoad,
        responder: any HTTPResponder, metrics: ServerMetrics, logger: Logger, server: HTTPServer
    ) {
        self.loop = loop
        self.configuration = configuration
        self.load = load
        self.responder = responder
        self.metrics = metrics
        self.logger = logger
        self.server = server
        head = ResponseHead()
        input = .allocate(byteCount: 64 * 1024, alignment: 16)
        let sweeper = LoopTimer(on: loop, isRepeating: true) { [unowned self] in sweep() }
        sweeper.start(after: Self.sweepInterval(configuration))
        self.sweeper = sweeper
    }

    deinit { input.deallocate() }

    /// Nanoseconds of a monotonic clock that is cheap to read and a few milliseconds coarse.
    var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC_COARSE, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// Preformatted parts of answers, with the date of this second.
    var responseHead: ResponseHead {
        head.refresh()
        return head
    }

    func listen(_ descriptor: Int32) {
        listeners.append(Listener(descriptor, core: self))
    }

    /// Whether a further connection may be accepted. Those over the cap are told why, and not so many at a time
    /// that they cost what the cap saves: others wait in the kernel until it is their turn.
    var mayAccept: Bool { load.connectionCount < configuration.maxConnections + 64 }

    /// Takes an accepted socket over.
    func adopt(_ descriptor: Int32, remoteAddress: String) {
        let excess = load.addConnection() - configuration.maxConnections
        nextID += 1
        let connection = Connection(
            nextID, descriptor, core: self, remoteAddress: remoteAddress)
        connections[nextID] = connection
        metrics.opened.add()
        metrics.open.add(1)
        if excess >= 0 { connection.refuse(.tooManyConnections) }
    }

    func remove(_ id: Int) {
        guard connections.removeValue(forKey: id) != nil else { return }
        load.removeConnection()
        metrics.open.add(-1)
        if isShuttingDown, connections.isEmpty { whenEmpty?() }
    }

    /// Stops to accept, closes what is idle, and lets the rest finish.
    func beginShutdown() {
        guard !isShuttingDown else { return }
        isShuttingDown = true
        for listener in listeners { listener.stop() }
        listeners = []
        for connection in Array(connections.values) { connection.finishForShutdown() }
    }

    /// Ends everything that is left.
    func endShutdown() {
        for connection in Array(connections.values) { connection.cut() }
        sweeper?.cancel()
        sweeper = nil
        whenEmpty = nil
    }

    private func sweep() {
        let now = now
        for connection in Array(connections.values) { connection.checkDeadlines(now) }
    }

    /// Often enough for the shortest deadline.
    private static func sweepInterval(_ configuration: HTTPServerConfiguration) -> Duration {
        let shortest = min(
            configuration.headerDeadline, configuration.bodyDeadline, configuration.writeDeadline,
            configuration.idleDeadline, configuration.drainDeadline)
        return max(.milliseconds(5), min(.milliseconds(250), shortest / 4))
    }
}

/// What the server counts itself; routes are the responder's to count.
final class ServerMetrics: Sendable {
    let open: Gauge
    let opened: Counter
    let requests: Counter
    let received: Counter
    let sent: Counter
    let cut: Counter
    private let registry: MetricsRegistry

    init(_ registry: MetricsRegistry) {
        self.registry = registry
        open = registry.gauge("tally_http_connections", help: "Open connections.")
        opened = registry.counter(
            "tally_http_connections_total", help: "Connections accepted since the start.")
        requests = registry.counter(
            "tally_http_requests_received_total", help: "Requests handed to a responder.")
        received = registry.counter(
            "tally_http_received_bytes_total", help: "Bytes read from clients.")
        sent = registry.counter("tally_http_sent_bytes_total", help: "Bytes sent to clients.")
        cut = registry.counter(
            "tally_http_connections_cut_total",
            help: "Connections closed since answers that nobody took had become too large.")
    }

    /// Counts a request that the server refused by itself.
    func countRejected(_ code: String) {
        registry.counter(
            "tally_http_requests_rejected_total",
            help: "Requests refused before they reached a responder.", labels: ["code": code]
        ).add()
    }
}

extension Duration {
    var nanoseconds: UInt64 {
        let (seconds, attoseconds) = components
        return UInt64(max(0, seconds)) * 1_000_000_000
            + UInt64(max(0, attoseconds) / 1_000_000_000)
    }
}
