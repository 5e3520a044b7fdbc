// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPServer
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct SubjectFigureTests {
    private func subjects(_ answer: Answer) -> [[String: Any]] {
        answer.json["subjects"] as? [[String: Any]] ?? []
    }

    @Test func `A page of profiles has the figures that were asked for, and those of each`()
        async throws
    {
        try await withPoolAPI { _, harness, _ in
            await harness.stock([900, 801, 800, nil])
            for id in ["5", "6", "7"] {
                #expect(await harness.send(.put, "/v1/subjects/\(id)", "{}").status == 201)
            }
            #expect(await harness.assign(3, to: "5").status == 200)
            #expect(await harness.report(1).status == 200)
            _ = await harness.post(
                #"{"subject":"6","meters":{"input_tokens":1900,"output_tokens":16}}"#)
            _ = await harness.post(#"{"subject":"6","meters":{"messages":2}}"#)

            let plain = await harness.get("/v1/subjects")
            #expect(plain.status == 200 && !plain.text.contains("usage"))
            #expect(!plain.text.contains("keys"))
            let both = subjects(await harness.get("/v1/subjects", query: "include=usage,keys"))
            try #require(both.map { $0["id"] as? String } == ["5", "6", "7"])
            let keys = both.map { $0["keys"] as? [String: Int] }
            #expect(
                keys[0] == [
                    "total_keys_received": 3, "total_keys_used": 1, "current_assigned_keys": 3,
                    "active_keys_count": 3, "ready_keys_count": 2,
                ])
            #expect(keys[1]?.values.allSatisfy { $0 == 0 } == true && keys[1]?.count == 5)
            let usage = both.compactMap { $0["usage"] as? [String: Any] }
            #expect(usage[1]["events"] as? Int == 2)
            #expect(usage[1]["last_event_at"] as? String == "2026-11-21T10:00:00Z")
            #expect(
                usage[1]["totals"] as? [String: Int] == [
                    "input_tokens": 1900, "output_tokens": 16, "tokens": 1916, "messages": 2,
                    "cost_micro": 10_000,
                ])
            #expect(usage[2]["events"] as? Int == 0 && usage[2]["last_event_at"] is NSNull)
            let one = await harness.get("/v1/subjects", query: "include=usage&limit=1")
            #expect(subjects(one).count == 1 && !one.text.contains("keys"))
            for wrong in ["", "totals", "usage,", "usage,,keys"] {
                let refused = await harness.get("/v1/subjects", query: "include=\(wrong)")
                #expect(refused.status == 400, "\(wrong)")
            }
        }
    }

    @Test func `Of keys only administrators are told`() async throws {
        try await withPoolAPI { _, harness, _ in
            let made = await harness.send(.post, "/v1/keys", #"{"role":"reader","name":"x"}"#)
            let secret = try #require(made.json["secret"] as? String)
            func status(_ query: String) async -> Int {
                let request = HTTPRequest(
                    method: .get, path: "/v1/subjects", query: query,
                    headers: ["Authorization": "Bearer \(secret)"])
                return await harness.send(request).status
            }
            #expect(await status("include=usage") == 200)
            #expect(await status("include=keys") == 403)
            #expect(await status("include=usage,keys") == 403)
        }
    }
}
