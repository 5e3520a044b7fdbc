// SPDX-License-Identifier: Apache-2.0

import Glibc
import HTTPServer
import Observability
import Testing

@Suite struct LimitTests {
    private func status(_ live: LiveServer, _ text: String) throws -> [Int] {
        let client = try Client(live)
        client.send(text + canary)
        return statuses(client.readTextToEnd())
    }

    @Test func `A request line may have 8192 bytes and not one more`() async throws {
        try await withServer { live in
            let rest = "GET / HTTP/1.1\r\n".utf8.count
            for (length, expected) in [(8192, [200, 200]), (8193, [414])] {
                let path = "/" + String(repeating: "a", count: length - rest)
                try #expect(
                    status(live, "GET \(path) HTTP/1.1\r\nHost: x\r\n\r\n") == expected)
            }
        }
    }

    @Test func `A header block may have 16384 bytes and not one more`() async throws {
        try await withServer { live in
            let rest = "Host: x\r\nX: \r\n\r\n".utf8.count
            for (length, expected) in [(16384, [200, 200]), (16385, [431])] {
                let value = String(repeating: "a", count: length - rest)
                try #expect(
                    status(live, "GET /a HTTP/1.1\r\nHost: x\r\nX: \(value)\r\n\r\n")
                        == expected)
            }
        }
    }

    @Test func `A request may have 100 fields and not one more`() async throws {
        try await withServer { live in
            for (count, expected) in [(100, [200, 200]), (101, [431])] {
                let fields = (1..<count).map { "X-\($0): \($0)\r\n" }.joined()
                try #expect(
                    status(live, "GET /a HTTP/1.1\r\nHost: x\r\n\(fields)\r\n") == expected)
            }
        }
    }

    @Test func `A body may be as long as the limit and not one byte longer`() async throws {
        try await withServer({ $0.maxBody = 1000 }) { live in
            for (length, expected) in [(1000, [200, 200]), (1001, [413])] {
                let body = String(repeating: "a", count: length)
                let head = "POST /a HTTP/1.1\r\nHost: x\r\n"
                try #expect(
                    status(live, head + "Content-Length: \(length)\r\n\r\n\(body)")
                        == expected)
                let chunks = String(repeating: "1\r\na\r\n", count: length) + "0\r\n\r\n"
                try #expect(
                    status(live, head + "Transfer-Encoding: chunked\r\n\r\n\(chunks)")
                        == expected)
            }
        }
    }

    @Test func `A body that is too long is refused before it is sent, without a 100`()
        async throws
    {
        try await withServer({ $0.maxBody = 1000 }) { live in
            let client = try Client(live)
            client.send(
                "POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                    + "Content-Length: 1001\r\n\r\n")
            #expect(statuses(client.readTextToEnd()) == [413])
        }
    }

    @Test func `A chunk extension may have 256 bytes and not one more`() async throws {
        try await withServer { live in
            for (length, expected) in [(256, [200, 200]), (257, [400])] {
                let text = ";" + String(repeating: "x", count: length - 1)
                let chunked = "3\(text)\r\nabc\r\n0\r\n\r\n"
                let head = "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                try #expect(status(live, head + chunked) == expected)
            }
        }
    }

    @Test func `A header that does not end is given up with 408`() async throws {
        try await withServer({ $0.headerDeadline = .milliseconds(50) }) { live in
            let client = try Client(live)
            client.send("GET /a HTTP/1.1\r\nHo")
            #expect(statuses(client.readTextToEnd()) == [408])
        }
    }

    @Test func `A body that does not end is given up with 408`() async throws {
        try await withServer({ $0.bodyDeadline = .milliseconds(50) }) { live in
            let client = try Client(live)
            client.send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
            #expect(statuses(client.readTextToEnd()) == [408])
            #expect(live.journal.all.isEmpty)
        }
    }

    @Test func `An idle connection is closed without a word`() async throws {
        try await withServer({ $0.idleDeadline = .milliseconds(50) }) { live in
            let client = try Client(live)
            client.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(statuses(client.readTextToEnd()) == [200])
            try #expect(Client(live).readToEnd().isEmpty)
        }
    }

    @Test func `A peer that does not read its answer loses the connection`() async throws {
        try await withServer({ $0.writeDeadline = .milliseconds(50) }) { live in
            let client = try Client(live)
            client.send("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
            while !live.journal.sawPeerGone { try await Task.sleep(for: .milliseconds(1)) }
            #expect(!client.readToEnd().isEmpty)
        }
    }

    @Test func `A connection past the cap gets 503, and those before it stay`() async throws {
        try await withServer({ $0.maxConnections = 2 }) { live in
            let first = try Client(live)
            let second = try Client(live)
            for client in [first, second] {
                client.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
                _ = client.read(until: "len=0")
            }
            try #expect(statuses(Client(live).readTextToEnd()) == [503])
            first.send(canary)
            #expect(echoes(first.readTextToEnd()) == ["/canary"])
        }
    }

    @Test func `However many come past the cap, each is told why, or is served when there is room`()
        async throws
    {
        try await withServer({ $0.maxConnections = 2 }) { live in
            let holders = try (0..<2).map { _ in try Client(live) }
            for client in holders {
                client.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
                _ = client.read(until: "len=0")
            }
            // More than are refused at a time.
            for client in try (0..<150).map({ _ in try Client(live) }) {
                #expect(statuses(client.readTextToEnd()) == [503] && !client.wasReset)
                client.close()
            }
            for client in holders { client.close() }
            while !live.metrics.text().contains("tally_http_connections 0\n") {
                try await Task.sleep(for: .milliseconds(1))
            }
            let late = try Client(live)
            late.send(canary)
            #expect(echoes(late.readTextToEnd()) == ["/canary"])
            #expect(
                live.metrics.text().contains(
                    "tally_http_requests_rejected_total{code=\"too_many_connections\"} 150\n"))
        }
    }

    @Test func `Refusals are counted by code`() async throws {
        try await withServer { live in
            try #expect(status(live, "GET a HTTP/1.1\r\nHost: x\r\n\r\n") == [400])
            #expect(
                live.metrics.text().contains(
                    "tally_http_requests_rejected_total{code=\"invalid_uri\"} 1\n"))
        }
    }

    @Test func `A server that stops answers what is in flight and closes what is idle`()
        async throws
    {
        try await withServer { live in
            let idle = try Client(live)
            idle.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
            _ = idle.read(until: "len=0")
            let busy = try Client(live)
            busy.send("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n")
            let partial = try Client(live)
            partial.send("POST /release HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na")
            while live.journal.all.count < 2 { await live.server.turn() }
            async let stopped: Void = live.server.shutdown(deadline: .seconds(20))
            // Once nobody is accepted any more, the stop has begun.
            while (try? Client(live)) != nil { await live.server.turn() }
            #expect(idle.readToEnd().isEmpty)
            partial.send("bc")
            for client in [busy, partial] {
                let answer = client.readTextToEnd()
                #expect(echoes(answer) == ["/release"])
                #expect(answer.contains("Connection: close\r\n"))
            }
            for client in [idle, busy, partial] { client.close() }
            await stopped
            #expect(throws: Client.Failure.self) { try Client(live) }
        }
    }
}
