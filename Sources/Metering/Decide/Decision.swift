// SPDX-License-Identifier: Apache-2.0

/// Something that is asked of a subject's account without counting an event.
public struct Decision: Sendable {
    public enum Kind: Sendable {
        /// Whether the amounts and credits could be taken now; nothing is.
        case check
        /// Takes the amounts and credits, all or nothing.
        case consume
        /// Sets amounts and credits aside until the hold is ended, or expires.
        case openHold(id: ByteString, seconds: Int)
        case releaseHold(id: ByteString)
        /// Adds credits; `expires` nil for never; lower priorities are spent first.
        case grant(id: ByteString, expires: Timestamp?, priority: Int)
        /// Sets the monthly allowance to `credits`.
        case setAllowance
        /// Gives the subject an amount of its own of the one limit; nil takes it away.
        case setOverride(Int?)
        /// The account as it is now.
        case look
        /// Makes all that a guest has the subject's; see `GuestMerge`.
        case merge(GuestMerge)

        /// Whether it changes nothing.
        var onlyLooks: Bool {
            switch self {
            case .check, .look: true
            case .consume, .openHold, .releaseHold, .grant, .setAllowance, .setOverride, .merge:
                false
            }
        }

        /// Whether it takes, or sets aside, for somebody who is counted.
        var takes: Bool {
            switch self {
            case .consume, .openHold: true
            case .check, .releaseHold, .grant, .setAllowance, .setOverride, .look, .merge: false
            }
        }
    }

    public let kind: Kind
    /// Nil, where a hold is released: whoever it is of.
    public internal(set) var subject: SubjectID?
    /// Micro-credits; nil when nothing is asked about credits.
    public let credits: Int?
    public let amounts: [(Meter, Int)]
    /// Names of the limits to judge; nil for all that limit one of the amounts.
    public let limits: [String]?
    /// What is asked of a limit that is named without an amount of its meter; only looked at.
    public var defaultAmount = 0
    /// The guest that it was asked for, if that is a user by now.
    var formerSubject: SubjectID?

    public init(
        _ kind: Kind, subject: SubjectID?, credits: Int? = nil, amounts: [(Meter, Int)] = [],
        limits: [String]? = nil
    ) {
        self.kind = kind
        self.subject = subject
        self.credits = credits
        self.amounts = amounts
        self.limits = limits
    }
}

extension Decision {
    /// The limits to judge, by index, and what is asked of each: those that are named, else those
    /// of the amounts, else all.
    func judged(by rules: Rules) -> [(index: Int, amount: Int)] {
        rules.limits.limits.indices.compactMap { index in
            let limit = rules.limits.limits[index]
            // Credits are what an event counts as this meter.
            let amount =
                amounts.amount(of: limit.meter) ?? (limit.meter == .creditsMicro ? credits : nil)
            if let limits {
                return limits.contains(limit.name) ? (index, amount ?? defaultAmount) : nil
            }
            if let amount { return (index, amount) }
            return amounts.isEmpty && credits == nil ? (index, 0) : nil
        }
    }
}

/// What an event is recorded for.
public enum EventPurpose: Sendable {
    /// To be counted, whatever credits and limits say.
    case record
    /// To be counted if credits and limits allow it.
    case enforce
    /// To settle a hold. `heldCredits`, what it has set aside, is needed for `cap` only: the event is
    /// counted with no more than that, or not at all if it is not what the hold has by then.
    case settle(hold: ByteString, SettlePolicy, heldCredits: Int?)
    /// To undo an event that was counted; the amounts are below zero.
    case reverse(LoggedEvent)
    /// To move what a guest was counted for to a user, or, below 0, away from the guest: so many events
    /// of a day, with their sums.
    case move(count: Int)
}

/// What happens when an event takes more than its hold has set aside.
public enum SettlePolicy: String, Sendable {
    /// No more credits than held are charged.
    case cap
    /// All of it is charged, even below the floor.
    case overflow
    /// Nothing is counted, and the hold stays open.
    case reject
}

