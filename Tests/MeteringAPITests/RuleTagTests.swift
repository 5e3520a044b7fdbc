// SPDX-License-Identifier: Apache-2.0

import HTTPServer
import TestSupport
import Testing

/// Rules are replaced by who knows which ones they replace.
@Suite(.timeLimit(.minutes(15))) struct RuleTagTests {
    static let books: [(path: String, one: String, other: String)] = [
        ("/v1/prices", #"{"per_message":"0.1"}"#, #"{"per_message":"0.2"}"#),
        (
            "/v1/limits", #"{"limits":[{"name":"a","meter":"tokens","window":"day","user":1}]}"#,
            #"{"limits":[{"name":"a","meter":"tokens","window":"day","user":2}]}"#
        ),
        ("/v1/credit-policy", #"{"overdraft":"1"}"#, #"{"overdraft":"2"}"#),
    ]

    private func put(
        _ path: String, _ body: String, ifMatch tag: String
    ) -> HTTPRequest {
        .authorized(
            .put, path, headers: ["Content-Type": "application/json", "If-Match": tag],
            body: Array(body.utf8))
    }

    @Test(arguments: books) func `A tag is of what is in force, and another one is refused`(
        book: (path: String, one: String, other: String)
    ) async throws {
        try await withAPI { _, harness, _ in
            let initial = try #require(await harness.get(book.path).headers["etag"])
            let first = await harness.send(put(book.path, book.one, ifMatch: initial))
            #expect(first.status == 200, "\(first.text)")
            let tag = try #require(first.headers["etag"])
            #expect(tag != initial && tag.hasPrefix("\"") && tag.hasSuffix("\""))
            let shown = await harness.get(book.path)
            #expect(shown.headers["etag"] == tag && shown.text == first.text)
            for old in [initial, "W/\(tag)", "\"\"", "x"] {
                try await harness.expectRefusal(
                    put(book.path, book.other, ifMatch: old), 412, "precondition_failed", old)
            }
            // What others are, is of no matter.
            for rest in Self.books where rest.path != book.path {
                #expect(await harness.send(.put, rest.path, rest.one).status == 200)
                #expect(await harness.get(rest.path).headers["etag"] != tag)
            }
            let second = await harness.send(put(book.path, book.other, ifMatch: tag))
            #expect(second.status == 200 && second.headers["etag"] != tag)
            let any = await harness.send(put(book.path, book.one, ifMatch: "*"))
            // The same again is the same tag.
            #expect(any.status == 200 && any.headers["etag"] == tag)
            #expect(await harness.send(.put, book.path, book.other).status == 200)
        }
    }

    @Test(arguments: books) func `Of those who replace the same one only one does`(
        book: (path: String, one: String, other: String)
    ) async throws {
        try await withAPI { host, harness, _ in
            let tag = try #require(await harness.get(book.path).headers["etag"])
            let tasks = [book.one, book.other, book.one, book.other, book.one].map { body in
                let request = put(book.path, body, ifMatch: tag)
                return Task {
                    _ = host
                    return await harness.send(request)
                }
            }
            var answers: [Answer] = []
            for task in tasks { answers.append(await task.value) }
            #expect(answers.map(\.status).sorted() == [200, 412, 412, 412, 412])
            let winner = try #require(answers.first { $0.status == 200 })
            #expect(await harness.get(book.path).text == winner.text)
        }
    }
}
