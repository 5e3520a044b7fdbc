// SPDX-License-Identifier: Apache-2.0

public import JSON

/// Reads events from JSON: every field is known, of its type and within its bounds, or the event
/// is refused with the field and the reason.
public enum EventDecoder {
    /// The most meters of one event.
    public static let meterCountMax = 32
    /// The longest action, and the longest name of a model.
    static let labelBytesMax = 128
    static let descriptionBytesMax = 1024

    /// Reads an event.
    ///
    /// - Parameter settling: the body ends a hold of this subject, which need not be named again,
    ///   and may have a `policy`, which is the caller's to read.
    /// - Parameter labels: action and model of the event before, which are used again if they fit.
    public static func decode(
        _ value: JSONValue, settling holder: SubjectID?? = .none, _ labels: LabelMemory? = nil
    ) throws(EventRejection) -> UsageEvent {
        guard value.kind == .object else {
            throw EventRejection(code: "wrong_type", field: "", detail: "an event is a JSON object")
        }
        var subject = holder ?? nil
        var amounts: [(Meter, Int)]?
        var usage: JSONValue?
        var id: ByteString?
        var time: Timestamp?
        var action = UsageEvent.defaultAction
        var model = ByteString.empty
        var description = ByteString.empty
        var cost: Int?
        var credits: Int?
        var enforce = false
        // Null stands for a member that is left out. The members are variables of this function,
        // and not of a type, because that costs a sixth more time.
        for (key, member) in value.members {
            // By length first: it tells nearly all of them apart.
            switch key.bytes.count {
            case 2 where key == "id":
                if !member.isNull { id = try eventID(string(member, "id")) }
            case 4 where key == "time":
                if !member.isNull { time = try timestamp(member) }
            case 5 where key == "model":
                if !member.isNull {
                    model = try label(member, "model", 1...labelBytesMax, labels?.model)
                    labels?.model = model
                }
            case 5 where key == "usage":
                if !member.isNull { usage = member }
            case 6 where key == "meters":
                if !member.isNull { amounts = try meters(member) }
            case 6 where key == "action":
                if !member.isNull {
                    action = try label(member, "action", 1...labelBytesMax, labels?.action)
                    labels?.action = action
                }
            case 6 where holder != nil && key == "policy": continue
            case 7 where key == "subject":
                subject = try subjectID(string(member, "subject", isRequired: true))
            case 7 where key == "credits":
                if !member.isNull { credits = try MicroDecimal.micros(member, "credits") }
            case 7 where key == "enforce":
                if !member.isNull { enforce = try boolean(member, "enforce") }
            case 8 where key == "api_cost":
                if !member.isNull { cost = try MicroDecimal.micros(member, "api_cost") }
            case 11 where key == "description":
                if !member.isNull {
                    description = try label(member, "description", 0...descriptionBytesMax)
                }
            default:
                throw .unknownField(
                    key,
                    detail: "an event has id, time, subject, action, model, description, "
                        + "meters or usage, api_cost, credits, enforce")
            }
        }
        if let usage {
            guard amounts == nil else { throw .ambiguous("usage", "meters") }
            amounts = try UsageObject.amounts(usage)
        }
        if let cost { try add(cost, of: .costMicro, "api_cost", to: &amounts) }
        if let credits { try add(credits, of: .creditsMicro, "credits", to: &amounts) }
        guard let subject else { throw required("subject") }
        guard let amounts, !amounts.isEmpty else { throw required("meters") }
        return UsageEvent(
            id: id, time: time, subject: subject, action: action, model: model,
            description: description, amounts: amounts, enforce: enforce)
    }

    /// Adds an amount that stands beside the meters to those that came as meters.
    private static func add(
        _ amount: Int, of meter: Meter, _ field: String, to amounts: inout [(Meter, Int)]?
    ) throws(EventRejection) {
        var sum = amounts ?? []
        guard sum.amount(of: meter) == nil else { throw .ambiguous(field, "meters.\(meter.name)") }
        sum.add(amount, of: meter)
        amounts = sum
    }

    /// A subject's id, from bytes of UTF-8.
    public static func subjectID(_ bytes: UnsafeBufferPointer<UInt8>) throws(EventRejection)
        -> SubjectID
    {
        guard let id = SubjectID(bytes) else {
            throw EventRejection(code: "invalid_id", field: "subject", detail: SubjectID.rule)
        }
        return id
    }

    /// An event's id, from bytes of UTF-8.
    public static func eventID(_ bytes: UnsafeBufferPointer<UInt8>) throws(EventRejection)
        -> ByteString
    {
        guard let id = SubjectID(bytes)?.id else {
            throw EventRejection(code: "invalid_id", field: "id", detail: SubjectID.rule)
        }
        guard !bytes.starts(with: LogPosition.idPrefix.utf8) else {
            throw EventRejection(
                code: "invalid_id", field: "id",
                detail: "ids that begin with \(LogPosition.idPrefix) are made by the service")
        }
        return id
    }

