// SPDX-License-Identifier: Apache-2.0

internal import Observability

extension EventBatcher {
    /// Events that may overflow a total go on their own, so that one that does spoils no other. Which
    /// rollup overflows is not told: those of one cell are tried together first.
    func isolate(_ batch: EventBatch, _ subjects: Set<Int>, _ rollup: Bool) {
        guard batch.items.count > 1, !batch.isMerge else {
            metrics.rejected.add()
            for item in batch.items { item.reject(.counterOverflow) }
            return
        }
        var others: [Pending] = []
        var cells: [Int: [Pending]] = [:]
        var event = 0
        for item in batch.items {
            guard case .event = item else {
                others.append(item)
                continue
            }
            let (row, cell) = batch.sums.placeOfEvent[event]
            if subjects.contains(batch.sums.rows[row].subject)
                || rollup && batch.sums.cells.count == 1
            {
                waiting.appendSingle(item)
            } else if rollup {
                cells[cell, default: []].append(item)
            } else {
                others.append(item)
            }
            event += 1
        }
        waiting.appendGroup(others)
        for cell in cells.keys.sorted() { waiting.appendGroup(cells[cell] ?? []) }
    }
}
