// SPDX-License-Identifier: Apache-2.0

import Metering
import TestSupport
import Testing

/// Random operations on a bench, each compared with the plain model.
struct ModelRun {
    /// Limits whose amounts may be changed for a subject while they are used.
    static let changeable = ["minute", "day", "lifetime", "rolling"]
    static let limits: [PlainLimit] = [
        PlainLimit("minute", "tokens", .minute, 60, guest: 20),
        PlainLimit("hour", "tokens", .hour, 300, guest: 90),
        PlainLimit("rolling", "tokens", .rolling(300), 150, guest: 45),
        PlainLimit("day", "messages", .day, 60, guest: 15),
        PlainLimit("month", "messages", .month, 400, guest: 100),
        PlainLimit("second", "messages", .rolling(1), 12, guest: 7),
        PlainLimit("lifetime", "input_bytes", .lifetime, 5_000, guest: 900),
        PlainLimit("long", "input_bytes", .rolling(7 * 86_400), 1_000),
        PlainLimit("rate", "api_calls", .rate(10, burst: nil), 7, guest: 3),
        PlainLimit("burst", "api_calls", .rate(97, burst: 11), 31, guest: 13),
        PlainLimit("users_only", "api_calls", .hour, 500, guest: nil),
        PlainLimit("open", "files_uploaded", .concurrent, 6, guest: 2),
        PlainLimit("files", "files_uploaded", .day, 40, guest: 9),
    ]
    static let subjects = ["ann", "bob", "guest:1", "guest:2"]

    let benches: [Bench]
    let clock: ManualClock
    var model: PlainModel
    var random: SeededGenerator
    private var names = 0
    /// How often something was decided, and denied, with so many events passed.
    private(set) var tallies: [(decided: Int, denied: Int)]
    private let events: [Int]
    private let nearMS: Int
    /// When the clock is stopped next, in the order of time.
    private var stops: [Int]

    /// - Parameters:
    ///   - events: the instants that the run is about.
    ///   - nearMS: how long before the first of them the clock stands, and after the last of them it ends.
    init(
        _ benches: [Bench], _ clock: ManualClock, zone: String, seed: UInt64, over events: [Int],
        nearMS: Int
    ) {
        self.benches = benches
        self.clock = clock
        self.events = events
        self.nearMS = nearMS
        tallies = Array(repeating: (0, 0), count: events.count + 1)
        // A window that is an hour off differs an hour and a bit before or after.
        stops = events.flatMap { [$0 - 3_660_000, $0 - 1, $0, $0 + 3_660_000] }.sorted()
        stops.removeAll { $0 < clock.now.milliseconds }
        model = PlainModel(Self.limits, zone: zone)
        random = SeededGenerator(seed)
    }

    private var now: Int { clock.now.milliseconds }

    /// Whether all events, and the time after them, are over.
    var isOver: Bool { now > (events.last ?? 0) + nearMS }

    /// One step: operations that travel together, and then the clock.
    mutating func step() async {
        let bench = bench()
        model.expire(at: now)
        switch random.next() % 16 {
        case 0, 1: await open(bench)
        case 2: await end(bench)
        case 3, 4: await record(bench, isEnforced: false)
        case 5, 6: await record(bench, isEnforced: true)
        case 7: await change(bench)
        default: await decide(bench)
        }
        await move()
    }

    private mutating func bench() -> Bench {
        benches[Int.random(in: 0..<benches.count, using: &random)]
    }

    private mutating func move() async {
        switch random.next() % 10 {
        case 0: break
        case 1:
            // Not behind the end of a hold: the plain model drops it there, while scripts keep it until
            // they come by, and it would count again.
            let most = min(5_000, now - model.lastExpiry)
            clock.advance(-Int.random(in: 0...most, using: &random))
        case 2, 3, 4: await advance(Int.random(in: 0...1_500, using: &random))
        default: await advance(Int.random(in: 0...longestMove, using: &random))
        }
    }

    /// Small moves near events, and long ones from one to the next.
    private var longestMove: Int {
        let small = nearMS * events.count / 45
        guard !events.contains(where: { abs(now - $0) <= nearMS }),
            let next = events.first(where: { $0 > now })
        else { return small }
        return max(small, (next - nearMS - now) / 4)
    }

