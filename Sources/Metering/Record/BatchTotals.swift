// SPDX-License-Identifier: Apache-2.0

/// The totals of a batch's subjects, walked back from those after the batch: the totals after an
/// event are those after the batch less what came later.
struct BatchTotals {
    private let sums: EventSums
    /// The script's results: per subject its position before, then as `EventSums.rowAmounts`.
    private var results: [Int]

    /// Nil when the script's results do not fit the batch.
    init?(_ results: [Int], of sums: EventSums) {
        guard results.count == sums.subjects.count + sums.rowAmounts.count else { return nil }
        self.sums = sums
        self.results = results
    }

    /// The totals right after an event, which is then taken out. Events come last first, and those
    /// that did not count not at all.
    mutating func takeBack(
        _ amounts: [(Meter, Int)], row index: Int
    ) -> [(meter: Meter, total: Int)] {
        let start = sums.subjects.count
        var place = start + sums.rows[index].base
        var after: [(meter: Meter, total: Int)] = []
        after.reserveCapacity(amounts.count)
        for (meter, amount) in amounts {
            after.append((meter, results[place]))
            results[place] -= amount
            place += 1
        }
        // The subject's rows of other days and sets end with the same totals.
        for other in sums.rowsBeside(index) {
            let row = sums.rows[other]
            for (place, meter) in sums.sets[row.set].enumerated() {
                guard let amount = amounts.amount(of: meter) else { continue }
                results[start + row.base + place] -= amount
            }
        }
        return after
    }
}
