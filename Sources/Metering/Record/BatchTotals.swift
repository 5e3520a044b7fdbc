// SPDX-License-Identifier: Apache-2.0

/// The totals of a batch's subjects, walked back from those after the batch: the totals after an
/// event are those after the batch less what came later.
struct BatchTotals {
    private let batch: EventBatch
    /// As `EventBatch.rowAmounts`: per row, for the meters of its set.
    private var totals: [Int]

    /// Nil when the script's results do not fit the batch.
    init?(_ results: [Int], of batch: EventBatch) {
        guard results.count == batch.subjects.count + batch.rowAmounts.count else { return nil }
        self.batch = batch
        totals = Array(results.dropFirst(batch.subjects.count))
    }

    /// The totals right after an event, which is then taken out. Events come last first, and those
    /// that did not count not at all.
    mutating func takeBack(_ event: UsageEvent, row index: Int) -> [(meter: Meter, total: Int)] {
        let row = batch.rows[index]
        var after: [(meter: Meter, total: Int)] = []
        after.reserveCapacity(event.amounts.count)
        for (place, (meter, amount)) in event.amounts.enumerated() {
            after.append((meter, totals[row.base + place]))
            totals[row.base + place] -= amount
        }
        // The subject's rows of other days and sets end with the same totals.
        for other in batch.rowsBeside(index) {
            for (place, meter) in batch.sets[batch.rows[other].set].enumerated() {
                guard let (_, amount) = event.amounts.first(where: { $0.0 == meter }) else {
                    continue
                }
                totals[batch.rows[other].base + place] -= amount
            }
        }
        return after
    }
}
