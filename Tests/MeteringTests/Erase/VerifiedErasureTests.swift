// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import TestSupport
import Testing

/// What a verification tells while subjects are erased.
@Suite(.timeLimit(.minutes(10))) struct VerifiedErasureTests {
    private static let count = 24

    /// Has many be counted and charged, with grants, in the same entries of the log.
    private static func live(_ world: RestoreBench) async throws {
        var policy = CreditPolicy()
        policy.defaultAllowance = 7_000_000
        _ = try await world.bench.engine.setCreditPolicy(policy)
        for number in 0..<count {
            _ = try await world.bench.engine.decide(
                Decision(
                    .grant(id: ByteString("gift"), expires: nil, priority: 1),
                    subject: subjectID("u\(number)"), credits: 2_000_000))
        }
        for round in 0..<4 {
            let events = (0..<count).map { number in
                event(
                    "u\(number)", ["tokens": 1 + number, "credits_micro": 1_000],
                    at: noon - (round % 2) * RestoreBench.days)
            }
            #expect(await world.bench.record(events).allSatisfy { $0.counted != nil })
        }
        try await world.flushing.flush()
    }

    @Test func `Who is erased meanwhile is no difference of accounts and days`() async throws {
        try await withErasures { host, world, _ in
            try await Self.live(world)
            let other = await world.another()
            var isOver = false
            let erasing = Task { () async throws in
                _ = host
                for number in 0..<Self.count { try await world.erase("u\(number)") }
                isOver = true
            }
            var found: [String] = []
            while !isOver {
                // Files are written anew one after the other.
                found += try await other.differences(world.folder).filter {
                    $0.place.hasPrefix("account ") || $0.what.hasPrefix("record ")
                }.map { "\($0)" }
            }
            try await erasing.value
            #expect(found == [])
            try await world.flushing.flush()
            #expect(try await world.verify().map { "\($0)" } == [])
            await other.stop()
        }
    }
}
