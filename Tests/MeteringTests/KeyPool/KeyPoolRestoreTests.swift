// SPDX-License-Identifier: Apache-2.0

import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct KeyPoolRestoreTests {
    @Test func `Pools come back from a snapshot, with their secrets and what was ever counted`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let bench = try await RestoreBench(redis, on: host.loop, clock: clock)
                let queries = bench.queries
                let ids = try await queries.stock(
                    (0..<450).map { $0 % 5 == 0 ? nil : 700 + $0 }, prefix: "sk-secret-number")
                try await queries.stock([5000, 900], provider: poolProvider("openai"))
                try await queries.stock([1, 2], prefix: "dead", status: "dead")
                try await queries.setPoolThreshold(900, of: poolProvider("openai"))
                let taken = try await queries.assign(120, to: "5")
                _ = try await queries.assign(2, to: "6", provider: poolProvider("openai"))
                for id in taken.prefix(30) {
                    clock.advance(5)
                    _ = try await queries.report(id, "active", "\(id)", error: #""é\n""#)
                }
                _ = try await queries.report(taken[30], "dead", "null")
                for id in taken.suffix(40) + taken.prefix(3) { _ = try await queries.unassign(id) }
                _ = try await queries.deletePoolKey(ids[7], of: poolProvider())
                let before = try await Self.picture(queries)
                #expect(before.holders[0]?.received == 120)
                try await bench.flushing.flush()
                #expect(try await bench.verify() == [])
                let next = try await queries.assign(9, to: "7")

                _ = try await bench.restore(isForced: true)
                let after = try await Self.picture(queries)
                #expect(after.keys == before.keys)
                #expect(after.held == before.held)
                #expect(after.recent == before.recent)
                #expect(after.holders == before.holders)
                #expect(after.keys.count == 453)
                #expect(try await queries.poolThreshold(of: poolProvider("openai")) == 900)
                // It goes on as if nothing had been.
                #expect(try await queries.assign(9, to: "7") == next)
                let again = try await queries.stock([1, 2], prefix: "sk-secret-number")
                #expect(again == [])
                let new = try await queries.stock([1], prefix: "new")
                #expect((new.first ?? 0) > (ids.last ?? .max))
                #expect(try await queries.report(taken[10]) == false)
                try await bench.flushing.flush()
                #expect(try await bench.verify() == [])
                await queries.stop()
            }
        }
    }

    private struct Picture {
        var keys: [PoolKeyDetail] = []
        var held: [PoolKeyDetail] = []
        var recent: [Int] = []
        var holders: [PoolHolder?] = []
    }

    private static func picture(_ queries: QueryEngine) async throws -> Picture {
        var picture = Picture()
        for provider in ["elevenlabs", "openai"].map({ poolProvider($0) }) {
            picture.keys += try await queries.poolKeys(
                of: provider, PoolKeyFilter(), limit: 1000, after: 0
            ).keys
            for user in ["5", "6"] {
                picture.held += try await queries.heldPoolKeys(
                    by: subjectID(user), of: provider)
            }
        }
        picture.recent = try await queries.recentPoolKeys(of: subjectID("5"), count: 50)
            .map(\.id)
        for user in ["5", "6", "7"] { picture.holders.append(try await queries.holder(user)) }
        return picture
    }
}
