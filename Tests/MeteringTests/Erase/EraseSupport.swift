// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import JSON
import Metering
import Observability
import Redis
import TestSupport
import Testing

/// A text that stands in all that is the person's, and nowhere else.
let mark = "zq7331"

extension Bench {
    private func ask(_ name: StaticString, _ arguments: [[UInt8]]) async throws -> RedisValue {
        var command = RedisCommand(name)
        for argument in arguments { command.append(argument) }
        return try await client.send(command)
    }

    /// How many subjects were ever counted that are no guests.
    func userCount() async throws -> Int {
        let all = try await ask("HLEN", [Array("t1:{default}:subjects".utf8)]).integer ?? 0
        return all - (try await members("t1:{default}:guests").count)
    }

    /// The keys of Redis in whose name or value, whatever its type, one of some texts stands.
    func keysHolding(_ texts: [String]) async throws -> [String] {
        let texts = texts.map { Array($0.utf8) }
        var found: Set<String> = []
        var cursor = Array("0".utf8)
        repeat {
            let page = try #require(
                try await ask("SCAN", [cursor, Array("COUNT".utf8), Array("1000".utf8)]).array)
            cursor = try #require(page[0].bytes)
            for name in (page[1].array ?? []).compactMap(\.bytes) {
                var bytes: [UInt8] = name
                let (all, ends) = (Array("0".utf8), Array("-1".utf8))
                let value: RedisValue
                switch try await ask("TYPE", [name]).text {
                case "string": value = try await ask("GET", [name])
                case "hash": value = try await ask("HGETALL", [name])
                case "set": value = try await ask("SMEMBERS", [name])
                case "zset": value = try await ask("ZRANGE", [name, all, ends])
                case "stream": value = try await ask("XRANGE", [name, [0x2d], [0x2b]])
                default: continue
                }
                value.append(to: &bytes)
                for text in texts where contains(bytes, text) {
                    found.insert(
                        "\(String(decoding: name, as: UTF8.self)) has \(String(decoding: text, as: UTF8.self))"
                    )
                }
            }
        } while cursor != Array("0".utf8)
        return found.sorted()
    }
}

extension RedisValue {
    /// All of it, one behind the other.
    fileprivate func append(to bytes: inout [UInt8]) {
        switch self {
        case .bulk(let its): bytes += its + [0]
        case .array(let values): for value in values { value.append(to: &bytes) }
        default: break
        }
    }
}

/// The files below a folder in which one of some texts stands.
func filesHolding(_ texts: [String], in folder: String) throws -> [String] {
    var found: [String] = []
    for name in FileManager.default.enumerator(atPath: folder)?.compactMap({ $0 as? String }) ?? []
    {
        let path = "\(folder)/\(name)"
        guard let data = FileManager.default.contents(atPath: path) else { continue }
        for text in texts where data.range(of: Data(text.utf8)) != nil {
            found.append("\(name) has \(text)")
        }
    }
    return found
}

private func contains(_ bytes: [UInt8], _ text: [UInt8]) -> Bool {
    Data(bytes).range(of: Data(text)) != nil
}

/// Runs a test's body with a bench that is ready to erase, on a Redis of its own.
func withErasures(
    _ body: @Sendable (isolated LoopHost, RestoreBench, RedisServer) async throws -> Void
) async throws {
    try await withRedis { redis in
        try await onLoop { host in
            let world = try await RestoreBench(redis, on: host.loop, clock: ManualClock(noon))
            while await !world.queries.isReady { await world.rest() }
            try await body(host, world, redis)
            await world.queries.stop()
        }
    }
}

extension RestoreBench {
    /// Erases a subject, to the end.
    @discardableResult
    func erase(_ name: String) async throws -> Erasure {
        try await endErasing(try await beginErasing(name).id)
    }

    /// Asks for a subject to be erased.
    func beginErasing(_ name: String) async throws -> Erasure {
        let subject = subjectID(name)
        return try #require(
            try await queries.erase(subject, as: try await queries.anonymousID(for: subject)))
    }

    /// Has an erasure come to its end.
    @discardableResult
    func endErasing(_ id: String) async throws -> Erasure {
        while let open = try await queries.erasure(id), !open.isDone {
            if let problem = await queries.goOnErasing() { Issue.record("\(problem)"); break }
        }
        let erasure = try #require(try await queries.erasure(id))
        #expect(erasure.isDone)
        return erasure
    }

    /// Merges a guest, in as many steps as it takes; how many events it had.
    func mergeAll(_ guest: String, into user: String) async throws -> Int {
        var count = 0
        while true {
            let plan = try await queries.mergePlan(of: subjectID(guest))
            let verdict = try await bench.engine.merge(plan, into: subjectID(user))
            #expect(verdict.status == .allowed)
            count += plan.movedCount
            if !plan.isPartial { return count }
        }
    }

    /// Sums that an erasure must not change.
    func sums(days: Int, of engine: QueryEngine? = nil) async throws -> [String] {
        let engine = engine ?? queries
        let end = bench.engine.reader.today.number + 1
        let series = try await engine.series(
            SeriesQuery(.tokens, .day, (end - days) * Self.days..<end * Self.days))
        var lines = series.buckets.map { "\($0.value) \($0.eventCount)" }
        #expect(series.warnings == [])
        for window in [LeaderboardWindow.lifetime, .days(7), .days(30)] {
            let values = try await engine.leaderboard(.tokens, window, limit: 1_000, after: nil)
                .entries.map(\.value)
            lines.append("\(values)")
        }
        return lines
    }
}

extension QueryEngine {
    func differences(_ folder: String) async throws -> [Difference] {
        let found = FoundDifferences()
        try await verify(
            snapshots: folder, isOnlyFolder: true, progress: { _ in }, report: found.add)
        return found.all
    }
}
