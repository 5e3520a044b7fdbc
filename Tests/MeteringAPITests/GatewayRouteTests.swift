// SPDX-License-Identifier: Apache-2.0

import HTTPServer
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct GatewayRouteTests {
    private static let path = "/v1/gateway/check"

    private static func limit(_ harness: Harness, _ meter: String) async {
        let body =
            #"{"limits":[{"name":"m","meter":"\#(meter)","window":"day","user":3,"guest":1}]}"#
        #expect(await harness.send(.put, "/v1/limits", body).status == 200)
    }

    private static func check(_ caller: Caller, _ query: String, _ headers: [String: String] = [:])
        async -> Answer
    {
        let fields = ["Authorization": "Bearer \(caller.secret)"].merging(headers) { $1 }
        return await caller.api.send(
            .authorized(.get, path, query: query, headers: fields))
    }

    @Test func `An end user's own key is checked for that user alone`() async throws {
        try await withAPI { _, harness, redis in
            await Self.limit(harness, "files_uploaded")
            let ann = try await Caller(
                harness, #"{"role":"self","subject":"ann","name":"browser"}"#)
            let reader = try await Caller(harness, #"{"role":"reader","name":"looks"}"#)
            #expect(await Self.check(reader, "subject=ann&limits=m&files_uploaded=1").status == 403)
            for query in ["", "subject=ann&"] {
                #expect(await Self.check(ann, query + "limits=m&files_uploaded=1").status == 200)
            }
            let before = try redis.fingerprint()
            #expect(await Self.check(ann, "subject=bob&limits=m&files_uploaded=1").status == 403)
            #expect(
                await Self.check(ann, "limits=m&files_uploaded=1", ["X-Tally-Subject": "bob"])
                    .status
                    == 403)
            #expect(try redis.fingerprint() == before)
            // Whoever has a key is no guest.
            let last = await Self.check(ann, "limits=m&files_uploaded=1", ["X-Guest-ID": "g"])
            #expect(last.status == 200 && last.headers["x-tally-remaining"] == "0")
            #expect(await Self.check(ann, "limits=m&files_uploaded=1").status == 429)
        }
    }

    @Test func `Limits alone ask whether they are used up, and an amount of 0 passes`()
        async throws
    {
        try await withAPI { _, harness, redis in
            await Self.limit(harness, "files_uploaded")
            for (used, status) in [(0, 200), (2, 200), (3, 429), (4, 429)] {
                if used > 0 {
                    let amount = used == 2 ? 2 : 1
                    let body = #"{"subject":"a","meters":{"files_uploaded":\#(amount)}}"#
                    #expect(await harness.post(body).status == 200)
                }
                for query in ["limits=m", "limits=m&consume=false", "limits=m&consume=true"] {
                    let answer = await harness.get(Self.path, query: "subject=a&" + query)
                    #expect(answer.status == status, "\(query) at \(used): \(answer.text)")
                }
            }
            let nothing = await harness.get(Self.path, query: "subject=a")
            #expect(nothing.status == 400 && nothing.code == "nothing_asked")
            for (query, status) in [
                ("limits=m&files_uploaded=0", 200), ("files_uploaded=0&api_calls=1", 200),
                ("files_uploaded=1&consume=false", 429),
            ] {
                let answer = await harness.get(Self.path, query: "subject=a&" + query)
                #expect(answer.status == status, "\(query): \(answer.text)")
            }
        }
    }

    @Test func `Tokens of input and output count in limits on tokens`() async throws {
        try await withAPI { _, harness, redis in
            await Self.limit(harness, "tokens")
            for (query, status) in [
                ("input_tokens=2&output_tokens=2", 429), ("input_tokens=2&limits=m", 200),
                ("output_tokens=1", 200), ("output_tokens=1", 429),
            ] {
                let answer = await harness.get(Self.path, query: "subject=a&" + query)
                #expect(answer.status == status, "\(query): \(answer.text)")
            }
        }
    }
}
