// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Tells all loops of a process at once that what was denied may be allowed by now.
public final class DenialEpoch: Sendable {
    private let count = Atomic(0)

    public init() {}

    var current: Int { count.load(ordering: .acquiring) }

    func advance() { count.add(1, ordering: .releasing) }
}

/// Remembers for a moment who is over which limit, so that refusing costs Redis nothing.
///
/// Only denials are remembered, and only for as long as they surely last: until the first window
/// that they tell of ends or there is room, and never for more than a second, because another
/// process may raise the limit, release a hold or reverse an event. On this process these are
/// forgotten at once. Not `Sendable`: one per loop.
final class DenialMemory {
    /// How long others' changes may go unseen.
    private static let trustMS = 1000

    private struct Key: Hashable {
        let subject: ByteString
        let limit: Int
    }

    private struct Denial {
        /// All limits of the verdict, and what was asked of the one that is remembered.
        let states: [LimitState]
        let asked: Int
        let sinceMS: Int
        let untilMS: Int
        let number: Int
    }

    private let countMax: Int
    private let epoch: DenialEpoch
    private var seenEpoch = 0
    private var denials: [Key: Denial] = [:]
    private var lastNumber = 0

    init(_ epoch: DenialEpoch, countMax: Int = 50_000) {
        self.epoch = epoch
        self.countMax = countMax
    }

    /// The denial of a decision, if what is remembered is enough for a whole answer. O(limits).
    func verdict(on decision: Decision, _ rules: Rules, at now: Timestamp) -> Verdict? {
        // A balance is not remembered, so who asks about credits asks Redis.
        guard !denials.isEmpty, decision.credits == nil, let subject = decision.subject else {
            return nil
        }
        if epoch.current != seenEpoch {
            forgetAll()
            return nil
        }
        let judged = decision.judged(by: rules)
        for (index, amount) in judged where amount > 0 {
            let limit = rules.limits.limits[index]
            let key = Key(subject: subject.id, limit: limit.id)
            guard let denial = denials[key] else { continue }
            // A clock that was set back says nothing about how long ago it was.
            guard denial.sinceMS <= now.milliseconds, now.milliseconds < denial.untilMS else {
                denials[key] = nil
                continue
            }
            // Less may fit sooner, as holds expire.
            guard amount >= denial.asked else { continue }
            var isSame = true
            var states: [LimitState] = []
            for (index, amount) in judged {
                let limit = rules.limits.limits[index]
                guard let state = denial.states.first(where: { $0.limit.id == limit.id }) else {
                    return nil
                }
                isSame = isSame && amount == state.asked
                let asked = LimitState(
                    limit: limit, asked: amount, used: state.used, most: state.most,
                    resetsAt: state.resetsAt, windowSeconds: state.windowSeconds,
                    drains: state.drains)
                // Where room comes back bit by bit, another amount fits at another time.
                if asked.isViolated, asked.drains, amount != state.asked { return nil }
                states.append(asked)
            }
            guard states.contains(where: { $0.limit.id == limit.id && $0.isViolated }) else {
                continue
            }
            isSame = isSame && states.count == denial.states.count
            return Verdict(denied: states, number: isSame ? denial.number : nil, at: now)
        }
        return nil
    }

    /// The epoch in which a decision is asked for.
    var now: Int { epoch.current }

    /// Remembers what a verdict denied, unless things changed since it was asked for.
    func remember(_ verdict: Verdict, on decision: Decision, asked: Int) {
        guard verdict.status == .limitReached || verdict.status == .limitReachedAndCreditsShort,
            asked == epoch.current, let subject = decision.subject
        else { return }
        if epoch.current != seenEpoch { forgetAll() }
        lastNumber += 1
        // Until the first of what it tells ends. Where room comes back bit by bit, and enough is there
        // already, it tells of less than there is.
        var until = verdict.time.milliseconds + Self.trustMS
        for state in verdict.limits where state.isViolated || !state.drains {
            if let end = state.resetsAt { until = min(until, end.milliseconds) }
        }
        for state in verdict.violated {
            if denials.count >= countMax { denials.removeAll(keepingCapacity: true) }
            denials[Key(subject: subject.id, limit: state.limit.id)] = Denial(
                states: verdict.limits, asked: state.asked, sinceMS: verdict.time.milliseconds,
                untilMS: until, number: lastNumber)
        }
    }

    private func forgetAll() {
        seenEpoch = epoch.current
        denials.removeAll(keepingCapacity: true)
    }
}
