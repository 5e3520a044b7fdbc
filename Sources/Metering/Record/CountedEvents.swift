// SPDX-License-Identifier: Apache-2.0

/// The events of an entry of the log with what they were answered, found in one pass for all of them.
struct CountedEvents {
    private struct Total: Hashable {
        let subject: Int
        let meter: Meter
    }

    private let entry: LogEntry
    /// Per event the subject's totals right after it, for its amounts.
    private let totals: [[Int]]
    /// By the event's place, the balance that it left, where it changed one.
    private let balances: [Int: Int]

    /// O(amounts of the entry).
    init(_ entry: LogEntry) {
        self.entry = entry
        // Backwards: the totals after an event are those after the entry less what came later.
        var later: [Total: Int] = [:]
        var totals: [[Int]] = []
        totals.reserveCapacity(entry.events.count)
        for logged in entry.events.reversed() {
            let amounts = zip(logged.event.amounts, entry.totals(ofRow: logged.row))
            totals.append(
                amounts.map { amount, total in
                    total &- later[Total(subject: logged.subject, meter: amount.0), default: 0]
                })
            guard !entry.excluded.contains(logged.place) else { continue }
            for (meter, amount) in logged.event.amounts {
                later[Total(subject: logged.subject, meter: meter), default: 0] &+= amount
            }
        }
        self.totals = totals.reversed()
        var balances: [Int: Int] = [:]
        for index in stride(from: 2, to: entry.ledger.count, by: 3) {
            let lines = entry.ledger[index].array ?? []
            for line in stride(from: 0, to: lines.count - 5, by: 6) {
                if case .integer(let place) = lines[line + 5], place > 0 {
                    balances[place] = lines[line + 2].integer
                }
            }
        }
        self.balances = balances
    }

    /// The event at a place, and as it was counted; nil when there is none.
    func event(at place: Int) -> (payload: UsageEvent, counted: CountedEvent)? {
        guard entry.events.indices.contains(place - 1) else { return nil }
        let event = entry.events[place - 1].event
        let counted = CountedEvent(
            id: event.id ?? entry.position.eventID(place: place),
            totals: zip(event.amounts, totals[place - 1]).map { ($0.0, $1) },
            balance: balances[place], credits: event.amounts.amount(of: .creditsMicro))
        return (event, counted)
    }
}

/// An event whose id was counted before, at a place of an entry of the log.
struct RepeatedEvent {
    let event: PendingEvent
    let place: Int
    /// What it is told when it is the same event, sent to settle a hold that is open still.
    let unsettled: Verdict?

    /// Guests that have to be known as users before it can be compared with what was counted; mostly
    /// there are none.
    func guests(in events: CountedEvents?) -> [SubjectID] {
        let subject = event.event.subject
        guard let known = events?.event(at: place)?.payload.subject, known != subject
        else { return [] }
        return [known, subject].filter { $0.kind == .guest }
    }

    /// What it is told.
    ///
    /// - Parameters:
    ///   - events: those of the entry; nil when the log has forgotten it.
    ///   - users: whom guests were merged into.
    func outcome(
        of events: CountedEvents?, _ origin: LogPosition, users: [SubjectID: SubjectID]
    ) -> EventOutcome {
        var event = event.event
        guard let known = events?.event(at: place) else {
            // The log has forgotten it, the id has not: it counts nothing, but its totals are gone.
            let id = event.id ?? origin.eventID(place: place)
            return duplicate(CountedEvent(id: id, totals: []))
        }
        var payload = known.payload
        payload.subject = users[payload.subject] ?? payload.subject
        event.subject = users[event.subject] ?? event.subject
        return payload.isSamePayload(as: event) ? duplicate(known.counted) : .rejected(.idReused)
    }

    private func duplicate(_ counted: CountedEvent) -> EventOutcome {
        unsettled.map { .refused($0) } ?? .duplicate(counted)
    }
}
