// SPDX-License-Identifier: Apache-2.0

import HTTPServer
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct HoldPathTests {
    private static func post(_ path: String, _ body: String) -> HTTPRequest {
        .authorized(
            .post, path, headers: ["Content-Type": "application/json"], body: Array(body.utf8))
    }

    @Test(arguments: [
        "{default}", "a/b?c#d", "\"'\\", "a b+c", "🪙é\u{301}", "%00", "../..", "null",
        String(repeating: "x", count: 256), String(repeating: "🪙", count: 64),
    ])
    func `A hold, a grant and an event of any id are found by their paths`(id: String)
        async throws
    {
        try await withAPI { host, harness, redis in
            let path = percentEncoded(id)
            let grant = #"{"id":\#(quoted(id)),"credits":"10.5"}"#
            let granted = await harness.send(Self.post("/v1/credits/\(path)/grants", grant))
            #expect(granted.status == 201)
            let again = await harness.send(Self.post("/v1/credits/\(path)/grants", grant))
            #expect(again.status == 200)
            let hold = #"{"id":\#(quoted(id)),"subject":\#(quoted(id)),"credits":4}"#
            #expect(await harness.send(Self.post("/v1/holds", hold)).status == 201)
            let known = await harness.get("/v1/holds/\(path)")
            #expect(known.json["id"] as? String == id && known.json["state"] as? String == "open")
            let commit = #"{"id":\#(quoted(id)),"credits":"2.5"}"#
            let settled = await harness.send(Self.post("/v1/holds/\(path)/commit", commit))
            #expect(settled.status == 200, "\(settled.text)")
            let released = await harness.send(Self.post("/v1/holds/\(path)/release", ""))
            #expect(released.status == 409 && released.json["state"] as? String == "settled")
            for isDuplicate in [false, true] {
                let undone = await harness.send(Self.post("/v1/events/\(path)/reverse", ""))
                #expect(undone.status == 200 && undone.isDuplicate == isDuplicate)
            }
            let account = await harness.get("/v1/credits/\(path)")
            #expect(account.text.contains(#""current_balance":10.5"#), "\(account.text)")
            let listed = await harness.get("/v1/holds", query: "state=settled&subject=\(path)")
            #expect((listed.json["holds"] as? [Any])?.count == 1)
        }
    }

    @Test func `A commit tells what it was charged, also when it is sent again`() async throws {
        try await withAPI { _, harness, _ in
            for (policy, charged) in [("cap", "2"), ("overflow", "3.5")] {
                let hold = #"{"id":"\#(policy)","subject":"a","credits":2}"#
                _ = await harness.send(
                    .post, "/v1/credits/a/grants", #"{"id":"\#(policy)","credits":10}"#)
                #expect(await harness.send(Self.post("/v1/holds", hold)).status == 201)
                let commit =
                    #"{"id":"of-\#(policy)","credits":"3.5","policy":"\#(policy)","meters":{"x":1}}"#
                for isAgain in [false, true] {
                    let answer = await harness.send(
                        Self.post("/v1/holds/\(policy)/commit", commit))
                    #expect(answer.json["duplicate"] as? Bool == isAgain, "\(answer.text)")
                    #expect(answer.text.contains(#","credits":\#(charged),"state":"settled"}"#))
                }
            }
            #expect(
                await harness.send(
                    Self.post("/v1/holds", #"{"id":"n","subject":"a","amounts":{"x":1}}"#)
                )
                .status == 201)
            let free = await harness.send(
                Self.post("/v1/holds/n/commit", #"{"id":"free","meters":{"x":1}}"#))
            #expect(free.status == 200 && free.json["credits"] == nil, "\(free.text)")
        }
    }
}
