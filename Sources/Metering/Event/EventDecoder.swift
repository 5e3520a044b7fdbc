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
    public static func decode(
        _ value: JSONValue, settling holder: SubjectID?? = .none
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
            if key == "subject" {
                subject = try subjectID(string(member, "subject", isRequired: true))
            } else if key == "meters" {
                if !member.isNull { amounts = try meters(member) }
            } else if key == "id" {
                if !member.isNull { id = try eventID(string(member, "id")) }
            } else if key == "time" {
                if !member.isNull { time = try timestamp(member) }
            } else if key == "action" {
                if !member.isNull { action = try label(member, "action", 1...labelBytesMax) }
            } else if key == "model" {
                if !member.isNull { model = try label(member, "model", 1...labelBytesMax) }
            } else if key == "description" {
                if !member.isNull {
                    description = try label(member, "description", 0...descriptionBytesMax)
                }
            } else if key == "usage" {
                if !member.isNull { usage = member }
            } else if key == "api_cost" {
                if !member.isNull { cost = try MicroDecimal.micros(member, "api_cost") }
            } else if key == "credits" {
                if !member.isNull { credits = try MicroDecimal.micros(member, "credits") }
            } else if key == "enforce" {
                if !member.isNull { enforce = try boolean(member, "enforce") }
            } else if holder == nil || !(key == "policy") {
                throw .unknownField(
                    key,
                    detail: "an event has id, time, subject, action, model, description, "
                        + "meters or usage, api_cost, credits, enforce")
            }
        }
        if let usage {
            guard amounts == nil else { throw ambiguous("usage", "meters") }
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
        guard sum.amount(of: meter) == nil else { throw ambiguous(field, "meters.\(meter.name)") }
        sum.add(amount, of: meter)
        amounts = sum
    }

    private static func ambiguous(_ field: String, _ other: String) -> EventRejection {
        EventRejection(
            code: "ambiguous_amounts", field: field, detail: "send \(other) or \(field), not both")
    }

    /// A subject's id, from bytes of UTF-8.
    public static func subjectID(_ bytes: UnsafeBufferPointer<UInt8>) throws(EventRejection)
        -> SubjectID
    {
        guard let id = SubjectID(bytes) else {
            throw EventRejection(
                code: "invalid_id", field: "subject",
                detail: "1 to \(SubjectID.byteCountMax) bytes without control characters")
        }
        return id
    }

    /// An event's id, from bytes of UTF-8.
    public static func eventID(_ bytes: UnsafeBufferPointer<UInt8>) throws(EventRejection)
        -> ByteString
    {
        guard let id = SubjectID(bytes)?.id else {
            throw EventRejection(
                code: "invalid_id", field: "id", detail: "1 to 256 bytes without control characters"
            )
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
        return try withTokens(amounts)
    }

    /// Fills in `tokens` as input and output, and brings the meters into their order.
    static func withTokens(_ amounts: [(Meter, Int)]) throws(EventRejection) -> [(Meter, Int)] {
        var amounts = amounts
        var tokens = 0
        var isGiven = false
        var isNeeded = false
        for (meter, amount) in amounts {
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
        }
        let isOrdered = zip(amounts, amounts.dropFirst()).allSatisfy { Meter.precedes($0.0, $1.0) }
        if !isOrdered { amounts.sort { Meter.precedes($0.0, $1.0) } }
        return amounts
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
        _ value: JSONValue, _ field: String, _ counts: ClosedRange<Int>
    ) throws(EventRejection) -> ByteString {
        let bytes = try string(value, field)
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
