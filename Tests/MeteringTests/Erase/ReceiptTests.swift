// SPDX-License-Identifier: Apache-2.0

import Foundation
import Metering
import TestSupport
import Testing

/// Receipts of erasures in snapshots.
@Suite(.timeLimit(.minutes(15))) struct ReceiptTests {
    private static let person = "\(mark)@example.com"

    /// Lets some people be counted who can be erased.
    private static func prepare(_ world: RestoreBench) async throws {
        while await !world.queries.isReady { await world.rest() }
        let events = [
            event("ann", ["tokens": 4, "files_uploaded": 1]), event("bob", ["tokens": 1]),
            event("eve", ["own_meter": 7, "tokens": 2]), event(person, ["tokens": 9]),
        ]
        #expect(await world.bench.record(events).allSatisfy { $0.counted != nil })
        try await world.queries.put(person, #"{"full_name":"Ms \#(mark)"}"#)
        try await world.flushing.flush()
    }

    /// The lines of a list of the state's file; nil when there is no such list.
    private static func lines(of list: String, _ world: RestoreBench) throws -> [String]? {
        let text = try String(contentsOfFile: "\(world.folder)/state.json", encoding: .utf8)
        let lines = text.split(separator: "\n")
        guard let start = lines.firstIndex(of: "\"\(list)\":[") else { return nil }
        return lines[(start + 1)...].prefix { $0 != "]," }.map(String.init)
    }

    private static func receipts(_ world: RestoreBench) async throws -> [String] {
        try await world.queries.erasures(offset: 0, limit: 10).map { "\($0.id) \($0.digest)" }
    }

    @Test func `An erasure that is under way is in no file, and one that is done names nobody`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let world = try await RestoreBench(redis, on: host.loop, clock: ManualClock(noon))
                try await Self.prepare(world)
                // No files can be written there: it comes to that step, and not further.
                let stuck = await world.another(data: "/dev/null")
                let subject = subjectID(Self.person)
                let begun = try #require(
                    try await stuck.erase(subject, as: try await stuck.anonymousID(for: subject)))
                #expect(await stuck.goOnErasing() != nil)
                await stuck.stop()
                #expect(
                    try await world.bench.keysHolding([mark]) == [
                        "t1:{default}:erasures has \(mark)"
                    ])
                try await world.flushing.flush()
                #expect(try filesHolding([mark, begun.id], in: world.flushing.data) == [])
                #expect(try Self.lines(of: "erasures", world) == [])
                #expect(try await world.verify() == [])

                while let open = try await world.queries.erasure(begun.id), !open.isDone {
                    #expect(await world.queries.goOnErasing() == nil)
                }
                try await world.flushing.flush()
                let lines = try Self.lines(of: "erasures", world) ?? []
                #expect(lines.count == 1 && lines[0].contains(begun.id), "\(lines)")
                #expect(try filesHolding([mark], in: world.flushing.data) == [])
                #expect(try await world.verify() == [])
                await world.queries.stop()
            }
        }
    }

    @Test func `A receipt that was changed in the file is named`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let world = try await RestoreBench(redis, on: host.loop, clock: ManualClock(noon))
                try await Self.prepare(world)
                let erasure = try await world.erase("ann")
                try await world.flushing.flush()
                #expect(try await world.verify() == [])
                let path = "\(world.folder)/state.json"
                let whole = try Data(contentsOf: URL(filePath: path))
                let digest = erasure.digest
                for (old, new) in [
                    (digest, String(digest.reversed())), ("\"erased\":", "\"erased\":1"),
                    ("\"append_only_file\":\"off\"", "\"append_only_file\":\"rewritten\""),
                    ("\"removed\":{", "\"removed\":{\"profiles\":5,"),
                    ("\"id\":\"\(erasure.id)\"", "\"id\":\"0123456789abcdef\""),
                ] {
                    try SnapshotReading.forge(path) { $0.replacing(old, with: new) }
                    let found = try await world.verify()
                    #expect(!found.isEmpty, "\(old)")
                    #expect(
                        found.allSatisfy { "\($0)".contains("erasures ") }, "\(old): \(found)")
                    try whole.write(to: URL(filePath: path))
                }
                try redis.request("ZADD t1:{default}:erasures:by_time 1 stranger")
                try redis.request("ZREM t1:{default}:erasures:by_time \(erasure.id)")
                #expect(
                    try await world.verify().map { "\($0.place): \($0.what)" }.sorted()
                        == [
                            "erasure \(erasure.id): the list by time",
                            "erasure stranger: its receipt",
                        ].sorted())
                // What is no receipt is not restored.
                try redis.request("FLUSHALL")
                try SnapshotReading.forge(path) { $0.replacing(digest, with: "ann") }
                await #expect(throws: (any Error).self) { _ = try await world.restore() }
                try whole.write(to: URL(filePath: path))
                _ = try await world.restore()
                #expect(try await world.verify() == [])
                await world.queries.stop()
            }
        }
    }

    @Test(arguments: [["erasures"], ["erasures", "times"]])
    func `Files of before receipts were in them are restored, and verify`(
        absent: [String]
    ) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let world = try await RestoreBench(redis, on: host.loop, clock: ManualClock(noon))
                try await Self.prepare(world)
                _ = try await world.erase("ann")
                world.clock.advance(5)
                _ = try await world.erase("eve")
                try await world.flushing.flush()
                let before = try await Self.receipts(world)
                #expect(before.count == 2)
                let path = "\(world.folder)/state.json"
                let whole = try Data(contentsOf: URL(filePath: path))
                try SnapshotReading.forge(path) { text in
                    absent.reduce(text.replacing(/,"lists":\d+/, with: "")) { text, list in
                        let start = text.range(of: "\"\(list)\":[")
                        let end = text.range(
                            of: "\n],\n",
                            range: (start?.upperBound ?? text.startIndex)..<text.endIndex)
                        guard let start, let end else { return "" }
                        return text.replacingCharacters(
                            in: start.lowerBound..<end.upperBound, with: "")
                    }
                }
                #expect(try Self.lines(of: "erasures", world) == nil)
                #expect(try await world.verify() == [])
                try redis.request("FLUSHALL")
                _ = try await world.restore()
                #expect(try await Self.receipts(world) == [])
                #expect(try await world.verify() == [])
                // The next flush writes the list.
                try await world.flushing.flush()
                #expect(try Self.lines(of: "erasures", world) == [])
                try whole.write(to: URL(filePath: path))
                _ = try await world.restore(isForced: true)
                #expect(try await Self.receipts(world) == before)
                #expect(try await world.verify() == [])
                await world.queries.stop()
            }
        }
    }
}
