// SPDX-License-Identifier: Apache-2.0

import EventLoop
import HTTPServer
import TestSupport
import Testing

/// A cursor goes on with the question whose answer it is of. With another one it would leave out what is asked for.
@Suite(.timeLimit(.minutes(15))) struct CursorTests {
    /// A list, a question that has two pages, and other questions about the same list.
    private struct List {
        let path: String
        let question: String
        let others: [String]
        var parameter = "cursor"
        var member = "next"
        var code = "invalid_cursor"
    }

    private static let lists = [
        List(
            path: "/v1/leaderboards/tokens", question: "window=7d",
            others: ["", "window=8d", "window=lifetime", "window=2026-11-21"]),
        List(
            path: "/v1/leaderboards/tokens", question: "",
            others: ["window=7d", "window=month"]),
        List(
            path: "/v1/events", question: "action=chat",
            others: ["", "subject=a", "action=chat&sort=credits"]),
        List(
            path: "/v1/subjects", question: "sort=email",
            others: ["", "sort=-email", "sort=email&role=admin", "sort=email&q=x"]),
        List(
            path: "/v1/subjects", question: "sort=-tokens&active=true",
            others: ["sort=-tokens", "sort=-credits_micro&active=true", "active=true"]),
        List(
            path: "/v1/audit", question: "",
            others: ["actor=operator", "action=PUT+/v1/prices", "from=2026-11-20"]),
        List(
            path: "/v1/holds", question: "subject=a",
            others: ["", "subject=b", "subject=a&state=released"], code: "invalid_parameter"),
        List(path: "/v1/keys", question: "", others: []),
        List(
            path: "/v1/credits/a/ledger", question: "", others: [], parameter: "before",
            member: "older", code: "invalid_parameter"),
    ]

    private static func fill(_ harness: Harness) async {
        for (id, tokens) in [("a", 3), ("b", 2), ("c", 1)] {
            let made = await harness.send(
                .put, "/v1/subjects/\(id)", #"{"email":"\#(id)@example.com"}"#)
            #expect(made.status == 201, "\(made.text)")
            let counted = await harness.post(
                #"{"subject":"\#(id)","action":"chat","meters":{"tokens":\#(tokens)}}"#)
            #expect(counted.status == 200, "\(counted.text)")
        }
        _ = await harness.post(#"{"subject":"a","action":"chat","meters":{"tokens":1}}"#)
        for name in ["one", "two"] {
            let key = await harness.send(
                .post, "/v1/keys", #"{"role":"reader","name":"\#(name)"}"#)
            #expect(key.status == 201, "\(key.text)")
        }
        for subject in ["a", "b"] {
            for number in 1...2 {
                let granted = await harness.send(
                    .post, "/v1/credits/\(subject)/grants",
                    #"{"id":"\#(subject)\#(number)","credits":"9"}"#)
                #expect(granted.status < 300, "\(granted.text)")
                let held = await harness.send(
                    .post, "/v1/holds",
                    #"{"id":"\#(subject)\#(number)","subject":"\#(subject)","credits":1}"#)
                #expect(held.status < 300, "\(held.text)")
            }
        }
    }

    private static func query(_ parts: String...) -> String {
        parts.filter { !$0.isEmpty }.joined(separator: "&")
    }

    @Test func `A cursor of another question is refused`() async throws {
        try await withAPI { _, harness, _ in
            await Self.fill(harness)
            for list in Self.lists {
                let name = "\(list.path)?\(list.question)"
                let first = await harness.get(
                    list.path, query: Self.query(list.question, "limit=1"))
                let next = try #require(
                    first.json[list.member] as? String, "\(name): \(first.text)")
                let cursor = "\(list.parameter)=\(next)"
                for limit in ["limit=1", "limit=2"] {
                    let second = await harness.get(
                        list.path, query: Self.query(list.question, limit, cursor))
                    #expect(second.status == 200, "\(name): \(second.text)")
                }
                for other in list.others {
                    let answer = try await harness.expectRefusal(
                        .authorized(.get, list.path, query: Self.query(other, cursor)), 400,
                        list.code, "\(name), \(other)")
                    #expect(answer.detail.contains("the same question"), "\(answer.text)")
                }
            }
        }
    }

    @Test func `A cursor of another meter's leaderboard or another subject's ledger is refused`()
        async throws
    {
        try await withAPI { _, harness, _ in
            await Self.fill(harness)
            for (path, other, parameter, member, code) in [
                (
                    "/v1/leaderboards/tokens", "/v1/leaderboards/credits_micro", "cursor", "next",
                    "invalid_cursor"
                ),
                (
                    "/v1/credits/a/ledger", "/v1/credits/b/ledger", "before", "older",
                    "invalid_parameter"
                ),
            ] {
                let first = await harness.get(path, query: "limit=1")
                let next = try #require(first.json[member] as? String, "\(first.text)")
                try await harness.expectRefusal(
                    .authorized(.get, other, query: "\(parameter)=\(next)"), 400, code, other)
            }
        }
    }
}
