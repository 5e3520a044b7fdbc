// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import TestSupport
import Testing

extension Bench {
    /// Merges a guest as a caller does, who looks again when it was counted meanwhile.
    func merge(_ guest: String, into user: String) async throws -> DecisionStatus {
        while true {
            let plan = try await queries.mergePlan(of: subjectID(guest))
            let status = try await engine.merge(plan, into: subjectID(user)).status
            if status != .changed { return status }
        }
    }

    /// All events that are told, the last first: id, subject, tokens.
    func told(of subject: String? = nil, page: Int = 3) async throws -> [String] {
        var query = EventQuery()
        query.subject = subject.map { subjectID($0) }
        var lines: [String] = []
        var cursor: String?
        repeat {
            let part = try await queries.events(query, limit: page, after: cursor)
            for event in part.events {
                let tokens = event.recorded.amounts.first { $0.0 == .tokens }?.1 ?? 0
                lines.append(
                    "\(event.recorded.id.text) \(event.recorded.subject.text) \(tokens)")
            }
            cursor = part.next
        } while cursor != nil
        return lines
    }

    func series(of subject: String?, days: Int) async throws -> [[Int]] {
        let end = engine.reader.today.number + 1
        var query = SeriesQuery(.tokens, .day, (end - days) * 86_400_000..<end * 86_400_000)
        query.subject = subject.map { subjectID($0) }
        return try await queries.series(query, countsSubjects: false).buckets.map {
            [$0.value, $0.eventCount]
        }
    }
}

