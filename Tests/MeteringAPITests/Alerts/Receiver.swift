// SPDX-License-Identifier: Apache-2.0

import Cryptography
import EventLoop
import Foundation
import HTTPServer
import Observability
import Synchronization
import TestSupport
import Testing

/// A real receiver of webhooks, on a loop and a port of its own.
final class Receiver: Sendable {
    /// What came.
    struct Message: Sendable {
        let path: String
        let signature: String
        let notification: String
        let type: String
        let body: [UInt8]

        var json: [String: Any] {
            (try? JSONSerialization.jsonObject(with: Data(body))) as? [String: Any] ?? [:]
        }
        var data: [String: Any] { json["data"] as? [String: Any] ?? [:] }
        var percent: Int? { data["percent"] as? Int }
        var subject: String? { json["subject"] as? String }

        /// Whether the signature is that of the time and the body by a secret.
        func isSigned(by secret: String) -> Bool {
            let parts = signature.split(separator: ",").map(String.init)
            guard parts.count == 2, parts[0].hasPrefix("t="), parts[1].hasPrefix("v1=") else {
                return false
            }
            let signed = Array("\(parts[0].dropFirst(2)).".utf8) + body
            return hexadecimal(hmacSHA256(Array(secret.utf8), signed)) == parts[1].dropFirst(3)
        }
    }

    private struct State {
        var messages: [Message] = []
        /// Answers to come; then 200.
        var statuses: [Int] = []
    }
    private let state = Mutex(State())
    private let loop: EventLoop
    private let server: HTTPServer
    let port: UInt16

    var url: String { "http://127.0.0.1:\(port)/hook" }
    var messages: [Message] { state.withLock { $0.messages } }
    /// Subject, alert and percent of what came, sorted.
    var told: [String] {
        messages.map { message in
            "\(message.subject ?? "-") \(message.data["alert"] ?? "?") \(message.percent ?? 0)"
        }.sorted()
    }

    init(statuses: [Int] = []) async throws {
        loop = try EventLoop()
        loop.start()
        let (descriptor, port) = try HTTPServer.bind(host: "127.0.0.1", port: 0)
        self.port = port
        let inbox = Inbox()
        server = HTTPServer(
            on: loop, metrics: MetricsRegistry(), logger: Logger(level: .error)
        ) { Responder(inbox) }
        state.withLock { $0.statuses = statuses }
        inbox.receiver.withLock { $0 = self }
        await server.listen(on: descriptor)
    }

    func stop() async {
        await server.shutdown(deadline: .seconds(1))
        loop.stop()
    }

    fileprivate func take(_ message: Message) -> Int {
        state.withLock { state in
            state.messages.append(message)
            return state.statuses.isEmpty ? 200 : state.statuses.removeFirst()
        }
    }
}

private final class Inbox: Sendable {
    let receiver = Mutex<Receiver?>(nil)
}

private final class Responder: HTTPResponder {
    private let inbox: Inbox

    init(_ inbox: Inbox) { self.inbox = inbox }

    func respondNow(to request: HTTPRequest, reply: HTTPReply) -> Bool {
        func header(_ name: String) -> String { request.headers.value(of: name) ?? "" }
        let message = Receiver.Message(
            path: request.path, signature: header("tally-signature"),
            notification: header("tally-notification"), type: header("content-type"),
            body: Array(request.body))
        let status = inbox.receiver.withLock { $0 }?.take(message) ?? 500
        var response = HTTPResponse(status: HTTPStatus(code: status, reason: "As Told"))
        if status == 302 { response.headers.append((name: "Location", value: "/elsewhere")) }
        reply.send(response)
        return true
    }

    func respond(to request: HTTPRequest) async -> HTTPResponse {
        HTTPResponse(status: .internalServerError)
    }
}
