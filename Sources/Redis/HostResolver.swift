// SPDX-License-Identifier: Apache-2.0

internal import CHiredis
internal import EventLoop
internal import Glibc
internal import Synchronization

/// A socket address, as bytes.
struct SocketAddress: Sendable {
    let family: Int32
    private let bytes: [UInt8]

    init(_ info: addrinfo) {
        family = info.ai_family
        bytes = Array(UnsafeRawBufferPointer(start: info.ai_addr, count: Int(info.ai_addrlen)))
    }

    /// The address of a unix socket; nil when the path is too long for the kernel.
    init?(unixPath: String) {
        guard unixPath.utf8.count <= RedisConfiguration.socketPathBytesMax else { return nil }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: unixPath.utf8) }
        family = AF_UNIX
        bytes = withUnsafeBytes(of: &address) { Array($0) }
    }

    /// Calls `connect`; its result is that of the system call.
    func connect(_ descriptor: Int32) -> Int32 {
        bytes.withUnsafeBytes { bytes in
            Glibc.connect(
                descriptor, bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self),
                socklen_t(bytes.count))
        }
    }
}

/// Looks up one host name on a thread of its own, for the C library's way of doing it blocks.
final class HostResolver {
    typealias Outcome = Result<[SocketAddress], RedisError>

    /// What the thread and the loop share.
    private final class Lookup: Sendable {
        let host: String
        let port: UInt16
        let descriptor: Int32
        let outcome = Mutex<Outcome?>(nil)

        init(host: String, port: UInt16, descriptor: Int32) {
            self.host = host
            self.port = port
            self.descriptor = descriptor
        }

        deinit { Glibc.close(descriptor) }

        func run() {
            let result = HostResolver.resolve(host, port)
            outcome.withLock { $0 = result }
            var one: UInt64 = 1
            _ = Glibc.write(descriptor, &one, 8)
        }
    }

    private let watch: DescriptorWatch
    private let lookup: Lookup

    /// Starts to look up; `completion` is called on the loop, unless the object is gone by then.
    init?(
        host: String, port: UInt16, on loop: EventLoop, completion: @escaping (Outcome) -> Void
    ) {
        let descriptor = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
        guard descriptor >= 0 else { return nil }
        let lookup = Lookup(host: host, port: port, descriptor: descriptor)
        self.lookup = lookup
        watch = DescriptorWatch(descriptor, for: .readable, on: loop) { _ in
            var count: UInt64 = 0
            _ = Glibc.read(lookup.descriptor, &count, 8)
            if let outcome = lookup.outcome.withLock({ $0.take() }) { completion(outcome) }
        }
        guard ThreadJob({ lookup.run() }).start() == nil else { return nil }
    }

    /// Waits for the answer of the system's resolver.
    static func resolve(_ host: String, _ port: UInt16, flags: Int32 = 0) -> Outcome {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = flags | AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, "\(port)", &hints, &list)
        defer { if let list { freeaddrinfo(list) } }
        guard status == 0 else {
            let reason = gai_strerror(status).map { String(cString: $0) } ?? "error \(status)"
            return .failure(.disconnected(reason: "\(host): \(reason)"))
        }
        return .success(
            sequence(first: list, next: { $0?.pointee.ai_next }).prefix { $0 != nil }
                .compactMap { $0.map { SocketAddress($0.pointee) } })
    }
}
