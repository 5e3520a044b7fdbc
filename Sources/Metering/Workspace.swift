// SPDX-License-Identifier: Apache-2.0

/// A workspace's id: 1 to 63 of `a-z`, `0-9`, `-` and `_`, beginning with a letter or digit.
public struct WorkspaceID: Hashable, Sendable {
    public let text: String

    /// The workspace that exists from the start.
    public static let `default` = WorkspaceID(unchecked: "default")

    /// Nil when the text is no valid id.
    public init?(_ text: String) {
        let isAllowed = text.utf8.allSatisfy { byte in
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
        }
        guard isAllowed, (1...63).contains(text.utf8.count), let first = text.utf8.first,
            first != UInt8(ascii: "-"), first != UInt8(ascii: "_")
        else { return nil }
        self.text = text
    }

    private init(unchecked text: String) { self.text = text }
}

/// Who is counted in a workspace. Who is in demo mode never is.
public enum CountPolicy: String, Sendable {
    /// Everybody.
    case all
    /// Users with an active profile.
    case registered
}

/// How a workspace counts.
public struct WorkspaceSettings: Sendable, Hashable {
    public var id: WorkspaceID
    /// Tells it from the workspaces that had its id before: made at random with it, and never changed.
    /// Empty for `default`; else 1 to 13 of a to z and 0 to 9. The names of its keys in Redis have it.
    public var birth = ""
    /// When it took the id of one that was deleted, whose tokens are not its own; nil if it took none's.
    public var takenAt: Timestamp?
    /// The zone in which its days, hours and months begin.
    public var calendar: WorkspaceCalendar
    /// Meters with leaderboards. Each costs one sorted-set update per event and subject.
    public var rankedMeters: [Meter]
    /// How long the id of an event is remembered, in milliseconds: an hour to 35 days.
    public var idempotencyWindowMS: Int
    /// How old an event may be when it arrives, in milliseconds; backfill has no such bound.
    public var lateMS: Int
    /// For how many days a day's detail stays in Redis; it is in its snapshot then.
    public var hotDays: Int
    /// For how many days single events can be looked at.
    public var eventsDays: Int
    /// For how many days the audit log is kept: 1 to 3650.
    public var auditDays = 400
    /// Whether those without a key may use what is made for them.
    public var guests = true
    /// A label of 3 capital letters (ISO 4217); nothing is converted.
    public var currency = "USD"
    /// Who is counted.
    public var counts: CountPolicy

    public init(
        id: WorkspaceID = .default, calendar: WorkspaceCalendar = .utc,
        rankedMeters: [Meter] = [.tokens, .creditsMicro], idempotencyHours: Int = 48,
        lateDays: Int = 7, hotDays: Int = 35, eventsDays: Int = 35,
        counts: CountPolicy = .all
    ) {
        self.id = id
        self.calendar = calendar
        self.rankedMeters = rankedMeters
        self.idempotencyWindowMS = idempotencyHours * 3_600_000
        self.lateMS = lateDays * 86_400_000
        self.hotDays = hotDays
        self.eventsDays = eventsDays
        self.counts = counts
    }
}