/// How a decision came out. The numbers are those of lua/include/account_fields.lua.
public enum DecisionStatus: Int, Sendable {
    case allowed = 0
    case limitReached = 1
    case creditsShort = 2
    case limitReachedAndCreditsShort = 3
    /// There is no such hold.
    case holdMissing = 4
    case holdEnded = 5
    /// The id was used before for something else.
    case conflict = 6
    /// A total would pass 2^53 − 1.
    case tooLarge = 7
    /// The same was asked, and done, before.
    case repeated = 8
    /// The event was counted before.
    case skipped = 9
    case exceedsHold = 10
    /// The subject has as many holds, or grants, as it may.
    case tooMany = 11
    /// The event that was to settle a hold was counted before, and not by it.
    case alreadyCounted = 12
    /// A guest was counted since it was looked at.
    case changed = 13
    /// The grant would have expired already.
    case past = 14
    /// What was counted for the subject is being moved to an anonymous one.
    case erasing = 15

    /// Whether it says that there is no hold to settle, whatever the event.
    var isEndOfHold: Bool { [.holdMissing, .holdEnded].contains(self) }

    public var isDenial: Bool { (1...3).contains(rawValue) }
}

/// A limit as a decision found it, for one subject. In the meter's unit.
public struct LimitState: Sendable {
    public let limit: Limit
    /// What was asked of it.
    public let asked: Int
    /// Before the decision, with what holds keep.
    public let used: Int
    /// Nil when the subject has no limit.
    public let most: Int?
    /// When the window ends; for rolling windows and rates, and where holds that expire make room,
    /// when there is room, or more of it; nil for never, and where nothing is used.
    public let resetsAt: Timestamp?
    /// How long the window is that is open, in seconds; nil where it has no length.
    public let windowSeconds: Int?
    /// Whether room comes back bit by bit, or as holds expire, and not all at once when the window ends.
    let drains: Bool

    /// Never by an amount of 0, which takes nothing.
    public var isViolated: Bool { asked > 0 && most.map { asked > $0 - used } ?? false }
}

/// State of a hold.
public enum HoldState: Int, Sendable {
    case open = 1
    case settled = 2
    case released = 3
    case expired = 4

    public var name: String {
        switch self {
        case .open: "open"
        case .settled: "settled"
        case .released: "released"
        case .expired: "expired"
        }
    }
}

/// The answer to a decision.
public struct Verdict: Sendable {
    public let status: DecisionStatus
    /// Micro-credits after the decision, with what is held; nil when nobody asked about credits.
    public let balance: Int?
    public let held: Int
    public let limits: [LimitState]
    /// When credits suffice, by holds that expire or the next reset; nil when they did, and when neither helps.
    public let creditsSufficeAt: Timestamp?
    /// Of a hold that had ended, or that the id names already.
    public let holdState: HoldState?
    /// When the hold ended; when it expires if it is open.
    public let holdEnd: Timestamp?
    /// Why nothing was taken, though it is allowed: the subject is not counted. Nil when it is.
    public internal(set) var skipped: SkipReason?
    /// When the decision was taken.
    public let time: Timestamp
    /// The same number for the same denial from memory, whose answer may be kept.
    public let denialNumber: Int?
    let fields: [MessagePackValue]

    /// What can be taken now.
    public var available: Int? { balance.map { $0 - held } }
    public var violated: [LimitState] { limits.filter(\.isViolated) }
}

/// What became of a decision.
public enum DecisionOutcome: Sendable {
    case decided(Verdict)
    case rejected(EventRejection)
    /// Redis did not say; whether it was taken is not known.
    case unavailable(reason: String)
    /// Not taken for now, and will not be unless it is asked for again.
    case postponed(reason: String, fault: StorageFault? = nil)
}

extension LogPosition {
    /// How the ids of reversals begin.
    static let reversalPrefix = "\(idPrefix)reverse-"

    /// The id of the event that undoes the one at a place.
    func reversalID(place: Int) -> ByteString {
        ByteString("\(Self.reversalPrefix)\(day.number)-\(number)-\(place)")
    }

    /// The place of the event that one with such an id undid; nil for other ids.
    static func parse(reversalID id: ByteString) -> (LogPosition, place: Int)? {
        guard id.bytes.starts(with: reversalPrefix.utf8) else { return nil }
        let place = id.bytes.dropFirst(reversalPrefix.utf8.count)
        return parse(ByteString(bytes: Array(idPrefix.utf8) + place))
    }
}
