// SPDX-License-Identifier: Apache-2.0

import HTTPServer
import MeteringAPI
import TestSupport
import Testing

/// Nobody takes what others need of the answers that a process may send at a time.
@Suite(.timeLimit(.minutes(15))) struct AnswerShareTests {
    private static func ask(
        _ api: Harness, _ path: String, _ secret: String, in workspace: String = absent
    ) async -> HTTPResponse {
        await api.api.respond(
            to: .authorized(
                .get, path,
                headers: ["Authorization": "Bearer \(secret)", "X-Tally-Workspace": workspace]))
    }

    private static func isFull(_ response: HTTPResponse, _ code: String) -> Bool {
        let answer = Answer(response)
        return answer.status == 503 && answer.code == code
    }

    @Test func `An end user has twenty streams, however many keys`() async throws {
        try await withAPI { _, api, _ in
            let (one, two) = (try await api.secret(of: "ann"), try await api.secret(of: "ann"))
            let other = try await api.secret(of: "bob")
            // Who holds an answer is about to send it.
            var open: [HTTPResponse] = []
            for number in 0..<20 {
                open.append(await Self.ask(api, "/v1/stream", number % 2 == 0 ? one : two))
            }
            #expect(open.allSatisfy { $0.status == .ok })
            for secret in [one, two] {
                let refused = await Self.ask(api, "/v1/stream", secret)
                #expect(Self.isFull(refused, "too_many_streams"))
            }
            for secret in [other, key] {
                #expect(await Self.ask(api, "/v1/stream", secret).status == .ok)
            }
            open.removeLast()
            #expect(await Self.ask(api, "/v1/stream", two).status == .ok)
        }
    }

    @Test(arguments: [
        ("/v1/stream", 250, "too_many_streams"), ("/v1/export/balances", 4, "too_many_exports"),
    ])
    func `A workspace leaves the larger part to the others`(
        path: String, share: Int, code: String
    ) async throws {
        try await withAPI { _, api, _ in
            var open: [HTTPResponse] = []
            // There is nobody to leave something to.
            for _ in 0...share { open.append(await Self.ask(api, path, key)) }
            #expect(open.allSatisfy { $0.status == .ok })
            open = []
            let made = await api.send(.post, "/v1/workspaces", #"{"id":"acme"}"#)
            #expect(made.status == 201, "\(made.text)")
            for _ in 0..<share { open.append(await Self.ask(api, path, key, in: "acme")) }
            #expect(open.allSatisfy { $0.status == .ok })
            let refused = await Self.ask(api, path, key, in: "acme")
            #expect(Self.isFull(refused, code))
            #expect(await Self.ask(api, path, key).status == .ok)
        }
    }
}
