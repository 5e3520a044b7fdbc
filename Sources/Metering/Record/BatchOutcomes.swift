// SPDX-License-Identifier: Apache-2.0

/// What the script's reply means for each item of a batch.
struct BatchOutcomes {
    private let batch: EventBatch
    private let done: RecordReply.Done
    private let verdicts: [Verdict]
    private let totals: BatchTotals

    /// Nil when the reply does not fit the batch.
    init?(_ batch: EventBatch, _ done: RecordReply.Done) {
        guard let totals = BatchTotals(done.results, of: batch.sums) else { return nil }
        self.batch = batch
        self.done = done
        self.totals = totals
        guard let list = batch.decisions, !list.isEmpty else {
            verdicts = []
            return
        }
        var verdicts: [Verdict] = []
        verdicts.reserveCapacity(list.decisions.count)
        var rest = done.answers[...]
        for decision in list.decisions {
            guard let count = rest.popFirst()?.integer, (0...rest.count).contains(count),
                let verdict = Verdict(Array(rest.prefix(count)), to: decision, of: list)
            else { return nil }
            rest = rest.dropFirst(count)
            verdicts.append(verdict)
        }
        guard verdicts.count == list.decisions.count else { return nil }
        self.verdicts = verdicts
    }

    var countedCount: Int { batch.events.count - done.excluded.count }

    var skippedCount: Int {
        done.excluded.values.count { if case .skipped = $0 { true } else { false } }
    }

    var repeatedCount: Int {
        done.excluded.reduce(0) { count, excluded in
            guard case .repeated = excluded.value, batch.events.indices.contains(excluded.key - 1)
            else { return count }
            return count + 1 + batch.events[excluded.key - 1].followerCount
        }
    }

    /// Tells every caller its outcome, but for the events that were counted before: these are
    /// handed over by the entry of the log that has their first answers.
    func resolve(_ repeated: ([RepeatedEvent], LogPosition) -> Void) {
        var totals = totals
        var earlier: [LogPosition: [RepeatedEvent]] = [:]
        let prefix = done.position.idPrefix
        // Nearly all batches have neither, and need not be asked for each event.
        let excluded = done.excluded.isEmpty ? nil : done.excluded
        let decisions = verdicts.isEmpty ? nil : batch.decisions
        // Backwards: the totals after an event are those after the batch less what came later.
        for index in batch.events.indices.reversed() {
            let pending = batch.events[index]
            let verdict = decisions?.ofEvent[index].map { verdicts[$0] }
            switch excluded?[index + 1] {
            case .repeated where verdict?.status.isEndOfHold == true,
                .skipped where verdict?.status.isEndOfHold == true:
                if let verdict { pending.resolve(.refused(verdict)) }
            case .repeated(let origin, let place):
                let unsettled = verdict.flatMap { $0.status == .alreadyCounted ? $0 : nil }
                // Others of its id are compared with the same event of the log.
                for event in [pending] + pending.takeFollowers() {
                    earlier[origin, default: []].append(
                        RepeatedEvent(event: event, place: place, unsettled: unsettled))
                }
            case .skipped(let reason): pending.resolve(.skipped(reason))
            case .refused:
                guard let verdict, verdict.status != .tooLarge else {
                    pending.resolve(.rejected(.counterOverflow))
                    continue
                }
                guard verdict.status != .erasing else {
                    pending.resolve(.postponed(reason: EventBatcher.erasing))
                    continue
                }
                pending.resolve(.refused(verdict))
            case nil:
                let row = batch.sums.placeOfEvent[index].row
                let counted = CountedEvent(
                    id: pending.event.id ?? LogPosition.eventID(prefix, place: index + 1),
                    totals: totals.takeBack(pending.event.amounts, row: row),
                    balance: verdict?.balance,
                    credits: pending.event.amounts.amount(of: .creditsMicro))
                pending.resolve(.counted(counted))
            }
        }
        for (origin, events) in earlier { repeated(events, origin) }
        resolveDecisions()
    }

    private func resolveDecisions() {
        guard let list = batch.decisions, !list.isEmpty else { return }
        var next = 0
        for item in batch.items {
            guard case .decision(let pending) = item else { continue }
            var verdict = verdicts[list.ofItem[next]]
            if pending.decision.kind.takes, let subject = pending.decision.subject {
                verdict.skipped = done.uncounted[subject.id]
            }
            pending.resolve(.decided(verdict))
            next += 1
        }
    }
}
