// SPDX-License-Identifier: Apache-2.0

import Foundation
import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct SnapshotLoadTests {
    /// Shared by tasks of one loop.
    private final class Writing {
        var model = SnapshotModel(calendar: .utc)
        var isOver = false
        var running = 0
        /// By writer: who is behind the clock of another does not find what that counted.
        var counted: [Int: [UsageEvent]] = [:]
        var reversed = 0
    }

    /// - Parameter ahead: of the clock of one process, in days.
    @Test(arguments: [(UInt64(11), 0), (12, 0), (13, 3)])
    func `Every snapshot is one instant, while events keep coming`(
        seed: UInt64, ahead: Int
    ) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let flushing = try await FlushBench(
                    redis.socketPath, on: host.loop, clock: clock, idByteCountMax: 4_000)
                let writing = Writing()
                var tasks: [Task<Void, any Error>] = []
                for writer in 0..<3 {
                    let days = writer == 0 ? ahead : 0
                    let bench = await Bench(
                        redis.socketPath, on: host.loop,
                        clock: days == 0 ? clock : ManualClock(noon + days * 86_400_000))
                    writing.running += 1
                    tasks.append(
                        Task {
                            // On the loop of the host, as all the rest.
                            _ = host
                            var random = SeededGenerator(seed * 100 + UInt64(writer))
                            while !writing.isOver {
                                try await Self.write(bench, writer, writing, clock, &random)
                            }
                            writing.running -= 1
                        })
                }
                var revision = 0
                var changes = 0
                for round in 0..<12 {
                    let days = try await flushing.flush()
                    if let day = days["2026-11-21"] {
                        #expect(day.revision > revision)
                        revision = day.revision
                        changes += 1
                    }
                    // Over midnight, so that subjects leave the day while it is read.
                    if round == 6 { clock.set(noon + 14 * 3_600_000 - 500) }
                    if round > 6 { clock.advance(300) }
                }
                writing.isOver = true
                for task in tasks { try await task.value }
                #expect(changes > 6)
                #expect(writing.reversed > 0)
                writing.model.check(try await flushing.flush())
            }
        }
    }

    private static func write(
        _ bench: Bench, _ writer: Int, _ writing: Writing, _ clock: ManualClock,
        _ random: inout SeededGenerator
    ) async throws {
        let now = clock.now.milliseconds
        let events = (0..<Int.random(in: 1...60, using: &random)).map { _ in
            let time = random.next() % 8 == 0 ? now - Int(random.next() % 200_000_000) : now
            return event(
                "s\(random.next() % 1500)",
                ["tokens": Int(random.next() % 50), "files": Int(random.next() % 2)],
                id: "\(random.next())", at: time, action: "a\(random.next() % 3)",
                model: "m\(random.next() % 20)")
        }
        var open = events
        while !open.isEmpty {
            // What a slow machine left without an answer is sent again, by its id.
            let outcomes = await bench.record(open)
            for case .rejected(let rejection) in outcomes {
                throw MeteringError.damaged(what: "\(rejection)")
            }
            open = zip(open, outcomes).filter { $1.counted == nil && $1.duplicate == nil }.map(\.0)
        }
        for event in events {
            writing.model.count(event, at: event.time?.milliseconds ?? 0)
            if random.next() % 20 == 0 { writing.counted[writer, default: []].append(event) }
        }
        let own = writing.counted[writer, default: []]
        if random.next() % 4 == 0, let event = own.randomElement(using: &random) {
            writing.counted[writer]?.removeAll { $0.id == event.id }
            var outcome: EventOutcome?
            while outcome?.counted == nil, outcome?.duplicate == nil {
                outcome = try await bench.engine.reverse(try #require(event.id), reason: .empty)
                switch outcome {
                case .unavailable, .postponed: continue
                default: break
                }
                try #require(
                    outcome?.counted != nil || outcome?.duplicate != nil, "\(outcome as Any)")
            }
            writing.model.count(event, at: event.time?.milliseconds ?? 0, sign: -1)
            writing.reversed += 1
        }
        if random.next() % 50 == 0 { try await bench.closer.closeDays() }
    }
}
