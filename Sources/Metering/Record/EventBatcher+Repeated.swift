// SPDX-License-Identifier: Apache-2.0

internal import Redis

extension EventBatcher {
    /// Finds what was answered when the ids were first counted, in one entry of the log.
    func resolve(_ repeated: [(event: PendingEvent, place: Int)], from origin: LogPosition) {
        client.send(.readLogEntry(keys.log(arrival: origin.day), origin)) { result in
            guard case .success(let value) = result else {
                for (event, _) in repeated {
                    event.resolve(.unavailable(reason: "the first answer could not be read"))
                }
                return
            }
            let entry = value.elements?.first.flatMap { LogEntry($0, arrival: origin.day) }
            let counted = entry.map { CountedEvents($0) }
            for (event, place) in repeated {
                event.resolve(event.outcome(as: place, of: counted, origin))
            }
        }
    }
}
