// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import Observability
import Redis
import TestSupport
import Testing

@testable import Metering

@Suite(.timeLimit(.minutes(15))) struct ArchiveTests {
    private static let today = "2026-11-21"

    @Test(arguments: [1, 2, 3] as [UInt64])
    func `A day's file says through the archive what it says to any reader`(seed: UInt64)
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                var random = SeededGenerator(seed)
                let clock = ManualClock(noon)
                let bench = await Bench(redis.socketPath, on: host.loop, clock: clock)
                let flushing = try await FlushBench(redis.socketPath, on: host.loop, clock: clock)
                // Ids of all lengths, so that lines are found however they lie.
                let events = (0..<1500).map { _ in
                    let text = ["a", "\"", "\\", "ü", "\u{1F600}", "z"].randomElement(
                        using: &random)
                    let count = Int.random(in: 1...40, using: &random)
                    let id = String(repeating: text ?? "a", count: count)
                    let number = Int.random(in: 0...700, using: &random)
                    return event(
                        "\(number)\(id)",
                        [
                            "tokens": Int.random(in: 0...9, using: &random), "files": 1,
                            "credits_micro": Int.random(in: 0...9_000_000_000, using: &random),
                        ], at: noon - Int.random(in: 0...180_000_000, using: &random),
                        action: ["chat", "\"a\""].randomElement(using: &random) ?? "",
                        model: ["", "m"].randomElement(using: &random) ?? "")
                }
                _ = await bench.record(events)
                let archive = try flushing.archive()
                for day in try await flushing.flush().values {
                    try await expectSameReading(archive, day)
                }
            }
        }
    }

    @Test func `A single byte that differs is found, wherever it is`() async throws {
        try await withFile { flushing, path, day in
            let archive = try flushing.archive()
            let bytes = try [UInt8](Data(contentsOf: URL(filePath: path)))
            for offset in bytes.indices {
                try overwrite(path, at: offset, with: [bytes[offset] ^ 1])
                await expectDamaged(archive, day, "byte \(offset)")
                try overwrite(path, at: offset, with: [bytes[offset]])
            }
            #expect(try await archive.head(day).totals.events == 3)
        }
    }

    @Test func `A file that ends too early is found, wherever it ends`() async throws {
        try await withFile { flushing, path, day in
            let archive = try flushing.archive()
            let bytes = try Data(contentsOf: URL(filePath: path))
            let ends =
                [0, 1, 85, 86, 87] + bytes.indices.filter { bytes[$0] == 0x0a }.map { $0 + 1 }
            for end in ends where end < bytes.count {
                try bytes[..<end].write(to: URL(filePath: path))
                await expectDamaged(archive, day, "ends at \(end)")
            }
            try (bytes + bytes.suffix(86)).write(to: URL(filePath: path))
            await expectDamaged(archive, day, "two last lines")
            try bytes.write(to: URL(filePath: path))
            #expect(try await archive.head(day).totals.events == 3)
        }
    }

    @Test func `A file that was checked is checked again when it changes`() async throws {
        try await withFile { flushing, path, day in
            let archive = try flushing.archive()
            _ = try await archive.head(day)
            // Long enough for the check to be remembered.
            usleep(150_000)
            _ = try await archive.head(day)
            let bytes = try [UInt8](Data(contentsOf: URL(filePath: path)))
            try overwrite(path, at: 300, with: [bytes[300] ^ 1])
            await expectDamaged(archive, day, "changed in place")
            usleep(150_000)
            await expectDamaged(archive, day, "still")
            await expectDamaged(archive, day, "remembered")
            try overwrite(path, at: 300, with: [bytes[300]])
            #expect(try await archive.head(day).totals.events == 3)
        }
    }

    @Test func `What is missing, older, of other data or of a later version is named`()
        async throws
    {
        try await withFile { flushing, path, day in
            let archive = try flushing.archive()
            func set(_ key: String, _ field: String, _ value: String) async throws {
                _ = try await flushing.client.send(
                    RedisCommand(
                        "HSET",
                        [Array("t1:{default}:\(key)".utf8), Array(field.utf8), Array(value.utf8)]))
            }
            try await set("cold", "\(day.number)", "1")
            #expect(try await archive.coldDays() == [day])
            let dataset = archive.dataset ?? ""
            #expect(try await archive.head(day).totals.events == 3)
            try await set("cold", "\(day.number)", "2")
            #expect(try await archive.revision(ofCold: day) == 2)
            await expectDamaged(archive, day, "older")
            // What it says is not what was restored, but what had gone on before.
            try await set("cold", "\(day.number)", "0")
            try await set("meta", "restored_at", "\(noon + 1)")
            #expect(try await archive.revision(ofCold: day) == 0)
            await expectDamaged(archive, day, "of before a restore")
            // This has come since: Redis has lost its last moments.
            try await set("meta", "restored_at", "\(noon - 1)")
            _ = try await archive.coldDays()
            #expect(try await archive.head(day).totals.events == 3)
            try await set("cold", "\(day.number)", "1")
            try await set("meta", "dataset", "other")
            _ = try await archive.coldDays()
            await expectDamaged(archive, day, "other data")
            try await set("meta", "dataset", dataset)
            _ = try await archive.coldDays()
            #expect(try await archive.head(day).totals.events == 3)
            unlink(path)
            await #expect(throws: ArchiveError.missing(file: archive.name(day))) {
                try await archive.head(day)
            }
            await #expect(throws: ArchiveError.missing(file: archive.name(day))) {
                try await archive.eachSubject(of: day) { _ in }
            }
            #expect(archive.name(day) == "rollups/default/2026/2026-11-21.json")
        }
    }

    /// As a copy into the wrong place makes it: whole, of these data, and of the revision that was written.
    @Test func `The file of another day in a day's place is refused`() async throws {
        try await withFile { flushing, path, day in
            let archive = try flushing.archive()
            let other = CivilDay(number: day.number - 1)
            let place = path.replacing("\(day)", with: "\(other)")
            try FileManager.default.copyItem(atPath: path, toPath: place)
            _ = try await flushing.client.send(
                RedisCommand(
                    "HSET",
                    ["t1:{default}:cold", "\(other.number)", "1"].map { Array($0.utf8) }))
            #expect(try await archive.coldDays() == [other])
            await expectDamaged(archive, other, "of another day")
            #expect(await !archive.isReadable(other))
            await #expect(throws: ArchiveError.self) {
                try await archive.eachSubject(of: other) { _ in }
            }
        }
    }

    private func expectDamaged(_ archive: Archive, _ day: CivilDay, _ what: Comment) async {
        do throws(ArchiveError) {
            _ = try await archive.head(day)
            Issue.record("head: \(what)")
        } catch {
            if case .missing = error { Issue.record("\(what): \(error)") }
        }
        do throws(ArchiveError) {
            _ = try await archive.use(of: subjectID("a"), on: day)
            Issue.record("use: \(what)")
        } catch {
            if case .missing = error { Issue.record("\(what): \(error)") }
        }
    }

    /// Gives the file of a day with three events.
    private func withFile(
        _ body: @Sendable (FlushBench, String, CivilDay) async throws -> Void
    ) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let bench = await Bench(redis.socketPath, on: host.loop, clock: clock)
                let flushing = try await FlushBench(redis.socketPath, on: host.loop, clock: clock)
                _ = await bench.record([event("a"), event("b"), event("a", ["files": 2])])
                try await flushing.flush()
                let day = try #require(CivilDay(Self.today))
                try await body(flushing, flushing.path(Self.today), day)
            }
        }
    }
}
