// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import Redis
import TestSupport
import Testing

/// Who uses the id of somebody whose erasure stands still, and is erased, too.
@Suite(.timeLimit(.minutes(10))) struct ErasedAgainTests {
    /// So many that in one of them the second erasure goes on before the first: which does is by chance.
    private static let names = (0..<12).map { "u\($0)" }

    private static func count(
        _ tokens: Int, guest: String?, _ world: RestoreBench
    ) async throws {
        for name in names {
            let made = [
                event(
                    name, ["tokens": tokens],
                    at: world.clock.now.milliseconds - RestoreBench.days),
                event(name, ["tokens": 2 * tokens]),
            ]
            #expect(await world.bench.record(made).allSatisfy { $0.counted != nil })
        }
        guard let guest else { return }
        let outcome = await world.bench.record(event(guest, ["tokens": 3 * tokens]))
        #expect(outcome.counted != nil)
        #expect(try await world.mergeAll(guest, into: names[0]) == 1)
    }

    /// What single events say that each of some subjects used.
    private static func tokens(_ world: RestoreBench) async throws -> [ByteString: Int] {
        var sums: [ByteString: Int] = [:]
        var cursor: String?
        repeat {
            let page = try await world.queries.events(EventQuery(), limit: 1_000, after: cursor)
            for event in page.events.map(\.recorded) {
                let amount = event.amounts.first { $0.0 == .tokens }?.1 ?? 0
                sums[event.subject, default: 0] += amount
            }
            cursor = page.next
        } while cursor != nil
        return sums
    }

    @Test(arguments: [false, true])
    func `Each erasure takes out of the log what was counted for its own person`(
        isAnotherDay: Bool
    ) async throws {
        try await withErasures { _, world, redis in
            var expected: [ByteString: Int] = [:]
            // The log cannot be searched: all of them come to that step, and no further.
            try redis.request("SET t1:{default}:audit x")
            for tokens in [1, 100, 10_000] {
                try await Self.count(tokens, guest: tokens > 100 ? nil : "guest:1", world)
                for name in Self.names {
                    let erasure = try await world.beginErasing(name)
                    #expect(await world.queries.goOnErasing() != nil)
                    let isUser = name == Self.names[0] && tokens <= 100
                    expected[erasure.anonymous.id] = (isUser ? 6 : 3) * tokens
                }
                if isAnotherDay { world.clock.advance(3 * RestoreBench.days) }
            }
            try redis.request("DEL t1:{default}:audit")
            // A round that began before may have found it still.
            _ = await world.queries.goOnErasing()
            let why = await world.queries.goOnErasing()
            #expect(why == nil)
            #expect(try redis.request("SCARD t1:{default}:erasures:open") == ":0\r\n")
            #expect(try await Self.tokens(world) == expected)
            for (anonymous, tokens) in expected {
                let usage = try await world.bench.engine.reader.subject(
                    subjectID(anonymous.text))
                #expect(usage?.totals.first { $0.meter == .tokens }?.total == tokens)
            }
            try await world.flushing.flush()
            #expect(try await world.verify().map { "\($0)" } == [])
        }
    }

    @Test func `An erasure takes out of the log what was counted while the clock was ahead`()
        async throws
    {
        try await withErasures { _, world, _ in
            let name = "a-\(mark)"
            let other = world.clock.now.milliseconds
            for ahead in [4, 0] {
                world.clock.set(other + ahead * RestoreBench.days)
                for id in ["first", "last"] {
                    let outcome = await world.bench.record(
                        event(name, ["tokens": 10], id: "\(id)-\(ahead)-\(mark)"))
                    #expect(outcome.counted != nil)
                    #expect(await world.bench.record(event("b")).counted != nil)
                }
            }
            let erasure = try await world.erase(name)
            #expect(try await world.bench.keysHolding([mark]) == [])
            #expect(try await Self.tokens(world)[erasure.anonymous.id] == 40)
        }
    }

    @Test func `Who waited for a round that failed gets another one`() async throws {
        try await withErasures { _, world, redis in
            for count in 0..<20 {
                #expect(await world.bench.record(event("a", ["tokens": 1])).counted != nil)
                try redis.request("SET t1:{default}:audit x")
                _ = try await world.beginErasing("a")
                // Of those who wait for one round each may be the first to learn how it ended.
                let queries = world.queries
                let others = (0..<3).map { _ in Task { await queries.goOnErasing() } }
                _ = await queries.goOnErasing()
                try redis.request("DEL t1:{default}:audit")
                let first = await queries.goOnErasing()
                #expect(first == nil, "\(count)")
                for other in others { _ = await other.value }
            }
        }
    }
}
