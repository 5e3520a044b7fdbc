// SPDX-License-Identifier: Apache-2.0

import Metering
import Redis
import TestSupport
import Testing

/// What is read of a hold before it is ended decides nothing.
@Suite(.timeLimit(.minutes(15))) struct HoldRaceTests {
    private static func release(_ id: String) -> Decision {
        Decision(.releaseHold(id: ByteString(id)), subject: nil)
    }

    @Test func `A hold is released for whoever it is of, in one call`() async throws {
        try await withBenches { _, left, right, _ in
            for subject in ["a", "b", "guest:c"] {
                try await left.grant(subject, 10 * one, id: "g")
                _ = try await left.open("h-\(subject)", subject, 4 * one)
                _ = try await left.open("i-\(subject)", subject, 3 * one)
            }
            #expect(try await right.engine.decide(Self.release("none")).status == .holdMissing)
            #expect(try await right.engine.decide(Self.release("h-b")).status == .allowed)
            #expect(try await left.account("b").held == 3 * one)
            let again = try await left.engine.decide(Self.release("h-b"))
            #expect(again.status == .holdEnded && again.holdState == .released)
            #expect(try await left.account("a").held == 7 * one)
            left.clock.advance(61_000)
            let late = try await right.engine.decide(Self.release("i-b"))
            #expect(late.status == .holdEnded && late.holdState == .expired)
            for subject in ["a", "b", "guest:c"] { try await left.checkedLedger(subject) }
        }
    }

    /// In one call to Redis: opened, committed, released, others of the same subject beside it.
    @Test func `What one batch does to holds comes out as if it came one by one`() async throws {
        try await withBenches { _, left, right, _ in
            try await left.grant("a", 100 * one, id: "g")
            _ = try await right.open("old", "a", 20 * one)
            var statuses: [String: DecisionStatus?] = [:]
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                func note(_ name: String, _ status: DecisionStatus?) {
                    statuses[name] = status
                    if statuses.count == 8 { continuation.resume() }
                }
                func decide(_ name: String, _ decision: Decision) {
                    left.engine.decide(decision) { outcome in
                        if case .decided(let verdict) = outcome {
                            note(name, verdict.status)
                        } else {
                            note(name, nil)
                        }
                    }
                }
                func open(_ name: String, _ credits: Int) -> Decision {
                    Decision(
                        .openHold(id: ByteString(name), seconds: 60), subject: subjectID("a"),
                        credits: credits)
                }
                decide("too early", Self.release("new"))
                decide("too much", open("big", 81 * one))
                decide("release old", Self.release("old"))
                decide("new", open("new", 81 * one))
                decide("release new", Self.release("new"))
                decide("release new again", Self.release("new"))
                decide("last", open("last", 100 * one))
                decide("release none", Self.release("none"))
            }
            #expect(statuses["too early"] == .holdMissing)
            #expect(statuses["too much"] == .creditsShort)
            #expect(statuses["release old"] == .allowed)
            #expect(statuses["new"] == .allowed)
            #expect(statuses["release new"] == .allowed)
            #expect(statuses["release new again"] == .holdEnded)
            #expect(statuses["last"] == .allowed)
            #expect(statuses["release none"] == .holdMissing)
            #expect(try await right.account("a").held == 100 * one)
            try await right.checkedLedger("a")
        }
    }

    /// The hold that was read was forgotten, and its id is another hold's by now.
    @Test func `A commit by what was read of another hold counts nothing`() async throws {
        try await withBenches { _, left, right, redis in
            for subject in ["a", "b"] { try await left.grant(subject, 100 * one, id: "g") }
            _ = try await left.open("h", "a", 30 * one)
            let read = try #require(try await right.engine.accounts.hold(ByteString("h")))
            #expect(try await left.release("h", "a").status == .allowed)
            _ = try redis.request("DEL t1:{default}:holds t1:{default}:holds:ended")
            // The same subject, other credits; and another subject with the same.
            for (subject, credits) in [("a", 5 * one), ("a", 50 * one), ("b", 30 * one)] {
                _ = try await left.open("h", subject, credits)
                let outcome = await right.commit(
                    "h", event(read.subject.id.text, ["credits_micro": 40 * one]), .cap,
                    held: read.credits)
                #expect(outcome.refused?.status == .holdMissing)
                #expect(try await left.account(subject).held == credits)
                #expect(try await left.account(subject).totalConsumed == 0)
                #expect(try await left.engine.accounts.hold(ByteString("h"))?.state == .open)
                #expect(try await left.release("h", subject).status == .allowed)
                _ = try redis.request("DEL t1:{default}:holds t1:{default}:holds:ended")
            }
            // The one that it was read of is settled.
            _ = try await left.open("h", "a", 30 * one)
            let outcome = await right.commit(
                "h", event("a", ["credits_micro": 40 * one]), .cap, held: read.credits)
            #expect(outcome.counted?.balance == 70 * one)
            for subject in ["a", "b"] { try await left.checkedLedger(subject) }
        }
    }
}
