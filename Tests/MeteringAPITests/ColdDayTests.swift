// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import HTTPServer
import Metering
import Observability
import Redis
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct ColdDayTests {
    private static let path = "/v1/usage/hourly"
    private static let date = "2026-11-21"

    @Test func `Hours of a day are the same after it left, and named when they cannot be read`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let data = try makeTemporaryFolder()
                defer { removeFolder(data) }
                let harness = await Harness(
                    redis, on: host.loop, data: data, settings: Self.settings)
                let event =
                    #"{"id":"1","subject":"a","action":"chat","model":"m","meters":{"tokens":7}}"#
                let sent = await harness.post(
                    "[\(event),{\"subject\":\"b\",\"meters\":{\"files\":1,\"tokens\":0}}]")
                #expect(sent.status == 200)
                let hot = await harness.get(Self.path, query: "date=\(Self.date)")
                try await Self.evict(redis, on: host.loop, harness, data)
                #expect(try redis.request("HLEN t1:{default}:cold") == ":1\r\n")
                let cold = await harness.get(Self.path, query: "date=\(Self.date)")
                #expect(hot.status == 200 && cold.text == hot.text)
                // Gone: told in the answer, and an event is not counted.
                let file = "\(data)/rollups/default/2026/\(Self.date).json"
                try FileManager.default.moveItem(atPath: file, toPath: file + ".away")
                let lost = await harness.get(Self.path, query: "date=\(Self.date)")
                let warnings = lost.json["warnings"] as? [String]
                #expect(lost.status == 200)
                #expect(warnings == ["rollups/default/2026/\(Self.date).json is missing"])
                // Not told as a day without use.
                for (query, count) in [("day", 1), ("hour", 24), ("month", 0)] {
                    let series = await harness.get(
                        "/v1/series",
                        query: "meter=tokens&bucket=\(query)&from=\(Self.date)&fill=zero"
                            + "&to=2026-11-22")
                    #expect(series.json["warnings"] as? [String] == warnings, "\(series.text)")
                    #expect((series.json["buckets"] as? [Any])?.count == count, "\(series.text)")
                }
                let late =
                    #"{"id":"2","subject":"a","time":"2026-11-21T09:00:00Z","meters":{"tokens":1}}"#
                let refused = await harness.post(late, query: "backfill=true")
                #expect(refused.status == 503)
                #expect(refused.detail.contains("\(Self.date).json is missing"))
                // Back: the same event is counted.
                try FileManager.default.moveItem(atPath: file + ".away", toPath: file)
                var counted = await harness.post(late, query: "backfill=true")
                while counted.status == 503 {
                    counted = await harness.post(late, query: "backfill=true")
                }
                #expect(counted.status == 200 && counted.totals["tokens"] == 8)
                #expect(try redis.request("HLEN t1:{default}:cold") == ":0\r\n")
                await harness.queries.stop()
            }
        }
    }

    static let settings = WorkspaceSettings(lateDays: 1, hotDays: 2)

    /// Lets the day leave.
    static func evict(
        _ redis: RedisServer, on loop: EventLoop, _ harness: Harness, _ data: String
    ) async throws {
        let registry = MetricsRegistry()
        let client = RedisClient(
            on: loop, configuration: RedisConfiguration(address: .unix(redis.socketPath)),
            scripts: ScriptLibrary.forSnapshots + [ScriptLibrary.closeDays], metrics: registry,
            logger: Logger(level: .error))
        client.connect()
        while !client.isReady { await loop.sleep(for: .milliseconds(1)) }
        let flusher = Flusher(
            client: client, settings: settings, clock: harness.clock, data: data,
            metrics: FlushMetrics(registry), logger: Logger(level: .error))
        harness.clock.advance(5 * 86_400_000)
        try await DayCloser(client: client, settings: settings, clock: harness.clock).closeDays()
        #expect(await flusher.flush().problem == nil)
        harness.clock.advance(3_600_000)
        #expect(await flusher.flush().problem == nil)
        client.close()
    }
}
