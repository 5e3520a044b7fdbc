// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct BoardLoadTests {
    /// Shared by tasks of one loop.
    private final class Writing {
        var model = BoardModel(calendar: .utc)
        /// What was acknowledged, by subject; the days do not matter here.
        var acknowledged: [ByteString: Int] = [:]
        var sent: [ByteString: Int] = [:]
        var isOver = false
    }

    private static let pairs = 700

    @Test(arguments: [UInt64(21), 22])
    func `An answer is one instant behind all that was acknowledged, while events keep coming`(
        seed: UInt64
    ) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let writing = Writing()
                var tasks: [Task<Void, any Error>] = []
                for writer in 0..<2 {
                    let bench = await Bench(redis.socketPath, on: host.loop, clock: clock)
                    tasks.append(
                        Task {
                            // On the loop of the host, as all the rest.
                            _ = host
                            var random = SeededGenerator(seed * 100 + UInt64(writer))
                            while !writing.isOver {
                                try await Self.write(bench, writing, clock, &random)
                                if random.next() % 20 == 0 { try await bench.closer.closeDays() }
                                await host.loop.sleep(for: .milliseconds(20))
                            }
                        })
                }
                try await withQueries(3, redis.socketPath, on: host, clock: clock) { engines in
                    var random = SeededGenerator(seed)
                    for round in 0..<30 {
                        // The last engine comes late and finds boards that others have made.
                        let engine = engines[round < 18 ? round % 2 : Int(random.next() % 3)]
                        let windows: [LeaderboardWindow] = [
                            .lifetime, .days(30), .days(300), .days(2), .month,
                        ]
                        let window = windows[round % windows.count]
                        let before = writing.acknowledged
                        let page = try await engine.page(tokens, window)
                        try Self.check(
                            page, window == .lifetime || window == .days(300) ? before : [:],
                            writing.sent)
                        if round == 12 { clock.set(noon + 14 * 3_600_000 - 500) }
                        if round > 12 { clock.advance(300) }
                    }
                    writing.isOver = true
                    for task in tasks { try await task.value }
                    let today = WorkspaceCalendar.utc.day(at: clock.now.milliseconds / 1000)
                    for engine in engines {
                        for window in [LeaderboardWindow.lifetime, .days(30), .days(2), .month] {
                            let entries = try await engine.all(tokens, window)
                            #expect(
                                entries == writing.model.entries(tokens, window.days(on: today)))
                        }
                    }
                }
            }
        }
    }

    /// Both of a pair are counted in one step: an answer that tells them apart is of no instant.
    private static func check(
        _ page: LeaderboardPage, _ before: [ByteString: Int], _ sent: [ByteString: Int]
    ) throws {
        var values: [ByteString: Int] = [:]
        for entry in page.entries { values[entry.subject] = entry.value }
        // The page ends somewhere: who has less than its last is not on it.
        let least = page.next == nil ? 0 : page.entries.last?.value ?? 0
        for entry in page.entries where entry.value > least {
            let other = String(entry.subject.text.dropFirst())
            let twin = (entry.subject.text.hasPrefix("p") ? "q" : "p") + other
            #expect(values[ByteString(twin)] == entry.value, "\(entry.subject.text)")
            #expect(entry.value <= sent[entry.subject] ?? 0)
        }
        for (subject, value) in before where value > least {
            #expect(values[subject] ?? 0 >= value, "\(subject.text)")
        }
    }

    private static func write(
        _ bench: Bench, _ writing: Writing, _ clock: ManualClock, _ random: inout SeededGenerator
    ) async throws {
        var events: [UsageEvent] = []
        // Of so many subjects that a change of a board takes several steps.
        for _ in 0..<Int.random(in: 1...250, using: &random) {
            let amounts = ["tokens": Int.random(in: 1...5, using: &random)]
            let number = Int.random(in: 0..<pairs, using: &random)
            let late = random.next() % 6 == 0 ? Int(random.next() % 200_000_000) : 0
            for name in ["p", "q"] {
                let event = event(
                    "\(name)\(number)", amounts, id: "\(random.next())",
                    at: clock.now.milliseconds - late)
                events.append(event)
                writing.sent[event.subject.id, default: 0] += amounts["tokens"] ?? 0
            }
        }
        var open = events
        while !open.isEmpty {
            let outcomes = await bench.record(open)
            open = zip(open, outcomes).filter { $1.counted == nil && $1.duplicate == nil }.map(\.0)
        }
        for event in events {
            writing.model.count(event, at: event.time?.milliseconds ?? 0)
            writing.acknowledged[event.subject.id, default: 0] += event.amounts.first?.1 ?? 0
        }
    }
}
