// SPDX-License-Identifier: Apache-2.0
//
// What is unusual must not hold up the others. So an event that is there twice waits for the outcome
// of the first instead of a batch of its own, and what has to go apart, since it may overflow a sum,
// takes turns with all else. And what somebody waits for goes before the events of a large request, which have
// a part of each batch. Every item is looked at a fixed number of times.

/// What waits for the next batches.
struct PendingQueue {
    /// Events of larger amounts could make a sum of a whole batch inexact.
    private static let amountMax = EventBatch.exactIntegerMax / EventBatch.eventCountMax
    /// How many items are looked at for one batch; those of one id need no place in it.
    private static let examinedMax = 8 * EventBatch.eventCountMax

    /// Requests of more events are large ones.
    static let smallMax = 16
    /// Of how many items of a batch one is of large requests, while others wait.
    private static let bulkInterval = 4

    private enum Turn { case waiting, large, single }
    private enum Source { case urgent, bulk, both }

    /// In the order of arrival.
    private var waiting = PendingLine()
    /// Events of large requests.
    private var bulk = PendingLine()
    /// Events of large amounts, as many together as their sum allows.
    private var large = PendingLine()
    /// Batches of one event each: those whose totals may overflow, or whose id another one has.
    private var singles = PendingLine()
    /// Batches that were parted: they have waited before.
    private var groups: [[Pending]] = []
    private var turn = Turn.single
    /// How many items a batch may have.
    var bound: BatchBound

    init(bound: BatchBound) { self.bound = bound }

    var count: Int {
        waiting.count + bulk.count + large.count + singles.count
            + groups.reduce(0) { $0 + $1.count }
    }
    var isEmpty: Bool {
        waiting.isEmpty && bulk.isEmpty && large.isEmpty && singles.isEmpty && groups.isEmpty
    }

    mutating func append(_ item: Pending) { waiting.append(item) }

    /// Adds an event of a large request.
    mutating func appendBulk(_ item: Pending) { bulk.append(item) }

    /// Adds an item that goes alone.
    mutating func appendSingle(_ item: Pending) { singles.append(item) }

    /// Adds a batch that goes as it is, before all else.
    mutating func appendGroup(_ items: [Pending]) {
        if !items.isEmpty { groups.append(items) }
    }

    /// Takes the next batch: as many as one call may hold, with no id twice, and no sums that could
    /// pass what Lua adds exactly. Nil when nothing waits. O(items looked at).
    ///
    /// - Parameter followers: makes a place for events whose id waits already.
    mutating func takeBatch(_ followers: () -> Followers) -> [Pending]? {
        takeBatch(followers, from: .both)
    }

    /// Takes the next batch of all but the events of large requests.
    mutating func takeUrgent(_ followers: () -> Followers) -> [Pending]? {
        takeBatch(followers, from: .urgent)
    }

    private mutating func takeBatch(
        _ followers: () -> Followers, from source: Source
    ) -> [Pending]? {
        if !groups.isEmpty { return groups.removeFirst() }
        while !(waiting.isEmpty && large.isEmpty && singles.isEmpty
            && (source == .urgent || bulk.isEmpty))
        {
            let batch: [Pending]
            switch turn {
            case .waiting:
                turn = .large
                batch = takeLarge()
            case .large:
                turn = .single
                batch = singles.takeFirst().map { [$0] } ?? []
            case .single:
                turn = .waiting
                batch = takeWaiting(followers, from: source)
            }
            if !batch.isEmpty { return batch }
        }
        return nil
    }

    /// Takes a batch of the events of large requests, up to one that cannot go along: what is urgent, and
    /// goes alone, may overtake this batch, and no event of it. Nil if there are not enough of them.
    mutating func takeBulk(_ followers: () -> Followers) -> [Pending]? {
        guard bulk.count >= bound.count else { return nil }
        let taken = takeWaiting(followers, from: .bulk)
        return taken.isEmpty ? nil : taken
    }

