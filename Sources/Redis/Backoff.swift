// SPDX-License-Identifier: Apache-2.0

/// How long to wait before the next attempt: nothing the first time, then doubling up to a bound.
/// A random part keeps many clients from coming back all at the same moment.
struct Backoff: Sendable {
    let first: Duration
    let max: Duration
    private var next: Duration?

    init(first: Duration, max: Duration) {
        self.first = first
        self.max = max
    }

    /// The delay before the next attempt, between half of its full length and all of it.
    mutating func delay(random: Double = .random(in: 0...1)) -> Duration {
        guard let full = next else {
            next = first
            return .zero
        }
        next = Swift.min(full * 2, max)
        return full * (0.5 + random / 2)
    }

    /// The next attempt waits as long as any: for faults that do not go away by themselves.
    mutating func jumpToMax() { next = max }

    /// The next attempt waits for nothing, as after a success.
    mutating func reset() { next = nil }
}
