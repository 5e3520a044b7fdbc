// SPDX-License-Identifier: Apache-2.0

public import JSON

/// Reads events from JSON: every field is known, of its type and within its bounds, or the event
/// is refused with the field and the reason.
public enum EventDecoder {
    /// The most meters of one event.
    public static let meterCountMax = 32
    private static let labelBytesMax = 128
    private static let descriptionBytesMax = 1024
    /// The most that is repeated of an unknown field's name.
    private static let fieldNameBytesMax = 64

    /// Reads an event.
    public static func decode(_ value: JSONValue) throws(EventRejection) -> UsageEvent {
        guard value.kind == .object else {
            throw EventRejection(code: "wrong_type", field: "", detail: "an event is a JSON object")
        }
        var subject: SubjectID?
        var amounts: [(Meter, Int)]?
        var usage: JSONValue?
        var id: ByteString?
        var time: Timestamp?
        var action = UsageEvent.defaultAction
        var model = ByteString.empty
        var description = ByteString.empty
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
            } else {
                // Cut, so that an answer cannot be made as long as a request.
                let name = String(decoding: key.bytes.prefix(fieldNameBytesMax), as: UTF8.self)
                throw EventRejection(
                    status: 400, code: "unknown_field", field: name,
                    detail:
                        "an event has id, time, subject, action, model, meters or usage, description"
                )
            }
        }
        if let usage {
            guard amounts == nil else {
                throw EventRejection(
                    code: "ambiguous_amounts", field: "usage",
                    detail: "send meters or usage, not both")
            }
            amounts = try UsageObject.amounts(usage)
        }
        guard let subject else { throw required("subject") }
        guard let amounts, !amounts.isEmpty else { throw required("meters") }
        return UsageEvent(
            id: id, time: time, subject: subject, action: action, model: model,
            description: description, amounts: amounts)
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
                throw EventRejection(
                    code: "unknown_meter", field: "meters",
                    detail: "a meter's name is a letter a-z and at most 63 of a-z, 0-9 and _")
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

    private static func timestamp(_ value: JSONValue) throws(EventRejection) -> Timestamp {
        guard let time = Timestamp(try string(value, "time")) else {
            throw EventRejection(
                code: "invalid_timestamp", field: "time",
                detail: "RFC 3339 with an offset, such as 2026-11-21T10:00:00Z")
        }
        return time
    }

    private static func label(
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

    private static func required(_ field: String) -> EventRejection {
        EventRejection(
            code: "field_required", field: field,
            detail: field == "meters" ? "an event has meters or usage" : "an event has a \(field)")
    }
}
