// SPDX-License-Identifier: Apache-2.0

import EventLoop
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
                redis.pause()
                let answer = await harness.post(Self.event)
                redis.resume()
                #expect(answer.status == 503, "\(answer.text)")
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
                for answer in answers {
                    #expect(answer.status == 503, "\(answer.text)")
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
            }
            try redis.request("CONFIG SET min-replicas-to-write 0")
            #expect(await harness.post(Self.event).totals == ["x": 1])
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
