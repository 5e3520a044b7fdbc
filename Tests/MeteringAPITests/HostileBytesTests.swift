// SPDX-License-Identifier: Apache-2.0

import HTTPServer
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct HostileBytesTests {
    private static let full =
        Array(
            #"{"id":"i-1","time":"2026-11-21T09:59:59.5+01:00","subject":"a\u00e9\"é","action":"chat","#
                .utf8)
        + Array(
            #""model":"m","meters":{"input_tokens":12,"output_tokens":3},"description":"d"}"#.utf8)

    @Test func `A body cut anywhere is malformed and counts nothing`() async throws {
        try await withAPI { host, harness, redis in
            let before = try redis.fingerprint()
            for length in 0..<Self.full.count {
                let answer = await harness.send(.post(bytes: Array(Self.full[..<length])))
                #expect(answer.status == 400, "\(length): \(answer.text)")
                expectProblem(answer, at: "/v1/events", "\(length)")
            }
            #expect(try redis.fingerprint() == before)
            let whole = await harness.send(.post(bytes: Self.full))
            #expect(whole.totals == ["input_tokens": 12, "output_tokens": 3, "tokens": 15])
        }
    }

    @Test(
        arguments: [
            0x00, 0x80, 0xff, 0x22, 0x5c, 0x7b, 0x7d, 0x5b, 0x2c, 0x3a, 0x2d, 0x39, 0x0a, 0xed,
        ] as [UInt8])
    func `No byte in any place of a body makes the service fail`(byte: UInt8) async throws {
        try await withAPI { host, harness, redis in
            var counted = 0
            for index in Self.full.indices {
                var body = Self.full
                body[index] = byte
                let answer = await harness.send(.post(bytes: body))
                #expect([200, 400, 422].contains(answer.status), "\(index): \(answer.text)")
                if answer.status != 200 { expectProblem(answer, at: "/v1/events", "\(index)") }
                if answer.status == 200, answer.isDuplicate == false { counted += 1 }
            }
            await harness.expectGoesOn()
            // What was answered as counted, and only that, was counted.
            #expect(
                (await harness.get("/v1/events", query: "limit=1000").json["events"] as? [Any])?
                    .count == counted + 1)
        }
    }

    @Test func `No byte in any place of a batch makes the service fail`() async throws {
        let lines = Array(
            "{\"subject\":\"a\",\"meters\":{\"x\":1}}\r\n\n{\"subject\":\"b\",\"meters\":{\"x\":2}}\n"
                .utf8)
        try await withAPI { host, harness, redis in
            for index in lines.indices {
                for byte in [0x00, 0x80, 0xff, 0x22, 0x5c, 0x7b, 0x0a, 0x0d] as [UInt8] {
                    var body = lines
                    body[index] = byte
                    let answer = await harness.send(
                        .post(bytes: body, headers: ["Content-Type": "application/x-ndjson"]))
                    #expect(answer.status == 200, "\(index): \(answer.text)")
                    // The other line is never spoiled.
                    #expect(answer.statuses.contains("counted"), "\(index): \(answer.text)")
                }
            }
            await harness.expectGoesOn()
        }
    }
}
