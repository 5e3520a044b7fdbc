// SPDX-License-Identifier: Apache-2.0

/// The events of one caller, and the outcomes that have come so far.
final class Submission {
    private enum Completion {
        case single((EventOutcome) -> Void)
        case list(([EventOutcome]) -> Void)
    }

    private var outcomes: [EventOutcome?] = []
    private var missing = 1
    private let completion: Completion

    /// One event: no lists are kept for it.
    init(single: @escaping (EventOutcome) -> Void) { completion = .single(single) }

    init(count: Int, completion: @escaping ([EventOutcome]) -> Void) {
        outcomes = Array(repeating: nil, count: count)
        missing = count
        self.completion = .list(completion)
    }

    /// Sets the outcome of one event; the last one calls back.
    func resolve(_ index: Int, _ outcome: EventOutcome) {
        guard missing > 0 else { return }
        switch completion {
        case .single(let completion):
            missing = 0
            completion(outcome)
        case .list(let completion):
            guard outcomes[index] == nil else { return }
            outcomes[index] = outcome
            missing -= 1
            if missing == 0 { completion(outcomes.compactMap { $0 }) }
        }
    }
}

/// One event that waits to be counted.
///
/// An object, which passes from list to list as one pointer.
final class PendingEvent {
    /// Priced anew each time it is put into a batch.
    var event: UsageEvent
    let purpose: EventPurpose
    /// When it happened: the event's own time, or that of its arrival.
    let time: Timestamp
    let arrived: Timestamp
    let day: CivilDay
    /// Start of its hour, seconds since 1970.
    let hour: Int
    /// When it stops to wait, milliseconds of the monotonic clock.
    let deadlineMS: Int
    let submission: Submission
    let index: Int
    /// Events of the same id that wait for its outcome; mostly there are none.
    private var followers: Followers?

    init(
        event: UsageEvent, purpose: EventPurpose, time: Timestamp, arrived: Timestamp,
        day: CivilDay, hour: Int, deadlineMS: Int, submission: Submission, index: Int
    ) {
        self.event = event
        self.purpose = purpose
        self.time = time
        self.arrived = arrived
        self.day = day
        self.hour = hour
        self.deadlineMS = deadlineMS
        self.submission = submission
        self.index = index
    }

    func resolve(_ outcome: EventOutcome) {
        submission.resolve(index, outcome)
        guard let followers else { return }
        self.followers = nil
        followers.resolve(after: self, outcome)
    }

    /// Lets another event of its id wait for its outcome.
    func lead(_ other: PendingEvent, _ make: () -> Followers) {
        let followers = followers ?? make()
        self.followers = followers
        followers.append(other)
    }

    /// Makes it that of the user whom its guest was merged into, with those that wait for its outcome.
    func redirect(to users: [ByteString: SubjectID]) {
        if let user = users[event.subject.id] { event.subject = user }
        for follower in followers?.events ?? [] { follower.redirect(to: users) }
    }

    /// Whether limits have to allow it.
    var isEnforced: Bool { if case .enforce = purpose { true } else { false } }

    /// Whether it counts in the windows of when it is decided about, and not in those of its time.
    var countsWhenDecided: Bool { isEnforced || time > arrived }

    /// How many wait for its outcome.
    var followerCount: Int { followers?.events.count ?? 0 }

    /// Those that wait for its outcome, which get theirs in another way.
    func takeFollowers() -> [PendingEvent] {
        defer { followers = nil }
        return followers?.events ?? []
    }
}

/// One decision that waits to be taken.
struct PendingDecision {
    var decision: Decision
    let deadlineMS: Int
    let resolve: (DecisionOutcome) -> Void
}

/// Something that waits for the next batch.
enum Pending {
    case event(PendingEvent)
    case decision(PendingDecision)

    var deadlineMS: Int {
        switch self {
        case .event(let pending): pending.deadlineMS
        case .decision(let pending): pending.deadlineMS
        }
    }

    /// Whom it is about; nil for a decision about a hold by its id.
    var subject: SubjectID? {
        switch self {
        case .event(let pending): pending.event.subject
        case .decision(let pending): pending.decision.subject
        }
    }

    /// The same, for the users that guests were merged into.
    func redirected(to users: [ByteString: SubjectID]) -> Pending {
        switch self {
        case .event(let pending):
            pending.redirect(to: users)
            return self
        case .decision(let pending):
            let former = pending.decision.subject
            guard let user = former.flatMap({ users[$0.id] }) else { return self }
            var redirected = pending
            redirected.decision.subject = user
            redirected.decision.formerSubject = former
            return .decision(redirected)
        }
    }

    /// Tells the caller that it was not, and will not be, done.
    func reject(_ rejection: EventRejection) {
        switch self {
        case .event(let pending): pending.resolve(.rejected(rejection))
        case .decision(let pending): pending.resolve(.rejected(rejection))
        }
    }

    /// Tells the caller that it was not done, and may be asked for again.
    func postpone(_ reason: String, _ fault: StorageFault? = nil) {
        switch self {
        case .event(let pending): pending.resolve(.postponed(reason: reason, fault: fault))
        case .decision(let pending): pending.resolve(.postponed(reason: reason, fault: fault))
        }
    }

    /// Tells the caller that the outcome is not known.
    func giveUp(_ reason: String) {
        switch self {
        case .event(let pending): pending.resolve(.unavailable(reason: reason))
        case .decision(let pending): pending.resolve(.unavailable(reason: reason))
        }
    }
}
