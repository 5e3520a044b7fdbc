// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import HTTPServer
import MeteringAPI
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct OutageTests {
    private static let event = #"{"id":"1","subject":"a","meters":{"x":1}}"#

    @Test func `While Redis is gone all is answered 503, and after it the same id counts once`()
        async throws
    {
        try await withRedis(.appendOnly(fsync: "always")) { redis in
            try await onLoop { host in
                let harness = await Harness(redis, on: host.loop)
                #expect(await harness.post(#"{"subject":"a","meters":{"x":10}}"#).status == 200)
                redis.kill()
                for request in Self.requests {
                    let answer = await harness.send(request)
                    #expect(answer.status == 503, "\(request.path): \(answer.text)")
                    #expect(answer.code == "backend_unavailable")
                    expectProblem(answer, at: request.path, request.path)
                }
                // What is wrong with a request is told even then.
                #expect(await harness.post("{").status == 400)
                #expect(await harness.get("/healthz").status == 200)
                let ready = await harness.get("/readyz")
                #expect(ready.status == 503 && ready.code == "not_ready")
                expectProblem(ready, at: "/readyz", "readyz")
                #expect(ready.json["redis"] as? String == "not_connected")
                try redis.start()
                while await harness.get("/readyz").status != 200 {
                    await host.loop.sleep(for: .milliseconds(5))
                }
                let counted = await harness.post(Self.event)
                #expect(counted.totals == ["x": 11], "\(counted.text)")
                #expect(await harness.post(Self.event).isDuplicate == true)
                #expect(
                    await harness.post("[\(Self.event),\(Self.event)]").statuses == [
                        "duplicate", "duplicate",
                    ])
                #expect(await harness.totals("a") == ["x": 11])
            }
        }
    }

    /// The outcome of what was under way is not known; with an id it can be asked for again.
    @Test func `A frozen Redis gives 503, and the same id counts once when it goes on`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let harness = await Harness(redis, on: host.loop)
                // It makes the rules known: before that nothing is sent that counts.
                #expect(await harness.post(#"{"subject":"b","meters":{"x":1}}"#).status == 200)
                redis.pause()
                let answer = await harness.post(Self.event)
                redis.resume()
                #expect(answer.status == 503, "\(answer.text)")
                #expect(answer.code == "outcome_unknown")
                expectProblem(answer, at: "/v1/events", "frozen")
                var again = await harness.post(Self.event)
                while again.status == 503 { again = await harness.post(Self.event) }
                #expect(again.totals == ["x": 1], "\(again.text)")
                #expect(await harness.totals("a") == ["x": 1])
            }
        }
    }

    /// Of what was never sent to Redis it is known that it was not counted, and it is told so.
    @Test func `What waits behind a frozen Redis is known not to be counted`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                // Given up before events are, as in a service: nothing is sent behind what is unanswered.
                let harness = await Harness(
                    redis, on: host.loop, timeout: .milliseconds(500))
                // The first of them makes the rules known.
                #expect(await harness.post(#"{"subject":"b","meters":{"x":1}}"#).status == 200)
                let batches = await harness.metric("tally_batch_events_count")
                redis.pause()
                let sent = Task {
                    _ = host
                    return await harness.post(Self.event)
                }
                // Else it would wait with the others, and they be sent with it.
                while await harness.metric("tally_batch_events_count") == batches {
                    await host.loop.sleep(for: .milliseconds(1))
                }
                let lines = (0..<10_000).map { _ in #"{"subject":"a","meters":{"x":40}}"# }
                let large = "[\(lines.joined(separator: ","))]"
                let tasks = [
                    #"{"subject":"a","meters":{"x":10}}"#,
                    #"[{"subject":"a","meters":{"x":20}},{"subject":""}]"#,
                    large, large, large, large, large,
                ].map { body in
                    Task {
                        _ = host
                        return await harness.post(body)
                    }
                }
                var answers: [Answer] = []
                for task in tasks { answers.append(await task.value) }
                let unknown = await sent.value
                redis.resume()
                #expect(
                    unknown.status == 503 && unknown.text.contains("is not known"),
                    "\(unknown.text)")
                #expect(unknown.code == "outcome_unknown")
                for answer in answers {
                    #expect(answer.status == 503, "\(answer.text)")
                    #expect(answer.code == "backend_unavailable")
                    #expect(!answer.text.contains("not known"), "\(answer.text)")
                }
                #expect(answers[0].text.contains("nothing was changed: send it again"))
                #expect(answers[1].text.contains("none was counted: send them again"))
                #expect(answers.last?.text.contains("too many events are waiting") == true)
                var again = await harness.post(Self.event)
                while again.status == 503 { again = await harness.post(Self.event) }
                #expect(again.totals == ["x": 1], "\(again.text)")
                #expect(await harness.totals("a") == ["x": 1])
            }
        }
    }

    /// It is sent again until its time is over, for a Redis may have its replicas back by then.
    @Test func `Who is told first that Redis takes no writes is told why`() async throws {
        try await withAPI { host, harness, redis in
            try redis.request("CONFIG SET min-replicas-to-write 1")
            for body in [Self.event, "[\(Self.event)]"] {
                let answer = await harness.post(body)
                #expect(answer.status == 503)
                #expect(answer.text.contains("NOREPLICAS"), "\(answer.text)")
                #expect(answer.code == "backend_unavailable")
                #expect(!answer.text.contains("not known"), "\(answer.text)")
            }
            try redis.request("CONFIG SET min-replicas-to-write 0")
            #expect(await harness.post(Self.event).totals == ["x": 1])
        }
    }

    /// Redis refuses before it does anything: nobody has to wonder whether it was done.
    @Test func `A Redis that can store nothing is told as that, and nothing is done`() async throws
    {
        try await withAPI { host, harness, redis in
            // A snapshot of Redis's own cannot take the place of a folder.
            try FileManager.default.createDirectory(
                atPath: "\(redis.folder)/dump.rdb", withIntermediateDirectories: false)
            for (code, word, refuse, allow) in [
                (
                    "storage_out_of_memory", "OOM", ["CONFIG SET maxmemory 1"],
                    "CONFIG SET maxmemory 0"
                ),
                (
                    "storage_failed", "MISCONF", ["CONFIG SET save \"3600 100000\"", "BGSAVE"],
                    "CONFIG SET save \"\""
                ),
            ] {
                for command in refuse { try redis.request(command) }
                while try redis.request("SET probe 1").hasPrefix("+OK") {
                    await host.loop.sleep(for: .milliseconds(5))
                }
                for request in Self.changes {
                    let answer = await harness.send(request)
                    #expect(answer.status == 503, "\(request.path): \(answer.text)")
                    #expect(answer.code == code, "\(request.path): \(answer.text)")
                    #expect(answer.text.contains(word), "\(answer.text)")
                    #expect(
                        answer.text.contains("nothing was changed: send it again"), "\(answer.text)"
                    )
                    #expect(!answer.text.contains("not known"), "\(answer.text)")
                }
                let all = await harness.post("[\(Self.event)]")
                #expect(all.code == code && all.text.contains("none was counted"), "\(all.text)")
                #expect(await harness.get("/v1/subjects/a").status == 404)
                try redis.request(allow)
            }
            #expect(await harness.post(Self.event).totals == ["x": 1])
        }
    }

    private static func change(_ method: HTTPMethod, _ path: String, _ body: String) -> HTTPRequest
    {
        .authorized(
            method, path, headers: ["Content-Type": "application/json"], body: Array(body.utf8))
    }

    private static let changes: [HTTPRequest] = [
        .post(event),
        change(.post, "/v1/check", #"{"subject":"a","amounts":{"x":1},"consume":true}"#),
        change(.put, "/v1/credit-policy", #"{"default_allowance":"5"}"#),
    ]

    /// What was sent when Redis froze may be counted; what comes behind it in the same request is not.
    @Test func `A request that Redis freezes in tells of each event whether it may be counted`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let harness = await Harness(redis, on: host.loop, timeout: .milliseconds(500))
                let lines = (0..<10_000).map { _ in #"{"subject":"a","meters":{"x":1}}"# }
                func batches() async -> Int {
                    let line = await harness.metric("tally_batch_events_count")
                    return line?.split(separator: " ").last.flatMap { Int($0) } ?? 0
                }
                var seen = 0
                // It may all be counted before the freeze: then once more.
                for _ in 0..<20 {
                    let before = await batches()
                    let sent = Task {
                        _ = host
                        return await harness.postLines(lines.joined(separator: "\n"))
                    }
                    while await batches() < before + 2 {
                        await host.loop.sleep(for: .milliseconds(1))
                    }
                    redis.pause()
                    let answer = await sent.value
                    redis.resume()
                    #expect(answer.status == 200, "\(answer.text.prefix(300))")
                    let results = answer.json["results"] as? [[String: Any]] ?? []
                    let codes = results.map { ($0["error"] as? [String: Any])?["code"] as? String }
                    let counted = answer.json["counted"] as? Int ?? 0
                    let unknown = codes.count { $0 == "outcome_unknown" }
                    #expect(
                        counted + unknown + codes.count { $0 == "backend_unavailable" } == 10_000)
                    while await harness.get("/readyz").status != 200 {
                        await host.loop.sleep(for: .milliseconds(5))
                    }
                    let total = await harness.totals("a")?["x"] ?? 0
                    #expect((seen + counted...seen + counted + unknown).contains(total))
                    seen = total
                    if counted < 10_000 { return }
                }
                Issue.record("Redis was never frozen in time")
            }
        }
    }

    @Test func `A Redis that may not be counted in takes no event`() async throws {
        try await withAPI { host, harness, redis in
            harness.readiness.refuse("Redis does not keep its data")
            let answer = await harness.post(Self.event)
            #expect(answer.status == 503)
            expectProblem(answer, at: "/v1/events", "refused")
            let ready = await harness.get("/readyz")
            #expect(ready.status == 503)
            expectProblem(ready, at: "/readyz", "readyz")
            #expect(ready.json["detail"] as? String == "Redis does not keep its data")
            #expect(ready.json["redis"] as? String == "connected")
            #expect(ready.json["snapshots"] as? String == "current")
            harness.readiness.accept(durability: "none")
            await harness.expectGoesOn()
            let accepted = await harness.get("/readyz")
            #expect(accepted.headers["content-type"] == "application/json")
            #expect(
                accepted.text
                    == #"{"status":"ready","redis":"connected","durability":"none","snapshots":"current"}"#
            )
            #expect(await harness.totals("a") == nil)
        }
    }

    private static let requests: [HTTPRequest] = [
        .post(event), .post("[\(event)]"),
        .post(#"[{"subject":"a","meters":{"x":1}},{"subject":""}]"#),
        .post(event, headers: ["Content-Type": "application/x-ndjson"]),
        .authorized(.get, "/v1/events"), .authorized(.get, "/v1/subjects/a"),
        .authorized(.get, "/v1/leaderboards/tokens"),
        .authorized(.get, "/v1/leaderboards/tokens", query: "window=lifetime"),
        .authorized(.get, "/v1/usage/hourly"),
    ]
}
