// SPDX-License-Identifier: Apache-2.0

import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct ManyHoldsTests {
    private static func hold(_ number: Int, credits: Int?, _ amounts: [(Meter, Int)]) -> Decision {
        Decision(
            .openHold(id: ByteString("h\(number)"), seconds: 60), subject: subjectID("a"),
            credits: credits, amounts: amounts)
    }

    @Test func `A thousand holds that expire together cost one decision, and no more may be open`()
        async throws
    {
        try await withBenches { _, left, right, _ in
            try await left.grant("a", 2000 * one, id: "g")
            for number in 0..<1000 {
                let verdict = try await left.engine.decide(Self.hold(number, credits: one, []))
                #expect(verdict.status == .allowed)
            }
            let more = try await left.engine.decide(Self.hold(1000, credits: one, []))
            #expect(more.status == .tooMany)
            #expect(try await right.account("a").held == 1000 * one)
            left.clock.advance(60_000)
            #expect(
                try await left.engine.decide(Self.hold(1000, credits: one, [])).status == .allowed)
            #expect(try await right.account("a").held == one)
            try await left.checkedLedger("a")
        }
    }

    @Test func `What has no limit is held exactly`() async throws {
        try await withBenches { _, left, _, _ in
            try await left.setLimits(
                #"{"limits":[{"name":"g","meter":"messages","window":"day","guest":5}]}"#)
            let first = Self.hold(1, credits: nil, [(.messages, most)])
            #expect(try await left.engine.decide(first).status == .allowed)
            let second = Self.hold(2, credits: nil, [(.messages, 1)])
            #expect(try await left.engine.decide(second).status == .tooLarge)
            let look = Decision(.check, subject: subjectID("a"), amounts: [(.messages, 0)])
            #expect(try await left.engine.decide(look).limits.first?.used == most)
        }
    }
}
