// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import Metering
import Observability
import Redis
import TestSupport
import Testing

/// What an engine does that has not heard that its workspace was deleted, and what a restore does then.
@Suite(.timeLimit(.minutes(15))) struct DeletedWorkspaceTests {
    private static let rules = "t1:{acme@b1}:rules"

    private static func settings() throws -> WorkspaceSettings {
        var settings = WorkspaceSettings(id: try #require(WorkspaceID("acme")))
        settings.birth = "b1"
        return settings
    }

    /// Puts the workspace in the directory, where its deletion takes it from.
    private static func list(_ settings: WorkspaceSettings, _ bench: Bench) async throws {
        var list = RedisCommand("HSET")
        list.append("t1:{@}:workspaces")
        list.append("acme")
        list.append(settings.entry)
        _ = try await bench.client.send(list)
    }

    /// Deletes the workspace, as the service does, with all that it has.
    private static func delete(_ redis: RedisServer) throws {
        for name in try redis.request("KEYS t1:{acme@b1}:*").split(separator: "\r\n")
        where name.hasPrefix("t1:") {
            try redis.request("DEL \(name)")
        }
        try redis.request("HSET \(rules) version deleted")
        try redis.request("HDEL t1:{@}:workspaces acme")
        try redis.request("HSET t1:{@}:removed acme@b1 1")
    }

    /// A second batch is made while the first one is on its way, and more wait behind it.
    @Test func `All that waits for a workspace that is gone is told so`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                var benches: [(bench: Bench, count: Int)] = []
                for count in [1, 512, 1_024, 1_500, 2_000] {
                    // Who is forgotten is told in the end that Redis does not answer.
                    let bench = await Bench(
                        redis.socketPath, on: host.loop, clock: ManualClock(noon),
                        settings: try Self.settings(), waitMS: 30_000)
                    #expect(await bench.record(event("ann")).counted != nil)
                    benches.append((bench, count))
                }
                try Self.delete(redis)
                for (bench, count) in benches {
                    let outcomes = await bench.record((0..<count).map { event("s\($0)") })
                    for outcome in outcomes {
                        guard case .postponed(let reason, _) = outcome else {
                            Issue.record("\(outcome)")
                            break
                        }
                        #expect(reason == "the workspace was deleted")
                    }
                }
                let left = try redis.request("KEYS t1:{acme@b1}:*")
                #expect(
                    left.split(separator: "\r\n").filter { $0.hasPrefix("t1:") } == [
                        Self.rules[...]
                    ])
            }
        }
    }

    @Test func `A workspace that was deleted comes back, and goes on`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let (clock, settings) = (ManualClock(noon), try Self.settings())
                let bench = await Bench(
                    redis.socketPath, on: host.loop, clock: clock, settings: settings)
                try await Self.list(settings, bench)
                _ = try await bench.engine.setCreditPolicy(CreditPolicy())
                #expect(await bench.record(event("ann", ["tokens": 5])).counted != nil)
                let flushing = try await FlushBench(
                    redis.socketPath, on: host.loop, clock: clock, settings: settings)
                #expect(await flushing.flusher.flush().problem == nil)
                try Self.delete(redis)
                #expect(await bench.record(event("ann")).counted == nil)
                // Nothing is there that a restore would have to be forced over.
                _ = try await bench.queries.restore(
                    from: "\(flushing.data)/rollups/acme", into: nil, isForced: false,
                    progress: { _, _ in })
                #expect(try redis.request("HGET \(Self.rules) version").contains("1"))
                // Who had not heard of the deletion goes on, as others do.
                let late = await Bench(
                    redis.socketPath, on: host.loop, clock: clock, settings: settings)
                for (place, bench) in [bench, late].enumerated() {
                    let counted = await bench.record(event("ann")).counted
                    #expect(
                        counted?.totals.first?.total == 6 + place, "\(String(describing: counted))")
                }
            }
        }
    }

    /// The mark stands for what was deleted, and for nothing else.
    @Test func `Other data beside the mark of a deletion are kept from a restore`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let (clock, settings) = (ManualClock(noon), try Self.settings())
                let bench = await Bench(
                    redis.socketPath, on: host.loop, clock: clock, settings: settings)
                #expect(await bench.record(event("ann")).counted != nil)
                let flushing = try await FlushBench(
                    redis.socketPath, on: host.loop, clock: clock, settings: settings)
                try await Self.list(settings, bench)
                #expect(await flushing.flusher.flush().problem == nil)
                try Self.delete(redis)
                try redis.request("HSET t1:{acme@b1}:subjects ann x")
                await #expect(throws: RestoreError.self) {
                    _ = try await bench.queries.restore(
                        from: "\(flushing.data)/rollups/acme", into: nil, isForced: false,
                        progress: { _, _ in })
                }
            }
        }
    }
}
