// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Glibc
internal import Redis

/// What the parts of a verification share. On one loop.
final class VerifyContext {
    /// How long what others are about to write may need until it is there.
    private static let settling = Duration.milliseconds(60)
    private static let looks = 3
    /// How long a log may take that was not followed for long.
    private static let followingMS = 60_000

    let client: RedisClient
    let loop: EventLoop
    let settings: WorkspaceSettings
    let clock: any Clock
    let keys: Keyspace
    let dataset: String
    /// For copies of snapshots, made from Redis.
    let scratch: String
    /// Whether nobody writes the workspace's snapshots elsewhere.
    let isOnlyFolder: Bool
    let hash: OrderedHash
    let ledgers = LedgerParts()
    let report: (Difference) -> Void

    init(
        client: RedisClient, loop: EventLoop, settings: WorkspaceSettings, clock: any Clock,
        dataset: String, scratch: String, isOnlyFolder: Bool, report: @escaping (Difference) -> Void
    ) {
        (self.client, self.loop, self.settings, self.clock) = (client, loop, settings, clock)
        (self.dataset, self.scratch, self.report) = (dataset, scratch, report)
        self.isOnlyFolder = isOnlyFolder
        keys = Keyspace(settings)
        hash = OrderedHash(client: client, byteCountMax: 32 << 20) {
            () async throws(FlushError) in await loop.sleep(for: .zero)
        }
    }

    /// The same, that reports to another one.
    func reporting(to report: @escaping (Difference) -> Void) -> VerifyContext {
        VerifyContext(
            client: client, loop: loop, settings: settings, clock: clock, dataset: dataset,
            scratch: scratch, isOnlyFolder: isOnlyFolder, report: report)
    }

    /// Gives the others on the loop their turn.
    func pause() async { await loop.sleep(for: .zero) }

    func flushContext(ranked: [Meter]) -> FlushContext {
        var settings = settings
        settings.rankedMeters = ranked
        return FlushContext(
            client: client, settings: settings,
            folder: SnapshotFolder(data: scratch, workspace: settings.id), clock: clock, lease: nil,
            dataset: dataset, deadlineMS: .max, idByteCountMax: 32 << 20)
    }

    /// Waits between two looks at what may be changing.
    func settle() async { await loop.sleep(for: Self.settling) }

    /// Looks again at what is read piece by piece while others write, and reports what every look
    /// has shown.
    func settled(_ look: () async throws -> [Difference]) async throws {
        var found = Set(try await look())
        for _ in 1..<Self.looks where !found.isEmpty {
            await settle()
            found.formIntersection(try await look())
        }
        for difference in found.sorted(by: { $0.description < $1.description }) {
            report(difference)
        }
    }

    /// Goes through a hash or a sorted set in order: see `OrderedHash.each`.
    func each(
        _ key: [UInt8], by count: Int, _ command: StaticString = "HSCAN",
        _ body: ([[UInt8]]) async throws -> Void
    ) async throws {
        try await each([(key, command)], by: count, body)
    }

    /// Goes through several of them at once, from a field on: what is in two of them is told once.
    func each(
        _ lists: [(key: [UInt8], command: StaticString)], from start: [UInt8] = [], by count: Int,
        _ body: ([[UInt8]]) async throws -> Void
    ) async throws {
        var wrong: (any Error)?
        try await hash.each(lists, from: start, by: count) { (fields) async throws(FlushError) in
            if wrong != nil { return }
            do {
                try await body(fields)
            } catch let error as FlushError {
                throw error
            } catch let error as RedisError {
                throw .redis(error)
            } catch {
                wrong = error
            }
        }
        if let wrong { throw wrong }
    }

    /// Goes through the names of keys; one may be told twice.
    func eachKey(matching pattern: [UInt8], _ body: ([UInt8]) -> Void) async throws {
        var cursor = Array("0".utf8)
        let words = [Array("MATCH".utf8), pattern, Array("COUNT".utf8), Array("500".utf8)]
        repeat {
            let reply = try await send(RedisCommand("SCAN", [cursor] + words))
            guard let parts = reply.elements, parts.count == 2, let next = parts[0].bytes else {
                throw RedisError.unexpectedReply("SCAN")
            }
            for name in parts[1].elements ?? [] { body(name.bytes ?? []) }
            cursor = next
        } while cursor != Array("0".utf8)
    }

    func send(_ command: RedisCommand) async throws -> RedisValue { try await client.send(command) }

    func run(
        _ script: RedisScript, _ names: [[UInt8]], _ arguments: [[UInt8]]
    ) async throws -> [RedisValue] {
        guard
            let reply = try await client.run(script, keys: names, arguments: arguments).elements
        else { throw RedisError.unexpectedReply(script.name) }
        return reply
    }

    /// The scores of some members of a sorted set, nil for those that are not there.
    func scores(_ key: [UInt8], _ members: [[UInt8]]) async throws -> [Int?] {
        let reply = try await send(RedisCommand("ZMSCORE", [key] + members))
        guard let scores = reply.elements, scores.count == members.count else {
            throw RedisError.unexpectedReply("ZMSCORE")
        }
        return scores.map(\.score)
    }

    /// Brings what follows the log up to its end, as a question does.
    ///
    /// - Returns: whether that was reached.
    func followUsage() async throws -> Bool {
        let follower = UsageFollower(client: client, settings: settings, clock: clock)
        return try await follower.catchUp(deadlineMS: clock.monotonicMS + Self.followingMS)
    }

    /// When the data were restored from snapshots; nil if they were not.
    func restoredAt() async throws -> Timestamp? {
        try await send(RedisCommand("HGET", [keys.meta, Array("restored_at".utf8)])).decimal.map {
            Timestamp(milliseconds: $0)
        }
    }

    /// Those of some meters that are ranked, and were when anything was counted on a day: lua/include/note_ranked.lua.
    /// All of them when nothing was counted since that is noted.
    func ranked(_ meters: [Meter], on day: CivilDay) async throws -> [Meter] {
        let names = meters.map(\.stored)
        let fields = ["ranked"] + names.map { "ranked:\($0)" }
        let reply = try await send(
            RedisCommand("HMGET", [keys.meta] + fields.map { Array($0.utf8) })
        ).elements
        guard let reply, reply.count == fields.count else {
            throw RedisError.unexpectedReply("HMGET")
        }
        guard let ranked = reply[0].text?.split(separator: ",") else { return meters }
        var found: [Meter] = []
        for (index, meter) in meters.enumerated() where ranked.contains(Substring(names[index])) {
            if reply[index + 1].decimal ?? .min < day.number { found.append(meter) }
        }
        return found
    }

    /// A hash of numbers by day, such as `changes`.
    func daysOf(_ key: [UInt8], in place: String) async throws -> [CivilDay: Int] {
        var days: [CivilDay: Int] = [:]
        let reply = try await send(RedisCommand("HGETALL", [key])).elements ?? []
        for index in stride(from: 0, to: reply.count - 1, by: 2) {
            let (field, value) = (reply[index].text ?? "", reply[index + 1].text ?? "")
            if reply[index].bytes == Keyspace.stateChanges { continue }
            guard let day = Int(field), let number = Int(value) else {
                report(Difference(place, field, expected: "numbers", found: value))
                continue
            }
            days[CivilDay(number: day)] = number
        }
        return days
    }
}

extension RedisValue {
    /// A score that is a whole number.
    var score: Int? {
        bytes.flatMap { Double(String(decoding: $0, as: UTF8.self)) }.flatMap { Int(exactly: $0) }
    }
}
