// SPDX-License-Identifier: Apache-2.0

/// Why a text was refused as JSON. All of these are the sender's fault, except `outOfMemory`.
public struct JSONError: Error, Hashable, Sendable {
    /// A stable name for each reason; the raw value is what answers show.
    public enum Code: String, Sendable {
        case invalidJSON = "invalid_json"
        case invalidEncoding = "invalid_encoding"
        case duplicateKey = "duplicate_key"
        case tooDeep = "too_deep"
        case invalidNumber = "invalid_number"
        case stringTooLong = "string_too_long"
        case tooManyFields = "too_many_fields"
        case invalidString = "invalid_string"
        case outOfMemory = "out_of_memory"
    }

    public let code: Code
    /// What is wrong, in words without anything from the text itself.
    public let message: String
    /// Where, in bytes from the start of the text, when that is known.
    public let offset: Int?

    /// What is wrong, and where.
    public var explanation: String {
        offset.map { "\(message) (at byte \($0))" } ?? message
    }

    public init(_ code: Code, _ message: String, offset: Int? = nil) {
        self.code = code
        self.message = message
        self.offset = offset
    }
}

extension JSONError: CustomStringConvertible {
    public var description: String {
        "\(code.rawValue): \(explanation)"
    }
}
