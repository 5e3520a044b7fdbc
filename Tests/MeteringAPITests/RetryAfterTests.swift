// SPDX-License-Identifier: Apache-2.0

import HTTPServer
import TestSupport
import Testing

/// When to come again, told with what was refused for want of credits.
@Suite(.timeLimit(.minutes(15))) struct RetryAfterTests {
    /// Until the 1st of December.
    private static let reset = 10 * 86_400 - 10 * 3600

    /// An account with an allowance of 10, of which 2 are left.
    private static func open(_ harness: Harness) async {
        let policy = #"{"month_reset":"calendar","default_allowance":10}"#
        #expect(await harness.send(.put, "/v1/credit-policy", policy).status == 200)
        let spent = await harness.post(#"{"subject":"a","credits":8}"#)
        #expect(spent.status == 200, "\(spent.text)")
    }

    /// What each of the ways to ask answers.
    private static func refusals(
        _ harness: Harness, _ credits: Int
    ) async -> [(name: String, answer: Answer)] {
        let ask = #""subject":"a","credits":\#(credits)"#
        return [
            ("check", await harness.send(.post, "/v1/check", "{\(ask)}")),
            ("consume", await harness.send(.post, "/v1/check", #"{\#(ask),"consume":true}"#)),
            ("hold", await harness.send(.post, "/v1/holds", "{\(ask)}")),
            ("event", await harness.post(#"{\#(ask),"enforce":true}"#)),
            (
                "gateway",
                await harness.get(
                    "/v1/gateway/check", query: "credits=\(credits)&subject=a&deny=403")
            ),
        ]
    }

    @Test func `A refusal tells the reset that brings enough, and none that does not`()
        async throws
    {
        try await withAPI { host, harness, redis in
            await Self.open(harness)
            for (credits, seconds) in [(10, Self.reset), (3, Self.reset), (11, nil)] {
                for (name, answer) in await Self.refusals(harness, credits) {
                    #expect(answer.status == (name == "gateway" ? 403 : 402), "\(name)")
                    #expect(answer.code == "insufficient_credits", "\(name)")
                    #expect(
                        answer.headers["retry-after"] == seconds.map { "\($0)" },
                        "\(name) \(credits)")
                }
            }
            harness.clock.advance(Self.reset * 1000 - 1)
            for (name, answer) in await Self.refusals(harness, 10) {
                #expect(answer.headers["retry-after"] == "1", "\(name)")
            }
            // It was true.
            harness.clock.advance(1)
            let check = await harness.send(.post, "/v1/check", #"{"subject":"a","credits":10}"#)
            #expect(check.status == 200 && check.headers["retry-after"] == nil)
        }
    }

    @Test func `What is there by then of grants and holds is taken into account`() async throws {
        try await withAPI { host, harness, redis in
            await Self.open(harness)
            let grants = "/v1/credits/a/grants"
            let early = #"{"id":"early","credits":3,"expires_at":"2026-11-30T00:00:00Z"}"#
            let late = #"{"id":"late","credits":4,"expires_at":"2026-12-02T00:00:00Z"}"#
            for body in [early, late] {
                #expect(await harness.send(.post, grants, body).status == 201)
            }
            func retryAfter(_ credits: Int) async -> String? {
                await harness.send(
                    .post, "/v1/check", #"{"subject":"a","credits":\#(credits)}"#
                ).headers["retry-after"]
            }
            #expect(await retryAfter(9) == nil, "it is there now")
            #expect(await retryAfter(14) == "\(Self.reset)")
            #expect(await retryAfter(15) == nil)
            // A hold that is open beyond the reset keeps its credits.
            harness.clock.advance(Self.reset * 1000 - 3_600_000)
            let hold = #"{"id":"h","subject":"a","credits":5,"ttl_s":86400}"#
            #expect(await harness.send(.post, "/v1/holds", hold).status == 201)
            #expect(await retryAfter(9) == "3600")
            #expect(await retryAfter(14) == "86400")
            #expect(await retryAfter(15) == nil)
        }
    }

    @Test func `Where holds are in the way it is when enough of them have expired`() async throws {
        try await withAPI { host, harness, redis in
            func ask(_ subject: String, _ credits: Int) async -> Answer {
                await harness.send(
                    .post, "/v1/check", #"{"subject":"\#(subject)","credits":\#(credits)}"#)
            }
            let day = #"{"id":"day","credits":9}"#
            let minutes = #"{"id":"short","credits":4,"expires_at":"2026-11-21T10:01:30Z"}"#
            for (method, path, body, status) in [
                (HTTPMethod.put, "/v1/credits/a/allowance", #"{"monthly_allowance":9}"#, 200),
                (.post, "/v1/credits/b/grants", day, 201),
                (.post, "/v1/credits/c/grants", day, 201),
                (.post, "/v1/credits/c/grants", minutes, 201),
                (.post, "/v1/holds", #"{"subject":"a","credits":9,"ttl_s":60}"#, 201),
                (.post, "/v1/holds", #"{"subject":"b","credits":3,"ttl_s":120}"#, 201),
                (.post, "/v1/holds", #"{"subject":"b","credits":6,"ttl_s":60}"#, 201),
                (.post, "/v1/holds", #"{"subject":"c","credits":8,"ttl_s":60}"#, 201),
                (.post, "/v1/holds", #"{"subject":"c","credits":5,"ttl_s":120}"#, 201),
            ] {
                #expect(await harness.send(method, path, body).status == status, "\(body)")
            }
            // A grant that expires before the second hold of `c` takes its credits away again.
            for (subject, credits, seconds) in [
                ("a", 5, 60), ("a", 9, 60), ("a", 10, nil), ("b", 6, 60), ("b", 7, 120),
                ("b", 10, nil), ("c", 8, 60), ("c", 9, 120), ("c", 10, nil),
            ] as [(String, Int, Int?)] {
                let answer = await ask(subject, credits)
                #expect(answer.status == 402)
                #expect(
                    answer.headers["retry-after"] == seconds.map { "\($0)" },
                    "\(subject) \(credits)")
            }
            harness.clock.advance(60_000)
            for (subject, credits) in [("a", 9), ("b", 6), ("c", 8)] {
                #expect(await ask(subject, credits).status == 200, "\(subject)")
            }
        }
    }

    @Test func `A reset that pays what is owed brings enough where credits may be overdrawn`()
        async throws
    {
        try await withAPI { host, harness, redis in
            let policy = #"{"month_reset":"calendar","overdraft":10}"#
            #expect(await harness.send(.put, "/v1/credit-policy", policy).status == 200)
            #expect(await harness.post(#"{"subject":"a","credits":8}"#).status == 200)
            for (credits, seconds) in [(5, Self.reset), (10, Self.reset), (11, nil)] {
                for (name, answer) in await Self.refusals(harness, credits) {
                    #expect(
                        answer.headers["retry-after"] == seconds.map { "\($0)" },
                        "\(name) \(credits)")
                }
            }
            harness.clock.advance(Self.reset * 1000)
            let check = await harness.send(.post, "/v1/check", #"{"subject":"a","credits":10}"#)
            #expect(check.status == 200)
        }
    }

    @Test func `With a limit in the way, too, it is the later of the two, if both are known`()
        async throws
    {
        try await withAPI { host, harness, redis in
            await Self.open(harness)
            func refused(_ files: Int, _ credits: Int) async -> Answer {
                await harness.send(
                    .post, "/v1/check",
                    #"{"subject":"a","credits":\#(credits),"amounts":{"files_uploaded":\#(files)}}"#
                )
            }
            let limits =
                #"{"limits":[{"name":"files","meter":"files_uploaded","window":"day","user":5}]}"#
            #expect(await harness.send(.put, "/v1/limits", limits).status == 200)
            #expect(
                await harness.post(#"{"subject":"a","meters":{"files_uploaded":5}}"#).status == 200)
            for (files, credits, status, seconds) in [
                (1, 3, 429, Self.reset), (1, 11, 429, nil), (1, 1, 429, 14 * 3600),
                (0, 3, 402, Self.reset),
            ] as [(Int, Int, Int, Int?)] {
                let answer = await refused(files, credits)
                #expect(answer.status == status, "\(answer.text)")
                #expect(
                    answer.headers["retry-after"] == seconds.map { "\($0)" }, "\(files) \(credits)")
            }
        }
    }

    @Test func `A rate with a burst has no length in its policy`() async throws {
        try await withAPI { host, harness, redis in
            let limits = """
                {"limits":[{"name":"rate","meter":"api_calls","window":"rate","period_s":60,"burst":20,\
                "user":10,"guest":1}]}
                """
            #expect(await harness.send(.put, "/v1/limits", limits).status == 200)
            let rate = await harness.send(
                .post, "/v1/check", #"{"subject":"a","amounts":{"api_calls":1}}"#)
            #expect(rate.headers["ratelimit-policy"] == #""rate";q=20;tally-meter="api_calls""#)
        }
    }

    @Test func `Behind the year 9999 a rate has no time at which it has room again`() async throws {
        try await withAPI { host, harness, redis in
            let limits = """
                {"limits":[{"name":"slow","meter":"x","window":"rate","period_s":86400,"user":1}]}
                """
            #expect(await harness.send(.put, "/v1/limits", limits).status == 200)
            for (days, time) in [(365, "2027-11-21T10:00:00Z"), (3_000_000, nil)] {
                let used = await harness.post(#"{"subject":"\#(days)","meters":{"x":\#(days)}}"#)
                #expect(used.status == 200, "\(used.text)")
                let answer = await harness.send(
                    .post, "/v1/check", #"{"subject":"\#(days)","amounts":{"x":1}}"#)
                #expect(answer.status == 429, "\(answer.text)")
                let limit = (answer.json["limits"] as? [[String: Any]])?.first
                #expect(limit?["resets_at"] as? String == time, "\(answer.text)")
            }
        }
    }
}
