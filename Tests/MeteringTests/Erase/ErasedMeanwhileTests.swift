// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Redis
import TestSupport
import Testing

@testable import Metering

/// What comes of a subject while its erasure waits.
@Suite(.timeLimit(.minutes(10))) struct ErasedMeanwhileTests {
    /// Notes an erasure that nobody works at yet.
    private static func note(
        _ name: String, _ step: Erasure.Step, _ world: RestoreBench
    ) async throws -> String {
        let subject = subjectID(name)
        var erasure = Erasure(
            of: subject, as: Erasure.makeAnonymous(for: subject), texts: [], at: world.clock.now)
        erasure.step = step
        let store = ErasureStore(world.bench.client, Keyspace(world.settings))
        return try await store.begin(erasure, of: subject)
    }

    @Test func `What a guest used who becomes a user first is the user's, and stays whole`()
        async throws
    {
        try await withErasures { _, world, _ in
            let (guest, user) = (subjectID("guest:g"), subjectID("ann"))
            _ = await world.bench.record(event("ann", ["tokens": 1]))
            #expect(
                await world.bench.record(event("guest:g", ["tokens": 10], id: "g1")).counted
                    != nil)
            // In demo mode it is by a mark of its own, which goes as well.
            try await world.queries.put("guest:g", #"{"demo":true}"#)
            let plan = try await world.queries.mergePlan(of: guest)
            let id = try await Self.note("guest:g", .person, world)
            // From now on a merge is put off; this one was just a bit faster.
            await #expect(throws: MeteringError.self) {
                _ = try await world.queries.mergePlan(of: guest)
            }
            #expect(try await world.bench.engine.merge(plan, into: user).status == .allowed)
            let erasure = try await world.endErasing(id)
            #expect(erasure.isMerged && erasure.erasedAt == nil)
            #expect(erasure.keptEventCount == 0)
            #expect(try await world.queries.user(ofGuest: guest) == user)
            let again = await world.bench.record(event("guest:g", ["tokens": 10], id: "g1"))
            #expect(again.duplicate != nil, "\(again)")
            var query = EventQuery()
            query.subject = user
            let page = try await world.queries.events(query, limit: 10, after: nil)
            #expect(page.events.count == 2)
            #expect(try await world.queries.differences(world.folder) == [])
            // As a restore has it.
            try await world.flushing.flush()
            _ = try await world.restore(isForced: true)
            let restored = try #require(try await world.queries.erasure(id))
            #expect(restored.isMerged)
            #expect(try await world.queries.differences(world.folder) == [])
        }
    }

    @Test func `What becomes known of a person while the erasure waits is removed, too`()
        async throws
    {
        try await withErasures { _, world, redis in
            #expect(await world.bench.record(event("ann", ["tokens": 1])).counted != nil)
            // Who she was is removed already.
            let id = try await Self.note("ann", .usage, world)
            try await world.queries.put(
                "ann", #"{"email":"\#(mark)@example.com","full_name":"Ms \#(mark)"}"#)
            #expect(try await world.endErasing(id).removed[.profiles] == 1)
            #expect(try await world.bench.keysHolding([mark]) == [])
            #expect(try await world.queries.differences(world.folder) == [])
        }
    }

    @Test func `Who was in demo mode is on no board afterwards either`() async throws {
        try await withErasures { _, world, _ in
            for (name, tokens) in [("ann", 5), ("demo", 900), ("bob", 1)] {
                let made = [
                    event(name, ["tokens": tokens]),
                    event(name, ["tokens": tokens], at: noon - 2 * RestoreBench.days),
                ]
                #expect(await world.bench.record(made).allSatisfy { $0.counted != nil })
            }
            try await world.queries.put("demo", #"{"demo":true,"full_name":"Ms \#(mark)"}"#)
            func ranks() async throws -> [[String]] {
                var ranks: [[String]] = []
                for window in [LeaderboardWindow.lifetime, .days(1), .days(7)] {
                    // It may have to be built first.
                    var page = try? await world.queries.leaderboard(
                        .tokens, window, limit: 10, after: nil)
                    while page == nil {
                        await world.rest()
                        page = try? await world.queries.leaderboard(
                            .tokens, window, limit: 10, after: nil)
                    }
                    ranks.append(page?.entries.map { "\($0.subject.text) \($0.value)" } ?? [])
                }
                return ranks
            }
            let before = try await ranks()
            #expect(before == [["ann 10", "bob 2"], ["ann 5", "bob 1"], ["ann 10", "bob 2"]])
            let erasure = try await world.erase("demo")
            #expect(erasure.kept.map(\.total) == [1_800])
            #expect(try await ranks() == before)
            #expect(try await world.queries.differences(world.folder) == [])
            // Whoever has the id next is somebody else.
            _ = await world.bench.record(event("demo", ["tokens": 3]))
            #expect(try await ranks()[0] == ["ann 10", "demo 3", "bob 2"])
            try await world.flushing.flush()
            _ = try await world.restore(isForced: true)
            #expect(try await ranks()[0] == ["ann 10", "demo 3", "bob 2"])
            #expect(try await world.queries.differences(world.folder) == [])
            let name = erasure.anonymous.id.bytes
            let demo = Keyspace(world.settings).demo
            _ = try await world.bench.client.send(RedisCommand("SREM", [demo, name]))
            #expect(try await world.queries.differences(world.folder).count == 1)
        }
    }

    @Test func `A user of any number of merged guests can be erased`() async throws {
        try await withErasures { _, world, redis in
            #expect(await world.bench.record(event("ann", ["tokens": 1])).counted != nil)
            for first in stride(from: 0, to: 9_000, by: 1_000) {
                let pairs = (first..<first + 1_000).map { "guest:\($0) ann" }
                _ = try redis.request(
                    "HSET t1:{default}:merged \(pairs.joined(separator: " "))")
            }
            let erasure = try await world.erase("ann")
            #expect(erasure.removed[.guests] == 9_000)
            #expect(try redis.request("HLEN t1:{default}:merged") == ":0\r\n")
        }
    }
}
