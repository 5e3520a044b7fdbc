// SPDX-License-Identifier: Apache-2.0

import Foundation
import Metering
import Redis
import TestSupport
import Testing

/// What is verified of the boards of all days.
@Suite(.timeLimit(.minutes(15))) struct LifetimeBoardTests {
    private static let board = "t1:{default}:board:lifetime:tokens"

    @Test func `A board of all days is compared with the totals, both ways`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let bench = try await RestoreBench(redis, on: host.loop, clock: ManualClock(noon))
                let events = (0..<450).map { event("s\($0)", ["tokens": $0 + 1], id: "\($0)") }
                _ = await bench.bench.record(events)
                #expect(try await bench.verify() == [])
                #expect(try await bench.queries.page(.tokens, .lifetime).entries.count == 450)
                #expect(try await bench.queries.page(.costMicro, .lifetime).entries.isEmpty)
                // It is behind the log: that is no difference.
                _ = await bench.bench.record([
                    event("s7", ["tokens": 100]), event("new"), event("none", ["tokens": 0]),
                    event("late", at: noon - 3 * RestoreBench.days),
                ])
                _ = try await bench.bench.engine.reverse(ByteString("3"), reason: .empty)
                #expect(try await bench.verify() == [])
                #expect(try redis.request("ZSCORE \(Self.board) s7").contains("-8"))
                // Nothing is written where little of the log is behind it.
                _ = try await bench.queries.page(.tokens, .lifetime)
                #expect(try redis.request("ZSCORE \(Self.board) s7").contains("-108"))
                for (change, tells) in [
                    ("ZADD \(Self.board) -9 s8", "board lifetime tokens: s8: expected 9, found 9"),
                    ("ZADD \(Self.board) -5 s8", "board lifetime tokens: s8: expected 9, found 5"),
                    (
                        "ZREM \(Self.board) s8",
                        "board lifetime tokens: s8: expected 9, found not on it"
                    ),
                    ("ZADD \(Self.board) -4 s3", "board lifetime tokens: s3: expected 0, found 4"),
                    ("ZADD \(Self.board) -1 x", "board lifetime tokens: x: expected 0, found 1"),
                ] {
                    _ = try redis.request(change)
                    let found = try await bench.verify().map { "\($0)" }
                    #expect(found == (tells.contains("9, found 9") ? [] : [tells]), "\(change)")
                    _ = try redis.request("ZADD \(Self.board) -9 s8")
                    _ = try redis.request("ZREM \(Self.board) s3 x")
                }
                _ = try redis.request("DEL \(Self.board)")
                let count = try await bench.verify().count
                // All but the one whose event was undone, and who used nothing of it.
                #expect(count == 451)
            }
        }
    }

    @Test(arguments: [UInt64(5), 6])
    func `Nothing differs on boards of all days while others count`(seed: UInt64) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                _ = try await whileAnotherCounts(on: redis, host, seed: seed) {
                    _, other, number, random in
                    try await other.live(number, &random)
                    _ = try await other.queries.page(.tokens, .lifetime)
                } _: { bench in
                    for _ in 0..<4 {
                        for meter in bench.settings.rankedMeters + [.costMicro] {
                            _ = try await bench.queries.page(meter, .lifetime)
                        }
                        #expect(try await bench.verify() == [])
                    }
                }
            }
        }
    }
}
