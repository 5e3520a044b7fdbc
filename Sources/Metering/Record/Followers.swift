// SPDX-License-Identifier: Apache-2.0

/// Events of one id that came while the first of them waited. They are told its outcome, as if they
/// had been asked for right behind it: a batch for each of them would say the same.
final class Followers {
    private(set) var events: [PendingEvent] = []
    /// Takes those of which the outcome of the first says nothing, to be asked for one by one.
    private let release: ([PendingEvent]) -> Void
    private let duplicates: (Int) -> Void

    init(duplicates: @escaping (Int) -> Void, release: @escaping ([PendingEvent]) -> Void) {
        self.duplicates = duplicates
        self.release = release
    }

    func append(_ event: PendingEvent) { events.append(event) }

    /// Tells what the outcome of the first means for the others. O(events).
    func resolve(after first: PendingEvent, _ outcome: EventOutcome) {
        var others: [PendingEvent] = []
        var repeated = 0
        for event in events {
            let isSame = event.event.isSamePayload(as: first.event)
            let isAlike = isSame && event.event.enforce == first.event.enforce
            switch outcome {
            case .counted(let counted) where isSame, .duplicate(let counted) where isSame:
                repeated += 1
                event.resolve(.duplicate(counted))
            case .counted: event.resolve(.rejected(.idReused))
            case .unavailable, .postponed: event.resolve(outcome)
            // Of the same subject: who is counted was looked up for it.
            case .skipped where isSame: event.resolve(outcome)
            // Nothing was changed by the first, so the same is decided about the same, but behind another
            // one, which may be counted.
            case .refused where isAlike && others.isEmpty,
                .rejected where isAlike && others.isEmpty:
                event.resolve(outcome)
            case .duplicate, .refused, .rejected, .skipped: others.append(event)
            }
        }
        events = []
        if repeated > 0 { duplicates(repeated) }
        if !others.isEmpty { release(others) }
    }
}
