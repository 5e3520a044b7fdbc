// SPDX-License-Identifier: Apache-2.0

import Glibc
import HTTPServer
import Observability
import Testing

/// One answer, taken apart.
private struct Answer: Equatable {
    let status: Int
    let length: Int
    let body: Int
}

/// What a connection holds for a peer that reads slowly, or not at all.
@Suite struct PipelineTests {
    private func get(_ path: String, _ head: String = "") -> String {
        "GET \(path) HTTP/1.1\r\nHost: x\r\n\(head)\r\n"
    }

    /// The answers in a stream of them, all with a length; `heads` are those without their body.
    private func answers(_ bytes: [UInt8], heads: Set<Int> = []) -> [Answer] {
        var answers: [Answer] = []
        var start = 0
        while start < bytes.count {
            let head = String(decoding: bytes[start...].prefix(400), as: UTF8.self)
            let lines = head.split(separator: "\r\n", omittingEmptySubsequences: false)
                .prefix { !$0.isEmpty }
            let length = lines.first { $0.hasPrefix("Content-Length: ") }.flatMap {
                Int($0.dropFirst(16))
            }
            guard let status = Int(head.dropFirst(9).prefix(3)), let length else { break }
            let headLength = lines.reduce(2) { $0 + $1.utf8.count + 2 }
            let due = heads.contains(answers.count) ? 0 : length
            let body = min(due, bytes.count - start - headLength)
            answers.append(Answer(status: status, length: length, body: body))
            start += headLength + body
        }
        return answers
    }

    private func whole(_ length: Int) -> Answer {
        Answer(status: 200, length: length, body: length)
    }

    @Test func `Answers wait as they are until the peer has read those before them`() async throws {
        try await withServer { live in
            let client = try Client(live)
            client.send(
                String(repeating: get("/large"), count: 4) + get("/told", "Connection: close\r\n"))
            while live.journal.all.filter({ $0.hasPrefix("done ") }).count < 5 {
                await live.server.turn()
            }
            // Others are answered meanwhile, so that the loop has come to whatever was due.
            for _ in 0..<20 {
                let other = try Client(live)
                other.send(get("/async", "Connection: close\r\n"))
                _ = other.readToEnd()
            }
            // More than any socket holds was to go before it, so that its body is not begun.
            #expect(!live.journal.all.contains("streaming"))
            let bytes = client.readToEnd()
            #expect(live.journal.all.contains("streaming"))
            #expect(bytes.count > 4 * 8_000_000)
            #expect(bytes.suffix(14) == latin1("4\r\ntold\r\n0\r\n\r\n"))
        }
    }

    @Test func `Answers that waited for a slow reader come in order, HEAD without a body`()
        async throws
    {
        try await withServer { live in
            let client = try Client(live)
            let last = get("/b", "Connection: close\r\n")
            let paths = ["/large", "/a", "/bytes/300000", "/async", "/large", "/bytes/8000000"]
            client.send(
                paths.map { get($0) }.joined() + "HEAD /large HTTP/1.1\r\nHost: x\r\n\r\n" + last)
            while !live.journal.all.contains("done /large") { await live.server.turn() }
            let bytes = client.readToEnd()
            #expect(
                answers(bytes, heads: [6]) == [
                    whole(8_000_000), whole(12), whole(300_000), whole(16), whole(8_000_000),
                    whole(8_000_000), Answer(status: 200, length: 8_000_000, body: 0), whole(12),
                ])
            #expect(bytes.suffix(12) == latin1("u=[/b] len=0"))
        }
    }

    @Test func `A server that stops sends the answers that wait for a slow reader`() async throws {
        try await withServer { live in
            let client = try Client(live)
            client.send(String(repeating: get("/large"), count: 4))
            while live.journal.all.filter({ $0 == "done /large" }).count < 4 {
                await live.server.turn()
            }
            async let stopped: Void = live.server.shutdown(deadline: .seconds(120))
            // Once nobody is accepted any more, the stop has begun.
            while (try? Client(live)) != nil { await live.server.turn() }
            let bytes = client.readToEnd()
            #expect(answers(bytes) == Array(repeating: whole(8_000_000), count: 4))
            client.close()
            await stopped
        }
    }

    @Test func `Who reads on gets all its answers, though all take longer than one may`()
        async throws
    {
        try await withServer({ $0.writeDeadline = .milliseconds(1500) }) { live in
            let client = try Client(live)
            client.send(String(repeating: get("/async/300000"), count: 99))
            client.send(get("/async/300000", "Connection: close\r\n"))
            var bytes: [UInt8] = []
            var isOpen = true
            while isOpen {
                let due = bytes.count + 1_000_000
                while isOpen, bytes.count < due {
                    guard let part = client.read() else {
                        isOpen = false
                        break
                    }
                    bytes += part
                }
                // Keeps its thread, which other tests might not give back for long.
                usleep(100_000)
            }
            #expect(answers(bytes) == Array(repeating: whole(300_000), count: 100))
        }
    }

    @Test func `Who reads none of many answers loses the connection`() async throws {
        try await withServer({ $0.writeDeadline = .milliseconds(50) }) { live in
            let client = try Client(live)
            client.send(String(repeating: get("/large"), count: 10))
            while !live.journal.all.contains("done /large") { await live.server.turn() }
            while !live.metrics.text().contains("tally_http_connections 0\n") {
                try await Task.sleep(for: .milliseconds(1))
            }
            #expect(answers(client.readToEnd()).count < 10)
        }
    }
}
