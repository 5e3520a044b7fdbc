// SPDX-License-Identifier: Apache-2.0

internal import Redis

extension EventBatcher {
    /// Tells the callers whose events have waited too long.
    func expire() {
        let now = clock.monotonicMS
        later.see(clock.now)
        // What is late is known not to be counted as long as it is not sent again.
        defer { if isResendDue, client.isReady, let batch = inFlight { send(batch) } }
        // When the loop itself was held up, what Redis has answered meanwhile is still to be read.
        isHeldUp = !isHeldUp && now - lastSweepMS > 3 * Self.sweepMS
        lastSweepMS = now
        guard !isHeldUp, now - lastReplyMS > limits.waitMS else { return }
        func isLate(_ batch: EventBatch) -> Bool { batch.items.allSatisfy { $0.deadlineMS <= now } }
        // A later answer to it is ignored; the next batch's number makes a late sending stale.
        if let batch = inFlight, isLate(batch) {
            if isResendDue { fail(batch, silence) } else { lose(batch, silence) }
        }
        if let batch = next, isLate(batch) {
            next = nil
            for item in batch.items { item.postpone(silence) }
        }
        // What was sent, and came back to the queue, is known not to have been counted.
        for item in waiting.takeExpired(now) { item.postpone(silence) }
    }

    private var silence: String {
        if let refusal, client.isReady { return "\(refusal)" }
        return "Redis does not answer" + (client.problem.map { " (\($0))" } ?? "")
    }
}
