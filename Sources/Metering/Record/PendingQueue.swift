// SPDX-License-Identifier: Apache-2.0

/// What waits for the next batch, in order.
struct PendingQueue {
    private var items: [Pending] = []
    private var head = 0

    var count: Int { items.count - head }
    var isEmpty: Bool { count == 0 }
    var first: Pending? { isEmpty ? nil : items[head] }

    mutating func append(_ item: Pending) { items.append(item) }

    /// Puts items before all that waits.
    mutating func prepend(_ older: [Pending]) {
        items.replaceSubrange(..<head, with: older)
        head = 0
    }

    /// Takes what waits longest.
    mutating func takeFirst() -> Pending? {
        guard let first else { return nil }
        head += 1
        dropTakenIfEmpty()
        return first
    }

    /// Takes the next batch: as many as one call may hold. An event waits for the next batch if
    /// one with its id is in this one, or if the sums could pass what Lua adds exactly.
    /// O(items taken).
    mutating func takeBatch() -> [Pending] {
        var taken: [Pending] = []
        var held: [Pending] = []
        var ids: Set<ByteString> = []
        var sum = 0
        taken.reserveCapacity(min(count, EventBatch.eventCountMax))
        while head < items.count, taken.count < EventBatch.eventCountMax,
            held.count < EventBatch.eventCountMax
        {
            let item = items[head]
            head += 1
            guard case .event(let pending) = item else {
                taken.append(item)
                continue
            }
            let most = pending.event.amounts.reduce(0) { max($0, abs($1.1)) }
            let isFirst = pending.event.id.map { ids.insert($0).inserted } ?? true
            if isFirst, taken.isEmpty || sum + most <= EventBatch.exactIntegerMax {
                sum += most
                taken.append(item)
            } else {
                held.append(item)
            }
        }
        dropTakenIfEmpty()
        if !held.isEmpty { prepend(held) }
        return taken
    }

    private mutating func dropTakenIfEmpty() {
        guard head == items.count else { return }
        items.removeAll(keepingCapacity: true)
        head = 0
    }

    /// Takes out what has waited past its deadline.
    mutating func takeExpired(_ nowMS: Int) -> [Pending] {
        guard let first, first.deadlineMS <= nowMS else { return [] }
        let late = items[head...].filter { $0.deadlineMS <= nowMS }
        items = items[head...].filter { $0.deadlineMS > nowMS }
        head = 0
        return late
    }
}
