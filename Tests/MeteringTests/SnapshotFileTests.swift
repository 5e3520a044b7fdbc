// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import Metering
import Redis
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct SnapshotFileTests {
    private static let today = "2026-11-21"
    private static let ended = noon + 14 * 3_600_000 + 7 * 86_400_000 + 600_000

    /// Runs a test's body with a Redis, and who counts and who writes files on it.
    private static func withFlushing(
        leaseMS: Int = 10_000,
        _ body: @Sendable (isolated LoopHost, RedisServer, Bench, FlushBench) async throws -> Void
    ) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let bench = await Bench(redis.socketPath, on: host.loop, clock: clock)
                let flushing = try await FlushBench(
                    redis.socketPath, on: host.loop, clock: clock, leaseMS: leaseMS)
                try await body(host, redis, bench, flushing)
            }
        }
    }

    @Test func `A day becomes final in time, and a late event opens it again`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let settings = WorkspaceSettings(idempotencyHours: 840)
                let bench = await Bench(
                    redis.socketPath, on: host.loop, clock: clock, settings: settings)
                let flushing = try await FlushBench(
                    redis.socketPath, on: host.loop, clock: clock, settings: settings)
                _ = await bench.record([event("a"), event("b", id: "1")])
                let open = try #require(try await flushing.flush()[Self.today])
                #expect(!open.isFinal && open.revision == 1)
                clock.set(Self.ended - 1)
                #expect(await flushing.flusher.flush().days == [])
                clock.set(Self.ended)
                let final = try #require(try await flushing.flush()[Self.today])
                #expect(final.isFinal && final.revision == 1 && final.subjects == open.subjects)
                #expect(await flushing.flusher.flush().days == [])
                // What is counted already changes nothing.
                let again = await bench.record([event("b", id: "1"), event("c")])
                #expect(again[0].duplicate != nil)
                #expect(try await flushing.flush()[Self.today] == final)
                _ = await bench.record(event("a", ["tokens": 9], at: noon))
                let late = try #require(try await flushing.flush()[Self.today])
                #expect(late.isFinal && late.revision == 2)
                #expect(late.subjects["a"]?.meters == ["tokens": 10])
                _ = try await bench.engine.reverse(ByteString("1"), reason: .empty)
                let less = try #require(try await flushing.flush()[Self.today])
                #expect(less.revision == 3 && less.subjects["b"] == SnapshotReading.Sums())
            }
        }
    }

    @Test func `Files and folders are for the service's user only`() async throws {
        try await Self.withFlushing { _, _, bench, flushing in
            _ = await bench.record(event("a"))
            try await flushing.flush()
            let root = "\(flushing.data)/rollups"
            for (path, mode) in [
                ("", 0o700), ("/default", 0o700), ("/default/2026", 0o700),
                ("/default/.lock", 0o600), ("/default/2026/\(Self.today).json", 0o600),
            ] {
                let attributes = try FileManager.default.attributesOfItem(atPath: root + path)
                #expect(attributes[.posixPermissions] as? Int == mode, "\(path)")
            }
        }
    }

    @Test func `A file of other data is left alone and told`() async throws {
        try await Self.withFlushing { _, redis, bench, flushing in
            _ = await bench.record([event("a"), event("b")])
            let old = try #require(try await flushing.flush()[Self.today])
            _ = try redis.request("FLUSHALL")
            _ = await bench.record(event("c"))
            _ = await bench.record(event("c"))
            let report = await flushing.flusher.flush()
            #expect(report.problem?.contains("other data") == true)
            let days = try SnapshotReading.all(in: flushing.data).days
            #expect(days[Self.today] == old)
        }
    }

    @Test func `A pipe in the place of a file holds nobody up, and is told`() async throws {
        try await Self.withFlushing { _, _, bench, flushing in
            _ = await bench.record(event("a"))
            let path = flushing.path(Self.today)
            try await flushing.flush()
            _ = await bench.record(event("a"))
            unlink(path)
            #expect(mkfifo(path, 0o600) == 0)
            let report = await flushing.flusher.flush()
            #expect(report.problem?.contains("is not a regular file") == true)
            unlink(path)
            #expect(try await flushing.flush()[Self.today]?.revision == 2)
        }
    }

    @Test func `What a Redis lost that came back is not kept in the file`() async throws {
        try await Self.withFlushing { _, redis, bench, flushing in
            for _ in 0..<3 { _ = await bench.record(event("a")) }
            #expect(try await flushing.flush()[Self.today]?.revision == 3)
            _ = try redis.request("HSET t1:{default}:changes 20778 1")
            let day = try #require(try await flushing.flush()[Self.today])
            #expect(day.revision == 4)
            #expect(await flushing.flusher.flush().days == [])
        }
    }

    @Test func `A day of which a part has expired keeps its file`() async throws {
        try await Self.withFlushing { host, redis, bench, flushing in
            let hours = "t1:{default}:hours:\(Self.today)"
            _ = await bench.record([event("a"), event("b")])
            // Long enough for a flush on a busy machine.
            _ = try redis.request("PEXPIRE \(hours) 4000")
            let old = try #require(try await flushing.flush()[Self.today])
            await host.loop.sleep(for: .milliseconds(5_000))
            #expect(try redis.request("EXISTS \(hours)").hasPrefix(":0"))
            _ = await bench.record(event("c"))
            let report = await flushing.flusher.flush()
            #expect(report.problem?.contains("do not agree") == true)
            #expect(try SnapshotReading.all(in: flushing.data).days[Self.today] == old)
        }
    }

    @Test func `A damaged file is written anew, and what dead writers left is swept`() async throws
    {
        try await Self.withFlushing { _, _, bench, flushing in
            let folder = "\(flushing.data)/rollups/default/2026"
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true)
            for name in ["\(Self.today).json", ".\(Self.today).0.99.tmp"] {
                try Data("{\"schema\":1".utf8).write(to: URL(filePath: "\(folder)/\(name)"))
            }
            _ = await bench.record(event("a"))
            let day = try #require(try await flushing.flush()[Self.today])
            #expect(day.totals.events == 1)
        }
    }

    @Test func `For a workspace that is gone nobody writes`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                var settings = WorkspaceSettings(id: try #require(WorkspaceID("acme")))
                settings.birth = "first"
                let entry = String(decoding: settings.entry, as: UTF8.self)
                let bench = await Bench(
                    redis.socketPath, on: host.loop, clock: clock, settings: settings)
                let flushing = try await FlushBench(
                    redis.socketPath, on: host.loop, clock: clock, settings: settings)
                func put(_ entry: String) async throws {
                    var command = RedisCommand("HSET")
                    for word in ["t1:{@}:workspaces", "acme", entry] { command.append(word) }
                    _ = try await bench.client.send(command)
                }
                _ = await bench.record(event("a"))
                for other in ["deleted first", entry.replacing("first", with: "second")] {
                    try await put(other)
                    #expect(await flushing.flusher.flush().isElsewhere)
                    #expect(
                        try redis.request("HEXISTS t1:{acme@first}:meta dataset").hasPrefix(":0"))
                    #expect(
                        try FileManager.default.contentsOfDirectory(atPath: flushing.data) == [])
                }
                try await put(entry)
                #expect(await flushing.flusher.flush().days.count == 1)
            }
        }
    }

    @Test func `One process writes at a time`() async throws {
        try await Self.withFlushing { host, redis, bench, flushing in
            _ = await bench.record(event("a"))
            let lease = "t1:{default}:lease:flush"
            // As cmsgpack packs a token and a number.
            _ = try redis.request(#"SET \#(lease) "\xa5other\x07" PX 600000"#)
            #expect(await flushing.flusher.flush().isElsewhere)
            #expect(try SnapshotReading.all(in: flushing.data).days.isEmpty)
            // As if its holder had ended.
            _ = try redis.request("PEXPIRE \(lease) 1")
            await host.loop.sleep(for: .milliseconds(20))
            #expect(try await flushing.flush().count == 1)
            #expect(try redis.request("EXISTS \(lease)").hasPrefix(":0"))
        }
    }

    @Test func `A lease that is shorter than the work is taken anew`() async throws {
        try await Self.withFlushing(leaseMS: 1) { _, _, bench, flushing in
            _ = await bench.record((0..<500).map { event("s\($0)") })
            let days = try await flushing.flush()
            #expect(days[Self.today]?.subjects.count == 500)
        }
    }
}
