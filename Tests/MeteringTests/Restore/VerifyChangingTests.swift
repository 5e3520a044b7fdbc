// SPDX-License-Identifier: Apache-2.0

import Metering
import TestSupport
import Testing

/// Profiles and pools of keys that change all the time while they are looked at.
@Suite(.timeLimit(.minutes(15))) struct VerifyChangingTests {
    private static let count = 1_200

    private static func profile(_ random: inout SeededGenerator) -> String {
        let number = random.next()
        return #"{"email":"p\#(number)@example.com","phone":"+84\#(number)","#
            + #""username":"name \#(number % 977)","full_name":"N \#(number % 13)","#
            + #""active":\#(number % 3 > 0),"demo":\#(number % 5 == 0)}"#
    }

    private static func change(
        _ queries: QueryEngine, _ keys: [Int], _ random: inout SeededGenerator
    ) async throws {
        for _ in 0..<20 {
            let subject = "s\(random.next() % UInt64(count))"
            if random.next() % 4 == 0 {
                _ = try await queries.removeProfile(of: subjectID(subject))
            } else {
                try await queries.put(subject, profile(&random))
            }
            let key = keys[Int(random.next() % UInt64(keys.count))]
            switch random.next() % 4 {
            case 0: _ = try await queries.unassign(key)
            case 1: _ = try await queries.assign(1, to: "s\(random.next() % 5)")
            case 2: _ = try await queries.report(key, "dead", "null")
            default:
                _ = try await queries.report(key, "active", "\(Int(random.next() % 900))")
            }
        }
    }

    @Test(arguments: [UInt64(1), 2])
    func `Nothing differs while profiles and pools change`(seed: UInt64) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let history = try await RestoreBench(
                    redis, on: host.loop, clock: ManualClock(noon))
                var random = SeededGenerator(seed)
                for index in 0..<Self.count {
                    try await history.queries.put("s\(index)", Self.profile(&random))
                }
                let keys = try await history.queries.stock((0..<60).map { 100 + $0 })
                _ = try await history.queries.assign(20, to: "s1")
                let other = await history.another()
                let changing = Task {
                    var random = SeededGenerator(seed + 100)
                    var rounds = 0
                    while !Task.isCancelled {
                        _ = host
                        try await Self.change(other, keys, &random)
                        rounds += 1
                    }
                    return rounds
                }
                for _ in 0..<6 {
                    try await history.flushing.flush()
                    #expect(try await history.verify() == [])
                }
                changing.cancel()
                #expect(try await changing.value > 6)
                #expect(try await history.verify() == [])
                await other.stop()
            }
        }
    }
}
