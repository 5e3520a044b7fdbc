// SPDX-License-Identifier: Apache-2.0

import HTTPServer
import Observability
import Testing

/// Bounds that all connections have in common.
@Suite struct LoadTests {
    private func head(_ length: Int) -> String {
        "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: \(length)\r\n\r\n"
    }

    private func filler(_ count: Int) -> String { String(repeating: "a", count: count) }

    private func wait(_ live: LiveServer, for line: String) async throws {
        while !live.metrics.text().contains("\(line)\n") {
            try await Task.sleep(for: .milliseconds(1))
        }
    }

    @Test func `A body for which others leave no room is refused, a small one is taken`()
        async throws
    {
        try await withServer({ $0.maxBodies = 100_000 }) { live in
            let holder = try Client(live)
            let begun = head(200_000) + filler(110_000)
            holder.send(begun)
            try await wait(live, for: "tally_http_received_bytes_total \(begun.utf8.count)")

            let chunk = "30d40\r\n\(filler(200_000))\r\n0\r\n\r\n"
            let chunked =
                "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\(chunk)"
            for request in [head(200_000) + filler(200_000), chunked] {
                let client = try Client(live)
                client.send(request)
                client.end()
                let text = client.readTextToEnd()
                #expect(statuses(text) == [503])
                #expect(text.contains("\r\nRetry-After: 1\r\n"))
                #expect(text.contains("\r\nConnection: close\r\n"))
                #expect(text.contains("\"instance\":\"/a\",\"code\":\"too_many_bodies\""))
            }
            let small = try Client(live)
            small.send(head(10_000) + filler(10_000) + canary)
            #expect(statuses(small.readTextToEnd()) == [200, 200])

            holder.send(filler(6000))
            holder.close()
            try await wait(live, for: "tally_http_connections 0")
            // What was held is free again, also after requests that were answered.
            for _ in 0..<3 {
                let client = try Client(live)
                client.send(head(110_000) + filler(110_000) + canary)
                #expect(statuses(client.readTextToEnd()) == [200, 200])
            }
        }
    }

    @Test func `A body is held until its request is done with, not only until it came whole`()
        async throws
    {
        try await withServer({ $0.maxBodies = 100_000 }) { live in
            let first = try Client(live)
            let length = 110_000
            first.send(
                "POST /keep HTTP/1.1\r\nHost: x\r\nContent-Length: \(length)\r\n\r\n"
                    + filler(length))
            while !live.journal.all.contains("/keep") { await live.server.turn() }
            let second = try Client(live)
            second.send(head(length) + filler(length))
            second.end()
            #expect(statuses(second.readTextToEnd()) == [503])
            let releaser = try Client(live)
            releaser.send("GET /release HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            _ = releaser.readToEnd()
            #expect(first.read(until: "len=\(length)").hasPrefix("HTTP/1.1 200 OK\r\n"))
            let third = try Client(live)
            third.send(head(length) + filler(length) + canary)
            #expect(statuses(third.readTextToEnd()) == [200, 200])
        }
    }

    private static func large(_ head: String = "") -> String {
        "GET /large HTTP/1.1\r\nHost: x\r\n\(head)\r\n"
    }

    @Test func `Who takes nothing is closed when too much is unsent, and others are answered`()
        async throws
    {
        try await withServer({ $0.maxUnsentOfAll = 10_000_000 }) { live in
            let first = try Client(live)
            first.send(Self.large("Connection: close\r\n"))
            while !live.journal.all.contains("done /large") { await live.server.turn() }
            // Together they would pass the bound.
            let second = try Client(live)
            second.send(Self.large() + Self.large())
            try await wait(live, for: "tally_http_connections_cut_total 1")
            let other = try Client(live)
            other.send(head(10_000) + filler(10_000) + canary)
            #expect(statuses(other.readTextToEnd()) == [200, 200])
            // What was first is whole.
            #expect(first.readToEnd().count > 8_000_000)
            first.close()
            second.close()
            try await wait(live, for: "tally_http_connections 0")
            // Nothing is left of what was counted.
            for _ in 0..<3 {
                let client = try Client(live)
                client.send(Self.large("Connection: close\r\n"))
                #expect(client.readToEnd().count > 8_000_000)
            }
            try await wait(live, for: "tally_http_connections_cut_total 1")
        }
    }

    @Test func `Answers that wait and share a body are not told unsent, each, before their turn`()
        async throws
    {
        try await withServer({ $0.maxUnsentOfAll = 10_000_000 }) { live in
            let client = try Client(live)
            let shared = "GET /shared HTTP/1.1\r\nHost: x\r\n"
            client.send(
                "GET /keep HTTP/1.1\r\nHost: x\r\n\r\n"
                    + String(repeating: "\(shared)\r\n", count: 2)
                    + "\(shared)Connection: close\r\n\r\n")
            while live.journal.all.count(where: { $0 == "done /shared" }) < 3 {
                await live.server.turn()
            }
            let releaser = try Client(live)
            releaser.send("GET /release HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            _ = releaser.readToEnd()
            #expect(client.readToEnd().count > 24_000_000)
            #expect(live.metrics.text().contains("tally_http_connections_cut_total 0\n"))
        }
    }

    @Test func `Servers with one load have one cap of connections, wherever they come`()
        async throws
    {
        let load = HTTPServerLoad()
        try await withServer({ $0.maxConnections = 3 }, load: load) { one in
            try await withServer({ $0.maxConnections = 3 }, load: load) { other in
                let request = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
                let clients = try (0..<3).map { _ in try Client(one) }
                for client in clients {
                    client.send(request)
                    #expect(client.read(until: "len=0").hasPrefix("HTTP/1.1 200 OK\r\n"))
                }
                try #expect(statuses(Client(other).readTextToEnd()) == [503])
                try await wait(other, for: "tally_http_connections 0")
                for client in clients { client.close() }
                try await wait(one, for: "tally_http_connections 0")
                let late = try (0..<3).map { _ in try Client(other) }
                for client in late {
                    client.send(request)
                    #expect(client.read(until: "len=0").hasPrefix("HTTP/1.1 200 OK\r\n"))
                }
                try #expect(statuses(Client(one).readTextToEnd()) == [503])
            }
        }
    }

    private static let named = [
        (
            "POST /v1/events?a HTTP/1.1\r\nHost: x\r\nIdempotency-Key: a\r\nIdempotency-Key: b\r\n\r\n",
            "/v1/events"
        ),
        ("POST /v1/events HTTP/1.1\r\nHost: x\r\n\r\n", "/v1/events"),
        ("POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", "/b"),
        ("GET /b HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n", "/b"),
        ("GET /b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", "/b"),
        ("TRACE /b HTTP/1.1\r\nHost: x\r\n\r\n", "/b"),
        ("GET /%zz HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", "/"),
        ("GET /b", "/"),
        ("GET /b HTTP/1.1\r\nHo", "/b"),
    ]

    @Test(arguments: named)
    func `A refused head's problem names the path that was asked for`(
        _ request: String, _ path: String
    ) async throws {
        try await withServer({ $0.headerDeadline = .milliseconds(50) }) { live in
            for parts in [[request], [String(request.prefix(30)), String(request.dropFirst(30))]] {
                let client = try Client(live)
                for part in parts {
                    client.send(part)
                    await live.server.turn()
                }
                #expect(client.readTextToEnd().contains("\"instance\":\"\(path)\",\"code\""))
            }
        }
    }
}
