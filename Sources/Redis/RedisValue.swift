// SPDX-License-Identifier: Apache-2.0

/// A reply of Redis, owned by Swift.
public enum RedisValue: Sendable, Equatable {
    case null
    case integer(Int)
    case bulk([UInt8])
    case status(String)
    case array([RedisValue])
    /// An error inside an array. An error that is the whole reply is thrown as
    /// `RedisError.server` instead.
    case error(code: String, message: String)

    /// The integer, if it is one.
    public var integer: Int? {
        if case .integer(let value) = self { value } else { nil }
    }

    /// The bytes, if it is a bulk string.
    public var bytes: [UInt8]? {
        if case .bulk(let bytes) = self { bytes } else { nil }
    }

    /// The text of a bulk string (as UTF-8, repaired) or a status.
    public var text: String? {
        switch self {
        case .bulk(let bytes): String(decoding: bytes, as: UTF8.self)
        case .status(let text): text
        default: nil
        }
    }

    /// The elements, if it is an array.
    public var array: [RedisValue]? {
        if case .array(let values) = self { values } else { nil }
    }

    /// Splits the text of an error into its first word, which is its code, and the rest.
    static func error(_ text: some Collection<UInt8>) -> RedisValue {
        let code = text.prefix { $0 != UInt8(ascii: " ") }
        return .error(
            code: String(decoding: code, as: UTF8.self),
            message: String(decoding: text.dropFirst(code.count + 1), as: UTF8.self))
    }
}
