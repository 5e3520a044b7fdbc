// SPDX-License-Identifier: Apache-2.0

/// One thing that happened.
public struct UsageEvent: Sendable {
    /// The client's name for it; nil when it brought none.
    public var id: ByteString?
    /// When it happened; nil for the time of its arrival.
    public var time: Timestamp?
    public var subject: SubjectID
    public var action: ByteString
    /// Empty when none was named.
    public var model: ByteString
    public var description: ByteString
    /// In the order of `Meter.precedes`, each meter once, each amount 0 to 2^53 − 1.
    public var amounts: [(Meter, Int)]

    /// What an event without an action did.
    public static let defaultAction = ByteString("usage")

    public init(
        id: ByteString? = nil, time: Timestamp? = nil, subject: SubjectID,
        action: ByteString = Self.defaultAction, model: ByteString = .empty,
        description: ByteString = .empty, amounts: [(Meter, Int)]
    ) {
        self.id = id
        self.time = time
        self.subject = subject
        self.action = action
        self.model = model
        self.description = description
        self.amounts = amounts
    }

    /// Whether both are the same event sent twice.
    func isSamePayload(as other: UsageEvent) -> Bool {
        id == other.id && time == other.time && subject == other.subject && action == other.action
            && model == other.model && description == other.description
            && amounts.elementsEqual(other.amounts) { $0 == $1 }
    }
}

/// Why an event is refused. It stays refused when it is sent again as it is.
public struct EventRejection: Error, Sendable {
    /// 400 when it is malformed, 422 when it is well-formed and cannot be.
    public let status: Int
    /// A stable name, such as `out_of_range`.
    public let code: String
    /// The member that is at fault, such as `meters.tokens`; empty for the whole.
    public let field: String
    public let detail: String

    public init(status: Int = 422, code: String, field: String, detail: String) {
        self.status = status
        self.code = code
        self.field = field
        self.detail = detail
    }
}