@Suite(.timeLimit(.minutes(15))) struct MergeTests {
    private static let day = 86_400_000

    @Test func `All that a guest was counted for is the user's`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = await Bench(redis.socketPath, on: host.loop, clock: ManualClock(noon))
                _ = await bench.record([
                    event("guest:1", ["tokens": 5], id: "a", at: noon - 3 * Self.day),
                    event(
                        "guest:1", ["tokens": 7, "files_uploaded": 1], id: "b", at: noon - 9_000),
                    event("ann", ["tokens": 1], id: "c", at: noon - 3 * Self.day + 60_000),
                    event("bob", ["tokens": 10], id: "d"),
                ])
                _ = await bench.record(event("guest:1", ["tokens": 2], id: "e"))
                // Boards that are there already go along.
                #expect(try await bench.leaders(.days(7)).count == 3)
                #expect(try await bench.leaders(.lifetime).count == 3)
                let before = try await bench.series(of: nil, days: 7)

                #expect(try await bench.merge("guest:1", into: "ann") == .allowed)
                let ann = try #require(try await bench.engine.reader.subject(subjectID("ann")))
                #expect(ann.eventCount == 4)
                #expect(ann.totals.first { $0.meter == .tokens }?.total == 15)
                #expect(ann.totals.first { $0.meter == .filesUploaded }?.total == 1)
                #expect(ann.firstEventAt.milliseconds == noon - 3 * Self.day)
                #expect(ann.lastEventAt.milliseconds == noon)
                #expect(ann.recent.map(\.id.text) == ["e", "c", "b", "a"])
                #expect(ann.recent.allSatisfy { $0.subject == ByteString("ann") })
                for window in [LeaderboardWindow.days(7), .lifetime] {
                    let leaders = try await bench.leaders(window)
                    #expect(leaders.map(\.subject.text) == ["ann", "bob"], "\(window)")
                    #expect(leaders.map(\.value) == [15, 10])
                }
                #expect(try await bench.leaders(.days(1)).map(\.value) == [10, 9])
                #expect(
                    try await bench.series(of: "ann", days: 7)
                        == [[0, 0], [0, 0], [0, 0], [6, 2], [0, 0], [0, 0], [9, 2]])
                #expect(try await bench.series(of: nil, days: 7) == before)
                #expect(
                    try await bench.told(of: "ann") == ["e ann 2", "c ann 1", "b ann 7", "a ann 5"])
                #expect(try await bench.told().contains("a ann 5"))
                let guest = try #require(
                    try await bench.engine.reader.subject(subjectID("guest:1")))
                #expect(guest.eventCount == 0 && guest.totals.allSatisfy { $0.total == 0 })
                #expect(guest.recent.isEmpty)
                #expect(try await bench.told(of: "guest:1").isEmpty)
            }
        }
    }

    @Test func `A guest of many days moves in parts, the days of each in one step`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let bench = await Bench(redis.socketPath, on: host.loop, clock: clock)
                for _ in 0..<70 {
                    _ = await bench.record([event("guest:1"), event("guest:1")])
                    clock.advance(1000)
                    _ = await bench.record(event("guest:1", ["tokens": 2]))
                    clock.advance(86_399_000)
                }
                var (moved, parts) = ([Int](), 0)
                repeat {
                    let plan = try await bench.queries.mergePlan(of: subjectID("guest:1"))
                    moved.append(plan.movedCount)
                    parts += plan.isPartial ? 1 : 0
                    #expect(try await bench.merge("guest:1", into: "ann") == .allowed)
                } while moved.count == parts
                #expect(moved == [96, 96, 18])
                let ann = try #require(try await bench.engine.reader.subject(subjectID("ann")))
                #expect(ann.eventCount == 210 && ann.totals.first?.total == 280)
            }
        }
    }

    @Test func `It is done once, and what comes later for the guest is the user's`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = await Bench(redis.socketPath, on: host.loop, clock: ManualClock(noon))
                let first = event("guest:1", ["tokens": 5], id: "a")
                _ = await bench.record(first)
                #expect(try await bench.merge("guest:1", into: "ann") == .allowed)
                #expect(try await bench.merge("guest:1", into: "ann") == .repeated)
                #expect(try await bench.merge("guest:1", into: "bob") == .conflict)
                // A guest of whom nothing was counted yet.
                #expect(try await bench.merge("guest:2", into: "ann") == .allowed)
                let outcomes = await bench.record([
                    event("guest:1", ["tokens": 1], id: "b"), event("bob", ["tokens": 9], id: "c"),
                    event("guest:2", ["tokens": 2], id: "d"), first,
                ])
                #expect(outcomes[0].total() == 6 && outcomes[0].counted != nil)
                #expect(outcomes[2].total() == 8 && outcomes[1].total() == 9)
                #expect(outcomes[3].duplicate != nil)
                // Sent again in either name it is the same event.
                let again = await bench.record([event("guest:1", ["tokens": 1], id: "b")])
                #expect(again[0].duplicate != nil)
                let other = await bench.record([event("bob", ["tokens": 1], id: "b")])
                #expect(other[0].code == "idempotency_key_reused")
                // What the guest did can be undone, and the user has it no more.
                #expect(try await bench.engine.reverse(ByteString("a"), reason: .empty) != nil)
                let ann = try #require(try await bench.engine.reader.subject(subjectID("ann")))
                #expect(ann.totals.first?.total == 3 && ann.eventCount == 2)
                #expect(try await bench.leaders(.lifetime).map(\.value) == [9, 3])
                #expect(
                    try await bench.queries.user(ofGuest: subjectID("guest:1")) == subjectID("ann"))
            }
        }
    }

    @Test(arguments: [1, 2, 3]) func `Random merges come out as in a plain model`(
        seed: Int
    ) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let restoring = try await RestoreBench(redis, on: host.loop, clock: clock)
                let bench = restoring.bench
                var random = SeededGenerator(UInt64(seed))
                let users = (0..<4).map { "user\($0)" }
                let guests = (0..<8).map { "guest:\($0)" }
                var userOf: [String: String] = [:]
                var totals: [String: Int] = [:]
                var counts: [String: Int] = [:]
                var told: [String: [String]] = [:]
                var number = 0
                for round in 0..<40 {
                    let events = (0..<Int.random(in: 1...12, using: &random)).map { _ in
                        number += 1
                        let late = random.next() % 3 == 0 ? Int(random.next() % 6) * Self.day : 0
                        return event(
                            (users + guests).randomElement(using: &random) ?? "user0",
                            ["tokens": Int.random(in: 0...50, using: &random)], id: "e\(number)",
                            at: clock.now.milliseconds - late)
                    }
                    let outcomes = await bench.record(events)
                    for (event, outcome) in zip(events, outcomes) {
                        #expect(outcome.counted != nil)
                        let name = event.subject.id.text
                        let subject = userOf[name] ?? name
                        totals[subject, default: 0] += event.amounts[0].1
                        counts[subject, default: 0] += 1
                        told[subject, default: []].append(event.id?.text ?? "")
                    }
                    if random.next() % 4 == 0, let guest = guests.randomElement(using: &random) {
                        let user = users.randomElement(using: &random) ?? "user0"
                        let status = try await bench.merge(guest, into: user)
                        let old = userOf[guest]
                        #expect(
                            status == (old == nil ? .allowed : old == user ? .repeated : .conflict))
                        if old == nil {
                            userOf[guest] = user
                            totals[user, default: 0] += totals.removeValue(forKey: guest) ?? 0
                            counts[user, default: 0] += counts.removeValue(forKey: guest) ?? 0
                            told[user, default: []] += told.removeValue(forKey: guest) ?? []
                        }
                    }
                    if random.next() % 3 == 0 {
                        clock.advance(Int.random(in: 0...20_000_000, using: &random))
                    }
                    if random.next() % 5 == 0 { try await bench.closer.closeDays() }
                    if round % 10 == 5 { _ = try await bench.leaders(.days(7)) }
                }
                for subject in users + guests {
                    let usage = try await bench.engine.reader.subject(subjectID(subject))
                    #expect(
                        usage?.totals.first { $0.meter == .tokens }?.total ?? 0
                            == totals[subject] ?? 0, "\(subject)")
                    #expect(usage?.eventCount ?? 0 == counts[subject] ?? 0)
                    let ids = try await bench.told(of: subject, page: 7).map {
                        String($0.split(separator: " ")[0])
                    }
                    #expect(ids.sorted() == (told[subject] ?? []).sorted(), "\(subject)")
                }
                let leaders = try await bench.leaders(.lifetime)
                let expected = totals.filter { $0.value > 0 }
                #expect(
                    Dictionary(uniqueKeysWithValues: leaders.map { ($0.subject.text, $0.value) })
                        == expected)
                try await restoring.flushing.flush()
                #expect(try await restoring.verify().map { "\($0)" } == [])
            }
        }
    }

    @Test func `Of many at once one wins, and nothing is lost`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let one = await Bench(redis.socketPath, on: host.loop, clock: clock)
                let other = await Bench(redis.socketPath, on: host.loop, clock: clock)
                _ = await one.record(event("guest:1", ["tokens": 1000]))
                var counted = 0
                var number = 0
                func count() {
                    let bench = number % 2 == 0 ? one : other
                    bench.engine.record(event("guest:1", id: "n\(number)")) { outcome in
                        #expect(outcome.counted != nil)
                        counted += 1
                    }
                    number += 1
                }
                for _ in 0..<20 { count() }
                let left = Task { () async throws -> DecisionStatus in
                    _ = host
                    return try await one.merge("guest:1", into: "ann")
                }
                let right = Task { () async throws -> DecisionStatus in
                    _ = host
                    return try await other.merge("guest:1", into: "bob")
                }
                for _ in 0..<40 {
                    count()
                    await host.loop.sleep(for: .milliseconds(1))
                }
                let statuses = try await [left.value, right.value]
                while counted < 60 { await host.loop.sleep(for: .milliseconds(1)) }
                #expect(statuses.count { $0 == .allowed } == 1)
                #expect(statuses.count { $0 == .conflict } == 1)
                let winner = statuses[0] == .allowed ? "ann" : "bob"
                let usage = try await one.engine.reader.subject(subjectID(winner))
                #expect(usage?.totals.first?.total == 1060 && usage?.eventCount == 61)
                #expect(try await one.leaders(.days(1)).map(\.value) == [1060])
            }
        }
    }

    @Test func `Days that have left Redis come back to be merged`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let restoring = try await RestoreBench(
                    redis, on: host.loop, clock: clock, hotDays: 2)
                let bench = restoring.bench
                _ = await bench.record([
                    event("guest:1", ["tokens": 5]), event("ann", ["tokens": 1]),
                ])
                for _ in 0..<12 {
                    clock.advance(Self.day)
                    try await bench.closer.closeDays()
                    try await restoring.flushing.flush()
                }
                _ = await bench.record(event("guest:1", ["tokens": 2]))
                let plan = try await restoring.queries.mergePlan(of: subjectID("guest:1"))
                let merged = try await bench.engine.merge(plan, into: subjectID("ann"))
                #expect(merged.status == .allowed)
                let ann = try await bench.engine.reader.subject(subjectID("ann"))
                #expect(ann?.totals.first?.total == 8 && ann?.eventCount == 3)
                #expect(try await restoring.verify().map { "\($0)" } == [])
            }
        }
    }
}
