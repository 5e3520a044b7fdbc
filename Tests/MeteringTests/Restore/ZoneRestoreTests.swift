// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import Metering
import Observability
import Redis
import TestSupport
import Testing

/// By which zone a workspace counts once it was restored.
@Suite(.timeLimit(.minutes(15))) struct ZoneRestoreTests {
    private static let tag = "{acme@b1}"

    private static func settings(_ zone: String) throws -> WorkspaceSettings {
        var settings = WorkspaceSettings(
            id: try #require(WorkspaceID("acme")),
            calendar: try #require(WorkspaceCalendar(zone: zone)))
        settings.birth = "b1"
        return settings
    }

    /// Puts the workspace in the directory, as the service does.
    private static func list(_ zone: String, _ client: RedisClient) async throws {
        var command = RedisCommand("HSET")
        command.append("t1:{@}:workspaces")
        command.append("acme")
        command.append(try settings(zone).entry)
        _ = try await client.send(command)
    }

    private static func listed(_ client: RedisClient) async throws -> WorkspaceSettings? {
        var command = RedisCommand("HGET")
        command.append("t1:{@}:workspaces")
        command.append("acme")
        return try await client.send(command).bytes.flatMap {
            WorkspaceSettings(WorkspaceID("acme") ?? .default, entry: $0)
        }
    }

    /// Counts in Ho Chi Minh City, where it is 5 in the afternoon; returns the folder of the files.
    private static func live(_ redis: RedisServer, _ host: LoopHost) async throws -> FlushBench {
        let (clock, settings) = (ManualClock(noon), try settings("Asia/Ho_Chi_Minh"))
        let bench = await Bench(redis.socketPath, on: host.loop, clock: clock, settings: settings)
        try await list("Asia/Ho_Chi_Minh", bench.client)
        _ = try await bench.engine.setCreditPolicy(CreditPolicy())
        #expect(await bench.record(event("ann", ["tokens": 5])).counted != nil)
        let flushing = try await FlushBench(
            redis.socketPath, on: host.loop, clock: clock, settings: settings)
        #expect(await flushing.flusher.flush().problem == nil)
        return flushing
    }

    private static func restore(
        _ redis: RedisServer, _ host: LoopHost, _ settings: WorkspaceSettings, _ data: String
    ) async throws {
        let bench = await Bench(
            redis.socketPath, on: host.loop, clock: ManualClock(noon), settings: settings)
        _ = try await bench.queries.restore(
            from: "\(data)/rollups/acme", into: nil, isForced: true, progress: { _, _ in })
    }

    /// What becomes of an event that an engine of a zone is asked to count, eight hours later: the next day
    /// has begun in the east.
    private static func count(
        _ redis: RedisServer, _ host: LoopHost, by settings: WorkspaceSettings
    ) async throws -> EventOutcome {
        let clock = ManualClock(noon + 8 * 3_600_000)
        let bench = await Bench(redis.socketPath, on: host.loop, clock: clock, settings: settings)
        return await bench.record(event("bob"))
    }

    /// Days on which something was counted.
    private static func days(_ redis: RedisServer) throws -> [String] {
        try redis.request("KEYS t1:\(tag):day:*").split(separator: "\r\n").filter {
            $0.hasPrefix("t1:")
        }.map { String($0.suffix(10)) }.sorted()
    }

    @Test(arguments: ["Europe/Berlin", nil])
    func `Only who goes by the zone of the files counts after a restore`(
        before zone: String?
    ) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let flushing = try await Self.live(redis, host)
                try redis.request("FLUSHALL")
                if let zone {
                    // The workspace was given another zone since, and nothing was counted in that.
                    try await Self.list(zone, flushing.client)
                    try redis.request("HSET t1:\(Self.tag):rules zone \(zone) version 1")
                }
                let right = try Self.settings("Asia/Ho_Chi_Minh")
                try await Self.restore(redis, host, right, flushing.data)
                #expect(try await Self.listed(flushing.client) == right)

                let late = try Self.settings(zone ?? "UTC")
                #expect(try await Self.count(redis, host, by: late).counted == nil)
                #expect(try Self.days(redis) == ["2026-11-21"])
                #expect(try await Self.count(redis, host, by: right).counted != nil)
                #expect(try Self.days(redis) == ["2026-11-21", "2026-11-22"])
            }
        }
    }

    @Test func `Tokens of those that had the id meanwhile are not those of a restored workspace`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let flushing = try await Self.live(redis, host)
                let right = try Self.settings("Asia/Ho_Chi_Minh")
                try redis.request("FLUSHALL")
                // The second was this one, under another birth.
                try redis.request(
                    "HSET t1:{@}:removed acme@b0 4000 acme@b9 0 acme@b2 3000 acme-2@b3 5000")
                try await Self.restore(redis, host, right, flushing.data)
                let restored = try #require(try await Self.listed(flushing.client))
                #expect(restored.takenAt == Timestamp(milliseconds: 4000))
                #expect(restored.birth == right.birth)
            }
        }
    }

    @Test func `Files without settings give the workspace that is there their zone`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let flushing = try await Self.live(redis, host)
                try SnapshotReading.forge("\(flushing.data)/rollups/acme/state.json") { text in
                    text.replacing(/\n"settings":[^\n]*/, with: "")
                }
                try redis.request("FLUSHALL")
                try await Self.list("Europe/Berlin", flushing.client)
                try await Self.restore(
                    redis, host, try Self.settings("Asia/Ho_Chi_Minh"), flushing.data)
                let kept = try #require(try await Self.listed(flushing.client))
                #expect(kept == (try Self.settings("Asia/Ho_Chi_Minh")))
                #expect(try await Self.count(redis, host, by: kept).counted != nil)
                #expect(try Self.days(redis) == ["2026-11-21", "2026-11-22"])
            }
        }
    }
}
