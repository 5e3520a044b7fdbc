// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import TestSupport
import Testing

/// Random operations under limits that come, go and change their amounts.
private struct ChangingRun {
    private static let windows: [PlainLimit.Window] = [
        .minute, .hour, .day, .month, .lifetime, .rolling(60), .rolling(3_600),
        .rate(60, burst: nil), .rate(60, burst: 8), .concurrent,
    ]
    private static let meters = ["a", "b"]

    let benches: [Bench]
    let clock: ManualClock
    var model: PlainModel
    var random: SeededGenerator
    private var names = 0
    private var events: [(id: String, time: Int)] = []
    private(set) var waits = 0
    private(set) var reversals = 0

    init(_ benches: [Bench], _ clock: ManualClock, seed: UInt64) {
        self.benches = benches
        self.clock = clock
        model = PlainModel([], zone: "UTC")
        random = SeededGenerator(seed)
    }

    private var now: Int { clock.now.milliseconds }
    private mutating func pick(_ range: ClosedRange<Int>) -> Int {
        Int.random(in: range, using: &random)
    }
    private mutating func bench() -> Bench { benches[pick(0...benches.count - 1)] }
    private mutating func subject() -> String { ["s", "t"][pick(0...1)] }
    private mutating func name(_ kind: String) -> String {
        names += 1
        return "\(kind)\(names)"
    }
    private mutating func asked() -> [String: Int] {
        let first = Self.meters[pick(0...1)]
        return pick(0...2) == 0
            ? ["a": pick(0...3), "b": pick(0...3)] : [first: pick(1...4)]
    }

    mutating func step(_ index: Int) async throws {
        if pick(0...1) == 0 {
            clock.advance([pick(0...900), pick(0...20_000), pick(0...900_000)][pick(0...2)])
        }
        model.expire(at: now)
        switch pick(0...11) {
        case 0: try await change()
        case 1, 2: try await reverse()
        case 3, 4: await open()
        case 5: await end()
        case 6, 7: await record(isEnforced: false)
        case 8, 9: await record(isEnforced: true)
        default: await take()
        }
        model.expire(at: now)
        await compare("step \(index)")
    }

    /// Limits of other names are other limits; what keeps its name keeps what was used.
    private mutating func change() async throws {
        var limits = model.limits
        for _ in 0..<pick(1...3) {
            let at = limits.isEmpty ? nil : pick(0...limits.count - 1)
            if let at, pick(0...2) == 0 || limits.count > 8 {
                limits.remove(at: at)
            } else if let at, pick(0...1) == 0, !limits[at].isRate {
                let old = limits[at]
                limits[at] = PlainLimit(old.name, old.meter, old.window, pick(3...20))
            } else {
                limits.append(
                    PlainLimit(
                        name("l"), Self.meters[pick(0...1)],
                        Self.windows[pick(0...Self.windows.count - 1)], pick(4...12)))
            }
        }
        try await bench().setLimits(limits)
        model.limits = limits
        settle()
    }

    /// Another engine may remember a denial for a second.
    private mutating func settle() {
        clock.advance(1_000)
        model.expire(at: now)
    }

    private mutating func reverse() async throws {
        // Ids are remembered for two days.
        let known = events.suffix(30).filter { $0.time > now - 2 * 86_400_000 }
        guard let id = known.randomElement(using: &random)?.id else { return }
        let outcome = try await bench().engine.reverse(ByteString(id), reason: ByteString("no"))
        #expect(outcome != nil)
        if outcome?.counted != nil { reversals += 1 }
        model.reverse(id)
        settle()
    }

    private mutating func open() async {
        let (id, subject, asked, seconds) = (name("h"), subject(), asked(), pick(1...4_000))
        let verdict = await bench().decide(hold(id, subject, asked, seconds: seconds)).verdict
        await confirm(verdict, asked, subject)
        guard verdict?.status == .allowed else { return }
        model.open(
            id,
            PlainModel.Hold(
                subject: subject, asked: asked, expires: now + seconds * 1000,
                limits: Set(model.limits.map(\.name))))
    }

    private mutating func end() async {
        guard
            let (id, hold) = model.holds.sorted(by: { $0.key < $1.key }).randomElement(
                using: &random)
        else { return }
        if pick(0...1) == 0 {
            #expect(await bench().decide(release(id, hold.subject)).status == .allowed)
        } else {
            let (event, asked) = (name("e"), asked())
            let outcome = await bench().engine.settle(
                ByteString(id), with: MeteringTests.event(hold.subject, asked, id: event),
                .overflow, heldCredits: nil)
            #expect(outcome.counted != nil, "\(outcome)")
            count(event, asked, hold.subject)
        }
        model.end(id)
        settle()
    }

