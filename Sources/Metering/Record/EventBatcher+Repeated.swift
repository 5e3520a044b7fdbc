// SPDX-License-Identifier: Apache-2.0

internal import Redis

extension EventBatcher {
    /// Finds what was answered when the ids were first counted, in one entry of the log.
    func resolve(_ repeated: [RepeatedEvent], from origin: LogPosition) {
        client.send(.readLogEntry(keys.log(arrival: origin.day), origin)) { [self] result in
            guard case .success(let value) = result else { return giveUp(repeated) }
            let entry = value.elements?.first.flatMap { LogEntry($0, arrival: origin.day) }
            let counted = entry.map { CountedEvents($0) }
            findUsers(of: Set(repeated.flatMap { $0.guests(in: counted) })) { users in
                guard let users else { return self.giveUp(repeated) }
                for one in repeated {
                    one.event.resolve(one.outcome(of: counted, origin, users: users))
                }
            }
        }
    }

    /// Finds those guests who are users by now; nil when Redis does not say.
    private func findUsers(
        of guests: Set<SubjectID>, _ completion: @escaping ([SubjectID: SubjectID]?) -> Void
    ) {
        guard !guests.isEmpty else { return completion([:]) }
        let guests = Array(guests)
        client.send(RedisCommand("HMGET", [keys.merged] + guests.map(\.id.bytes))) { result in
            guard case .success(let value) = result, let found = value.elements else {
                return completion(nil)
            }
            var users: [SubjectID: SubjectID] = [:]
            for (guest, user) in zip(guests, found) {
                users[guest] = user.bytes.map { SubjectID(stored: ByteString(bytes: $0)) }
            }
            completion(users)
        }
    }

    private func giveUp(_ repeated: [RepeatedEvent]) {
        for one in repeated {
            one.event.resolve(.unavailable(reason: "the first answer could not be read"))
        }
    }
}
