// SPDX-License-Identifier: Apache-2.0
//
// What an event costs Redis depends on how many subjects there are and on what is decided: a batch of
// 512 takes three milliseconds among a thousand subjects and thirty among a million, in which nobody
// else is answered. So a call has as many as, by what the last ones took, are done in time.

/// How many items go in one call of the script.
struct BatchBound {
    /// Below this, most of what a call takes is not its items': a bound by time would part what came
    /// together for nothing.
    private static let countMin = 16
    /// Of what was known, how much the last batch replaces.
    private static let weight = 0.25
    /// How many times what was known one batch may tell: it may have been held up by something else.
    private static let surpriseMax = 4.0

    /// How long a call may hold Redis, in microseconds.
    private let heldMaxUS: Double
    /// What an item takes, in microseconds; at first, cautiously, what it takes with a price and limits.
    private var itemUS = 31.25

    /// - Parameter heldMS: how long a call may hold Redis, in milliseconds.
    init(heldMS: Int) { heldMaxUS = Double(heldMS) * 1_000 }

    /// The most items of the next batch, from 16 to 512.
    var count: Int {
        let count = (heldMaxUS / itemUS).rounded()
        return Int(min(max(count, Double(Self.countMin)), Double(EventBatch.eventCountMax)))
    }

    /// Whether a batch of so many tells what larger ones take.
    static func measures(_ count: Int) -> Bool { count >= countMin }

    /// Learns what a batch took. Of none it is known that it took no time: a clock stood still.
    mutating func learn(count: Int, microseconds: Int) {
        guard Self.measures(count), microseconds > 0 else { return }
        let sample = min(Double(microseconds) / Double(count), Self.surpriseMax * itemUS)
        set(itemUS + Self.weight * (sample - itemUS))
    }

    /// Learns that no answer came in time, maybe since the batch took too long: the next ones are half as
    /// large.
    mutating func learnOfSilence() { set(2 * itemUS) }

    /// More than leads to the fewest items would only take longer to unlearn.
    private mutating func set(_ microseconds: Double) {
        itemUS = min(microseconds, heldMaxUS / Double(Self.countMin))
    }
}