    private mutating func count(_ id: String, _ asked: [String: Int], _ subject: String) {
        events.append((id, now))
        for (meter, amount) in asked {
            model.use(meter, amount, by: subject, at: now, event: id)
        }
    }

    private mutating func record(isEnforced: Bool) async {
        let (id, subject, asked) = (name("e"), subject(), asked())
        let outcome = await bench().record(
            isEnforced ? enforced(subject, asked, id: id) : event(subject, asked, id: id))
        if isEnforced {
            await confirm(outcome.refusal, asked, subject, counts: true)
        }
        #expect(outcome.counted != nil || isEnforced && outcome.refusal != nil, "\(outcome)")
        if outcome.counted != nil { count(id, asked, subject) }
    }

    private mutating func take() async {
        let (subject, asked) = (subject(), asked())
        let isHeld = model.limits.contains {
            $0.window == .concurrent && (asked[$0.meter] ?? 0) > 0
        }
        let verdict = await bench().decide(
            isHeld ? check(subject, asked) : consume(subject, asked)
        ).verdict
        await confirm(verdict, asked, subject)
        guard !isHeld, verdict?.status == .allowed else { return }
        for (meter, amount) in asked { model.use(meter, amount, by: subject, at: now) }
    }

    /// Whether it was right to allow it (no verdict, or one that does), or to deny it; and if it was denied,
    /// whether it fits when that was told.
    private mutating func confirm(
        _ verdict: Verdict?, _ asked: [String: Int], _ subject: String, counts: Bool = false
    ) async {
        let judged = model.limits.filter {
            asked[$0.meter] != nil && (!counts || asked[$0.meter] != 0)
        }
        func isOver(_ limit: PlainLimit, _ used: Int) -> Bool {
            let amount = asked[limit.meter] ?? 0
            return model.room(limit, for: subject).map { amount > 0 && used + amount > $0 } ?? false
        }
        let ranges = judged.map { ($0, model.used($0, by: subject, at: now)) }
        let isDenied = verdict.map { $0.status == .limitReached } ?? false
        if isDenied {
            #expect(ranges.contains { isOver($0.0, $0.1.upperBound) }, "denied at \(now)")
        } else {
            #expect(!ranges.contains { isOver($0.0, $0.1.lowerBound) }, "allowed at \(now)")
        }
        guard let verdict, isDenied else { return }
        // More than there ever is room for, what is told is the window's end.
        guard verdict.violated.allSatisfy({ $0.asked <= $0.most ?? 0 }) else { return }
        let told = verdict.violated.compactMap { $0.resetsAt?.milliseconds }
        guard told.count == verdict.violated.count, let at = told.max(), at < now + 86_400_000
        else { return }
        waits += 1
        clock.set(at)
        model.expire(at: now)
        let names = counts ? judged.map(\.name) : nil
        let due = await bench().decide(check(subject, asked, limits: names)).verdict
        #expect(due?.status == .allowed, "told \(at): \(verdict.violated)")
    }

    private mutating func compare(_ comment: Comment) async {
        for subject in ["s", "t"] {
            let verdict = await bench().decide(check(subject, [:])).verdict
            #expect(verdict?.limits.map(\.limit.name) == model.limits.map(\.name), comment)
            for (limit, state) in zip(model.limits, verdict?.limits ?? []) {
                let used = model.used(limit, by: subject, at: now)
                #expect(used.contains(state.used), "\(comment): \(limit) of \(subject)")
                #expect(state.most == model.room(limit, for: subject), comment)
            }
        }
    }
}

extension PlainLimit {
    fileprivate var isRate: Bool { if case .rate = window { true } else { false } }
}

@Suite(.timeLimit(.minutes(15))) struct ChangedLimitModelTests {
    @Test(arguments: UInt64(1)...8)
    func `Random operations under changing limits agree with the plain model`(seed: UInt64)
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                // Two engines, as two processes would have.
                let benches = [
                    await Bench(redis.socketPath, on: host.loop, clock: clock),
                    await Bench(redis.socketPath, on: host.loop, clock: clock),
                ]
                try await benches[0].setLimits([])
                var run = ChangingRun(benches, clock, seed: seed)
                for index in 0..<600 { try await run.step(index) }
                // It has to have been about something.
                #expect(run.waits > 5 && run.reversals > 20, "\(run.waits), \(run.reversals)")
            }
        }
    }
}
