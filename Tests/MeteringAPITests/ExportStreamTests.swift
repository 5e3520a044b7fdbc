// SPDX-License-Identifier: Apache-2.0

import Foundation
import Observability
import TestSupport
import Testing

/// One after the other: clients block threads of the pool that tests share.
@Suite(.serialized, .timeLimit(.minutes(15))) struct ExportStreamTests {
    static let eventCount = 30_000

    /// Counts events with long texts: about 10 MB as CSV.
    private static func fill(_ bench: ExportBench) throws {
        let client = bench.client()
        let note = String(repeating: "n", count: 200)
        for start in stride(from: 0, to: eventCount, by: 5000) {
            let lines = (start..<start + 5000).map { index in
                #"{"subject":"s\#(index % 100)","description":"\#(note)","meters":{"tokens":\#(index)}}"#
            }
            let answer = try client.post(
                "/v1/events", lines.joined(separator: "\n"), type: "application/x-ndjson")
            try #require(answer.json["counted"] as? Int == 5000, "\(answer.text.prefix(300))")
        }
    }

    @Test func `No more is read than a slow reader takes, and it gets all of it`() async throws {
        try await withExports { bench in
            try Self.fill(bench)
            let whole = try bench.client().get("/v1/export/events?format=ndjson")
            #expect(whole.body.count { $0 == 0x0a } == Self.eventCount)
            let before = try bench.readCount()
            let reader = try LazyReader(port: bench.port, "/v1/export/events?format=ndjson")
            let start = reader.read(100_000)
            // What is not taken is neither read nor kept: parts of about 1,000 events, and what
            // sockets hold.
            let stopped = try await bench.settledReadCount() - before
            #expect(stopped < Self.eventCount / 1000 / 2, "\(stopped) reads")
            // Others are answered meanwhile.
            #expect(try bench.client().get("/v1/events?limit=1").status == 200)
            let rest = reader.readBody()
            #expect(rest.isWhole)
            let lines = (start + rest.bytes).count { $0 == 0x0a }
            // Chunks bring line breaks of their own.
            #expect(lines > Self.eventCount)
            #expect(start.count + rest.bytes.count > whole.body.count)
        }
    }

    @Test func `Nothing is read for a reader that is gone`() async throws {
        try await withExports { bench in
            try Self.fill(bench)
            let before = try bench.readCount()
            do {
                let reader = try LazyReader(port: bench.port, "/v1/export/events")
                #expect(reader.read(100_000).count >= 100_000)
            }
            let reads = try await bench.settledReadCount() - before
            #expect(reads < Self.eventCount / 1000 / 2, "\(reads) reads")
            while !bench.metrics.text().contains("tally_http_connections 0\n") {
                try await Task.sleep(for: .milliseconds(5))
            }
        }
    }

    @Test func `An export that fails half way does not look whole`() async throws {
        for format in ["csv", "json", "ndjson"] {
            try await withExports { bench in
                try Self.fill(bench)
                let reader = try LazyReader(
                    port: bench.port, "/v1/export/events?format=\(format)")
                let start = reader.read(100_000)
                #expect(start.starts(with: "HTTP/1.1 200 ".utf8))
                bench.redis.kill()
                #expect(!reader.readBody().isWhole)
            }
        }
    }

    @Test(arguments: ["csv", "ndjson"])
    func `An export to HTTP 1.0 that fails half way does not look whole`(format: String)
        async throws
    {
        try await withExports { bench in
            try Self.fill(bench)
            let path = "/v1/export/events?format=\(format)"
            let whole = try LazyReader(port: bench.port, path, version: "1.0")
            #expect(whole.read().count { $0 == 0x0a } >= Self.eventCount)
            #expect(!whole.wasReset)
            let reader = try LazyReader(port: bench.port, path, version: "1.0")
            #expect(reader.read(100_000).starts(with: "HTTP/1.1 200 ".utf8))
            bench.redis.kill()
            _ = reader.read()
            // The end of the connection is the end of the body here.
            #expect(reader.wasReset)
        }
    }

    @Test func `An export ends when its key is revoked`() async throws {
        try await withExports { bench in
            try Self.fill(bench)
            let client = bench.client()
            let made = try client.post("/v1/keys", #"{"role":"reader"}"#)
            let secret = try #require(made.json["secret"] as? String)
            let id = try #require(made.json["id"] as? String)
            let reader = try LazyReader(
                port: bench.port, "/v1/export/events?format=ndjson", secret: secret)
            #expect(reader.read(100_000).starts(with: "HTTP/1.1 200 ".utf8))
            #expect(try client.request("DELETE", "/v1/keys/\(id)", nil, "").status == 204)
            #expect(!reader.readBody().isWhole)
        }
    }

    @Test func `No more than eight exports are sent at a time`() async throws {
        try await withExports { bench in
            try Self.fill(bench)
            let path = "/v1/export/events?format=ndjson"
            var readers: [LazyReader] = []
            for _ in 0..<8 {
                let reader = try LazyReader(port: bench.port, path)
                #expect(reader.read(1000).starts(with: "HTTP/1.1 200 ".utf8))
                readers.append(reader)
            }
            for path in ["/v1/export/balances", path, "/v1/export/series?meter=tokens"] {
                let refused = try bench.client().get(path)
                #expect(refused.status == 503)
                #expect(refused.json["code"] as? String == "too_many_exports")
                #expect(refused.headers["retry-after"] == "1")
            }
            // One that goes away makes room, as one that comes to its end does.
            readers.removeLast()
            #expect(readers.removeLast().readBody().isWhole)
            for _ in 0..<2 {
                while try bench.client().get("/v1/export/balances").status != 200 {
                    try await Task.sleep(for: .milliseconds(5))
                }
            }
        }
    }

    @Test func `What fails before the first row is a problem`() async throws {
        try await withExports { bench in
            bench.redis.kill()
            for path in ["events", "balances", "leaderboard?meter=tokens"] {
                let answer = try bench.client().get("/v1/export/\(path)")
                #expect(answer.status == 503)
                #expect(answer.json["code"] as? String == "backend_unavailable")
                #expect(answer.headers["content-disposition"] == nil)
            }
        }
    }
}
