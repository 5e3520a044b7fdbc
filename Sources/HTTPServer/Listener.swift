// SPDX-License-Identifier: Apache-2.0

internal import CLlhttp
internal import EventLoop
internal import Glibc
internal import Observability

/// One listening socket: accepts on the loop, and rests when the process is out of descriptors, or has more
/// connections than it can refuse at a time.
final class Listener {
    private let descriptor: Int32
    private unowned let core: ServerCore
    private var watch: DescriptorWatch?
    private var rest: LoopTimer?
    private var lastLog: UInt64 = 0

    /// Takes the descriptor over.
    init(_ descriptor: Int32, core: ServerCore) {
        self.descriptor = descriptor
        self.core = core
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
        // Inherited by accepted sockets; a Unix socket has no such option and needs none.
        var on: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
        watch = DescriptorWatch(descriptor, for: .readable, on: core.loop) { [unowned self] _ in
            accept()
        }
    }

    /// Accepts what already waits, then closes the socket.
    func stop() {
        guard let watch else { return }
        accept()
        watch.cancel()
        self.watch = nil
        rest?.cancel()
        rest = nil
        close(descriptor)
    }

    private func accept() {
        // A bound, so that a flood of connections does not starve those that are open.
        for _ in 0..<64 {
            guard core.mayAccept else { return pause() }
            var address = sockaddr_storage()
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let socket = withUnsafeMutablePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    http_accept(descriptor, $0, &length)
                }
            }
            guard socket >= 0 else {
                switch errno {
                case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                    log(errno)
                    pause()
                default: break
                }
                // ECONNABORTED and the like concern one connection; the loop comes back.
                return
            }
            core.adopt(socket, remoteAddress: SocketAddress.text(address))
        }
    }

    private func log(_ code: Int32) {
        let now = core.now
        guard now - lastLog >= 1_000_000_000 else { return }
        lastLog = now
        core.logger.error("out of descriptors or memory, not accepting", ["errno": "\(code)"])
    }

    /// Level-triggered readiness would spin while nothing can be accepted.
    private func pause() {
        watch?.pause()
        let timer =
            rest
            ?? LoopTimer(on: core.loop) { [unowned self] in
                watch?.resume()
            }
        rest = timer
        timer.start(after: .milliseconds(100))
    }
}

/// Addresses as text, and sockets that listen on them.
enum SocketAddress {
    static func text(_ address: sockaddr_storage) -> String {
        guard address.ss_family == AF_INET || address.ss_family == AF_INET6 else { return "unix" }
        var address = address
        var buffer = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        let family = Int32(address.ss_family)
        let text = withUnsafeBytes(of: &address) { bytes -> String in
            let offset =
                family == AF_INET
                ? MemoryLayout<sockaddr_in>.offset(of: \.sin_addr)
                : MemoryLayout<sockaddr_in6>.offset(of: \.sin6_addr)
            guard let offset, let base = bytes.baseAddress,
                inet_ntop(family, base + offset, &buffer, socklen_t(buffer.count)) != nil
            else { return "" }
            return String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self)
        }
        return text.hasPrefix("::ffff:") ? String(text.dropFirst(7)) : text
    }

    static func port(of descriptor: Int32) -> UInt16 {
        var address = sockaddr_in6()
        var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
        withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = getsockname(descriptor, $0, &length)
            }
        }
        // The port stands at the same place in addresses of both families.
        return UInt16(bigEndian: address.sin6_port)
    }

    /// Binds and listens; the descriptor is the caller's to close.
    static func bind(
        host: String, port: UInt16, isShared: Bool = true
    ) throws(EventLoop.Failure) -> Int32 {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_PASSIVE
        var found: UnsafeMutablePointer<addrinfo>?
        let outcome = getaddrinfo(host, String(port), &hints, &found)
        guard outcome == 0, let first = found else {
            throw .unresolved(reason: String(cString: gai_strerror(outcome)))
        }
        defer { freeaddrinfo(first) }
        let info = first.pointee
        let descriptor = socket(
            info.ai_family,
            info.ai_socktype | Int32(SOCK_CLOEXEC.rawValue)
                | Int32(SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { throw .system(call: "socket", errno: errno) }
        var on: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, 4)
        if isShared { setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &on, 4) }
        guard Glibc.bind(descriptor, info.ai_addr, info.ai_addrlen) == 0 else {
            let code = errno
            close(descriptor)
            throw .system(call: "bind", errno: code)
        }
        guard Glibc.listen(descriptor, 4096) == 0 else {
            let code = errno
            close(descriptor)
            throw .system(call: "listen", errno: code)
        }
        return descriptor
    }
}
