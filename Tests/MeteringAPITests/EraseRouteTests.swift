// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPServer
import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct EraseRouteTests {
    private static let path = "/v1/subjects/ann%40example.com"

    private func withFiles(
        _ body: @Sendable (isolated LoopHost, Harness) async throws -> Void
    ) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let folder = try makeTemporaryFolder()
                defer { removeFolder(folder) }
                let harness = await Harness(redis, on: host.loop, data: folder)
                do {
                    try await body(host, harness)
                } catch {
                    await harness.queries.stop()
                    throw error
                }
                await harness.queries.stop()
            }
        }
    }

    private func makeKey(_ harness: Harness, _ members: String) async -> String {
        let answer = await harness.send(.post, "/v1/keys", "{\(members)}")
        return answer.json["secret"] as? String ?? ""
    }

    @Test func `A receipt says what went, and nothing names the person`() async throws {
        try await withFiles { _, harness in
            _ = await harness.send(.put, Self.path, #"{"email":"ann@example.com"}"#)
            _ = await harness.post(
                #"{"id":"of-ann","subject":"ann@example.com","meters":{"tokens":5}}"#)
            _ = await harness.post(#"{"id":"of-bob","subject":"bob","meters":{"tokens":9}}"#)
            _ = await harness.send(
                .post, "/v1/credits/ann%40example.com/grants", #"{"id":"gift","credits":2}"#)
            let own = await makeKey(harness, #""role":"self","subject":"ann@example.com""#)
            let asAnn = HTTPRequest.authorized(
                .get, Self.path, headers: ["Authorization": "Bearer \(own)"])
            #expect(await harness.send(asAnn).status == 200)

            let answer = await harness.send(
                .authorized(.delete, Self.path, query: "erase=true"))
            #expect(answer.status == 200, "\(answer.text)")
            let receipt = answer.json
            #expect(receipt["state"] as? String == "done")
            #expect(receipt["subject"] as? String == "ann@example.com")
            let anonymous = receipt["anonymous"] as? String ?? ""
            #expect(anonymous.hasPrefix("erased:") && anonymous.utf8.count == 23)
            let removed = receipt["removed"] as? [String: Int] ?? [:]
            #expect(removed["profiles"] == 1 && removed["api_keys"] == 1)
            #expect(removed["events"] == 2 && removed["event_ids"] == 1)
            #expect(removed["grants"] == 1 && removed["accounts"] == 1 && removed["days"] == 1)
            let kept = receipt["kept"] as? [String: Any] ?? [:]
            #expect(
                kept["events"] as? Int == 1 && (kept["totals"] as? [String: Int]) == ["tokens": 5])

            #expect(await harness.send(asAnn).status == 401)
            #expect(await harness.get(Self.path).status == 404)
            #expect(
                await harness.get("/v1/subjects/\(percentEncoded(anonymous))").totals == [
                    "tokens": 5
                ])
            let id = receipt["id"] as? String ?? ""
            let again = await harness.get("/v1/erasures/\(id)")
            #expect(again.status == 200 && again.json["subject"] == nil)
            #expect(again.json["state"] as? String == "done")
            let list = await harness.get("/v1/erasures", query: "limit=1")
            #expect(list.text.contains(id) && list.json["next"] is String == false)
            for place in ["/v1/audit", "/v1/erasures", "/v1/events", "/v1/keys"] {
                let text = await harness.get(place).text
                #expect(!text.contains("ann@example") && !text.contains("ann%40"), "\(place)")
                #expect(!text.contains("of-ann"), "\(place)")
            }
            #expect(await harness.get("/v1/audit").text.contains("/v1/subjects/\(anonymous)"))
            // What is erased is not there any more, and nobody acts for who is left.
            let twice = await harness.send(.authorized(.delete, Self.path, query: "erase=true"))
            #expect(twice.status == 404 && twice.code == "not_found")
            #expect(await !harness.get("/v1/audit").text.contains("ann%40"))
            let forged = await harness.post(
                #"{"subject":"\#(anonymous)","meters":{"tokens":1}}"#)
            #expect(forged.status == 422 && forged.code == "invalid_id")
            let undone = await harness.send(
                .post, "/v1/events/of-ann/reverse", #"{"reason":"x"}"#)
            #expect(undone.status == 404)
            #expect(await harness.totals("bob") == ["tokens": 9])
            await harness.expectGoesOn()
        }
    }

    @Test func `What was done for others stays in the log, whatever the erased was called`()
        async throws
    {
        try await withFiles { _, harness in
            let limits = #"{"limits":[{"name":"mine","meter":"tokens","window":"day","user":5}]}"#
            _ = await harness.send(.put, "/v1/limits", limits)
            _ = await harness.send(.put, "/v1/credits/bob/allowance", #"{"monthly_allowance":7}"#)
            let before = await harness.get("/v1/audit").list("entries") as [NSDictionary]
            for name in ["mine", "limits", "v1", "user", "credits", "monthly_allowance"] {
                _ = await harness.post(#"{"subject":"\#(name)","meters":{"tokens":1}}"#)
                let path = "/v1/subjects/\(name)"
                let answer = await harness.send(.authorized(.delete, path, query: "erase=true"))
                #expect(answer.status == 200)
            }
            let after = await harness.get("/v1/audit").list("entries") as [NSDictionary]
            #expect(after.suffix(before.count) == before[...])
        }
    }

    @Test func `Who was deleted before can be erased`() async throws {
        try await withFiles { _, harness in
            let profile = #"{"email":"mai@example.com","full_name":"Mai Nguyen"}"#
            #expect(await harness.send(.put, "/v1/subjects/mai", profile).status == 201)
            #expect(await harness.send(.authorized(.delete, "/v1/subjects/mai")).status == 204)
            #expect(await harness.get("/v1/audit").text.contains("mai@example.com"))
            let answer = await harness.send(
                .authorized(.delete, "/v1/subjects/mai", query: "erase=true"))
            #expect(answer.status == 200, "\(answer.text)")
            let told = await harness.get("/v1/audit").text
            #expect(!told.contains("mai@") && !told.contains("Mai ") && !told.contains("/mai"))
            let twice = await harness.send(
                .authorized(.delete, "/v1/subjects/mai", query: "erase=true"))
            #expect(twice.status == 404)
        }
    }

    @Test func `Who may not erase does not, and bad calls change nothing`() async throws {
        try await withFiles { _, harness in
            _ = await harness.post(#"{"subject":"ann@example.com","meters":{"tokens":5}}"#)
            for role in ["writer", "reader"] {
                let key = await makeKey(harness, #""role":"\#(role)""#)
                for (method, path) in [
                    (HTTPMethod.delete, Self.path), (.get, "/v1/erasures"),
                    (.get, "/v1/erasures/x"),
                ] {
                    let answer = await harness.send(
                        .authorized(
                            method, path, query: method == .delete ? "erase=true" : nil,
                            headers: ["Authorization": "Bearer \(key)"]))
                    #expect(answer.status == 403, "\(role) \(path)")
                }
            }
            for (path, query, status, code) in [
                (Self.path, "erase=yes", 400, "invalid_parameter"),
                (Self.path, "erase=true&x=1", 400, "unknown_parameter"),
                (Self.path, "erase=false", 404, "not_found"), (Self.path, "", 404, "not_found"),
                ("/v1/subjects/nobody", "erase=true", 404, "not_found"),
                ("/v1/subjects/erased:0123456789abcdef", "erase=true", 422, "invalid_id"),
            ] {
                let answer = await harness.send(
                    .authorized(.delete, path, query: query.isEmpty ? nil : query))
                #expect(answer.status == status && answer.code == code, "\(path) \(answer.text)")
            }
            #expect(await harness.get("/v1/erasures/none").status == 404)
            #expect(await harness.get("/v1/erasures", query: "limit=0").status == 400)
            #expect(await harness.totals("ann@example.com") == ["tokens": 5])
            _ = await harness.post(#"{"subject":"guest:1","meters":{"tokens":1}}"#)
            _ = await harness.send(.post, "/v1/subjects/bob/merge", #"{"guest":"guest:1"}"#)
            let guest = await harness.send(
                .authorized(.delete, "/v1/subjects/guest:1", query: "erase=true"))
            #expect(guest.status == 409 && guest.code == "guest_merged")
            // The same id in another workspace is somebody else.
            _ = await harness.send(.put, "/v1/workspaces/other", "{}")
            let other = await harness.send(
                .authorized(
                    .delete, Self.path, query: "erase=true",
                    headers: ["X-Tally-Workspace": "other"]))
            #expect(other.status == 404, "\(other.text)")
            #expect(await harness.totals("ann@example.com") == ["tokens": 5])
        }
    }

    @Test func `What cannot be finished at once is told, and goes on`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                // No folder can be made there.
                let harness = await Harness(redis, on: host.loop, data: "/dev/null")
                _ = await harness.post(#"{"subject":"ann@example.com","meters":{"tokens":5}}"#)
                let answer = await harness.send(
                    .authorized(.delete, Self.path, query: "erase=true"))
                #expect(answer.status == 202 && answer.json["state"] as? String == "running")
                #expect(answer.json["erased_at"] is String == false)
                let id = answer.json["id"] as? String ?? ""
                let receipt = await harness.get("/v1/erasures/\(id)")
                #expect(receipt.json["state"] as? String == "running")
                #expect(receipt.json["problem"] is String)
                // The person is gone by then, and may come again.
                #expect(await harness.totals("ann@example.com") == nil)
                let early = await harness.send(
                    .authorized(.delete, Self.path, query: "erase=true"))
                #expect(early.status == 202 && early.json["id"] as? String == id)
                let anew = await harness.post(
                    #"{"subject":"ann@example.com","meters":{"tokens":1}}"#)
                #expect(anew.totals == ["tokens": 1])
                let again = await harness.send(
                    .authorized(.delete, Self.path, query: "erase=true"))
                #expect(again.status == 202 && again.json["id"] as? String != id)
                #expect(await harness.totals("ann@example.com") == nil)
                await harness.queries.stop()
            }
        }
    }

    @Test func `A guest that is merged while its user is erased loses its key, too`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let folder = try makeTemporaryFolder()
                defer { removeFolder(folder) }
                let harness = await Harness(redis, on: host.loop, data: folder)
                _ = await harness.post(#"{"subject":"ann@example.com","meters":{"tokens":5}}"#)
                _ = await harness.post(#"{"subject":"guest:g","meters":{"tokens":2}}"#)
                let own = await makeKey(harness, #""role":"self","subject":"guest:g""#)
                let bobs = await makeKey(harness, #""role":"self","subject":"bob""#)
                func status(_ key: String) async -> Int {
                    await harness.send(
                        .authorized(
                            .get, "/v1/usage", headers: ["Authorization": "Bearer \(key)"])
                    ).status
                }
                #expect(await status(own) != 401)
                // Another process is to go on with it, and has not begun.
                try redis.request(#"SET t1:{default}:lease:erase "\xa5other\x01""#)
                let answer = await harness.send(
                    .authorized(.delete, Self.path, query: "erase=true"))
                #expect(answer.status == 202, "\(answer.text)")
                let merged = await harness.send(
                    .post, "/v1/subjects/ann%40example.com/merge", #"{"guest":"guest:g"}"#)
                #expect(merged.status == 200, "\(merged.text)")
                try redis.request("DEL t1:{default}:lease:erase")
                _ = await harness.queries.goOnErasing()
                let id = answer.json["id"] as? String ?? ""
                let receipt = await harness.get("/v1/erasures/\(id)")
                #expect(receipt.json["state"] as? String == "done", "\(receipt.text)")
                let removed = receipt.json["removed"] as? [String: Int] ?? [:]
                #expect(removed["api_keys"] == 1 && removed["guests"] == 1, "\(removed)")
                _ = await makeKey(harness, #""role":"reader""#)
                #expect(await status(own) == 401)
                #expect(await status(bobs) != 401)
                await harness.queries.stop()
            }
        }
    }

    @Test func `Who was denied and is erased is denied no more`() async throws {
        try await withFiles { _, harness in
            let ask = #"{"subject":"ann@example.com","amounts":{"files_uploaded":1}}"#
            _ = await harness.post(
                #"{"subject":"ann@example.com","meters":{"files_uploaded":100}}"#)
            for _ in 0..<2 {
                #expect(await harness.send(.post, "/v1/check", ask).status == 429)
            }
            let erased = await harness.send(.authorized(.delete, Self.path, query: "erase=true"))
            #expect(erased.status == 200, "\(erased.text)")
            // By the same clock: a second would have it forgotten.
            #expect(await harness.send(.post, "/v1/check", ask).status == 200)
        }
    }
}
