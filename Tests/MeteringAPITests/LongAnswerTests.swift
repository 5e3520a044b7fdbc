// SPDX-License-Identifier: Apache-2.0

import Foundation
import Observability
import TestSupport
import Testing

/// Answers that go through all subjects: only so many at a time, and none of them held whole.
///
/// One after the other: clients block threads of the pool that tests share.
@Suite(.serialized, .timeLimit(.minutes(15))) struct LongAnswerTests {
    private static let coverage = "\(creditsPath)/coverage"

    /// Waits until so many requests are being answered, with the one that asks.
    private static func waitUntilAsked(_ count: Int, _ bench: ExportBench) async throws {
        while true {
            let text = try bench.client().get("/metrics").text
            let match = try #require(text.firstMatch(of: /\ntally_http_requests_in_flight (\d+)/))
            if (Int(match.1) ?? 0) > count { return }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    private static func isAnswered(_ reader: LazyReader) -> Bool {
        reader.read(12).starts(with: "HTTP/1.1 200".utf8)
    }

    @Test func `Long questions wait for each other, and not for ever`() async throws {
        try await withExports { bench in
            bench.redis.pause()
            let many = try (0..<12).map { _ in try LazyReader(port: bench.port, Self.coverage) }
            try await Self.waitUntilAsked(12, bench)
            bench.redis.resume()
            for reader in many { #expect(Self.isAnswered(reader)) }

            bench.redis.pause()
            let all = try (0..<8).map { _ in try LazyReader(port: bench.port, Self.coverage) }
            try await Self.waitUntilAsked(8, bench)
            let port = bench.port
            let refused = try await blocking {
                let answer = try BlockingHTTPClient(port: port, key: key).get(Self.coverage)
                return (answer.status, answer.text, answer.headers["retry-after"])
            }
            #expect(refused.0 == 503 && refused.1.contains(#""code":"too_many_questions""#))
            #expect(refused.2 == "1")
            bench.redis.resume()
            for reader in all { #expect(Self.isAnswered(reader)) }
            #expect(try bench.client().get(Self.coverage).status == 200)
        }
    }

    @Test func `What may not be sent is not read`() async throws {
        try await withExports { bench in
            let client = bench.client()
            let events = (0..<20_000).map {
                #"{"subject":"s","meters":{"tokens":1},"description":"\#(String(repeating: "n", count: 200))","id":"\#($0)"}"#
            }
            for start in stride(from: 0, to: events.count, by: 5000) {
                let lines = events[start..<start + 5000].joined(separator: "\n")
                let answer = try client.post("/v1/events", lines, type: "application/x-ndjson")
                try #require(answer.json["counted"] as? Int == 5000, "\(answer.text.prefix(300))")
            }
            var readers: [LazyReader] = []
            for _ in 0..<8 {
                let reader = try LazyReader(port: bench.port, "/v1/export/events?format=ndjson")
                #expect(reader.read(1000).starts(with: "HTTP/1.1 200 ".utf8))
                readers.append(reader)
            }
            for path in ["\(creditsPath)/export.csv", "/api/users"] {
                let before = try Self.scanCount(bench)
                let refused = try client.get(path)
                #expect(refused.status == 503, "\(path)")
                #expect(refused.json["code"] as? String == "too_many_exports", "\(path)")
                #expect(try Self.scanCount(bench) == before, "\(path)")
            }
            readers = []
            while try client.get("/api/users").status != 200 {
                try await Task.sleep(for: .milliseconds(5))
            }
        }
    }

    /// How often Redis was asked for a piece of a set or a hash.
    private static func scanCount(_ bench: ExportBench) throws -> Int {
        let text = try bench.redis.request("INFO commandstats")
        return text.matches(of: /cmdstat_[hs]scan:calls=(\d+)/).reduce(0) {
            $0 + (Int($1.1) ?? 0)
        }
    }

    @Test func `Many users are sent in parts, in their order`() async throws {
        try await withExports { bench in
            let numbers = (-1500..<1500).map { $0 * 7 }
            let names =
                (0..<2500).map { "u\($0 * 31 % 2503)" } + ["007", "Zoë", "é", "9007199254740992"]
            let lines = (numbers.map(String.init) + names).shuffled()
            let answer = try bench.client().post(
                "/v1/subjects/import", (["id"] + lines).joined(separator: "\n"),
                type: "text/csv")
            try #require(answer.status == 200, "\(answer.text.prefix(300))")
            let listed = try bench.client().get("/api/users")
            #expect(listed.status == 200)
            #expect(listed.headers["content-type"] == "application/json")
            #expect(listed.headers["transfer-encoding"] == "chunked")
            let users = try #require(listed.json["users"] as? [[String: Any]])
            let expected =
                numbers.map { "\($0)" }
                + names.sorted { Array($0.utf8).lexicographicallyPrecedes($1.utf8) }
            #expect(users.map { "\($0["id"] ?? "")" } == expected)
        }
    }

    @Test func `Credits and costs of the overview are of one moment`() async throws {
        try await withExports { bench in
            let (port, count) = (bench.port, 500)
            async let counted: Void = blocking {
                let client = BlockingHTTPClient(port: port, key: key)
                let event = creditEvent("a", "chat", credits: "1", cost: "0.005")
                for _ in 0..<count { _ = try client.post("/v1/events", event) }
            }
            let told = try await blocking {
                let client = BlockingHTTPClient(port: port, key: key)
                var told: [(credits: Double, cost: Double)] = []
                while told.last?.credits != Double(count) {
                    let overview = try client.get("\(creditsPath)/overview").json
                    told.append(
                        (
                            try #require(overview["total_credits"] as? Double),
                            try #require(overview["total_api_cost_dollars"] as? Double)
                        ))
                }
                return told
            }
            try await counted
            #expect(told.allSatisfy { ($0.cost * 200).rounded() == $0.credits }, "\(told)")
            #expect(Set(told.map(\.credits)).count > 10)
        }
    }
}
