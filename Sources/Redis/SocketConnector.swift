// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Glibc

/// Makes one connected socket: looks the host up, then tries its addresses in turn.
final class SocketConnector {
    typealias Completion = (Result<Int32, RedisError>) -> Void

    private let loop: EventLoop
    private let configuration: RedisConfiguration
    private let completion: Completion
    private var resolver: HostResolver?
    private var addresses: ArraySlice<SocketAddress> = []
    private var watch: DescriptorWatch?
    private var timer: LoopTimer?
    private var descriptor: Int32 = -1
    private var lastProblem = "the host has no address"

    /// `completion` is called once, on the loop, unless the object is gone by then. A socket that
    /// it gets is the receiver's to close.
    init(
        on loop: EventLoop, configuration: RedisConfiguration, completion: @escaping Completion
    ) {
        self.loop = loop
        self.configuration = configuration
        self.completion = completion
    }

    deinit { dropSocket() }

    /// Starts. Must be called once.
    func start() {
        timer = LoopTimer(on: loop) { [weak self] in
            guard let self else { return }
            tryNext(after: "no connection within \(configuration.connectTimeout)")
        }
        switch configuration.address {
        case .unix(let path):
            guard let address = SocketAddress(unixPath: path) else {
                lastProblem = "the path of the socket is too long"
                return tryNext()
            }
            addresses = [address]
            tryNext()
        case .tcp(let host, let port):
            // Addresses need no look-up, and no thread for it.
            if case .success(let found) = HostResolver.resolve(host, port, flags: AI_NUMERICHOST) {
                return takeAddresses(.success(found))
            }
            resolver = HostResolver(host: host, port: port, on: loop) { [weak self] outcome in
                self?.takeAddresses(outcome)
            }
            if resolver == nil { finish(.failure(.disconnected(reason: "out of resources"))) }
        }
    }

    private func takeAddresses(_ outcome: HostResolver.Outcome) {
        switch outcome {
        case .success(let found):
            addresses = found[...]
            tryNext()
        case .failure(let error): finish(.failure(error))
        }
    }

    private func tryNext(after problem: String? = nil) {
        if let problem { lastProblem = problem }
        dropSocket()
        guard let address = addresses.popFirst() else {
            return finish(.failure(.disconnected(reason: lastProblem)))
        }
        let type = SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue
        descriptor = socket(address.family, Int32(type), 0)
        guard descriptor >= 0 else { return tryNext(after: "socket: \(systemMessage(errno))") }
        if address.connect(descriptor) == 0 { return succeed(address) }
        guard errno == EINPROGRESS else {
            // That includes EAGAIN of a unix socket whose backlog is full: try again later.
            return tryNext(after: "connect: \(systemMessage(errno))")
        }
        timer?.start(after: configuration.connectTimeout)
        watch = DescriptorWatch(descriptor, for: .writable, on: loop) { [weak self] _ in
            self?.check(address)
        }
    }

    private func check(_ address: SocketAddress) {
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size)
        guard code == 0 else { return tryNext(after: "connect: \(systemMessage(code))") }
        succeed(address)
    }

    private func succeed(_ address: SocketAddress) {
        watch?.cancel()
        watch = nil
        let socket = descriptor
        descriptor = -1
        if address.family != AF_UNIX {
            var yes: Int32 = 1
            let size = socklen_t(MemoryLayout<Int32>.size)
            setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, size)
            setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &yes, size)
        }
        finish(.success(socket))
    }

    private func finish(_ result: Result<Int32, RedisError>) {
        timer?.cancel()
        timer = nil
        completion(result)
    }

    private func dropSocket() {
        watch?.cancel()
        watch = nil
        timer?.stop()
        if descriptor >= 0 { loop.close(descriptor) }
        descriptor = -1
    }
}
