// SPDX-License-Identifier: Apache-2.0

extension Timestamp {
    /// The span of a day that an id which comes at this instant is remembered in.
    var idGeneration: Int { milliseconds.flooredQuotient(86_400_000) }
}

extension WorkspaceSettings {
    /// Ids are remembered by spans of a day, so that forgetting is dropping a key and the window may
    /// be changed at any time; an id within the window is in this span or in one of those that the
    /// window reaches back to. Near the end of a span the next is searched too, since other
    /// processes' clocks may be ahead.
    func idGenerations(at now: Timestamp) -> [Int] {
        let current = now.idGeneration
        let first = Timestamp(milliseconds: now.milliseconds - idempotencyWindowMS).idGeneration
        let isNearEnd = Timestamp(milliseconds: now.milliseconds + 600_000).idGeneration > current
        return (first...current).reversed() + (isNearEnd ? [current + 1] : [])
    }

    /// For how long what a batch writes stays in Redis. Events stay longer when ids do.
    var lifetimes: EventBatch.Lifetimes {
        let window = idempotencyWindowMS / 1000
        return EventBatch.Lifetimes(
            log: max((eventsDays + 1) * 86_400, window + 3 * 86_400), ids: window + 2 * 86_400)
    }
}
