// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Synchronization

/// Stands between a client and a unix-socket server and spoils what comes back. It listens on a
/// unix socket and on a TCP port of 127.0.0.1.
public final class FaultProxy: Sendable {
    /// What happens to replies.
    public enum Fault: Sendable {
        case none
        /// The next so many bytes pass, then both sides are closed; after that all is well again.
        case cut(after: Int)
        /// Nothing comes back.
        case swallow
        /// The next piece of a reply is replaced by these bytes; after that all is well again.
        case replace([UInt8])
        /// Each piece comes later.
        case delay(milliseconds: UInt32)
    }

    public let path: String
    public let port: UInt16
    private let target: String
    private let listeners: [Int32]
    private let fault = Mutex(Fault.none)

    /// Starts to listen in front of the socket at `target`.
    public init(to target: String) throws {
        self.target = target
        path = try "\(makeTemporaryFolder())/proxy.sock"
        let unixListener = try Self.listen(unix: path)
        let (tcpListener, port) = try Self.listenTCP()
        self.port = port
        listeners = [unixListener, tcpListener]
        for listener in listeners { onThread { self.accept(on: listener) } }
    }

    /// Sets what happens to replies from now on.
    public func set(_ fault: Fault) { self.fault.withLock { $0 = fault } }

    /// Stops to listen; connections end by themselves when either side closes.
    public func stop() {
        for listener in listeners { shutdown(listener, Int32(SHUT_RDWR)) }
        removeFolder(String(path.dropLast("/proxy.sock".count)))
    }

    private func accept(on listener: Int32) {
        while true {
            let client = Glibc.accept(listener, nil, nil)
            guard client >= 0 else { break }
            guard let server = try? connectUnix(target) else {
                close(client)
                continue
            }
            let pair = Pair(client: client, server: server)
            onThread {
                var buffer = [UInt8](repeating: 0, count: 65_536)
                while let count = pair.read(client, &buffer), pair.write(server, buffer[..<count]) {
                }
                pair.end()
            }
            onThread {
                var buffer = [UInt8](repeating: 0, count: 65_536)
                while let count = pair.read(server, &buffer) {
                    guard let bytes = self.spoil(buffer[..<count]) else { break }
                    guard pair.write(client, bytes.0), bytes.goesOn else { break }
                }
                pair.end()
            }
        }
        close(listener)
    }

    private func spoil(_ bytes: ArraySlice<UInt8>) -> (ArraySlice<UInt8>, goesOn: Bool)? {
        let (result, pause) = fault.withLock {
            fault -> ((ArraySlice<UInt8>, goesOn: Bool), UInt32) in
            switch fault {
            case .none: return ((bytes, true), 0)
            case .swallow: return (([], true), 0)
            case .delay(let milliseconds): return ((bytes, true), milliseconds)
            case .replace(let other):
                fault = .none
                return ((other[...], true), 0)
            case .cut(let left):
                fault = bytes.count < left ? .cut(after: left - bytes.count) : .none
                return ((bytes.prefix(left), bytes.count < left), 0)
            }
        }
        if pause > 0 { usleep(pause * 1_000) }
        return result
    }

    private static func listen(unix path: String) throws -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        return try listen(AF_UNIX, &address)
    }

    private static func listenTCP() throws -> (Int32, UInt16) {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let listener = try listen(AF_INET, &address)
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutableBytes(of: &address) {
            _ = getsockname(
                listener, $0.baseAddress?.assumingMemoryBound(to: sockaddr.self), &size)
        }
        return (listener, UInt16(bigEndian: address.sin_port))
    }

    private static func listen<Address>(_ family: Int32, _ address: inout Address) throws -> Int32 {
        let type = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue
        let descriptor = socket(family, Int32(type), 0)
        let status = withUnsafeBytes(of: &address) {
            bind(
                descriptor, $0.baseAddress?.assumingMemoryBound(to: sockaddr.self),
                socklen_t($0.count))
        }
        guard status == 0, Glibc.listen(descriptor, 64) == 0 else {
            throw RedisServer.Failure(reason: "listen: \(errno)")
        }
        return descriptor
    }
}

/// Two sockets, closed when both of the threads that use them are done.
private final class Pair: Sendable {
    let client: Int32
    let server: Int32

    init(client: Int32, server: Int32) {
        self.client = client
        self.server = server
    }

    deinit {
        close(client)
        close(server)
    }

    func end() {
        shutdown(client, Int32(SHUT_RDWR))
        shutdown(server, Int32(SHUT_RDWR))
    }

    func read(_ descriptor: Int32, _ buffer: inout [UInt8]) -> Int? {
        let count = Glibc.read(descriptor, &buffer, buffer.count)
        return count > 0 ? count : nil
    }

    func write(_ descriptor: Int32, _ bytes: ArraySlice<UInt8>) -> Bool {
        bytes.withUnsafeBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let part = UnsafeRawBufferPointer(rebasing: rest)
                let count = send(descriptor, part.baseAddress, part.count, Int32(MSG_NOSIGNAL))
                guard count > 0 else { return false }
                rest = rest.dropFirst(count)
            }
            return true
        }
    }
}

private final class ThreadBody: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

/// Runs a closure that blocks on a thread of its own.
private func onThread(_ body: @escaping @Sendable () -> Void) {
    var thread = pthread_t()
    pthread_create(
        &thread, nil,
        { context in
            guard let context else { return nil }
            Unmanaged<ThreadBody>.fromOpaque(context).takeRetainedValue().run()
            return nil
        }, Unmanaged.passRetained(ThreadBody(body)).toOpaque())
    pthread_detach(thread)
}
