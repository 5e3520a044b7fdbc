// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Reads server-sent events from a socket of its own.
final class StreamReader {
    struct Message: Equatable {
        var id = ""
        var event = ""
        var data = ""
        /// The data as JSON.
        var json: [String: Any] {
            (try? JSONSerialization.jsonObject(with: Data(data.utf8))) as? [String: Any] ?? [:]
        }
        var eventID: String? { json["id"] as? String }
    }

    private(set) var status = 0
    private(set) var lastID = ""
    /// Whether the service has sent the last chunk.
    private(set) var hasEnded = false
    private let descriptor: Int32
    private let port: UInt16
    private var bytes: ArraySlice<UInt8> = []
    /// Those of the last chunk that were not asked for; the last one may go on in the next chunk.
    private var lines: ArraySlice<String> = []

    /// Asks for a stream, and reads the answer's head.
    ///
    /// - Parameter receiveBuffer: bytes that the socket takes; nil for what is usual.
    init(
        port: UInt16, key: String, query: String = "", lastID: String? = nil,
        receiveBuffer: Int32? = nil
    ) throws {
        self.port = port
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        if var receiveBuffer {
            setsockopt(
                descriptor, SOL_SOCKET, SO_RCVBUF, &receiveBuffer,
                socklen_t(MemoryLayout<Int32>.size))
        }
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(
            descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard connected == 0 else { throw Failure(description: "connect: \(errno)") }
        var head = "GET /v1/stream\(query) HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        head += "Authorization: Bearer \(key)\r\n"
        if let lastID { head += "Last-Event-ID: \(lastID)\r\n" }
        head += "\r\n"
        guard send(descriptor, head, head.utf8.count, Int32(MSG_NOSIGNAL)) == head.utf8.count
        else { throw Failure(description: "send: \(errno)") }
        let line = try readLine()
        status = Int(line.split(separator: " ").dropFirst().first ?? "") ?? 0
        while try !readLine().isEmpty {}
    }

    deinit { close(descriptor) }

    /// Whether the service still has the connection; what it has sent is not read for that.
    var isEstablished: Bool {
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        _ = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                getsockname(descriptor, $0, &length)
            }
        }
        let own = UInt16(bigEndian: address.sin_port)
        let line = String(format: "0100007F:%04X 0100007F:%04X 01", port, own)
        let table = (try? String(contentsOfFile: "/proc/net/tcp", encoding: .utf8)) ?? ""
        return table.contains(line)
    }

    /// The next message; nil when the stream has ended.
    func next() throws -> Message? {
        var message = Message()
        while let line = try nextLine() {
            if line.isEmpty {
                if !message.data.isEmpty { return message }
                message = Message()
                continue
            }
            let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else { continue }
            let value = String(parts[1].drop { $0 == " " })
            switch parts[0] {
            case "id": (message.id, lastID) = (value, value)
            case "event": message.event = value
            case "data": message.data += value
            default: break
            }
        }
        return nil
    }

    /// So many messages; throws when the stream ends before.
    func next(_ count: Int) throws -> [Message] {
        var messages: [Message] = []
        while messages.count < count {
            guard let message = try next() else {
                throw Failure(description: "ended after \(messages.count) of \(count)")
            }
            messages.append(message)
        }
        return messages
    }

    /// A line of the stream, from the chunks that it comes in.
    private func nextLine() throws -> String? {
        while lines.count < 2 {
            guard let size = try? readLine(), let count = Int(size, radix: 16) else { return nil }
            hasEnded = count == 0
            guard !hasEnded else { return nil }
            while bytes.count < count + 2 { try receive() }
            let text = String(decoding: bytes.prefix(count), as: UTF8.self)
            bytes = bytes.dropFirst(count + 2)
            var more = text.split(separator: "\n", omittingEmptySubsequences: false)
                .map(String.init)[...]
            if let begun = lines.popFirst(), let end = more.popFirst() {
                more = [begun + end] + more
            }
            lines = more
        }
        return lines.popFirst()
    }

    private func readLine() throws -> String {
        while true {
            if let end = bytes.firstRange(of: [0x0d, 0x0a]) {
                defer { bytes = bytes[end.upperBound...] }
                return String(decoding: bytes[..<end.lowerBound], as: UTF8.self)
            }
            try receive()
        }
    }

    private func receive() throws {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        guard count > 0 else {
            throw Failure(description: count == 0 ? "closed" : "recv: \(errno)")
        }
        // A slice would keep all that was read before.
        bytes = ArraySlice(Array(bytes) + buffer[..<count])
    }
}
