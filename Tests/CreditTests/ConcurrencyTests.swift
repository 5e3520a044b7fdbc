// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import Synchronization
import TestSupport
import Testing

private struct Attempt: Sendable {
    let id: String
    let cost: Int
    var outcome: EventOutcome?
}

/// A writer that charges one balance again and again, without waiting for others.
private final class Writer {
    private(set) var attempts: [Attempt] = []
    private let number: Int
    private let bench: Bench
    private let count: Int
    private var random: SeededGenerator
    private let done: () -> Void

    init(_ number: Int, on bench: Bench, count: Int, seed: UInt64, done: @escaping () -> Void) {
        self.number = number
        self.bench = bench
        self.count = count
        self.done = done
        random = SeededGenerator(seed &* 1000 &+ UInt64(number))
    }

    func step() {
        guard attempts.count < count else { return done() }
        let cost = Int.random(in: 1...8 * one, using: &random)
        let id = "\(number)/\(attempts.count)"
        attempts.append(Attempt(id: id, cost: cost, outcome: nil))
        bench.engine.record(event("a", ["credits_micro": cost], id: id, enforce: true)) { outcome in
            self.attempts[self.attempts.count - 1].outcome = outcome
            self.step()
        }
    }
}

@Suite(.timeLimit(.minutes(15))) struct ConcurrencyTests {
    /// What each of some writers asked for, and was told.
    private static func run(
        _ numbers: Range<Int>, on bench: Bench, seed: UInt64
    ) async -> [[Attempt]] {
        var writers: [Writer] = []
        await withCheckedContinuation { continuation in
            var running = numbers.count
            for number in numbers {
                writers.append(
                    Writer(number, on: bench, count: 12, seed: seed) {
                        running -= 1
                        if running == 0 { continuation.resume() }
                    })
            }
            for writer in writers { writer.step() }
        }
        return writers.map(\.attempts)
    }

    /// Runs 64 writers, half of them on each of two engines, which have loops and threads of their own.
    private static func runOnTwoThreads(
        _ redis: RedisServer, seed: UInt64
    ) async throws -> [[Attempt]] {
        let ready = Ready()
        @Sendable func half(_ numbers: Range<Int>) async throws -> [[Attempt]] {
            try await onLoop { host in
                let bench = try await Bench(
                    redis.socketPath, on: host.loop, clock: ManualClock(noon))
                // None of them begins while the other still connects.
                ready.count.wrappingAdd(1, ordering: .relaxed)
                while ready.count.load(ordering: .relaxed) < 2 {
                    await host.loop.sleep(for: .milliseconds(1))
                }
                let attempts = await run(numbers, on: bench, seed: seed)
                await bench.queries.stop()
                return attempts
            }
        }
        async let first = half(0..<32)
        async let second = half(32..<64)
        return try await first + second
    }

    private final class Ready: Sendable { let count = Atomic(0) }

    /// What one balance and its floor make of attempts, one after the other.
    private static func replay(
        _ lines: [LedgerLine], _ writers: [[Attempt]], floor: Int
    ) throws -> (charged: Int, denied: Int) {
        var costs: [String: Int] = [:]
        for attempt in writers.joined() { costs[attempt.id] = attempt.cost }
        var place: [String: Int] = [:]
        var balances: [Int] = []
        for line in lines {
            balances.append(line.balance)
            #expect(line.balance >= floor)
            guard line.kind == .charge else { continue }
            let id = try #require(line.reference).text
            #expect(place.updateValue(balances.count - 1, forKey: id) == nil, "charged twice")
            #expect(line.change == -(try #require(costs[id])))
        }
        var charged = 0
        var denied = 0
        for writer in writers {
            // A writer's attempts follow one another: so do the states that answered them.
            var earliest = 0
            for attempt in writer {
                switch try #require(attempt.outcome) {
                case .counted(let event):
                    let at = try #require(place[attempt.id])
                    #expect(at >= earliest)
                    #expect(event.balance == balances[at])
                    earliest = at
                    charged += attempt.cost
                case .refused(let verdict):
                    #expect(verdict.status == .creditsShort && place[attempt.id] == nil)
                    let balance = try #require(verdict.balance)
                    #expect(balance - attempt.cost < floor, "denied what there was")
                    let at = balances[earliest...].firstIndex(of: balance)
                    earliest = try #require(at, "a balance that never was, or not any more")
                    denied += 1
                default: Issue.record("\(attempt)")
                }
            }
        }
        #expect(charged == -lines.filter { $0.kind == .charge }.reduce(0) { $0 + $1.change })
        return (charged, denied)
    }

    @Test(arguments: [0, 1, 50 * one, 999 * one])
    func `64 writers on two threads never bring a balance below its floor`(
        overdraft: Int
    ) async throws {
        try await withBenches { _, left, right, redis in
            try await left.setPolicy(overdraft: overdraft)
            try await left.grant("a", 400 * one, id: "g", priority: 3)
            try await left.grant("a", 600 * one, id: "h", expires: noon + day)
            let writers = try await Self.runOnTwoThreads(redis, seed: UInt64(overdraft))
            let lines = try await right.checkedLedger("a", page: 50)
            let (charged, denied) = try Self.replay(lines, writers, floor: -overdraft)
            let account = try await right.account("a")
            #expect(account.balance == 1000 * one - charged)
            #expect(account.totalConsumed == charged && account.monthConsumed == charged)
            // They ask for three times as much as there is.
            #expect(writers.count == 64 && denied > 0)
            let usage = try await right.engine.reader.subject(subjectID("a"))
            #expect(usage?.totals.first { $0.meter == .creditsMicro }?.total == charged)
        }
    }

    @Test func `Checks that consume never share what is left`() async throws {
        try await withBenches { _, left, right, _ in
            try await left.grant("a", 10 * one, id: "g")
            var allowed = 0
            var balances: Set<Int> = []
            await withCheckedContinuation { continuation in
                var running = 64
                for number in 0..<64 {
                    let bench = number % 2 == 0 ? left : right
                    let decision = Decision(.consume, subject: subjectID("a"), credits: one)
                    bench.engine.decide(decision) { outcome in
                        if case .decided(let verdict) = outcome, verdict.status == .allowed {
                            allowed += 1
                            balances.insert(verdict.balance ?? -1)
                        }
                        running -= 1
                        if running == 0 { continuation.resume() }
                    }
                }
            }
            #expect(allowed == 10)
            #expect(balances == Set((0..<10).map { $0 * one }))
            try await left.checkedLedger("a")
        }
    }
}
