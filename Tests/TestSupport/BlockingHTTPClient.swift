// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A plain HTTP client for tests: one connection, blocking, reconnecting after an error.
public final class BlockingHTTPClient {
    /// The request may or may not have been served.
    public struct Broken: Error { public let reason: String }

    public struct Answer {
        public let status: Int
        public let headers: [String: String]
        public let body: [UInt8]
        public var text: String { String(decoding: body, as: UTF8.self) }
        /// The body as JSON.
        public var json: [String: Any] {
            (try? JSONSerialization.jsonObject(with: Data(body))) as? [String: Any] ?? [:]
        }
    }

    private let port: UInt16
    private let key: String?
    private var descriptor: Int32 = -1
    fileprivate var pending: [UInt8] = []

    public init(port: UInt16, key: String?) {
        self.port = port
        self.key = key
    }

    deinit { disconnect() }

    public func get(_ path: String) throws -> Answer { try request("GET", path, nil, "") }

    public func post(
        _ path: String, _ body: String, type: String = "application/json",
        headers: [String: String] = [:]
    ) throws -> Answer {
        try request("POST", path, Array(body.utf8), type, headers)
    }

    /// Sends a request with a body of raw bytes and reads its answer.
    public func request(
        _ method: String, _ path: String, _ body: [UInt8]?, _ type: String,
        _ headers: [String: String] = [:]
    ) throws -> Answer {
        var head = "\(method) \(path) HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        if let key { head += "Authorization: Bearer \(key)\r\n" }
        for (name, value) in headers { head += "\(name): \(value)\r\n" }
        if let body { head += "Content-Type: \(type)\r\nContent-Length: \(body.count)\r\n" }
        do {
            if descriptor < 0 { try connect() }
            try send(Array((head + "\r\n").utf8) + (body ?? []))
            let answer = try readAnswer(hasBody: method != "HEAD")
            // Who has a key talks to the service; others talk to what stands before it.
            if key != nil {
                ExchangeLog.shared.add(
                    method, path, sent: (body == nil ? nil : type, body ?? []), answer.status,
                    answer.headers, answer.body)
            }
            return answer
        } catch {
            disconnect()
            throw error
        }
    }

    /// Sends a request with a body of JSON, or none, again while the service, or the workspace, is not
    /// ready (503), and while a deleted workspace's id is not free (409).
    @discardableResult public func requestUntilReady(
        _ method: String, _ path: String, _ body: String? = nil
    ) throws -> Answer {
        var last: Answer?
        for _ in 0..<500 {
            let answer = try request(method, path, body.map { Array($0.utf8) }, "application/json")
            if (200..<300).contains(answer.status) { return answer }
            last = answer
            guard answer.status == 503 || answer.text.contains("workspace_exists") else { break }
            usleep(20_000)
        }
        throw Broken(reason: "\(method) \(path): \(last?.text ?? "")")
    }

    /// Sends bytes as they are and reads one answer.
    public func raw(_ bytes: [UInt8]) throws -> Answer {
        if descriptor < 0 { try connect() }
        try send(bytes)
        return try readAnswer(hasBody: true)
    }

    public func disconnect() {
        if descriptor >= 0 { close(descriptor) }
        descriptor = -1
        pending = []
    }

    /// Connects without a request, as a request does by itself.
    public func connect() throws {
        let socket = Glibc.socket(
            AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else {
            close(socket)
            throw Broken(reason: "connect: \(errno)")
        }
        descriptor = socket
    }

    private func send(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let sent = rest.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard sent > 0 else { throw Broken(reason: "send: \(errno)") }
            rest = rest.dropFirst(sent)
        }
    }

    fileprivate func receive() throws {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        guard count > 0 else { throw Broken(reason: count == 0 ? "closed" : "recv: \(errno)") }
        pending += buffer[..<count]
    }

    private func readAnswer(hasBody: Bool) throws -> Answer {
        let end = Array("\r\n\r\n".utf8)
        var range: Range<Int>?
        while true {
            range = pending.firstRange(of: end)
            if range != nil { break }
            try receive()
        }
        guard let range else { throw Broken(reason: "no head") }
        let lines = String(decoding: pending[..<range.lowerBound], as: UTF8.self).components(
            separatedBy: "\r\n")
        pending.removeFirst(range.upperBound)
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            headers[line[..<colon].lowercased()] = line[line.index(after: colon)...]
                .trimmingCharacters(in: .whitespaces)
        }
        let status = Int(lines[0].split(separator: " ").dropFirst().first ?? "") ?? 0
        let isChunked = headers["transfer-encoding"] == "chunked"
        let length = hasBody ? Int(headers["content-length"] ?? "0") ?? 0 : 0
        let body = hasBody && isChunked ? try readChunks() : try read(length)
        if headers["connection"] == "close" { disconnect() }
        return Answer(status: status, headers: headers, body: body)
    }
}

extension BlockingHTTPClient {
    private func read(_ count: Int) throws -> [UInt8] {
        while pending.count < count { try receive() }
        defer { pending.removeFirst(count) }
        return Array(pending[..<count])
    }

    private func readLine() throws -> String {
        while true {
            if let end = pending.firstRange(of: [0x0d, 0x0a]) {
                defer { pending.removeFirst(end.upperBound) }
                return String(decoding: pending[..<end.lowerBound], as: UTF8.self)
            }
            try receive()
        }
    }

    /// A body of chunks; one that ends before its last chunk is broken.
    private func readChunks() throws -> [UInt8] {
        var body: [UInt8] = []
        while let size = Int(try readLine(), radix: 16) {
            body += try read(size)
            _ = try readLine()
            if size == 0 { return body }
        }
        throw Broken(reason: "no chunk")
    }
}

/// Runs a closure on as many threads of its own, and waits for all of them without holding one of
/// the pool that tests share.
public func inParallel(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) async {
    await withCheckedContinuation { continuation in
        let group = DispatchGroup()
        for index in 0..<count {
            group.enter()
            Thread.detachNewThread {
                body(index)
                group.leave()
            }
        }
        group.notify(queue: .global()) { continuation.resume() }
    }
}
