// SPDX-License-Identifier: Apache-2.0

import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct HoldListTests {
    /// A hold as a list has it.
    private struct Listed: Equatable {
        let id: String
        let subject: String
        let time: Int
    }

    /// As the list is in order: by time, then id as bytes, the last first.
    private static func sorted(_ holds: [Listed]) -> [Listed] {
        holds.sorted { ($1.time, ByteString($1.id)) < ($0.time, ByteString($0.id)) }
    }

    private static func listed(_ hold: Hold) -> Listed {
        Listed(
            id: hold.id.text, subject: hold.subject.id.text,
            time: (hold.ended ?? hold.expires).milliseconds)
    }

    /// Opens holds, some together.
    private static func open(
        _ bench: Bench, _ holds: [(id: String, subject: String, seconds: Int)]
    ) async {
        for first in stride(from: 0, to: holds.count, by: 100) {
            await openTogether(bench, Array(holds[first...].prefix(100)))
        }
    }

    private static func openTogether(
        _ bench: Bench, _ holds: [(id: String, subject: String, seconds: Int)]
    ) async {
        var missing = holds.count
        var allowed = 0
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            for (id, subject, seconds) in holds {
                let decision = Decision(
                    .openHold(id: ByteString(id), seconds: seconds), subject: subjectID(subject),
                    amounts: [(.filesUploaded, 1)])
                bench.engine.decide(decision) { outcome in
                    if case .decided(let verdict) = outcome, verdict.status == .allowed {
                        allowed += 1
                    }
                    missing -= 1
                    if missing == 0 { continuation.resume() }
                }
            }
        }
        #expect(allowed == holds.count)
    }

    /// All pages of a list; between them `change` happens.
    private static func all(
        _ bench: Bench, _ state: HoldState, of subject: String? = nil, limit: Int,
        change: () async throws -> Void = {}
    ) async throws -> [Listed] {
        var found: [Listed] = []
        var cursor: HoldCursor?
        repeat {
            let page = try await bench.queries.holds(
                state, of: subject.map { subjectID($0) }, limit: limit, after: cursor)
            #expect(page.holds.count <= limit)
            #expect(page.holds.allSatisfy { $0.state == state })
            found += page.holds.map(listed)
            cursor = page.next.flatMap { HoldCursor($0.text, of: state) }
            #expect(cursor == page.next)
            try await change()
        } while cursor != nil
        return found
    }

    private static let unlimited =
        #"{"limits":[{"name":"files","meter":"files_uploaded","window":"day","user":100000}]}"#

    @Test(arguments: [UInt64(1), 2, 3])
    func `Pages of any size have each hold once, the last first`(seed: UInt64) async throws {
        try await withBench { _, bench, _ in
            try await bench.setLimits(Self.unlimited)
            var random = SeededGenerator(seed)
            var expected: [HoldState: [Listed]] = [:]
            // Few times for many holds: what decides is the id, mostly. Of any bytes.
            let letters = ["a", "é", "Z", "_", "\u{10ffff}", "1"]
            for number in 0..<700 {
                let subject = "s\(Int.random(in: 0...4, using: &random))"
                let id = "\(letters.randomElement(using: &random) ?? "")\(number)"
                let seconds = Int.random(in: 1...3, using: &random)
                await Self.open(bench, [(id, subject, seconds * 100)])
                let now = bench.clock.now.milliseconds
                var hold = Listed(id: id, subject: subject, time: now + seconds * 100_000)
                var state = seconds == 1 ? HoldState.expired : .open
                switch Int.random(in: 0...3, using: &random) {
                case 0:
                    state = .released
                    hold = Listed(id: id, subject: subject, time: now)
                    #expect(try await bench.release(id, subject).status == .allowed)
                case 1:
                    state = .settled
                    hold = Listed(id: id, subject: subject, time: now)
                    #expect(await bench.commit(id, event(subject)).counted != nil)
                default: break
                }
                expected[state, default: []].append(hold)
                if number % 350 == 0 { bench.clock.advance(1) }
            }
            bench.clock.advance(100_000)
            for state in [HoldState.open, .expired, .settled, .released] {
                let all = Self.sorted(expected[state] ?? [])
                for limit in [1, 7, 200, 1000] {
                    #expect(try await Self.all(bench, state, limit: limit) == all, "\(state)")
                }
                let some = all.filter { $0.subject == "s3" }
                #expect(!some.isEmpty)
                #expect(try await Self.all(bench, state, of: "s3", limit: 3) == some, "\(state)")
            }
        }
    }

    @Test func `A hold that stays is listed once, whatever comes and goes meanwhile`() async throws
    {
        try await withBench { _, bench, _ in
            try await bench.setLimits(Self.unlimited)
            var random = SeededGenerator(7)
            // All of one time, so that places are told by ids alone.
            await Self.open(bench, (0..<400).map { ("m\($0)", "a", 600) })
            var gone: Set<String> = []
            var came = 0
            let found = try await Self.all(bench, .open, limit: 9) {
                for _ in 0..<3 {
                    // Also the one that the page ended with.
                    let id = "m\(Int.random(in: 0..<400, using: &random))"
                    if gone.insert(id).inserted {
                        let status = try await bench.release(id, "a").status
                        #expect(status == .allowed)
                    }
                    came += 1
                    await Self.open(bench, [("\(came % 2 == 0 ? "a" : "z")\(came)", "a", 600)])
                }
            }
            let ids = found.map(\.id)
            #expect(Set(ids).count == ids.count)
            #expect(found == Self.sorted(found))
            let stayed = (0..<400).map { "m\($0)" }.filter { !gone.contains($0) }
            #expect(stayed.count > 200)
            #expect(Set(stayed).isSubset(of: ids))
        }
    }

    @Test func `A page ends after a while, and says where it went on`() async throws {
        try await withBench { _, bench, _ in
            try await bench.setLimits(Self.unlimited)
            // Ids are in reverse: those of `a` come last, behind 4,100 others.
            for subject in ["a"] + (10...50).map({ "b\($0)" }) {
                await Self.open(bench, (0..<100).map { ("\(subject)-\($0)", subject, 600) })
            }
            let first = try await bench.queries.holds(.open, of: subjectID("a"), limit: 10)
            #expect(first.holds.isEmpty && first.next != nil)
            #expect(try await Self.all(bench, .open, of: "a", limit: 1000).count == 100)
            let none = try await bench.queries.holds(.open, of: subjectID("x"), limit: 1000)
            #expect(none.holds.isEmpty && none.next != nil)
            #expect(try await Self.all(bench, .open, of: "x", limit: 1000).isEmpty)
        }
    }

    @Test func `A hold tells what it was asked to keep, also where nothing limits it`() async throws
    {
        try await withBench { _, bench, _ in
            try await bench.grant("a", 10 * one, id: "g")
            let calls = try #require(Meter(name: Array("api_calls".utf8)))
            let amounts: [(Meter, Int)] = [
                (.filesUploaded, 3), (calls, 7), (.tokens, 0),
            ]
            let opened = try await bench.decide(
                .openHold(id: ByteString("h"), seconds: 60), "a", 2 * one, amounts: amounts)
            #expect(opened.status == .allowed)
            let hold = try #require(try await bench.queries.holds(.open, limit: 1).holds.first)
            #expect(hold.credits == 2 * one)
            #expect(
                Dictionary(uniqueKeysWithValues: hold.amounts.map { ($0.meter.name, $0.amount) })
                    == ["files_uploaded": 3, "api_calls": 7])
            // Another amount is another hold, also of a meter without a limit.
            for (count, status) in [(7, DecisionStatus.repeated), (8, .conflict)] {
                let again = try await bench.decide(
                    .openHold(id: ByteString("h"), seconds: 60), "a", 2 * one,
                    amounts: [(calls, count), (.filesUploaded, 3)])
                #expect(again.status == status)
            }
            // By what was asked: a limit that is new since is not about it.
            try await bench.setLimits(
                #"{"limits":[{"name":"calls","meter":"api_calls","window":"day","user":9}]}"#)
            let later = try await bench.decide(
                .openHold(id: ByteString("h"), seconds: 60), "a", 2 * one, amounts: amounts)
            #expect(later.status == .repeated && later.holdState == .open)
            #expect(try await bench.release("h", "a").status == .allowed)
            let ended = try await bench.engine.accounts.hold(ByteString("h"))
            #expect(ended?.amounts.count == 2)
        }
    }
}
