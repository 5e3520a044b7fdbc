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

    @Test func `A no tells what is left, as a yes does, where limits were asked about`()
        async throws
    {
        try await withAPI { _, harness, redis in
            await Self.limit(harness, "files_uploaded")
            func left(_ query: String) async -> (status: Int, remaining: String?) {
                let answer = await harness.get(Self.path, query: "subject=a&\(query)")
                return (answer.status, answer.headers["x-tally-remaining"])
            }
            for status in [401, 403, 429] {
                // The second is told from memory.
                for _ in 0..<2 {
                    #expect(await left("files_uploaded=4&deny=\(status)") == (status, "3"))
                }
            }
            #expect(await left("files_uploaded=1") == (200, "2"))
            #expect(await left("files_uploaded=3") == (429, "2"))
            #expect(await left("credits=1") == (429, nil))
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

    /// What clients send passes gateways.
    @Test func `The workspace is the query's, and the header says nothing`() async throws {
        try await withAPI { _, harness, redis in
            let made = await harness.send(.post, "/v1/workspaces", #"{"id":"acme"}"#)
            #expect(made.status == 201, "\(made.text)")
            let operators = Caller(harness, secret: key)
            let writer = try await Caller(harness, #"{"role":"writer","workspace":"acme"}"#)
            let asked = "subject=a&files_uploaded=1"
            let limits =
                #"{"limits":[{"name":"m","meter":"files_uploaded","window":"day","user":9}]}"#
            for workspace in ["default", "acme"] {
                let set = await harness.send(
                    .authorized(
                        .put, "/v1/limits",
                        headers: [
                            "X-Tally-Workspace": workspace, "Content-Type": "application/json",
                        ], body: Array(limits.utf8)))
                #expect(set.status == 200, "\(set.text)")
            }
            for value in ["acme", "nothing", "", "!"] {
                let answer = await Self.check(operators, asked, ["X-Tally-Workspace": value])
                #expect(answer.status == 200, "\(value): \(answer.text)")
            }
            #expect(await Self.check(operators, asked + "&workspace=acme").status == 200)
            #expect(await Self.check(writer, asked + "&workspace=acme").status == 200)
            #expect(await Self.check(writer, asked).status == 200)
            let below = await harness.send(
                .authorized(
                    .get, Self.path + "/x", query: "workspace=default",
                    headers: ["X-Tally-Check": asked + "&workspace=acme"]))
            #expect(below.status == 200, "\(below.text)")
            // Four were taken in each.
            for name in ["default", "acme"] {
                let fifth = await Self.check(operators, asked + "&workspace=\(name)")
                #expect(fifth.headers["x-tally-remaining"] == "4", "\(name)")
            }
            for (caller, name) in [
                (operators, "nothing"), (operators, "!"), (writer, "default"), (writer, "nothing"),
            ] {
                let refused = await Self.check(caller, asked + "&workspace=\(name)")
                #expect(refused.status == 404, "\(refused.text)")
                #expect(refused.code == "workspace_not_found", "\(refused.text)")
            }
        }
    }

    /// A process that has just begun knows no keys but the operator's.
    @Test
    func `Without Redis a gateway is answered as it chose, whose key cannot be looked at, too`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let first = await Harness(redis, on: host.loop)
                let writer = try await Caller(first, #"{"role":"writer","name":"gateway"}"#)
                let next = Caller(await Harness(redis, on: host.loop), secret: writer.secret)
                redis.kill()
                let operators = Caller(next.api, secret: key)
                let asked = "subject=a&files_uploaded=1"
                for caller in [next, operators] {
                    for (query, status) in [
                        ("", 429), ("&deny=401", 401), ("&deny=403", 403),
                        ("&on_error=allow", 200), ("&on_error=allow&deny=403", 200),
                    ] {
                        let answer = await Self.check(caller, asked + query)
                        #expect(answer.status == status, "\(query): \(answer.text)")
                        #expect((answer.headers["x-tally-degraded"] == "true") == (status == 200))
                        guard status != 200 else { continue }
                        #expect(answer.code == "backend_unavailable")
                        #expect(answer.headers["retry-after"] == "1")
                    }
                    let below = await caller.api.send(
                        .authorized(
                            .get, Self.path + "/x", query: "on_error=allow",
                            headers: [
                                "Authorization": "Bearer \(caller.secret)",
                                "X-Tally-Check": asked + "&deny=403",
                            ]))
                    #expect(below.status == 403, "\(below.text)")
                    // What is wrong with a request is told even then.
                    #expect(await Self.check(caller, asked + "&deny=500").status == 400)
                    #expect(await Self.check(caller, "on_error=allow").status == 400)
                }
                #expect(
                    await Self.check(Caller(next.api, secret: "no-key"), asked).status == 401)
                let metrics = await next.api.get("/metrics").text
                #expect(metrics.contains(#"tally_gateway_undecided_total{answer="allow"} 4"#))
                #expect(metrics.contains(#"tally_gateway_undecided_total{answer="deny"} 8"#))
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

    @Test func `A guest who has become a user is denied what its user has used up`() async throws {
        try await withAPI { _, harness, _ in
            await Self.limit(harness, "files_uploaded")
            let use = #"{"subject":"ann","meters":{"files_uploaded":3}}"#
            #expect(await harness.post(use).status == 200)
            let merged = await harness.send(
                .post, "/v1/subjects/ann/merge", #"{"guest":"guest:g"}"#)
            #expect(merged.status == 200, "\(merged.text)")
            let operators = Caller(harness, secret: key)
            for (query, headers) in [
                ("subject=ann&limits=m", [:]), ("subject=guest:g&limits=m", [:]),
                ("limits=m", ["X-Guest-ID": "g"]),
            ] {
                let answer = await Self.check(operators, query, headers)
                #expect(answer.status == 429, "\(query): \(answer.text)")
            }
        }
    }
}
