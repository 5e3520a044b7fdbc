// SPDX-License-Identifier: Apache-2.0

import EventLoop
import JSON
import Metering
import Redis
import TestSupport
import Testing

/// A limit as a client writes it.
struct PlainLimit: Sendable {
    enum Window: Equatable, Sendable {
        case minute, hour, day, month, lifetime
        case rolling(Int)
        case rate(Int, burst: Int?)
        case concurrent
    }

    let name: String
    let meter: String
    let window: Window
    let user: Int?
    let guest: Int?

    init(_ name: String, _ meter: String, _ window: Window, _ user: Int?, guest: Int? = nil) {
        self.name = name
        self.meter = meter
        self.window = window
        self.user = user
        self.guest = guest
    }

    var json: String {
        let kind =
            switch window {
            case .rolling(let seconds): #""rolling","period_s":\#(seconds)"#
            case .rate(let seconds, nil): #""rate","period_s":\#(seconds)"#
            case .rate(let seconds, let burst?):
                #""rate","period_s":\#(seconds),"burst":\#(burst)"#
            default: "\"\(window)\""
            }
        let user = user.map(String.init) ?? "null"
        let guest = guest.map(String.init) ?? "null"
        return #"{"name":"\#(name)","meter":"\#(meter)","window":\#(kind),"#
            + #""user":\#(user),"guest":\#(guest)}"#
    }
}

func draft(_ limits: [PlainLimit]) throws -> LimitBook.Draft {
    let reader = try JSONReader()
    let text = limits.map(\.json).joined(separator: ",")
    return try LimitBook.Draft(try reader.read(#"{"limits":[\#(text)]}"#))
}

/// One limit of each kind, each of its own meter, and each of them five for a user.
let eachKind: [PlainLimit] = [
    PlainLimit("minute", "a", .minute, 5), PlainLimit("hour", "b", .hour, 5),
    PlainLimit("day", "c", .day, 5), PlainLimit("month", "d", .month, 5),
    PlainLimit("lifetime", "e", .lifetime, 5), PlainLimit("rolling", "f", .rolling(60), 5),
    PlainLimit("rate", "g", .rate(60, burst: nil), 5),
    PlainLimit("burst", "h", .rate(60, burst: 5), 50),
]

func meter(_ name: String) -> Meter {
    guard let meter = Meter(name: Array(name.utf8)) else {
        preconditionFailure("no meter: \(name)")
    }
    return meter
}

func amounts(_ amounts: [String: Int]) -> [(Meter, Int)] {
    amounts.sorted { $0.key < $1.key }.map { (meter($0.key), $0.value) }
}

func check(_ subject: String, _ asked: [String: Int], limits: [String]? = nil) -> Decision {
    Decision(.check, subject: subjectID(subject), amounts: amounts(asked), limits: limits)
}

func consume(_ subject: String, _ asked: [String: Int], limits: [String]? = nil) -> Decision {
    Decision(.consume, subject: subjectID(subject), amounts: amounts(asked), limits: limits)
}

func hold(_ id: String, _ subject: String, _ asked: [String: Int], seconds: Int = 60) -> Decision {
    Decision(
        .openHold(id: ByteString(id), seconds: seconds), subject: subjectID(subject),
        amounts: amounts(asked))
}

func release(_ id: String, _ subject: String) -> Decision {
    Decision(.releaseHold(id: ByteString(id)), subject: subjectID(subject))
}

func override(_ amount: Int?, _ subject: String, of limit: String) -> Decision {
    Decision(.setOverride(amount), subject: subjectID(subject), limits: [limit])
}

func enforced(
    _ subject: String, _ asked: [String: Int], id: String? = nil, at time: Int? = nil
) -> UsageEvent {
    var enforced = event(subject, asked, id: id, at: time)
    enforced.enforce = true
    return enforced
}

extension DecisionOutcome {
    var verdict: Verdict? { if case .decided(let verdict) = self { verdict } else { nil } }
    var status: DecisionStatus? { verdict?.status }
    var code: String? { if case .rejected(let rejection) = self { rejection.code } else { nil } }
    /// Redis refused, and did nothing of it.
    var isNotDone: Bool { if case .postponed = self { true } else { false } }
}

extension EventOutcome {
    var refusal: Verdict? { if case .refused(let verdict) = self { verdict } else { nil } }
    /// Redis refused, and did nothing of it.
    var isNotDone: Bool { if case .postponed = self { true } else { false } }
}

extension Verdict {
    func state(_ name: String) -> LimitState? { limits.first { $0.limit.name == name } }
}

extension Bench {
    /// Asks for all of them in one turn of the loop: they travel together, but for denials that are
    /// remembered, which are answered before the question is over.
    func ask(_ decisions: [Decision]) async -> [(outcome: DecisionOutcome, isRecalled: Bool)] {
        var outcomes: [(outcome: DecisionOutcome, isRecalled: Bool)?] =
            Array(repeating: nil, count: decisions.count)
        var missing = decisions.count
        guard missing > 0 else { return [] }
        return await withCheckedContinuation { continuation in
            for (index, decision) in decisions.enumerated() {
                var isAsking = true
                engine.decide(decision) { outcome in
                    outcomes[index] = (outcome, isAsking)
                    missing -= 1
                    if missing == 0 { continuation.resume(returning: outcomes.compactMap { $0 }) }
                }
                isAsking = false
            }
        }
    }

    func decide(_ decisions: [Decision]) async -> [DecisionOutcome] {
        await ask(decisions).map(\.outcome)
    }

    func decide(_ decision: Decision) async -> DecisionOutcome { await decide([decision])[0] }

    func setLimits(_ limits: [PlainLimit]) async throws {
        _ = try await engine.setLimits(try draft(limits))
    }

    /// What a limit says about a subject, by a peek.
    func used(_ limit: String, by subject: String) async -> Int? {
        await decide(Decision(.check, subject: subjectID(subject), limits: [limit])).verdict?
            .state(limit)?.used
    }
}

/// Runs a test's body with a bench that has these limits.
func withLimits<Value: Sendable>(
    _ limits: [PlainLimit], at time: Int = noon, zone: String = "UTC",
    _ body: @Sendable (isolated LoopHost, Bench, RedisServer) async throws -> Value
) async throws -> Value {
    try await withRedis { redis in
        try await onLoop { host in
            let calendar = try #require(WorkspaceCalendar(zone: zone))
            let bench = await Bench(
                redis.socketPath, on: host.loop, clock: ManualClock(time),
                settings: WorkspaceSettings(calendar: calendar))
            try await bench.setLimits(limits)
            return try await body(host, bench, redis)
        }
    }
}
