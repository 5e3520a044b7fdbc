// SPDX-License-Identifier: Apache-2.0

import Foundation
import Redis
import Synchronization
import TestSupport
import Testing

@testable import Metering

/// Files that are missing, and marks of files that are not what Redis says.
@Suite(.timeLimit(.minutes(15))) struct VerifyFileTests {
    private static func act(_ history: RestoreBench) async throws {
        _ = try await history.queries.beginAct(
            AuditAct(
                actor: ByteString("token:a"), role: "admin", address: "::1", method: "PUT",
                route: "/v1/prices", path: "/v1/prices", before: nil))
    }

    @Test func `A file that was written and is gone is named, and one that was never is not`()
        async throws
    {
        try await withHistory { _, _, history in
            _ = await history.bench.record(event("ann", ["tokens": 1]))
            try await history.flushing.flush()
            // What came since then is in no file yet.
            try await history.queries.put("ann", #"{"email":"a@example.com"}"#)
            try await Self.act(history)
            #expect(try await history.verify() == [])
            try await history.flushing.flush()
            #expect(try await history.verify() == [])
            let names = ["state.json", "audit/2026-11-21.json"]
            for name in names {
                let path = "\(history.folder)/\(name)"
                try FileManager.default.moveItem(atPath: path, toPath: "\(path).away")
                let found = try await history.verify().map(\.description)
                #expect(found.count == 1)
                #expect(
                    found.first?.contains("\(name): file: expected one of revision ") == true
                        && found.first?.hasSuffix(", found none") == true, "\(found)")
                // It may be in the folder of another process.
                #expect(try await history.verify(isOnlyFolder: false) == [])
                try FileManager.default.moveItem(atPath: "\(path).away", toPath: path)
            }
            // Also where nothing is left of all of them.
            try FileManager.default.moveItem(
                atPath: history.folder, toPath: "\(history.folder).away")
            let found = try await history.verify().map(\.description)
            #expect(
                names.allSatisfy { name in found.contains { $0.contains("\(name): file: ") } },
                "\(found)")
            try FileManager.default.moveItem(
                atPath: "\(history.folder).away", toPath: history.folder)
            // It is written anew.
            try FileManager.default.removeItem(atPath: "\(history.folder)/state.json")
            try await history.flushing.flush()
            #expect(try await history.verify() == [])
        }
    }

    /// As after a copy that was not whole, or a file that was put back: a restore would bring old balances.
    @Test func `A file of before is named`() async throws {
        try await withHistory { _, _, history in
            let names = ["state.json", "audit/2026-11-21.json"]
            var former: [String: Data] = [:]
            for round in 1...2 {
                _ = await history.bench.record(event("ann", ["tokens": round]))
                try await history.queries.put("ann", #"{"email":"\#(round)@example.com"}"#)
                try await Self.act(history)
                try await history.flushing.flush()
                for name in names where round == 1 {
                    former[name] = try Data(
                        contentsOf: URL(filePath: "\(history.folder)/\(name)"))
                }
            }
            #expect(try await history.verify() == [])
            for name in names {
                let place = URL(filePath: "\(history.folder)/\(name)")
                let last = try Data(contentsOf: place)
                try former[name]?.write(to: place)
                let found = try await history.verify().map(\.description)
                #expect(
                    found.contains { $0.contains("\(name): revision: expected ") }, "\(found)")
                try last.write(to: place)
            }
            #expect(try await history.verify() == [])
        }
    }

    /// All have the same first line; what is whole and of another kind would be read as one that has nothing.
    @Test func `A file in the place of another kind is named, and nothing is restored`()
        async throws
    {
        try await withHistory { _, redis, history in
            _ = await history.bench.record(event("ann", ["tokens": 1]))
            try await history.queries.put("ann", #"{"email":"a@example.com"}"#)
            try await Self.act(history)
            try await history.flushing.flush()
            let names = ["state.json", "audit/2026-11-21.json", "2026/2026-11-21.json"]
            for (name, other) in names.flatMap({ name in names.map { (name, $0) } })
            where name != other {
                let place = URL(filePath: "\(history.folder)/\(name)")
                let last = try Data(contentsOf: place)
                try Data(contentsOf: URL(filePath: "\(history.folder)/\(other)")).write(to: place)
                let before = try redis.fingerprint()
                let found = try await history.verify().map(\.description)
                #expect(
                    found.contains { $0.contains("\(name): file: expected a snapshot, found it") },
                    "\(name) \(other): \(found)")
                let failure = await #expect(throws: SnapshotFault.self) {
                    _ = try await history.restore(isForced: true)
                }
                #expect(failure?.file.hasSuffix(name) == true, "\(name) \(other)")
                #expect(try redis.fingerprint() == before)
                try last.write(to: place)
            }
            #expect(try await history.verify() == [])
        }
    }

    /// Nothing is counted by rules of another zone than that of the workspace.
    @Test func `A zone of the rules that is not the workspace's is named`() async throws {
        try await withHistory { _, _, history in
            func note(_ zone: String) async throws -> [String] {
                var change = RedisCommand("HSET")
                for word in ["t1:{default}:rules", "zone", zone] { change.append(word) }
                _ = try await history.bench.client.send(change)
                return try await history.verify().map(\.description)
            }
            // Without a day nothing tells the zone of this workspace.
            let unknown = try await note("America/Nev_York")
            #expect(
                unknown == ["rules: zone: expected one that is known, found America/Nev_York"])
            #expect(try await note("Europe/Berlin") == [])
            #expect(try await note("UTC") == [])
            _ = await history.bench.record(event("ann", ["tokens": 1]))
            try await history.flushing.flush()
            for zone in ["America/Nev_York", "Europe/Berlin"] {
                let found = try await note(zone)
                #expect(found == ["rules: zone: expected UTC, found \(zone)"])
            }
            #expect(try await note("UTC") == [])
        }
    }

    @Test func `What all else rests on is reported when it cannot be read`() async throws {
        try await withHistory { _, _, history in
            _ = await history.bench.record(event("ann", ["tokens": 1]))
            for (name, word) in [("DEL", nil), ("SET", "1")] as [(StaticString, String?)] {
                var change = RedisCommand(name)
                for word in ["t1:{default}:changes"] + (word.map { [$0] } ?? []) {
                    change.append(word)
                }
                _ = try await history.bench.client.send(change)
            }
            let found = try await history.verify().map(\.description)
            #expect(
                found.contains { $0.hasPrefix("Redis: its data: ") && $0.contains("WRONGTYPE") })
        }
    }

    @Test func `Of a workspace that was deleted nothing is compared, nor written`() async throws {
        try await withHistory { _, _, history in
            _ = await history.bench.record(event("ann", ["tokens": 1]))
            try await history.queries.put("ann", #"{"email":"a@example.com"}"#)
            try await history.flushing.flush()
            try await history.queries.put("bob", #"{"email":"b@example.com"}"#)
            // As lua/delete_workspace.lua leaves it until all is removed.
            var deletion = RedisCommand("HSET")
            for word in ["t1:{default}:rules", "version", "deleted"] { deletion.append(word) }
            _ = try await history.bench.client.send(deletion)
            // What is due is not written by such rules.
            let state = "\(history.folder)/state.json"
            let written = try String(contentsOfFile: state, encoding: .utf8)
            _ = await history.flushing.flusher.flush()
            #expect(try String(contentsOfFile: state, encoding: .utf8) == written)
            var loss = RedisCommand("HDEL")
            for word in ["t1:{default}:changes", "state"] { loss.append(word) }
            _ = try await history.bench.client.send(loss)
            #expect(try await history.verify() == [])
            var rules = RedisCommand("DEL")
            rules.append("t1:{default}:rules")
            _ = try await history.bench.client.send(rules)
            let found = try await history.verify().map(\.description)
            #expect(
                found.contains { $0.contains("state.json: revision: expected 0") }, "\(found)")
        }
    }

    /// It is in Redis for a moment while it is still marked as one that left.
    @Test func `A day that comes back and leaves while it is looked at is no difference`()
        async throws
    {
        try await withHistory(hotDays: 2) { host, _, history in
            let time = history.clock.now.milliseconds
            for index in 0..<200 { _ = await history.bench.record(event("s\(index)", at: time)) }
            history.clock.advance(30 * RestoreBench.days)
            let isOver = Atomic(false)
            let coming = Task {
                _ = host
                defer { isOver.store(true, ordering: .relaxed) }
                let day = try #require(CivilDay("2026-11-21"))
                for _ in 0..<25 {
                    try await history.flushing.flush()
                    history.clock.advance(600_000)
                    try await history.bench.closer.closeDays()
                    try await history.flushing.flush()
                    #expect(
                        try await history.flushing.archive(history.settings).coldDays() == [day])
                    #expect(await history.queries.thaw(day) == nil)
                }
            }
            while !isOver.load(ordering: .relaxed) {
                let found = try await history.verify().map(\.description)
                #expect(found == [], "\(found)")
            }
            try await coming.value
        }
    }

    @Test func `Days of the audit log that are not kept any more lack no file`() async throws {
        try await withHistory { _, _, history in
            try await Self.act(history)
            try await history.flushing.flush()
            history.clock.advance((history.settings.auditDays + 1) * RestoreBench.days)
            try await Self.act(history)
            try await history.flushing.flush()
            #expect(try await history.verify() == [])
            var marks = RedisCommand("HKEYS")
            marks.append("t1:{default}:snapshots")
            let fields = try await history.bench.client.send(marks).array?.compactMap(\.text) ?? []
            #expect(fields.count { $0.hasPrefix("audit:") } == 1)
        }
    }

    @Test func `A day whose file alone calls it final is named`() async throws {
        try await withHistory(hotDays: 20) { _, _, history in
            _ = await history.bench.record(event("ann", ["tokens": 1]))
            for _ in 0..<12 {
                history.clock.advance(RestoreBench.days)
                try await history.bench.closer.closeDays()
                try await history.flushing.flush()
                #expect(try await history.verify() == [])
            }
            let text = try String(
                contentsOfFile: "\(history.folder)/2026/2026-11-21.json", encoding: .utf8)
            #expect(text.contains(#""final":true"#))
            var change = RedisCommand("EVAL")
            change.append(
                "local v = cmsgpack.unpack(redis.call('HGET', KEYS[1], ARGV[1])) v[2] = 0 "
                    + "return redis.call('HSET', KEYS[1], ARGV[1], cmsgpack.pack(v))")
            change.append(1)
            change.append("t1:{default}:snapshots")
            change.append("20778")
            _ = try await history.bench.client.send(change)
            let found = try await history.verify().map(\.description)
            #expect(found.count == 1)
            #expect(
                found.first?.hasSuffix(
                    "2026-11-21.json: final, by Redis: expected false, found true") == true,
                "\(found)")
        }
    }

    @Test func `No file is missed while one flushes for the first time`() async throws {
        for _ in 0..<5 {
            try await withHistory { host, _, history in
                try await Self.act(history)
                try await history.queries.put("ann", #"{"email":"a@example.com"}"#)
                for day in 0..<8 {
                    _ = await history.bench.record(
                        event("ann", ["tokens": 1], at: noon - day * RestoreBench.days))
                }
                let flushing = Task {
                    _ = host
                    try await history.flushing.flush()
                }
                for _ in 0..<6 { #expect(try await history.verify() == []) }
                try await flushing.value
                #expect(try await history.verify() == [])
            }
        }
    }
}
