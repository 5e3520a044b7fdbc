// SPDX-License-Identifier: Apache-2.0
//
// A batch adds its events up, once per batch and not once per event in the script, which Redis runs
// on its only thread.

/// A batch of events on its way to Redis.
final class EventBatch {
    /// The most events of one script call, however little they take; see `BatchBound`.
    static let eventCountMax = 512

    /// 2^53 − 1, the largest integer that doubles, and so Lua, count up to exactly.
    static let exactIntegerMax = 9_007_199_254_740_991

    /// What the batch was made of, in the order of arrival.
    let items: [Pending]
    /// What its events were priced by.
    let rules: Rules
    /// The events of the items, with what the rules make of them.
    let events: [PendingEvent]
    /// What they add up to.
    let sums: EventSums
    /// Made when the batch is sent first, and kept when it is sent again.
    var decisions: DecisionList?
    /// What does not depend on when it is sent; made once.
    var packed: Packed?
    /// Whether it moves what a guest was counted for: all of it is done, or nothing.
    var isMerge: Bool { events.first.map { $0.purpose.isMove } ?? false }
    /// Whether it was sent and nothing tells that it was not counted.
    var mayBeCounted = false

    /// Tells the callers that it is not sent again.
    func end(_ reason: String, _ fault: StorageFault? = nil) {
        for item in items {
            if mayBeCounted { item.giveUp(reason) } else { item.postpone(reason, fault) }
        }
    }

    /// Prices the events and adds them up. Their ids, where they have one, must differ. An event
    /// that cannot be priced or is of an erased subject, or a decision about what these rules do not
    /// know (which may have been known when it was asked for), is left out, and told so.
    init(_ items: [Pending], _ rules: Rules) {
        self.rules = rules
        var events: [PendingEvent] = []
        events.reserveCapacity(items.count)
        var isUnfit = false
        for item in items {
            switch item {
            case .event(let pending):
                if Self.price(pending, rules) { events.append(pending) } else { isUnfit = true }
            case .decision(let pending):
                guard let rejection = rules.rejection(of: pending.decision) else { continue }
                isUnfit = true
                pending.resolve(.rejected(rejection))
            }
        }
        self.items = isUnfit ? items.filter { Self.isFit($0, rules) } : items
        self.events = events
        sums = EventSums(events)
    }

    /// Whether it went; if not, the event's caller has been told why.
    private static func price(_ pending: PendingEvent, _ rules: Rules) -> Bool {
        if pending.purpose.isPriced { return true }
        if pending.event.subject.isErased {
            pending.resolve(.rejected(.reservedID))
            return false
        }
        do throws(EventRejection) {
            if !rules.prices.isEmpty || !pending.event.derived.isEmpty {
                pending.event = try pending.event.priced(by: rules.prices)
            }
            if case .settle(_, .cap, let held?) = pending.purpose {
                pending.event.amounts.cap(.creditsMicro, at: held)
            }
            return true
        } catch {
            pending.resolve(.rejected(error))
            return false
        }
    }

    private static func isFit(_ item: Pending, _ rules: Rules) -> Bool {
        switch item {
        case .event(let pending): price(pending, rules)
        case .decision(let pending): rules.rejection(of: pending.decision) == nil
        }
    }
}

extension EventPurpose {
    /// Whether the events have their prices already: they were counted before.
    fileprivate var isPriced: Bool {
        switch self {
        case .reverse, .move: true
        case .record, .enforce, .settle: false
        }
    }

    fileprivate var isMove: Bool { if case .move = self { true } else { false } }
}
