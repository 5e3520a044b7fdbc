// SPDX-License-Identifier: Apache-2.0
//
// A guest who signs in becomes a user: all that the guest was counted for moves. It moves as events do, so
// that records, days, boards and everything that follows the log go along: for each day of the guest
// events that take its sums away, and events that give them to the user, at the same times and in the same
// step. They are no events of their own and never told.

/// What a guest has used, as it was looked at, to be moved to a user: all of it, or a part that fits into
/// one batch, which leaves the guest a guest.
public struct GuestMerge: Sendable {
    /// What a guest used on a day.
    struct Day: Sendable {
        let day: CivilDay
        let first: Timestamp
        let last: Timestamp
        let eventCount: Int
        let amounts: [(Meter, Int)]
        /// Whether the times are known; if not, noon stands for both.
        let hasTimes: Bool

        var isZero: Bool { eventCount == 0 && amounts.allSatisfy { $0.1 == 0 } }
    }

    /// A part of a day, of the guest or of the user.
    struct Move: Sendable {
        let subject: SubjectID
        let day: CivilDay
        let time: Timestamp
        /// Below 0 where it takes away.
        let eventCount: Int
        let amounts: [(Meter, Int)]
    }

    /// How much moves in one batch: 32 days of four events. It holds Redis for up to 5 ms, whoever else waits.
    static let movesMax = 128

    public let guest: SubjectID
    /// The guest's last entry of the log; 0 for none.
    let latest: LogPosition
    /// Of the guest in all, as it was looked at.
    let eventCount: Int
    /// Whether some of the guest's days stay behind, and its account with them.
    public let isPartial: Bool
    /// Whether it is a part of an erasure, which takes the guest off its days itself.
    let isErasing: Bool
    var moves: [Move] = []

    /// - Parameters:
    ///   - days: what there is to move; of more than fit into one batch the first ones are a part.
    ///   - isErasing: whether it is a part in any case, of an erasure.
    init(
        _ guest: SubjectID, _ latest: LogPosition, eventCount: Int, days: [Day],
        isErasing: Bool = false
    ) {
        self.guest = guest
        self.latest = latest
        self.eventCount = eventCount
        self.isErasing = isErasing
        var room = Self.movesMax
        self.days = Array(
            days.prefix { day in
                room -= 2 * day.parts.count
                return room >= 0
            })
        isPartial = isErasing || self.days.count < days.count
    }

    /// How many events it moves.
    public var movedCount: Int { days.reduce(0) { $0 + $1.eventCount } }

    private let days: [Day]

    /// The same, with the events that move it.
    func moved(to user: SubjectID) -> GuestMerge {
        var merge = self
        for day in days {
            // What is taken away comes first: a sum of both never passes what is counted exactly.
            merge.moves += day.moves(of: guest, sign: -1) + day.moves(of: user, sign: 1)
        }
        return merge
    }
}

extension GuestMerge.Day {
    /// How many of its events move at which time: those of the first and the last, so that both are kept.
    fileprivate var parts: [(time: Timestamp, count: Int)] {
        // Nothing moves with no events: where none is left, events come and go.
        if eventCount == 0 { return [(first, 1), (last, 1), (first, -2)] }
        if eventCount < 2 || first == last { return [(first, eventCount)] }
        return [(first, eventCount - 1), (last, 1)]
    }

    fileprivate func moves(of subject: SubjectID, sign: Int) -> [GuestMerge.Move] {
        parts.enumerated().map { index, part in
            GuestMerge.Move(
                subject: subject, day: day, time: part.time, eventCount: sign * part.count,
                // All its sums go with the first.
                amounts: amounts.map { ($0.0, index == 0 ? sign * $0.1 : 0) })
        }
    }
}

extension GuestMerge.Move {
    private static let action = ByteString("merge")

    /// The event of a batch.
    func pending(_ calendar: CachedCalendar, _ deadlineMS: Int) -> PendingEvent {
        PendingEvent(
            event: UsageEvent(
                time: time, subject: subject, action: Self.action, amounts: amounts),
            purpose: .move(count: eventCount), time: time, arrived: time, day: day,
            hour: calendar.place(time).hour, deadlineMS: deadlineMS,
            submission: Submission(single: { _ in }), index: 0)
    }
}
