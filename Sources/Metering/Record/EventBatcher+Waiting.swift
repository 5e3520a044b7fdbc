// SPDX-License-Identifier: Apache-2.0

internal import Observability

extension EventBatcher {
    /// How long and how many events wait, and others for them. Times are of the monotonic clock.
    struct Limits {
        /// From an event's arrival until its caller is told that the outcome is not known.
        var waitMS = 1_000
        var waitingMax = 50_000
        /// How long a call of the script may hold Redis.
        var heldMS = 4
    }

    /// When events came, and until when they wait.
    struct Arrival {
        let time: Timestamp
        let place: (day: CivilDay, hour: Int)
        let deadlineMS: Int
    }

    /// When the events of this turn of the loop arrive: the clocks are read once for all of them.
    func currentArrival() -> Arrival {
        if isFlushDue, let arrival { return arrival }
        let now = clock.now
        let arrival = Arrival(
            time: now, place: calendar.place(now), deadlineMS: clock.monotonicMS + limits.waitMS)
        self.arrival = arrival
        return arrival
    }

    /// A place for events whose id waits already.
    func followers() -> Followers {
        Followers(duplicates: { [metrics] in metrics.duplicates.add($0) }) { [self] events in
            for event in events { waiting.appendSingle(.event(event)) }
            scheduleFlush()
        }
    }
}
