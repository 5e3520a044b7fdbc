// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import Transfer

/// Answers a connection with some bytes, and then closes it, or holds it for as long as the client does.
final class Server: Sendable {
    let port: UInt16
    private let listener: Int32

    init(_ answer: String, isHeld: Bool = false) throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        self.listener = listener
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let failed = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, length) + listen(listener, 8)
                    + getsockname(listener, $0, &length)
            }
        }
        guard failed == 0 else { throw POSIXError(.EADDRNOTAVAIL) }
        port = UInt16(bigEndian: address.sin_port)
        Thread.detachNewThread {
            let connection = accept(listener, nil, nil)
            guard connection >= 0 else { return }
            defer { close(connection) }
            var bytes = [UInt8](repeating: 0, count: 65_536)
            guard read(connection, &bytes, bytes.count) > 0 else { return }
            _ = send(connection, answer, answer.utf8.count, Int32(MSG_NOSIGNAL))
            while isHeld, read(connection, &bytes, bytes.count) > 0 {}
        }
    }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }
}

/// What an answer to a webhook says that never comes to its end.
@Suite(.timeLimit(.minutes(15))) struct AnswerTests {
    @Test(arguments: [
        ("200 OK\r\nContent-Length: 9\r\n\r\nx", true, true),
        ("202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", true, true),
        ("200 OK\r\nContent-Length: 9\r\n\r\nx", false, true),
        ("500 No\r\nContent-Length: 9\r\n\r\nx", true, false),
        ("204 No Content\r\nServer: a", true, true), ("2", false, false),
    ])
    func `Any 2xx is an arrival, whether or not its body ends`(
        answer: String, isHeld: Bool, isArrival: Bool
    ) async throws {
        let server = try Server("HTTP/1.1 \(answer)", isHeld: isHeld)
        let outcome = await Courier(allowsPrivate: true).post(
            "http://127.0.0.1:\(server.port)/", headers: [], body: [])
        withExtendedLifetime(server) {
            #expect((outcome == .delivered) == isArrival, "\(outcome)")
        }
    }
}