    /// An amount: digits only, 0 to 2^53 − 1.
    static func amount(_ value: JSONValue, _ field: @autoclosure () -> String)
        throws(EventRejection) -> Int
    {
        guard let reading = value.integerReading else {
            throw EventRejection(
                code: value.isNull ? "field_required" : "wrong_type", field: field(),
                detail: "an amount is a number")
        }
        switch reading {
        case .value(let amount) where (0...EventBatch.exactIntegerMax).contains(amount):
            return amount
        case .value, .overflow:
            throw EventRejection(
                code: "out_of_range", field: field(), detail: "an amount is 0 to 9007199254740991")
        case .negativeZero, .fractional:
            throw EventRejection(
                code: "integer_required", field: field(),
                detail: "an amount is an integer, written in digits only")
        }
    }

    private static func meters(_ value: JSONValue) throws(EventRejection) -> [(Meter, Int)] {
        guard value.kind == .object else {
            throw EventRejection(
                code: "wrong_type", field: "meters", detail: "an object of meters and amounts")
        }
        guard value.count <= meterCountMax else {
            throw EventRejection(
                code: "too_many_meters", field: "meters", detail: "at most \(meterCountMax) meters")
        }
        var amounts: [(Meter, Int)] = []
        amounts.reserveCapacity(value.count + 1)
        for (key, member) in value.members {
            guard let meter = Meter(name: key.bytes) else {
                throw .unknownMeter("meters")
            }
            amounts.append((meter, try amount(member, "meters.\(meter.name)")))
        }
        try addTokens(to: &amounts)
        return amounts
    }

    /// Fills in `tokens` as input and output, and brings the meters into their order.
    ///
    /// - Throws: 422 `out_of_range` when that passes 2^53 − 1.
    public static func withTokens(_ amounts: [(Meter, Int)]) throws(EventRejection) -> [(
        Meter, Int
    )] {
        var amounts = amounts
        try addTokens(to: &amounts)
        return amounts
    }

    private static func addTokens(to amounts: inout [(Meter, Int)]) throws(EventRejection) {
        var tokens = 0
        var isGiven = false
        var isNeeded = false
        var isOrdered = true
        for index in amounts.indices {
            let (meter, amount) = amounts[index]
            if index > 0, !Meter.precedes(amounts[index - 1].0, meter) { isOrdered = false }
            if meter == .tokens { isGiven = true }
            if meter == .inputTokens || meter == .outputTokens {
                isNeeded = true
                tokens += amount
            }
        }
        if isNeeded, !isGiven {
            guard tokens <= EventBatch.exactIntegerMax else {
                throw EventRejection(
                    code: "out_of_range", field: "meters.tokens",
                    detail: "input and output pass 2^53 - 1")
            }
            amounts.append((.tokens, tokens))
            isOrdered = false
        }
        if !isOrdered { amounts.sort { Meter.precedes($0.0, $1.0) } }
    }

    static func timestamp(
        _ value: JSONValue, _ field: String = "time"
    ) throws(EventRejection) -> Timestamp {
        guard let time = Timestamp(try string(value, field)) else {
            throw EventRejection(
                code: "invalid_timestamp", field: field,
                detail: "RFC 3339 with an offset, such as 2026-11-21T10:00:00Z")
        }
        return time
    }

    static func label(
        _ value: JSONValue, _ field: String, _ counts: ClosedRange<Int>,
        _ last: ByteString? = nil
    ) throws(EventRejection) -> ByteString {
        let bytes = try string(value, field)
        if let last, last.equals(bytes) { return last }
        guard counts.contains(bytes.count), !bytes.hasControls else {
            throw EventRejection(
                code: "invalid_text", field: field,
                detail:
                    "\(counts.lowerBound) to \(counts.upperBound) bytes without control characters")
        }
        return ByteString(bytes)
    }

    private static func string(
        _ value: JSONValue, _ field: String, isRequired: Bool = false
    ) throws(EventRejection) -> UnsafeBufferPointer<UInt8> {
        if let string = value.string { return string }
        if isRequired, value.isNull { throw required(field) }
        throw EventRejection(code: "wrong_type", field: field, detail: "a string")
    }

    private static func boolean(
        _ value: JSONValue, _ field: String
    ) throws(EventRejection) -> Bool {
        guard let boolean = value.boolean else {
            throw EventRejection(code: "wrong_type", field: field, detail: "true or false")
        }
        return boolean
    }

    private static func required(_ field: String) -> EventRejection {
        EventRejection(
            code: "field_required", field: field,
            detail: field == "meters"
                ? "an event has meters or usage, api_cost or credits" : "an event has a \(field)")
    }
}

/// Action and model of the event that was read last. One event mostly has those of the one before,
/// which then need not be checked, copied and hashed again. Not `Sendable`: one per loop.
public final class LabelMemory {
    fileprivate var action: ByteString?
    fileprivate var model: ByteString?

    public init() {}
}
