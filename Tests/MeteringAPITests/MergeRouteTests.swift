// SPDX-License-Identifier: Apache-2.0

import HTTPServer
import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct MergeRouteTests {
    @Test func `A guest who signs in is merged, once, and cannot go on as a guest`() async throws {
        try await withAPI { _, harness, _ in
            _ = await harness.post(#"{"subject":"guest:7","meters":{"tokens":5}}"#)
            _ = await harness.send(.put, "/v1/subjects/guest:7", #"{"email":"a@example.com"}"#)
            let body = #"{"guest":"guest:7"}"#
            let merged = await harness.send(.post, "/v1/subjects/ann/merge", body)
            #expect(merged.status == 200)
            #expect(
                merged.text
                    == #"{"subject":"ann","guest":"guest:7","events":1,"duplicate":false}"#)
            let again = await harness.send(.post, "/v1/subjects/ann/merge", body)
            #expect(again.status == 200 && again.json["duplicate"] as? Bool == true)
            let other = await harness.send(.post, "/v1/subjects/bob/merge", body)
            #expect(other.status == 409 && other.code == "guest_merged")
            #expect(await harness.get("/v1/subjects/ann").totals == ["tokens": 5])
            #expect(
                await harness.get("/v1/subjects", query: "q=a@example.com").text.contains(
                    #""subjects":[]"#))
            let asGuest = await harness.send(
                HTTPRequest(
                    method: .get, path: "/v1/subjects/guest:7", headers: ["X-Guest-ID": "7"]))
            #expect(asGuest.status == 403 && asGuest.code == "guest_merged")
        }
    }

    @Test(arguments: [
        ("ann", "{}", 422, "field_required"), ("ann", #"{"guest":"bob"}"#, 422, "invalid_id"),
        ("guest:1", #"{"guest":"guest:2"}"#, 422, "invalid_id"),
        ("ann", #"{"guest":7}"#, 422, "wrong_type"), ("ann", "[]", 422, "wrong_type"),
        ("ann", #"{"guest":"guest:1","x":1}"#, 422, "unknown_field"),
        ("ann", #"{"guest":null}"#, 422, "field_required"),
    ])
    func `A bad merge changes nothing`(
        user: String, body: String, status: Int, code: String
    ) async throws {
        try await withAPI { _, harness, _ in
            let answer = await harness.send(.post, "/v1/subjects/\(user)/merge", body)
            #expect(answer.status == status && answer.code == code, "\(answer.text)")
        }
    }
}
