// SPDX-License-Identifier: Apache-2.0

import Metering
import Redis
import TestSupport
import Testing

/// What counting means, in its plainest form.
private struct Model {
    var totals: [String: [String: Int]] = [:]
    var days: [Int: [String: Int]] = [:]
    var counted: [String: (subject: String, amounts: [String: Int])] = [:]
    var times: [String: (first: Int, last: Int)] = [:]
    var hours: [Int: Int] = [:]
    var recent: [String: [Int]] = [:]

    mutating func count(_ subject: String, _ amounts: [String: Int], at time: Int) {
        for (meter, amount) in amounts {
            totals[subject, default: [:]][meter, default: 0] += amount
        }
        days[time / 86_400_000, default: [:]][subject, default: 0] += amounts["tokens"] ?? 0
        let (first, last) = times[subject] ?? (time, time)
        times[subject] = (min(first, time), max(last, time))
        hours[time / 3_600_000, default: 0] += amounts["tokens"] ?? 0
        recent[subject, default: []].insert(time, at: 0)
    }

    static func leaders(_ values: [String: Int], _ limit: Int) -> [LeaderboardEntry] {
        let sorted = values.filter { $0.value > 0 }.sorted { left, right in
            left.value != right.value
                ? left.value > right.value : ByteString(left.key) < ByteString(right.key)
        }
        return sorted.prefix(limit).map {
            LeaderboardEntry(subject: ByteString($0.key), value: $0.value)
        }
    }
}

@Suite(.timeLimit(.minutes(15))) struct ModelTests {
    @Test(arguments: [UInt64(1), 2, 3, 4, 5, 6])
    func `Random events over many days agree with the model`(seed: UInt64) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                var random = SeededGenerator(seed)
                let clock = ManualClock(noon)
                // Two engines, as two processes would have, on one Redis.
                // Ids are remembered for longer than the test goes on.
                let settings = WorkspaceSettings(idempotencyHours: 840)
                let benches = [
                    await Bench(redis.socketPath, on: host.loop, clock: clock, settings: settings),
                    await Bench(redis.socketPath, on: host.loop, clock: clock, settings: settings),
                ]
                var model = Model()
                var ids: [String] = []
                for round in 0..<60 {
                    let events = (0..<Int.random(in: 1...40, using: &random)).map { _ in
                        Self.randomEvent(&ids, model, clock, &random)
                    }
                    let bench = benches[round % 2]
                    let outcomes = await bench.record(events)
                    for (event, outcome) in zip(events, outcomes) {
                        Self.check(event, outcome, &model, clock)
                    }
                    if random.next() % 3 == 0 {
                        clock.advance(Int.random(in: -5_000...50_000_000, using: &random))
                    }
                    if random.next() % 10 == 0 { try await bench.closer.closeDays() }
                    if round % 6 == 5 { try await Self.compare(model, bench, clock) }
                }
                try await Self.compare(model, benches[0], clock)
            }
        }
    }

    private static func randomEvent(
        _ ids: inout [String], _ model: Model, _ clock: ManualClock, _ random: inout SeededGenerator
    ) -> UsageEvent {
        // Skewed, so that batches hold the same subject several times.
        let subject =
            "s\(Int.random(in: 0...Int.random(in: 0...40, using: &random), using: &random))"
        let now = clock.now.milliseconds
        let times: [Int?] = [
            nil, nil, nil, now, now - Int.random(in: 0...700_000_000, using: &random),
            now + 200_000,
        ]
        let time = times[Int.random(in: 0..<times.count, using: &random)]
        var id: String?
        if random.next() % 2 == 0 {
            if random.next() % 4 == 0, let old = ids.randomElement(using: &random),
                let was = model.counted[old]
            {
                // Mostly a true repetition; its time may differ if it was never given.
                return event(was.subject, was.amounts, id: old)
            }
            id = "id-\(ids.count)-\(random.next())"
            ids.append(id ?? "")
        }
        let amounts = [
            "tokens": Int.random(in: 0...20, using: &random),
            "files": Int.random(in: 0...3, using: &random),
        ]
        // Events with an id carry no time here, so that a repetition is the same payload.
        return event(subject, amounts, id: id, at: id == nil ? time : nil)
    }

    private static func check(
        _ event: UsageEvent, _ outcome: EventOutcome, _ model: inout Model, _ clock: ManualClock
    ) {
        let subject = event.subject.id.text
        let amounts = Dictionary(uniqueKeysWithValues: event.amounts.map { ($0.0.name, $0.1) })
        if let id = event.id?.text, model.counted[id] != nil {
            #expect(outcome.duplicate != nil)
            return
        }
        model.count(subject, amounts, at: event.time?.milliseconds ?? clock.now.milliseconds)
        if let id = event.id?.text { model.counted[id] = (subject, amounts) }
        #expect(outcome.counted != nil)
        #expect(outcome.total() == model.totals[subject]?["tokens"])
    }

    private static func compare(_ model: Model, _ bench: Bench, _ clock: ManualClock) async throws {
        let reader = bench.engine.reader
        for (subject, totals) in model.totals {
            let usage = try #require(try await reader.subject(subjectID(subject)))
            #expect(
                Dictionary(uniqueKeysWithValues: usage.totals.map { ($0.meter.name, $0.total) })
                    == totals)
            #expect(usage.firstEventAt.milliseconds == model.times[subject]?.first)
            #expect(usage.lastEventAt.milliseconds == model.times[subject]?.last)
            let recent = (model.recent[subject] ?? []).prefix(50)
            #expect(usage.eventCount == model.recent[subject]?.count)
            #expect(usage.recent.map(\.time.milliseconds) == Array(recent))
        }
        let lifetime = model.totals.mapValues { $0["tokens"] ?? 0 }
        for limit in [1, 3, 10, 100] {
            let leaders = try await bench.leaders(.lifetime, limit: limit)
            #expect(leaders == Model.leaders(lifetime, limit))
        }
        for (day, values) in model.days {
            let leaders = try await bench.leaders(.day(CivilDay(number: day)), limit: 10)
            #expect(leaders == Model.leaders(values, 10))
            let cells = try await bench.queries.hourlyUsage(CivilDay(number: day)).cells
            for hour in day * 24..<day * 24 + 24 {
                let sum = cells.filter { $0.hour == hour * 3600 }.flatMap(\.sums).filter {
                    $0.meter == tokens
                }
                #expect(sum.reduce(0) { $0 + $1.total } == model.hours[hour] ?? 0)
            }
        }
    }
}