    private mutating func advance(_ milliseconds: Int) async {
        let target = now + milliseconds
        while let stop = stops.first, stop <= target {
            stops.removeFirst()
            clock.set(stop)
            await stand()
        }
        clock.set(target)
    }

    /// Compares all windows of all subjects, and leaves something in each of them.
    private mutating func stand() async {
        model.expire(at: now)
        let bench = bench()
        let used = ["tokens": 1, "messages": 1, "input_bytes": 1, "api_calls": 1]
        for subject in Self.subjects {
            await peek(bench, subject)
            #expect(await bench.record(event(subject, used)).counted != nil)
            for (meter, amount) in used { model.use(meter, amount, by: subject, at: now) }
            await peek(bench, subject)
        }
    }

    private mutating func peek(_ bench: Bench, _ subject: String) async {
        let names = Self.limits.map(\.name)
        guard let verdict = await bench.decide(check(subject, [:], limits: names)).verdict else {
            Issue.record("no verdict at \(now)")
            return
        }
        _ = compare(verdict, judged([:], names), subject)
    }

    private mutating func subject() -> String {
        Self.subjects[Int.random(in: 0..<Self.subjects.count, using: &random)]
    }

    /// One to three meters; sometimes none of one.
    private mutating func asked() -> [String: Int] {
        let mosts = [
            "tokens": 25, "messages": 6, "input_bytes": 120, "api_calls": 5, "files_uploaded": 3,
        ]
        var asked: [String: Int] = [:]
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            guard
                let (meter, most) = mosts.sorted(by: { $0.key < $1.key }).randomElement(
                    using: &random)
            else { continue }
            asked[meter] = Int.random(in: 0...most, using: &random)
        }
        return asked
    }

    // MARK: Operations

    private mutating func decide(_ bench: Bench) async {
        let subject = subject()
        let count = [1, 1, 2, 8, 30][Int.random(in: 0..<5, using: &random)]
        var all: [(consumes: Bool, asked: [String: Int], names: [String]?)] = []
        for _ in 0..<count {
            var names: [String]?
            if random.next() % 4 == 0 {
                names = Self.limits.map(\.name).shuffled(using: &random).dropLast(9)
            }
            let asked = asked()
            // Names that judge none of the amounts are refused.
            if asked.contains(where: { $0.value > 0 }),
                !judged(asked, names).contains(where: { $0.1 > 0 })
            {
                names = nil
            }
            // What is open at the same time is held, and not consumed.
            let isHeld = judged(asked, names).contains { $0.0.window == .concurrent && $0.1 > 0 }
            all.append((random.next() % 4 != 0 && !isHeld, asked, names))
        }
        let outcomes = await bench.ask(
            all.map {
                $0.consumes
                    ? consume(subject, $0.asked, limits: $0.names)
                    : check(subject, $0.asked, limits: $0.names)
            })
        for (ask, answer) in zip(all, outcomes) {
            guard let verdict = answer.outcome.verdict else {
                Issue.record("\(answer.outcome)")
                continue
            }
            let judged = judged(ask.asked, ask.names)
            if answer.isRecalled {
                confirm(verdict, judged, subject)
                continue
            }
            guard compare(verdict, judged, subject), ask.consumes else { continue }
            for (limit, amount) in judged { model.use(limit, amount, by: subject, at: now) }
        }
    }

    private mutating func open(_ bench: Bench) async {
        let subject = subject()
        let asked = asked()
        names += 1
        let seconds = Int.random(in: 1...400, using: &random)
        let outcome = await bench.decide(hold("h\(names)", subject, asked, seconds: seconds))
        guard let verdict = outcome.verdict else {
            Issue.record("\(outcome)")
            return
        }
        guard compare(verdict, judged(asked, nil), subject) else { return }
        let hold = PlainModel.Hold(subject: subject, asked: asked, expires: now + seconds * 1000)
        model.open("h\(names)", hold)
    }

    private mutating func end(_ bench: Bench) async {
        guard
            let (id, hold) = model.holds.sorted(by: { $0.key < $1.key }).randomElement(
                using: &random)
        else { return }
        if random.next() % 2 == 0 {
            #expect(await bench.decide(release(id, hold.subject)).status == .allowed)
            return model.end(id)
        }
        let asked = asked()
        let outcome = await bench.engine.settle(
            ByteString(id), with: event(hold.subject, asked), .overflow, heldCredits: nil)
        #expect(outcome.counted != nil, "\(outcome)")
        model.end(id)
        for (meter, amount) in asked { model.use(meter, amount, by: hold.subject, at: now) }
    }

    private mutating func record(_ bench: Bench, isEnforced: Bool) async {
        var all: [(subject: String, asked: [String: Int])] = []
        for _ in 0..<Int.random(in: 1...6, using: &random) { all.append((subject(), asked())) }
        // What is not enforced goes past limits, but not by so much that nothing is left to test.
        if !isEnforced { all = Array(all.prefix(1)) }
        let outcomes = await bench.record(
            all.map { isEnforced ? enforced($0.subject, $0.asked) : event($0.subject, $0.asked) })
        for (ask, outcome) in zip(all, outcomes) {
            if isEnforced {
                let judged = judged(ask.asked, nil).filter { $0.1 > 0 }
                if let verdict = outcome.refusal {
                    #expect(!compare(verdict, judged, ask.subject))
                } else {
                    tally(isDenied: false)
                    #expect(fits(judged, ask.subject))
                }
            }
            #expect(outcome.counted != nil || isEnforced && outcome.refusal != nil, "\(outcome)")
            guard outcome.counted != nil else { continue }
            for (meter, amount) in ask.asked {
                model.use(meter, amount, by: ask.subject, at: now)
            }
        }
    }

    private mutating func change(_ bench: Bench) async {
        let subject = subject()
        guard let limit = Self.changeable.randomElement(using: &random) else { return }
        let amount = random.next() % 3 == 0 ? nil : Int.random(in: 0...400, using: &random)
        #expect(await bench.decide(override(amount, subject, of: limit)).status == .allowed)
        model.override(limit, subject, amount)
        // Another engine may remember a denial for a second.
        await advance(1_000)
        model.expire(at: now)
    }

    // MARK: Comparison

    private mutating func tally(isDenied: Bool) {
        let passed = events.count { $0 <= now }
        tallies[passed].decided += 1
        if isDenied { tallies[passed].denied += 1 }
    }

    private func judged(
        _ asked: [String: Int], _ names: [String]?
    ) -> [(PlainLimit, Int)] {
        Self.limits.compactMap { limit in
            if let names {
                return names.contains(limit.name) ? (limit, asked[limit.meter] ?? 0) : nil
            }
            return asked[limit.meter].map { (limit, $0) }
        }
    }

    /// Whether the model may allow it.
    private func fits(_ judged: [(PlainLimit, Int)], _ subject: String) -> Bool {
        judged.allSatisfy { limit, amount in
            let used = model.used(limit, by: subject, at: now).lowerBound
            return model.room(limit, for: subject).map { amount == 0 || used + amount <= $0 }
                ?? true
        }
    }

    /// - Returns: whether it was allowed.
    private mutating func compare(
        _ verdict: Verdict, _ judged: [(PlainLimit, Int)], _ subject: String
    ) -> Bool {
        #expect(verdict.limits.map(\.limit.name) == judged.map(\.0.name))
        var isOver = false
        for (state, (limit, amount)) in zip(verdict.limits, judged) {
            let used = model.used(limit, by: subject, at: now)
            let most = model.room(limit, for: subject)
            let name = "\(limit.name) of \(subject) at \(now)"
            #expect(used.contains(state.used), "\(name): \(state.used), not in \(used)")
            #expect(state.asked == amount)
            #expect(state.most == most, "\(name)")
            isOver = isOver || most.map { amount > 0 && state.used + amount > $0 } ?? false
        }
        #expect(verdict.status == (isOver ? .limitReached : .allowed))
        tally(isDenied: isOver)
        return verdict.status == .allowed
    }

    /// A denial from memory names the limits that it remembers, as they were up to a second ago.
    private mutating func confirm(
        _ verdict: Verdict, _ judged: [(PlainLimit, Int)], _ subject: String
    ) {
        #expect(verdict.status == .limitReached)
        let isOver = judged.contains { limit, amount in
            let used = model.used(limit, by: subject, at: now - 1_000).upperBound
            return model.room(limit, for: subject).map { amount > 0 && used + amount > $0 } ?? false
        }
        #expect(isOver, "denied from memory at \(now): \(verdict)")
    }
}
