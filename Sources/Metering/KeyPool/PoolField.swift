// SPDX-License-Identifier: Apache-2.0

internal import JSON

/// Reads values of keys, and refuses what can be none.
enum PoolField {
    static let balances = -EventBatch.exactIntegerMax...EventBatch.exactIntegerMax

    static func integer(
        _ value: JSONValue, _ field: String, _ range: ClosedRange<Int>
    ) throws(EventRejection) -> Int {
        switch value.integerReading {
        case .value(let number) where range.contains(number): return number
        case .value, .overflow: throw outOfRange(field, range)
        case .negativeZero, .fractional, nil: throw noInteger(field)
        }
    }

    static func balance(_ value: JSONValue) throws(EventRejection) -> Int {
        try integer(value, "credit_balance", balances)
    }

    /// A number in a cell: digits, with `-` before them or not.
    static func balance(_ text: String) throws(EventRejection) -> Int {
        let digits = text.utf8.first == UInt8(ascii: "-") ? text.utf8.dropFirst() : text.utf8[...]
        guard !digits.isEmpty, digits.allSatisfy({ (0x30...0x39).contains($0) }) else {
            throw noInteger("credit_balance")
        }
        guard let number = Int(text), balances.contains(number) else {
            throw outOfRange("credit_balance", balances)
        }
        return number
    }

    static func status(_ name: some Sequence<UInt8>) throws(EventRejection) -> PoolKey.Status {
        guard let status = PoolKey.Status(name: name) else {
            throw EventRejection(
                code: "unknown_status", field: "status", detail: "active, dead or out_of_credit")
        }
        return status
    }

    static func text(
        _ value: JSONValue, _ field: String, _ byteCountMax: Int
    ) throws(EventRejection) -> [UInt8] {
        guard let bytes = value.string else {
            throw value.isNull ? .required(field) : .wrongType(field, "a string")
        }
        return try text(Array(bytes), field, byteCountMax)
    }

    static func text(
        _ bytes: [UInt8], _ field: String, _ byteCountMax: Int
    ) throws(EventRejection) -> [UInt8] {
        guard (1...byteCountMax).contains(bytes.count),
            !bytes.withUnsafeBufferPointer({ $0.hasControls })
        else {
            throw EventRejection(
                code: "invalid_text", field: field,
                detail: "1 to \(byteCountMax) bytes without control characters")
        }
        return bytes
    }

    /// A subject whose id may be written as a number.
    static func subject(_ value: JSONValue, _ field: String) throws(EventRejection) -> SubjectID {
        if value.kind == .number {
            let number = try integer(value, field, balances)
            guard let subject = SubjectID("\(number)") else { throw noInteger(field) }
            return subject
        }
        guard let bytes = value.string else { throw .wrongType(field, "a number or a string") }
        guard let subject = SubjectID(bytes) else {
            throw EventRejection(code: "invalid_id", field: field, detail: SubjectID.rule)
        }
        return subject
    }

    private static func outOfRange(_ field: String, _ range: ClosedRange<Int>) -> EventRejection {
        EventRejection(
            code: "out_of_range", field: field,
            detail: "\(range.lowerBound) to \(range.upperBound)")
    }

    private static func noInteger(_ field: String) -> EventRejection {
        EventRejection(
            code: "integer_required", field: field,
            detail: "a whole number, without a point or an exponent")
    }
}
