// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPServer
import TestSupport
import Testing

/// `GET /v1/subjects?sort=-METER`.
@Suite(.timeLimit(.minutes(15))) struct SubjectOrderTests {
    private struct Person {
        let id: String
        var tokens = 0
        var isKnown = true
        var isDemo = false
        var isActive = true
    }

    /// All pages behind each other.
    private func told(
        _ query: String, limit: Int, _ harness: Harness
    ) async throws -> [String] {
        var ids: [String] = []
        var cursor = ""
        for _ in 0..<2000 {
            let answer = await harness.get(
                "/v1/subjects", query: "\(query)&limit=\(limit)\(cursor)")
            try #require(answer.status == 200, "\(answer.text)")
            let page = (answer.json["subjects"] as? [[String: Any]] ?? []).compactMap {
                $0["id"] as? String
            }
            #expect(page.count <= limit)
            ids += page
            guard let next = answer.json["next"] as? String else { return ids }
            cursor = "&cursor=\(next)"
        }
        Issue.record("the pages do not end")
        return ids
    }

    private func make(_ people: [Person], _ harness: Harness) async {
        for start in stride(from: 0, to: people.count, by: 500) {
            let part = people[start..<min(start + 500, people.count)]
            let profiles = part.filter(\.isKnown).map {
                #"{"id":"\#($0.id)","active":\#($0.isActive)}"#
            }
            let imported = await harness.send(
                .authorized(
                    .post, "/v1/subjects/import",
                    headers: ["Content-Type": "application/x-ndjson"],
                    body: Array(profiles.joined(separator: "\n").utf8)))
            #expect(imported.status == 200 && imported.json["failed"] as? Int == 0)
            let events = part.map {
                #"{"subject":"\#($0.id)","meters":{"\#($0.tokens > 0 ? "tokens" : "calls")":"#
                    + #"\#(max(1, $0.tokens))}}"#
            }
            let counted = await harness.postLines(events.joined(separator: "\n"))
            #expect(counted.json["counted"] as? Int == part.count, "\(counted.text.prefix(300))")
        }
        // What they had used before stays.
        for one in people where one.isDemo && one.isKnown {
            let answer = await harness.send(.patch, "/v1/subjects/\(one.id)", #"{"demo":true}"#)
            #expect(answer.status == 200, "\(answer.text)")
        }
    }

    private func expected(_ people: [Person], _ isWanted: (Person) -> Bool) -> [String] {
        let known = people.filter { $0.isKnown && isWanted($0) }
        let ranked = known.filter { $0.tokens > 0 && !$0.isDemo }
            .sorted { ($1.tokens, $0.id) < ($0.tokens, $1.id) }
        let rest = known.filter { $0.tokens == 0 || $0.isDemo }.sorted { $0.id < $1.id }
        return (ranked + rest).map(\.id)
    }

    @Test func `All pages are in the order of what was used, everybody once`() async throws {
        var random = SeededGenerator(20_261_121)
        // More than the service looks at in one step, and many with equal totals.
        let people = (0..<700).map { index in
            Person(
                id: "p\(Int.random(in: 0...99, using: &random))-\(index)",
                tokens: Int.random(in: 0...3, using: &random) == 0
                    ? 0 : Int.random(in: 1...60, using: &random),
                isKnown: Int.random(in: 0...4, using: &random) > 0,
                isDemo: Int.random(in: 0...19, using: &random) == 0,
                isActive: Int.random(in: 0...3, using: &random) > 0)
        }
        try await withAPI { _, harness, _ in
            await make(people, harness)
            for limit in [1000, 200, 37] {
                let ids = try await told("sort=-tokens", limit: limit, harness)
                #expect(ids == expected(people) { _ in true }, "by \(limit)")
            }
            let active = try await told("sort=-tokens&active=true", limit: 50, harness)
            #expect(active == expected(people, \.isActive))
            let demo = try await told("sort=-tokens&demo=true", limit: 7, harness)
            #expect(demo == expected(people, \.isDemo) && !demo.isEmpty)
            let some = try await told("sort=-tokens&q=p1", limit: 20, harness)
            #expect(some == expected(people) { $0.id.contains("p1") })
            let idle = try await told(
                "sort=-tokens&inactive_since=2026-11-21T09:59:59Z", limit: 50, harness)
            #expect(idle == [])
            let late = try await told(
                "sort=-tokens&inactive_since=2026-11-21T10:00:01Z", limit: 300, harness)
            #expect(late == expected(people) { _ in true })
        }
    }

    @Test func `What is counted and undone moves who it is about`() async throws {
        try await withAPI { _, harness, _ in
            for (id, email) in [("a", "a@x.y"), ("b", "b@x.y"), ("guest:c", "c@x.y")] {
                let made = await harness.send(
                    .put, "/v1/subjects/\(id)", #"{"email":"\#(email)"}"#)
                #expect(made.status == 201, "\(made.text)")
            }
            func ids(_ query: String = "sort=-tokens") async -> [String]? {
                try? await told(query, limit: 2, harness)
            }
            #expect(await ids() == ["a", "b", "guest:c"])
            _ = await harness.post(#"{"id":"1","subject":"guest:c","meters":{"tokens":5}}"#)
            _ = await harness.post(#"{"id":"2","subject":"b","meters":{"tokens":6}}"#)
            #expect(await ids() == ["b", "guest:c", "a"])
            #expect(await ids("sort=-tokens&kind=user") == ["b", "a"])
            #expect(await ids("sort=-credits_micro") == ["a", "b", "guest:c"])
            #expect(await ids("sort=-tokens&email=C@x.y") == ["guest:c"])
            let undone = await harness.send(.post, "/v1/events/2/reverse", #"{"reason":"test"}"#)
            #expect(undone.status < 300, "\(undone.text)")
            #expect(await ids() == ["guest:c", "a", "b"])
        }
    }

    @Test func `Places of other orders, and meters without leaderboards, are refused`() async throws
    {
        try await withAPI { _, harness, _ in
            for query in [
                "sort=-", "sort=-messages", "sort=tokens", "sort=-TOKENS", "sort=--tokens",
            ] {
                try await harness.expectRefusal(
                    .authorized(.get, "/v1/subjects", query: query), 400, "invalid_parameter",
                    query)
            }
            for query in [
                "sort=-tokens&cursor=aWFubg", "sort=id&cursor=0", "sort=-tokens&cursor=m",
                "sort=-tokens&cursor=0aWFubg%3D", "sort=-tokens&cursor=mMTA6",
                "sort=email&cursor=mMTA6YQ",
            ] {
                try await harness.expectRefusal(
                    .authorized(.get, "/v1/subjects", query: query), 400, "invalid_cursor", query)
            }
        }
    }
}
