// SPDX-License-Identifier: Apache-2.0

public import JSON

/// The members of a body that asks about a subject: checks, holds, grants. Every member is known,
/// of its type and within its bounds, or the body is refused with the member and the reason.
public struct DecisionBody {
    public var id: ByteString?
    public var subject: SubjectID?
    public var amounts: [(Meter, Int)] = []
    /// Micro-credits.
    public var credits: Int?
    public var limits: [String]?
    public var consume = false
    public var seconds: Int?
    public var expires: Timestamp?
    public var priority = 0

    /// Members that a body may have.
    public struct Members: OptionSet, Sendable {
        public let rawValue: UInt16

        public init(rawValue: UInt16) { self.rawValue = rawValue }

        public static let id = Members(rawValue: 1)
        public static let subject = Members(rawValue: 1 << 1)
        public static let amounts = Members(rawValue: 1 << 2)
        public static let credits = Members(rawValue: 1 << 3)
        public static let limits = Members(rawValue: 1 << 4)
        public static let consume = Members(rawValue: 1 << 5)
        public static let priority = Members(rawValue: 1 << 6)
        public static let ttl = Members(rawValue: 1 << 7)
        public static let expires = Members(rawValue: 1 << 8)

        private static let names: [(Members, StaticString)] = [
            (.id, "id"), (.subject, "subject"), (.amounts, "amounts"), (.credits, "credits"),
            (.limits, "limits"), (.consume, "consume"), (.priority, "priority"), (.ttl, "ttl_s"),
            (.expires, "expires_at"),
        ]

        /// The member of a name; nil for a name that no body knows.
        init?(_ key: JSONKey) {
            for (member, name) in Self.names where key == name {
                self = member
                return
            }
            return nil
        }

        var text: String {
            Self.names.filter { contains($0.0) }.map(\.1.description).joined(separator: ", ")
        }
    }

    /// The longest that a hold lasts.
    public static let holdSecondsMax = 86_400
    /// Grants are spent from the lowest priority on.
    static let priorityMax = 1000

    /// - Throws: 400 `unknown_field`; 422 `wrong_type`, `out_of_range`, `integer_required`,
    ///   `invalid_id`, `unknown_meter`, `too_many_meters`, `ambiguous_amounts`, `invalid_time`, and
    ///   what `MicroDecimal` throws.
    public init(_ value: JSONValue, members: Members) throws(EventRejection) {
        guard value.kind == .object else { throw .wrongType("", "a JSON object") }
        for (key, value) in value.members {
            guard let member = Members(key), members.contains(member) else {
                throw .unknownField(
                    key,
                    detail: members.isEmpty
                        ? "nothing is known here" : "known here are \(members.text)")
            }
            // A null member is one that was left out, but for the subject.
            if value.isNull, member != .subject { continue }
            try read(value, member)
        }
        // As for events: one of them would be judged, and the other taken.
        guard credits == nil || amounts.amount(of: .creditsMicro) == nil else {
            throw .ambiguous("credits", "amounts.credits_micro")
        }
    }

    private mutating func read(_ value: JSONValue, _ member: Members) throws(EventRejection) {
        switch member {
        case .id:
            guard let bytes = value.string else { throw .wrongType("id", "a string") }
            id = try EventDecoder.eventID(bytes)
        case .subject:
            guard let bytes = value.string else {
                throw value.isNull ? .required("subject") : .wrongType("subject", "a string")
            }
            subject = try EventDecoder.subjectID(bytes)
        case .amounts: amounts = try Self.amounts(value)
        case .credits: credits = try MicroDecimal.micros(value, "credits")
        case .limits: limits = try Self.names(value)
        case .consume:
            guard let flag = value.boolean else { throw .wrongType("consume", "true or false") }
            consume = flag
        case .ttl:
            seconds = try Self.integer(value, "ttl_s", 1...Self.holdSecondsMax)
        case .priority:
            priority = try Self.integer(value, "priority", 0...Self.priorityMax)
        case .expires: expires = try EventDecoder.timestamp(value, "expires_at")
        default: break
        }
    }

    private static func integer(
        _ value: JSONValue, _ field: String, _ range: ClosedRange<Int>
    ) throws(EventRejection) -> Int {
        let number = try EventDecoder.amount(value, field)
        guard range.contains(number) else {
            throw EventRejection(
                code: "out_of_range", field: field,
                detail: "\(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    private static func amounts(_ value: JSONValue) throws(EventRejection) -> [(Meter, Int)] {
        guard value.kind == .object else {
            throw .wrongType("amounts", "an object of meters and amounts")
        }
        guard value.count <= EventDecoder.meterCountMax else {
            throw EventRejection(
                code: "too_many_meters", field: "amounts",
                detail: "at most \(EventDecoder.meterCountMax) meters")
        }
        var amounts: [(Meter, Int)] = []
        for (key, member) in value.members {
            guard let meter = Meter(name: key.bytes) else { throw .unknownMeter("amounts") }
            amounts.append((meter, try EventDecoder.amount(member, "amounts.\(meter.name)")))
        }
        // As for events: a limit on all tokens is about those of input and output.
        return try EventDecoder.withTokens(amounts)
    }

    private static func names(_ value: JSONValue) throws(EventRejection) -> [String] {
        guard value.kind == .array, value.count <= LimitBook.countMax else {
            throw .wrongType("limits", "an array of at most \(LimitBook.countMax) names")
        }
        var names: [String] = []
        for element in value.elements {
            guard let text = element.text else { throw .wrongType("limits", "an array of names") }
            names.append(text)
        }
        return names
    }
}

extension Rules {
    /// Why names of limits are refused; nil when all are known.
    func rejection(of names: [String]) -> EventRejection? {
        guard names.contains(where: { limits.index(named: $0.utf8) == nil }) else { return nil }
        return EventRejection(
            code: "unknown_limit", field: "limits",
            detail: "known limits are \(limits.limits.map(\.name).joined(separator: ", "))")
    }

    /// An amount that is judged by nothing is a mistake that would allow everything.
    private func rejectionOfAmounts(_ decision: Decision) -> EventRejection? {
        if decision.limits != nil,
            decision.amounts.contains(where: { $0.1 > 0 }),
            !decision.judged(by: self).contains(where: { $0.amount > 0 })
        {
            return EventRejection(
                code: "amount_not_judged", field: "amounts",
                detail: "none of the limits that are named is about these meters")
        }
        guard case .consume = decision.kind else { return nil }
        for (index, amount) in decision.judged(by: self)
        where amount > 0 && limits.limits[index].window == .concurrent {
            return EventRejection(
                code: "hold_required", field: "amounts",
                detail: "\(limits.limits[index].name) limits what is open at the same time: "
                    + "open a hold, and end it")
        }
        return nil
    }

    /// Why a decision cannot be taken by these rules; nil when it can.
    func rejection(of decision: Decision) -> EventRejection? {
        if let rejection = decision.limits.flatMap({ rejection(of: $0) }) { return rejection }
        if let rejection = rejectionOfAmounts(decision) { return rejection }
        guard case .setOverride(let amount) = decision.kind else { return nil }
        guard let index = decision.limits?.first.flatMap({ limits.index(named: $0.utf8) }) else {
            return .required("limits")
        }
        guard let amount else { return nil }
        return limits.limits[index].window.rejection(of: amount, "limit")
    }
}
