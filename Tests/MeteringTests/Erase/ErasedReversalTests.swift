// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import Metering
import Redis
import TestSupport
import Testing

/// What is undone while its subject is erased.
@Suite(.timeLimit(.minutes(10))) struct ErasedReversalTests {
    /// Where an erasure is held up, by a key that it cannot read there.
    enum Obstacle: String, CaseIterable, Sendable {
        /// What was used has moved; the subject is not taken out yet.
        case grants
        /// It is taken out, and the log still names it.
        case audit

        fileprivate func put(_ redis: RedisServer) throws {
            try redis.request("SET t1:{default}:\(self) x")
        }
        fileprivate func remove(_ redis: RedisServer) throws {
            try redis.request("DEL t1:{default}:\(self)")
        }
    }

    /// Runs a test's body with somebody who was counted yesterday and today.
    private static func withAnn(
        _ body: @Sendable (isolated LoopHost, RestoreBench, RedisServer) async throws -> Void
    ) async throws {
        try await withErasures { host, world, redis in
            let counted = await world.bench.record([
                event("ann", ["tokens": 5], id: "old", at: noon - RestoreBench.days),
                event("ann", ["tokens": 7], id: "today"),
                event("guest:1", ["tokens": 3], id: "of guest", at: noon - RestoreBench.days),
                event("bob", ["tokens": 1]),
            ])
            #expect(counted.allSatisfy { $0.counted != nil })
            #expect(try await world.mergeAll("guest:1", into: "ann") == 1)
            try await world.flushing.flush()
            try await body(host, world, redis)
        }
    }

    /// Begins an erasure that comes to an obstacle.
    private static func begin(_ world: RestoreBench) async throws -> Erasure {
        let begun = try await world.beginErasing("ann")
        #expect(await world.queries.goOnErasing() != nil)
        return begun
    }

    private static func tokens(_ subject: SubjectID, _ world: RestoreBench) async throws -> Int {
        let usage = try await world.bench.engine.reader.subject(subject)
        return usage?.totals.first { $0.meter == .tokens }?.total ?? 0
    }

    private static func isPutOff(_ outcome: EventOutcome?) -> Bool {
        if case .postponed(let reason, _) = outcome {
            reason.contains("being erased")
        } else {
            false
        }
    }

    @Test(arguments: Obstacle.allCases, [true, false])
    func `An event that was moved is not undone for whoever comes after`(
        obstacle: Obstacle, isAnother: Bool
    ) async throws {
        try await Self.withAnn { host, world, redis in
            try obstacle.put(redis)
            let erasure = try await Self.begin(world)
            #expect(await world.bench.record(event("ann", ["tokens": 19], id: "X")).counted != nil)
            for id in ["old", "today", "of guest"] {
                #expect(
                    Self.isPutOff(
                        try await world.bench.engine.reverse(ByteString(id), reason: .empty)),
                    "\(id)")
            }
            // Of others, and of who is new, it is done.
            #expect(await world.bench.record(event("ann", ["tokens": 2], id: "Z")).counted != nil)
            if obstacle == .audit {
                #expect(
                    try await world.bench.engine.reverse(ByteString("Z"), reason: .empty)?.counted
                        != nil)
            }
            #expect(await world.bench.record(event("bob", ["tokens": 2], id: "B")).counted != nil)
            #expect(
                try await world.bench.engine.reverse(ByteString("B"), reason: .empty)?.counted
                    != nil)
            try obstacle.remove(redis)
            if isAnother {
                // Another process goes on with it.
                let next = await world.another()
                while try await next.erasure(erasure.id)?.isDone == false {
                    _ = await next.goOnErasing()
                }
                await next.stop()
            } else {
                try await world.endErasing(erasure.id)
            }
            for id in ["old", "today", "of guest"] {
                #expect(
                    try await world.bench.engine.reverse(ByteString(id), reason: .empty) == nil,
                    "\(id)")
            }
            let isMoved = obstacle == .grants
            #expect(try await Self.tokens(subjectID("ann"), world) == (isMoved ? 0 : 19))
            #expect(try await Self.tokens(erasure.anonymous, world) == (isMoved ? 36 : 15))
            try await world.flushing.flush()
            #expect(try await world.verify().map { "\($0)" } == [])
        }
    }

    /// What a version before could leave behind: sums below 0, or sums without events.
    @Test(arguments: [nil, 0, 1], [5, 19])
    func `Sums that are left with no event more than one less come to an end`(
        daysAgo: Int?, tokens: Int
    ) async throws {
        try await Self.withAnn { _, world, redis in
            try Obstacle.grants.put(redis)
            let erasure = try await Self.begin(world)
            if let daysAgo {
                let made = event(
                    "ann", ["tokens": tokens], id: "X", at: noon - daysAgo * RestoreBench.days)
                #expect(await world.bench.record(made).counted != nil)
            }
            // As long as it is not known to be under way, the event is undone for who is new.
            try redis.request("SREM t1:{default}:erasures:open \(erasure.id)")
            #expect(
                try await world.bench.engine.reverse(ByteString("old"), reason: .empty)?.counted
                    != nil)
            try redis.request("SADD t1:{default}:erasures:open \(erasure.id)")
            try Obstacle.grants.remove(redis)
            try await world.endErasing(erasure.id)
            #expect(try await world.bench.engine.reader.subject(subjectID("ann")) == nil)
            let kept = 10 + (daysAgo == nil ? 0 : tokens)
            #expect(try await Self.tokens(erasure.anonymous, world) == kept)
            try await world.flushing.flush()
            #expect(try await world.verify().map { "\($0)" } == [])
        }
    }

    @Test func `After an erasure all is undone as before it, but what it has moved`()
        async throws
    {
        try await Self.withAnn { _, world, _ in
            _ = try await world.erase("ann")
            let engine = world.bench.engine
            #expect(await world.bench.record(event("ann", ["tokens": 19], id: "X")).counted != nil)
            #expect(try await engine.reverse(ByteString("X"), reason: .empty)?.counted != nil)
            #expect(try await engine.reverse(ByteString("old"), reason: .empty) == nil)
            try await world.flushing.flush()
            #expect(try await world.verify().map { "\($0)" } == [])
        }
    }

    /// What was counted for a few subjects that are erased again and again.
    private final class Model {
        var sums: [String: Int] = [:]
        var live: [(id: String, name: String, tokens: Int)] = []
        var anonymous: [String: Set<SubjectID>] = [:]
        var isOver = false
    }

    private static func use(
        _ world: RestoreBench, _ model: Model, _ number: Int, _ random: inout SeededGenerator
    ) async throws {
        let name = ["ann", "bob", "eve"][Int(random.next() % 3)]
        if random.next() % 3 == 0, let made = model.live.randomElement(using: &random) {
            let outcome = try await world.bench.engine.reverse(ByteString(made.id), reason: .empty)
            guard outcome?.counted != nil else { return }
            model.sums[made.name, default: 0] -= made.tokens
            model.live.removeAll { $0.id == made.id }
        } else {
            let tokens = Int(random.next() % 1_000)
            let time = noon - Int(random.next() % 4) * RestoreBench.days
            let made = event(name, ["tokens": tokens], id: "e\(number)", at: time)
            // Held back for a moment at times; nothing is counted then.
            guard await world.bench.record(made).counted != nil else { return }
            model.sums[name, default: 0] += tokens
            model.live.append(("e\(number)", name, tokens))
        }
    }

    @Test(arguments: [1, 2, 3])
    func `Events, reversals and erasures at once leave the sums of what counts`(
        seed: UInt64
    ) async throws {
        try await withErasures { host, world, _ in
            let model = Model()
            let working = Task { () async throws in
                _ = host
                var random = SeededGenerator(seed)
                var number = 0
                while !model.isOver {
                    number += 1
                    try await Self.use(world, model, number, &random)
                    if random.next() % 4 == 0 { await world.rest() }
                }
            }
            for round in 0..<6 {
                let name = ["ann", "bob", "eve"][round % 3]
                await host.loop.sleep(for: .milliseconds(30))
                guard try await world.bench.engine.reader.subject(subjectID(name)) != nil else {
                    continue
                }
                let erasure = try await world.erase(name)
                model.anonymous[name, default: []].insert(erasure.anonymous)
            }
            model.isOver = true
            try await working.value
            for name in ["ann", "bob", "eve"] {
                var sum = try await Self.tokens(subjectID(name), world)
                for other in model.anonymous[name] ?? [] {
                    sum += try await Self.tokens(other, world)
                }
                #expect(sum == model.sums[name] ?? 0, "\(name)")
            }
            try await world.flushing.flush()
            #expect(try await world.verify().map { "\($0)" } == [])
        }
    }
}
