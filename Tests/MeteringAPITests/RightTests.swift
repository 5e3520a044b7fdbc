// SPDX-License-Identifier: Apache-2.0

import EventLoop
import HTTPServer
import TestSupport
import Testing

/// A right may be taken from the user of Redis at any time: what needs it is not done at all.
@Suite(.timeLimit(.minutes(15))) struct RightTests {
    private static let commands = [
        "hset", "hdel", "hincrby", "sadd", "srem", "xadd", "zadd", "zrem",
    ]

    @Test(arguments: commands)
    func `A profile is written with all that it is found by, or not`(command: String) async throws {
        try await withAPI { host, harness, redis in
            let old = #"{"email":"old@example.com","demo":false}"#
            let new = #"{"email":"new@example.com","phone":"+1 555 0100","demo":true}"#
            #expect(await harness.send(.put, "/v1/subjects/a", old).status == 201)
            try redis.request("ACL SETUSER default -\(command)")
            let before = try redis.fingerprintWithoutAudit()
            for (method, id, body) in [
                (HTTPMethod.put, "a", new), (.put, "b", new), (.delete, "a", ""),
            ] {
                let answer = await harness.send(method, "/v1/subjects/\(id)", body)
                #expect(answer.status == 503, "\(method) \(id): \(answer.text)")
                #expect(try redis.fingerprintWithoutAudit() == before, "\(method) \(id)")
            }
            try redis.request("ACL SETUSER default +\(command)")
            #expect(await harness.send(.put, "/v1/subjects/a", new).status == 200)
            let found = await harness.get("/v1/subjects", query: "email=new@example.com")
            #expect(found.text.contains(#""id":"a""#), "\(found.text)")
        }
    }

    @Test func `An act is noted with the day that it changes, or not`() async throws {
        try await withAPI { host, harness, redis in
            #expect(await harness.send(.put, "/v1/prices", "{}").status == 200)
            let before = try redis.fingerprint()
            for command in ["hincrby", "xadd"] {
                try redis.request("ACL SETUSER default -\(command)")
                let answer = await harness.send(.put, "/v1/prices", #"{"credit_rate":"2"}"#)
                #expect(answer.status == 503, "\(answer.text)")
                #expect(try redis.fingerprint() == before, "\(command)")
                try redis.request("ACL SETUSER default +\(command)")
            }
        }
    }
}
