// SPDX-License-Identifier: Apache-2.0

import Foundation
import Metering
import TestSupport
import Testing

/// The audit log in snapshots, and for how long it is kept.
@Suite(.timeLimit(.minutes(15))) struct AuditRestoreTests {
    private static let day = 86_400_000
    private static let texts: [String?] = [
        nil, "{}", #"{"a":[1,-0.50,1e9,{"b":null}],"\"é\\":"x\n😀"}"#, "[[[]]]",
        #""text""#,
        #"{"deep":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":1}}}}}}}}}}}}}"#,
    ]

    /// Acts at random: some at one instant, some whose end is not known.
    private static func act(
        _ bench: RestoreBench, _ random: inout SeededGenerator, _ count: Int
    ) async throws {
        for number in 0..<count {
            if random.next() % 3 == 0 { bench.clock.advance(Int(random.next() % 40_000_000)) }
            let before = texts.randomElement(using: &random) ?? nil
            let id = try await bench.queries.beginAct(
                AuditAct(
                    actor: ByteString("token:ü\"\(number % 4)"), role: "admin", address: "::1",
                    method: "PUT", route: "/v1/subjects/{id}", path: "/v1/subjects/%22\(number)",
                    before: before.map { Array($0.utf8) }))
            guard random.next() % 5 != 0 else { continue }
            bench.clock.advance(Int(random.next() % 3))
            let after = texts.randomElement(using: &random) ?? nil
            try await bench.queries.endAct(
                id, status: [200, 422].randomElement(using: &random) ?? 200,
                after: after.map { Array($0.utf8) })
        }
    }

    private static func all(_ bench: RestoreBench) async throws -> [String] {
        var lines: [String] = []
        var cursor: AuditPosition?
        repeat {
            let page = try await bench.queries.auditPage(AuditQuery(), limit: 70, after: cursor)
            for entry in page.entries {
                let (act, outcome) = (entry.act, entry.outcome)
                func text(_ bytes: [UInt8]?) -> String {
                    bytes.map { String(decoding: $0, as: UTF8.self) } ?? "nil"
                }
                lines.append(
                    "\(entry.id.text) \(act.actor.text) \(act.role) \(act.address) \(act.action) "
                        + "\(act.path) \(text(act.before)) \(outcome?.ended.text ?? "") "
                        + "\(outcome?.status ?? 0) \(text(outcome?.after))")
            }
            cursor = page.next
        } while cursor != nil
        return lines
    }

    @Test(arguments: [1, 2] as [UInt64])
    func `The audit log comes back from its files as it was`(seed: UInt64) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                var random = SeededGenerator(seed)
                let bench = try await RestoreBench(
                    redis, on: host.loop, clock: ManualClock(noon))
                for _ in 0..<4 {
                    try await Self.act(bench, &random, 60)
                    try await bench.flushing.flush()
                    #expect(try await bench.verify() == [])
                }
                let before = try await Self.all(bench)
                #expect(before.count == 240)
                let files = try bench.export()
                #expect(files.keys.filter { $0.hasPrefix("audit/") }.count > 3)
                try redis.request("FLUSHALL")
                _ = try await bench.restore()
                #expect(try await Self.all(bench) == before)
                #expect(try await bench.verify() == [])
                // What was written is not written anew, and would be the same.
                try FileManager.default.removeItem(atPath: "\(bench.flushing.data)/rollups")
                try await bench.flushing.flush()
                let again = try bench.export()
                for name in Set(files.keys).union(again.keys) {
                    #expect(
                        Self.untitled(files[name]) == Self.untitled(again[name]), "\(name)")
                }
                try await Self.act(bench, &random, 10)
                #expect(try await Self.all(bench).suffix(240) == before[...])
                try await bench.flushing.flush()
                #expect(try await bench.verify() == [])
                await bench.queries.stop()
            }
        }
    }

    /// Without the first line and the checksum, which tell when a file was written.
    private static func untitled(_ text: String?) -> [Substring]? {
        text.map { Array($0.split(separator: "\n").dropFirst().dropLast()) }
    }

    @Test func `Old acts leave Redis and the folder, and no others`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                var random = SeededGenerator(5)
                let bench = try await RestoreBench(
                    redis, on: host.loop, clock: ManualClock(noon))
                // More than one call takes away.
                try await Self.act(bench, &random, 130)
                try await bench.flushing.flush()
                bench.clock.advance(bench.settings.auditDays * Self.day)
                try await Self.act(bench, &random, 20)
                let all = try await Self.all(bench)
                let today = Timestamp(milliseconds: bench.clock.now.milliseconds)
                let floor =
                    today.milliseconds / Self.day * Self.day
                    - bench.settings.auditDays * Self.day
                let kept = all.filter { (Int($0.split(separator: "-")[0]) ?? 0) >= floor }
                #expect(kept.count < all.count && kept.count >= 20)
                try await bench.flushing.flush()
                #expect(try await Self.all(bench) == kept)
                #expect(try await bench.verify() == [])
                let days = Set(kept.map { (Int($0.split(separator: "-")[0]) ?? 0) / Self.day })
                let files = try bench.export().keys.filter { $0.hasPrefix("audit/") }
                #expect(files.count == days.count)
                let outcomes = try redis.request("HLEN t1:{default}:audit:outcomes")
                let ended = kept.filter { !$0.contains("  0 ") }.count
                #expect(outcomes == ":\(ended)\r\n")
                await bench.queries.stop()
            }
        }
    }

    @Test(arguments: [
        "XDEL t1:{default}:audit ID", "HDEL t1:{default}:audit:outcomes ID",
        "HINCRBY t1:{default}:audit:changes DAY -1",
    ])
    func `What was changed is named`(change: String) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                var random = SeededGenerator(6)
                let bench = try await RestoreBench(
                    redis, on: host.loop, clock: ManualClock(noon))
                let id = try await bench.queries.beginAct(
                    AuditAct(
                        actor: ByteString("key:1"), role: "admin", address: "", method: "PUT",
                        route: "/v1/prices", path: "/v1/prices", before: nil))
                try await bench.queries.endAct(id, status: 200, after: nil)
                try await Self.act(bench, &random, 5)
                try await bench.flushing.flush()
                #expect(try await bench.verify() == [])
                try redis.request(
                    change.replacing("ID", with: id.text).replacing(
                        "DAY", with: "\(id.milliseconds / Self.day)"))
                let found = try await bench.verify()
                #expect((1...2).contains(found.count), "\(found)")
                #expect(found.allSatisfy { $0.place.contains("audit/2026-11-21.json") })
                await bench.queries.stop()
            }
        }
    }
}