    private mutating func takeWaiting(
        _ followers: () -> Followers, from source: Source
    ) -> [Pending] {
        var taken: [Pending] = []
        var firsts: [ByteString: PendingEvent] = [:]
        var examined = 0
        let most = bound.count
        taken.reserveCapacity(min(waiting.count + bulk.count, most))
        while taken.count < most, examined < Self.examinedMax,
            let item = takeNext(from: source, behind: taken.count, of: most)
        {
            examined += 1
            guard case .event(let pending) = item else {
                taken.append(item)
                continue
            }
            if let id = pending.event.id {
                let first = { (first: inout PendingEvent) in first }(&firsts[id, default: pending])
                if first !== pending {
                    guard first.canLead(pending) else {
                        if source == .bulk {
                            bulk.putBack(item)
                            return taken
                        }
                        singles.append(item)
                        continue
                    }
                    first.lead(pending, followers)
                    continue
                }
            }
            if pending.mostAmount > Self.amountMax {
                if source == .bulk {
                    bulk.putBack(item)
                    return taken
                }
                large.append(item)
            } else {
                taken.append(item)
            }
        }
        return taken
    }

    /// What comes behind so many items of a batch of at most so many.
    private mutating func takeNext(
        from source: Source, behind count: Int, of most: Int
    ) -> Pending? {
        switch source {
        case .urgent:
            return waiting.takeFirst()
        case .bulk:
            return bulk.takeFirst()
        case .both:
            if count < most - most / Self.bulkInterval, let first = waiting.takeFirst() {
                return first
            }
            return bulk.takeFirst() ?? waiting.takeFirst()
        }
    }

    private mutating func takeLarge() -> [Pending] {
        var taken: [Pending] = []
        var ids: Set<ByteString> = []
        var room = EventBatch.exactIntegerMax
        let most = bound.count
        while taken.count < most, case .event(let pending)? = large.first,
            pending.mostAmount <= room, pending.event.id.map({ ids.insert($0).inserted }) ?? true
        {
            room -= pending.mostAmount
            taken.append(.event(pending))
            _ = large.takeFirst()
        }
        return taken
    }

    /// Takes out what has waited past its deadline.
    mutating func takeExpired(_ nowMS: Int) -> [Pending] {
        var late = waiting.takeExpired(nowMS) + bulk.takeExpired(nowMS)
        late += large.takeExpired(nowMS) + singles.takeExpired(nowMS)
        groups = groups.compactMap { group in
            late += group.filter { $0.deadlineMS <= nowMS }
            let rest = group.filter { $0.deadlineMS > nowMS }
            return rest.isEmpty ? nil : rest
        }
        return late
    }
}

/// Items in order.
private struct PendingLine {
    private var items: [Pending] = []
    private var head = 0

    var count: Int { items.count - head }
    var isEmpty: Bool { count == 0 }
    var first: Pending? { isEmpty ? nil : items[head] }

    mutating func append(_ item: Pending) { items.append(item) }

    /// Takes what waits longest.
    mutating func takeFirst() -> Pending? {
        guard head < items.count else { return nil }
        let first = items[head]
        head += 1
        if head == items.count {
            items.removeAll(keepingCapacity: true)
            head = 0
        } else if head >= 4096, head * 2 > items.count {
            // A line that is never empty must not keep all that ever stood in it.
            items.removeFirst(head)
            head = 0
        }
        return first
    }

    /// Puts back what was taken last.
    mutating func putBack(_ item: Pending) {
        if head > 0 {
            head -= 1
            items[head] = item
        } else {
            items.insert(item, at: 0)
        }
    }

    mutating func takeExpired(_ nowMS: Int) -> [Pending] {
        let late = items[head...].filter { $0.deadlineMS <= nowMS }
        guard !late.isEmpty else { return [] }
        items = items[head...].filter { $0.deadlineMS > nowMS }
        head = 0
        return late
    }
}

extension PendingEvent {
    /// The largest of its amounts, whichever way it counts.
    fileprivate var mostAmount: Int { event.amounts.reduce(0) { max($0, abs($1.1)) } }

    /// Whether its outcome says what becomes of another event of its id. What is about a hold, or
    /// undoes an event, is looked at by the script; so is what a guest and somebody else did, who may
    /// be the same by now.
    fileprivate func canLead(_ other: PendingEvent) -> Bool {
        purpose.isPlain && other.purpose.isPlain
            && (event.subject == other.event.subject
                || event.subject.kind == .user && other.event.subject.kind == .user)
    }
}

extension EventPurpose {
    fileprivate var isPlain: Bool {
        switch self {
        case .record, .enforce: true
        case .settle, .reverse, .move: false
        }
    }
}
