// SPDX-License-Identifier: Apache-2.0

/// Today and the days before it, so many together, in a workspace's zone.
struct CreditWindow {
    /// Milliseconds since 1970.
    let range: Range<Int>
    let first: CivilDay

    init(days: Int, _ calendar: WorkspaceCalendar, at now: Timestamp) {
        let today = calendar.day(at: now.milliseconds.flooredQuotient(1000))
        first = CivilDay(number: today.number - days + 1)
        let end = calendar.start(of: CivilDay(number: today.number + 1))
        range = calendar.start(of: first) * 1000..<end * 1000
    }

    var start: Timestamp { Timestamp(milliseconds: range.lowerBound) }
    /// The first instant behind it.
    var end: Timestamp { Timestamp(milliseconds: range.upperBound) }
}

/// What events of one action took.
public struct ActionCredits: Sendable, Equatable {
    public let action: ByteString
    public let eventCount: Int
    /// Micro-credits.
    public let credits: Int

    /// Micro-credits for each event, to four decimals of a credit, half away from zero; 0 without
    /// events.
    public var average: Int {
        guard eventCount != 0 else { return 0 }
        let divisor = Int128(100) * Int128(eventCount)
        let magnitude =
            (2 * Int128(credits.magnitude) + Int128(divisor.magnitude))
            / (2 * Int128(divisor.magnitude))
        return Int((credits < 0) == (eventCount < 0) ? magnitude : -magnitude) * 100
    }
}

/// What a workspace took in some days.
public struct CreditOverview: Sendable {
    public let eventCount: Int
    /// Micro-credits.
    public let credits: Int
    /// Millionths of the workspace's currency.
    public let cost: Int
    /// Subjects with an event in these days.
    public let activeCount: Int
    /// Most credits first.
    public let actions: [ActionCredits]
    /// What could not be read.
    public let warnings: [String]
}

/// A day of the trend.
public struct CreditDay: Sendable {
    public let day: CivilDay
    public internal(set) var eventCount: Int
    /// Micro-credits.
    public internal(set) var credits: Int
    /// Who had an event; nil where it is not known any more.
    public internal(set) var subjects: SubjectCount?
}

/// Who took most, and how many events it were.
public struct CreditConsumer: Sendable {
    public let person: CreditPerson
    public let eventCount: Int
    /// Micro-credits.
    public let credits: Int
}

/// What is known of a subject's name.
public struct CreditPerson: Sendable {
    public let subject: ByteString
    /// That of its profile; else its id, if that looks like one; else nil.
    public let email: ByteString?
    public let fullName: ByteString?
    public let username: ByteString?

    init(_ subject: ByteString, _ profile: Profile?) {
        self.subject = subject
        func known(_ text: ByteString?) -> ByteString? {
            text.flatMap { $0.bytes.isEmpty ? nil : $0 }
        }
        email = known(profile?.email) ?? (Self.isEmail(subject) ? subject : nil)
        fullName = known(profile?.fullName)
        username = known(profile?.username)
    }

    /// Whether a text looks like an e-mail: something, one `@`, and a name with a dot inside. The id of a
    /// guest is none.
    static func isEmail(_ text: ByteString) -> Bool {
        let parts = text.bytes.split(
            separator: UInt8(ascii: "@"), omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, let first = parts[1].first,
            let last = parts[1].last
        else { return false }
        let dot = UInt8(ascii: ".")
        return first != dot && last != dot && parts[1].contains(dot)
            && !text.bytes.contains(UInt8(ascii: " "))
            && SubjectID(stored: text).kind != .guest
    }
}

/// A subject and what it has.
public struct CreditUser: Sendable {
    public let person: CreditPerson
    /// Nil while it has no credits.
    public let account: AccountSummary?
}

/// A subject, with what it did in some days.
public struct CreditUserDetail: Sendable {
    public let user: CreditUser
    /// The newest first.
    public let recent: [HistoryEvent]
    /// Most credits first.
    public let actions: [ActionCredits]
    /// What could not be read.
    public let warnings: [String]
}

/// What came in during the last hour: this minute and the 59 before it.
public struct CreditActivity: Sendable {
    public let eventCount: Int
    public let subjectCount: Int
    /// Time of the event that was counted last; nil when none is kept.
    public let last: Timestamp?
}
