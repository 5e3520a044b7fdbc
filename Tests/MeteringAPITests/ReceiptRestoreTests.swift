// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import HTTPServer
import Metering
import Observability
import Redis
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct ReceiptRestoreTests {
    /// All answers that tell of erasures.
    private static func answers(_ harness: Harness, _ ids: [String]) async -> [String] {
        var texts = [await harness.get("/v1/erasures").text]
        for cursor in 0..<ids.count {
            texts.append(
                await harness.get("/v1/erasures", query: "limit=1&cursor=\(cursor)").text)
        }
        for id in ids {
            let answer = await harness.get("/v1/erasures/\(id)")
            #expect(answer.status == 200)
            texts.append(answer.text)
        }
        return texts
    }

    static func flush(
        _ harness: Harness, _ redis: RedisServer, on loop: EventLoop, _ data: String
    ) async throws {
        let registry = MetricsRegistry()
        let client = RedisClient(
            on: loop, configuration: RedisConfiguration(address: .unix(redis.socketPath)),
            scripts: ScriptLibrary.forSnapshots, metrics: registry, logger: Logger(level: .error))
        client.connect()
        while !client.isReady { await loop.sleep(for: .milliseconds(1)) }
        let flusher = Flusher(
            client: client, settings: WorkspaceSettings(), clock: harness.clock, data: data,
            metrics: FlushMetrics(registry), logger: Logger(level: .error))
        #expect(await flusher.flush().problem == nil)
        client.close()
    }

    @Test func `After the loss of Redis and a restore, receipts answer as before`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let data = try makeTemporaryFolder()
                defer { removeFolder(data) }
                let harness = await Harness(redis, on: host.loop, data: data)
                var ids: [String] = []
                for (number, name) in ["ann", "guest:1", "ü 7", "eve", "bob"].enumerated() {
                    let most = number == 3 ? 9_007_199_254_740_000 : 1
                    _ = await harness.post(
                        """
                        {"id":"\(number)","subject":"\(name)",\
                        "meters":{"tokens":\(number),"own":3,"api_calls":\(most)}}
                        """)
                    if number % 2 == 0 {
                        _ = await harness.send(
                            .post, "/v1/credits/\(percentEncoded(name))/grants",
                            #"{"id":"gift","credits":2}"#)
                    }
                    let answer = await harness.send(
                        .authorized(
                            .delete, "/v1/subjects/\(percentEncoded(name))", query: "erase=true"))
                    #expect(answer.status == 200, "\(answer.text)")
                    ids.append(answer.json["id"] as? String ?? "")
                    // Two of them were asked for at one instant.
                    if number != 2 { harness.clock.advance(1_234_567) }
                }
                let before = await Self.answers(harness, ids)
                try await Self.flush(harness, redis, on: host.loop, data)
                try redis.request("FLUSHALL")
                #expect(await harness.get("/v1/erasures/\(ids[0])").status == 404)
                _ = try await harness.queries.restore(
                    from: "\(data)/rollups/default", into: nil, isForced: false,
                    progress: { _, _ in })
                #expect(await Self.answers(harness, ids) == before)
                // Nothing goes on, and nobody is erased anew.
                #expect(await harness.queries.goOnErasing() == nil)
                #expect(await Self.answers(harness, ids) == before)
                let unknown = await harness.send(
                    .authorized(.delete, "/v1/subjects/ann", query: "erase=true"))
                #expect(unknown.status == 404)
                await harness.queries.stop()
            }
        }
    }
}
