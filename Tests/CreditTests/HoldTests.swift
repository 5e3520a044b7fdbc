// SPDX-License-Identifier: Apache-2.0

import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct HoldTests {
    /// How a hold is ended.
    enum End: CaseIterable {
        case lower, higher, capped, rejected, release
    }

    @Test(arguments: End.allCases)
    func `Available, held and spent are what was granted, whatever ends a hold`(end: End)
        async throws
    {
        try await withBench { _, bench, _ in
            try await bench.grant("a", 100 * one, id: "g")
            let opened = try await bench.open("h", "a", 30 * one)
            #expect(opened.status == .allowed && opened.available == 70 * one)
            #expect(try await bench.decide(.check, "a", 71 * one).status == .creditsShort)
            var spent = 0
            var state = HoldState.settled
            switch end {
            case .lower:
                spent = 20 * one
                let outcome = await bench.commit("h", event("a", ["credits_micro": spent]))
                #expect(outcome.counted?.balance == 80 * one)
            case .higher:
                spent = 120 * one
                let outcome = await bench.commit("h", event("a", ["credits_micro": spent]))
                #expect(outcome.counted?.balance == -20 * one)
            case .capped:
                spent = 30 * one
                let asked = event("a", ["credits_micro": 120 * one])
                let outcome = await bench.commit("h", asked, .cap, held: 30 * one)
                #expect(outcome.counted?.balance == 70 * one)
                let usage = try await bench.engine.reader.subject(subjectID("a"))
                #expect(usage?.totals.map(\.total) == [30 * one])
            case .rejected:
                let asked = event("a", ["credits_micro": 30 * one + 1])
                let outcome = await bench.commit("h", asked, .reject)
                #expect(outcome.refused?.status == .exceedsHold)
                state = .open
                #expect(try await bench.engine.reader.subject(subjectID("a")) == nil)
            case .release:
                state = .released
                #expect(try await bench.release("h", "a").available == 100 * one)
            }
            let account = try await bench.account("a")
            #expect(account.balance == 100 * one - spent && account.totalConsumed == spent)
            #expect(account.held == (state == .open ? 30 * one : 0))
            #expect(try await bench.engine.accounts.hold(ByteString("h"))?.state == state)
            try await bench.checkedLedger("a")
        }
    }

    @Test func `A hold ends at its instant, and not a millisecond before`() async throws {
        for (offset, isOpen) in [(-1, true), (0, false), (1, false)] {
            for isCommit in [true, false] {
                try await withBenches { _, left, right, _ in
                    try await left.grant("a", 10 * one, id: "g")
                    _ = try await left.open("h", "a", 8 * one, seconds: 5)
                    left.clock.advance(5000 + offset)
                    let reader = right.engine.accounts
                    #expect(
                        try await reader.hold(ByteString("h"))?.state == (isOpen ? .open : .expired)
                    )
                    #expect(
                        try await right.queries.holds(.open, limit: 9).holds.count
                            == (isOpen ? 1 : 0))
                    #expect(
                        try await right.queries.holds(.expired, limit: 9).holds.count
                            == (isOpen ? 0 : 1))
                    let counts = try await reader.holdCounts()
                    #expect(counts == (isOpen ? (1, 0) : (0, 1)))
                    let free = try await right.decide(.check, "a", 3 * one).status
                    #expect(free == (isOpen ? .creditsShort : .allowed))
                    var verdict: Verdict?
                    var status: DecisionStatus?
                    if isCommit {
                        let outcome = await right.commit("h", event("a", ["credits_micro": one]))
                        verdict = outcome.refused
                        status = outcome.status
                    } else {
                        verdict = try await right.release("h", "a")
                        status = verdict?.status
                    }
                    #expect(status == (isOpen ? .allowed : .holdEnded))
                    #expect(verdict?.holdState == (isOpen ? nil : .expired))
                    if !isOpen { #expect(verdict?.holdEnd?.milliseconds == noon + 5000) }
                    let account = try await left.account("a")
                    #expect(account.held == 0)
                    #expect(account.balance == (isOpen && isCommit ? 9 : 10) * one)
                    // It stays as it ended.
                    left.clock.advance(day)
                    let last: HoldState = isOpen ? (isCommit ? .settled : .released) : .expired
                    #expect(try await reader.hold(ByteString("h"))?.state == last)
                    #expect(try await right.release("h", "a").holdState == last)
                    try await left.checkedLedger("a")
                }
            }
        }
    }

    @Test func `Of many who end one hold at once, one does, and all learn how`() async throws {
        for round in 0..<10 {
            try await withBenches { _, left, right, _ in
                try await left.grant("a", 100 * one, id: "g")
                _ = try await left.open("h", "a", 10 * one)
                var statuses: [DecisionStatus] = []
                var states: Set<HoldState> = []
                await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                    func note(_ status: DecisionStatus?, _ verdict: Verdict?) {
                        statuses.append(status ?? .tooLarge)
                        if let state = verdict?.holdState { states.insert(state) }
                        if statuses.count == 16 { continuation.resume() }
                    }
                    for number in 0..<16 {
                        let bench = number % 2 == 0 ? left : right
                        if (number + round) % 4 < 2 {
                            bench.engine.record(
                                event("a", ["credits_micro": 7 * one], id: "e\(number)"),
                                for: .settle(hold: ByteString("h"), .overflow, heldCredits: nil)
                            ) { note($0.status, $0.refused) }
                        } else {
                            let release = Decision(
                                .releaseHold(id: ByteString("h")), subject: subjectID("a"),
                                credits: 0)
                            bench.engine.decide(release) { outcome in
                                if case .decided(let verdict) = outcome {
                                    note(verdict.status, verdict)
                                }
                            }
                        }
                    }
                }
                #expect(statuses.count { $0 == .allowed } == 1)
                #expect(statuses.count { $0 == .holdEnded } == 15)
                #expect(states.count == 1)
                let account = try await left.account("a")
                #expect(account.held == 0)
                #expect(account.balance == (states == [.settled] ? 93 : 100) * one)
                let usage = try await right.engine.reader.subject(subjectID("a"))
                #expect((usage?.eventCount ?? 0) == (states == [.settled] ? 1 : 0))
                try await left.checkedLedger("a")
            }
        }
    }

    @Test func `The same opening is the same hold, another under its id a conflict`() async throws {
        try await withBenches { _, left, right, _ in
            try await left.grant("a", 10 * one, id: "g")
            try await left.grant("b", 10 * one, id: "g")
            #expect(try await left.open("h", "a", 6 * one).status == .allowed)
            let again = try await right.open("h", "a", 6 * one)
            #expect(again.status == .repeated && again.holdState == .open)
            #expect(again.holdEnd?.milliseconds == noon + 60_000)
            #expect(try await right.account("a").held == 6 * one)
            #expect(try await right.open("h", "a", 5 * one).status == .conflict)
            #expect(try await right.open("h", "b", 6 * one).status == .conflict)
            let other = try await right.decide(
                .openHold(id: ByteString("h"), seconds: 60), "a", 6 * one,
                amounts: [(.filesUploaded, 1)])
            #expect(other.status == .conflict)
            #expect(try await right.account("b").held == 0)
            _ = try await left.release("h", "a")
            let ended = try await right.open("h", "a", 6 * one)
            #expect(ended.status == .repeated && ended.holdState == .released)
            #expect(try await right.account("a").held == 0)
        }
    }

    @Test func `Nobody ends the hold of another, or one that is not there`() async throws {
        try await withBench { _, bench, redis in
            try await bench.grant("a", 10 * one, id: "g")
            _ = try await bench.open("h", "a", 6 * one)
            let before = try redis.fingerprint()
            for (id, subject) in [("h", "b"), ("none", "a"), ("", "a")] {
                let outcome = await bench.commit(id, event(subject, ["credits_micro": one]))
                #expect(outcome.refused?.status == .holdMissing)
                #expect(try await bench.release(id, subject).status == .holdMissing)
            }
            #expect(try redis.fingerprint() == before)
            #expect(try await bench.engine.reader.subject(subjectID("b")) == nil)
        }
    }

    static let oddIDs = [
        "{default}", "t1:{default}:holds", "\"'\\", "a b", "🪙é\u{301}", "%00", "-1", "*",
        String(repeating: "x", count: 256), String(repeating: "🪙", count: 64),
    ]

    @Test(arguments: oddIDs)
    func `A hold may have any id`(id: String) async throws {
        try await withBench { _, bench, _ in
            try await bench.grant(id, 10 * one, id: id)
            #expect(try await bench.open(id, id, 6 * one).status == .allowed)
            #expect(try await bench.open(id, id, 6 * one).status == .repeated)
            let known = try await bench.engine.accounts.hold(ByteString(id))
            #expect(known?.id == ByteString(id) && known?.subject == subjectID(id))
            let listed = try await bench.queries.holds(.open, limit: 9)
            #expect(listed.holds.map(\.id) == [ByteString(id)])
            let outcome = await bench.commit(id, event(id, ["credits_micro": 4 * one], id: id))
            #expect(outcome.counted?.balance == 6 * one)
            #expect(try await bench.release(id, id).holdState == .settled)
            let lines = try await bench.checkedLedger(id)
            #expect(lines.allSatisfy { $0.reference == ByteString(id) })
        }
    }

    @Test func `A hold settled with an event that was counted before stays open`() async throws {
        try await withBenches { _, left, right, _ in
            try await left.grant("a", 10 * one, id: "g")
            let counted = event("a", ["credits_micro": one], id: "e")
            #expect(await left.record(counted).counted != nil)
            _ = try await left.open("h", "a", 6 * one)
            #expect(await right.commit("h", counted).refused?.status == .alreadyCounted)
            let other = event("a", ["credits_micro": 2 * one], id: "e")
            #expect(await right.commit("h", other).code == "idempotency_key_reused")
            var account = try await left.account("a")
            #expect(account.held == 6 * one && account.balance == 9 * one)
            // Settled with its own event, and sent again, it answers as at first; to others it has ended.
            let own = event("a", ["credits_micro": 3 * one], id: "f")
            #expect(await left.commit("h", own).counted != nil)
            let again = await right.commit("h", own)
            #expect(again.duplicate != nil)
            let second = await right.commit("h", event("a", ["credits_micro": one], id: "i"))
            #expect(second.refused?.status == .holdEnded && second.refused?.holdState == .settled)
            #expect(await right.record(own).duplicate != nil)
            account = try await left.account("a")
            #expect(account.held == 0 && account.balance == 6 * one)
            try await left.checkedLedger("a")
        }
    }

    @Test func `Held amounts of a limit are used, and no more when the hold has ended`()
        async throws
    {
        try await withBench { _, bench, _ in
            let files: [(Meter, Int)] = [(.filesUploaded, 60)]
            let opened = try await bench.decide(
                .openHold(id: ByteString("h"), seconds: 60), "a", amounts: files)
            #expect(opened.status == .allowed && opened.balance == nil)
            #expect(try await bench.decide(.check, "a", amounts: files).status == .limitReached)
            #expect(
                try await bench.decide(
                    .openHold(id: ByteString("i"), seconds: 60), "a", amounts: files
                )
                .status == .limitReached)
            let outcome = await bench.commit("h", event("a", ["files_uploaded": 30]), .reject)
            #expect(outcome.status == .allowed)
            let after = try await bench.decide(.check, "a", amounts: files)
            #expect(after.status == .allowed && after.limits.first?.used == 30)
        }
    }

    @Test func `What a hold never held is not its business, whatever may not exceed it`()
        async throws
    {
        try await withBench { _, bench, _ in
            try await bench.grant("a", 100 * one, id: "g")
            _ = try await bench.open("h", "a", 10 * one)
            let asked = event("a", ["credits_micro": 10 * one, "files_uploaded": 3])
            #expect(await bench.commit("h", asked, .reject).status == .allowed)
            let check = try await bench.decide(.check, "a", amounts: [(.filesUploaded, 0)])
            #expect(check.limits.first?.used == 3)
            #expect(try await bench.account("a").balance == 90 * one)
        }
    }

    @Test func `What is held is counted exactly`() async throws {
        try await withBench { _, bench, _ in
            try await bench.setPolicy(overdraft: 1_000_000_000 * one)
            try await bench.grant("a", most, id: "g")
            #expect(try await bench.open("h", "a", most).status == .allowed)
            let second = try await bench.open("i", "a", 1_000_000_000 * one).status
            #expect(second == .tooLarge || second == .creditsShort)
            #expect(try await bench.account("a").held == most)
            try await bench.checkedLedger("a")
        }
    }

    @Test(arguments: [nil, "concurrent", "day"])
    func `What a hold has named may not be exceeded, whatever limits it by then`(window: String?)
        async throws
    {
        try await withBench { _, bench, _ in
            func limits(_ name: String) -> String {
                let limit = window.map {
                    #"{"name":"\#(name)","meter":"files_uploaded","window":"\#($0)","user":9}"#
                }
                return #"{"limits":[\#(limit ?? "")]}"#
            }
            try await bench.setLimits(limits("x"))
            let opened = try await bench.decide(
                .openHold(id: ByteString("h"), seconds: 60), "a", amounts: [(.filesUploaded, 2)])
            #expect(opened.status == .allowed)
            for name in ["x", "renamed"] {
                try await bench.setLimits(limits(name))
                let more = event("a", ["files_uploaded": 3, "tokens": 50])
                #expect(await bench.commit("h", more, .reject).refused?.status == .exceedsHold)
                #expect(try await bench.engine.accounts.hold(ByteString("h"))?.state == .open)
            }
            let fits = event("a", ["files_uploaded": 2, "tokens": 50])
            #expect(await bench.commit("h", fits, .reject).counted != nil)
        }
    }
}
