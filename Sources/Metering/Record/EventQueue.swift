// SPDX-License-Identifier: Apache-2.0

/// The events that wait for the next batch, in order.
struct EventQueue {
    private var items: [PendingEvent] = []
    private var head = 0

    var count: Int { items.count - head }
    var isEmpty: Bool { count == 0 }
    var first: PendingEvent? { isEmpty ? nil : items[head] }

    mutating func append(_ event: PendingEvent) { items.append(event) }

    /// Puts events before all that waits.
    mutating func prepend(_ events: [PendingEvent]) {
        items.replaceSubrange(..<head, with: events)
        head = 0
    }

    /// Takes the event that waits longest.
    mutating func takeFirst() -> PendingEvent? {
        guard let first else { return nil }
        head += 1
        dropTakenIfEmpty()
        return first
    }

    /// Takes the next batch: as many as one call may hold. An event waits for the next batch if
    /// one with its id is in this one, or if the sums could pass what Lua adds exactly.
    /// O(events taken).
    mutating func takeBatch() -> [PendingEvent] {
        var taken: [PendingEvent] = []
        var held: [PendingEvent] = []
        var ids: Set<ByteString> = []
        var sum = 0
        taken.reserveCapacity(min(count, EventBatch.eventCountMax))
        while head < items.count, taken.count < EventBatch.eventCountMax,
            held.count < EventBatch.eventCountMax
        {
            let event = items[head]
            head += 1
            let most = event.event.amounts.reduce(0) { max($0, $1.1) }
            let isFirst = event.event.id.map { ids.insert($0).inserted } ?? true
            if isFirst, taken.isEmpty || sum + most <= EventBatch.exactIntegerMax {
                sum += most
                taken.append(event)
            } else {
                held.append(event)
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
    mutating func takeExpired(_ nowMS: Int) -> [PendingEvent] {
        guard let first, first.deadlineMS <= nowMS else { return [] }
        let late = items[head...].filter { $0.deadlineMS <= nowMS }
        items = items[head...].filter { $0.deadlineMS > nowMS }
        head = 0
        return late
    }
}
