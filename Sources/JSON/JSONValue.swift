// SPDX-License-Identifier: Apache-2.0

internal import CSimdjson
internal import Glibc

/// What a value is.
public enum JSONKind: UInt32, Sendable {
    case null, `false`, `true`, number, string, array, object
}

/// A number read as an integer, by its text alone.
public enum JSONInteger: Hashable, Sendable {
    case value(Int)
    /// An integer that does not fit in 64 bits.
    case overflow
    /// `-0`, which is no integer anyone means.
    case negativeZero
    /// It has a point or an exponent, even if its value is whole.
    case fractional
}

/// A value in a document that a `JSONReader` has read.
///
/// It stands until that reader reads again; it keeps the reader alive.
public struct JSONValue {
    private let reader: JSONReader
    private let index: Int
    private let generation: Int

    init(_ reader: JSONReader, _ index: Int) {
        self.reader = reader
        self.index = index
        self.generation = reader.generation
    }

    private var token: csj_token {
        precondition(generation == reader.generation, "a JSON value outlived its document")
        return reader.document.tokens[index]
    }

    public var kind: JSONKind { JSONKind(rawValue: token.kind) ?? .null }

    public var isNull: Bool { token.kind == CSJ_NULL.rawValue }

    /// The value of `true` or `false`, nil for anything else.
    public var boolean: Bool? {
        switch kind {
        case .true: true
        case .false: false
        default: nil
        }
    }

    /// The bytes of a string, escapes resolved: valid UTF-8 without U+0000. Nil for anything
    /// else. They stand as long as the value.
    public var string: UnsafeBufferPointer<UInt8>? {
        let token = token
        guard token.kind == CSJ_STRING.rawValue else { return nil }
        return bytes(reader.document.strings, token)
    }

    /// A string as text, nil for anything else.
    public var text: String? { string.map { String(decoding: $0, as: UTF8.self) } }

    /// The text of a number as it was sent, nil for anything else. It stands as long as the value.
    public var number: UnsafeBufferPointer<UInt8>? {
        let token = token
        guard token.kind == CSJ_NUMBER.rawValue else { return nil }
        return bytes(reader.document.input, token)
    }

    /// A number of digits only, with `-` before them or not. Nil for anything else, for what
    /// does not fit in 64 bits, and for `-0`.
    public var integer: Int? {
        guard case .value(let value) = integerReading else { return nil }
        return value
    }

    /// A number read as an integer, with the reason where it is none. Nil if it is no number.
    public var integerReading: JSONInteger? { number.map(Self.integer) }

    /// Elements of an array, members of an object, else 0.
    public var count: Int {
        let token = token
        return token.kind >= CSJ_ARRAY.rawValue ? Int(token.length) : 0
    }

    /// The members of an object in the order they were sent; none for anything else.
    public var members: JSONMembers {
        JSONMembers(reader, index + 1, remaining: kind == .object ? count : 0)
    }

    /// The elements of an array; none for anything else.
    public var elements: JSONElements {
        JSONElements(reader, index + 1, remaining: kind == .array ? count : 0)
    }

    /// The member of an object with this key. Looks through them all: for one or two members.
    public subscript(key: StaticString) -> JSONValue? {
        for member in members where member.key == key { return member.value }
        return nil
    }

    private func bytes(
        _ base: UnsafePointer<UInt8>?, _ token: csj_token
    ) -> UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(start: base.map { $0 + Int(token.start) }, count: Int(token.length))
    }

    private static func integer(_ text: UnsafeBufferPointer<UInt8>) -> JSONInteger {
        let isNegative = text.first == UInt8(ascii: "-")
        var value = 0
        var overflows = false
        for byte in isNegative ? text.dropFirst() : text[...] {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return .fractional }
            let digit = Int(byte &- UInt8(ascii: "0"))
            let (product, tooLarge) = value.multipliedReportingOverflow(by: 10)
            let (sum, over) =
                isNegative
                ? product.subtractingReportingOverflow(digit)
                : product.addingReportingOverflow(digit)
            overflows = overflows || tooLarge || over
            value = sum
        }
        if overflows { return .overflow }
        return isNegative && value == 0 ? .negativeZero : .value(value)
    }
}

/// The key of a member: valid UTF-8 without U+0000, escapes resolved. To be used while the member's
/// value stands.
public struct JSONKey {
    /// They stand as long as the value of the member.
    public let bytes: UnsafeBufferPointer<UInt8>

    init(_ value: JSONValue) {
        bytes = value.string ?? UnsafeBufferPointer(start: nil, count: 0)
    }

    public var text: String { String(decoding: bytes, as: UTF8.self) }

    public static func == (key: JSONKey, name: StaticString) -> Bool {
        guard key.bytes.count == name.utf8CodeUnitCount else { return false }
        return key.bytes.baseAddress.map { memcmp($0, name.utf8Start, key.bytes.count) == 0 }
            ?? true
    }
}

/// The members of an object.
public struct JSONMembers: Sequence, IteratorProtocol {
    private let reader: JSONReader
    private var index: Int
    private var remaining: Int

    init(_ reader: JSONReader, _ index: Int, remaining: Int) {
        self.reader = reader
        self.index = index
        self.remaining = remaining
    }

    public mutating func next() -> (key: JSONKey, value: JSONValue)? {
        guard remaining > 0 else { return nil }
        remaining -= 1
        let value = JSONValue(reader, index + 1)
        defer { index = Int(reader.document.tokens[index + 1].next) }
        return (JSONKey(JSONValue(reader, index)), value)
    }
}

/// The elements of an array.
public struct JSONElements: Sequence, IteratorProtocol {
    private let reader: JSONReader
    private var index: Int
    private var remaining: Int

    init(_ reader: JSONReader, _ index: Int, remaining: Int) {
        self.reader = reader
        self.index = index
        self.remaining = remaining
    }

    public mutating func next() -> JSONValue? {
        guard remaining > 0 else { return nil }
        remaining -= 1
        defer { index = Int(reader.document.tokens[index].next) }
        return JSONValue(reader, index)
    }
}
