// SPDX-License-Identifier: Apache-2.0

/// Builds one JSON text into a byte array. Commas are placed by the writer; that keys, values
/// and brackets come in the right order is the caller's part.
public struct JSONWriter: Sendable {
    /// What is written so far.
    public private(set) var bytes: [UInt8] = []
    private var needsComma = false

    /// - Parameter capacity: Bytes to set aside at once.
    public init(capacity: Int = 256) { bytes.reserveCapacity(capacity) }

    /// Empties the writer and keeps its buffer.
    public mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        needsComma = false
    }

    public mutating func beginObject() { open(UInt8(ascii: "{")) }
    public mutating func endObject() { close(UInt8(ascii: "}")) }
    public mutating func beginArray() { open(UInt8(ascii: "[")) }
    public mutating func endArray() { close(UInt8(ascii: "]")) }

    /// A key that needs no escapes.
    public mutating func key(_ name: StaticString) {
        quoted(
            UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount), isKey: true)
        needsComma = false
    }

    /// A key of any valid UTF-8.
    public mutating func key(bytes name: some Sequence<UInt8>) {
        separate()
        quote(name)
        endKey()
    }

    /// A string of any valid UTF-8.
    public mutating func string(bytes text: [UInt8]) {
        text.withUnsafeBufferPointer { text in
            guard text.allSatisfy(Self.isPlain) else { return string(escaping: text) }
            quoted(text, isKey: false)
        }
    }

    /// A string of any valid UTF-8.
    @_disfavoredOverload
    public mutating func string(bytes text: some Sequence<UInt8>) { string(escaping: text) }

    private mutating func string(escaping text: some Sequence<UInt8>) {
        separate()
        quote(text)
    }

    public mutating func string(_ text: String) { string(bytes: text.utf8) }

    /// A string that needs no escapes.
    public mutating func string(_ text: StaticString) {
        quoted(
            UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount), isKey: false)
    }

    public mutating func integer(_ value: Int) {
        separate()
        if value < 0 { bytes.append(UInt8(ascii: "-")) }
        digits(value.magnitude, atLeast: 1)
    }

    /// A piece of the text as it stands. It brings the commas before it and within it; what
    /// follows it needs none.
    public mutating func piece(_ json: StaticString) {
        append(json)
        needsComma = false
    }

    /// Micro-units as a decimal of whole units, exactly: 1,500,000 becomes `1.5`.
    public mutating func micros(_ value: Int) {
        integer(value / 1_000_000)
        let fraction = value.magnitude % 1_000_000
        guard fraction != 0 else { return }
        if value < 0, value > -1_000_000 {
            bytes.insert(UInt8(ascii: "-"), at: bytes.count - 1)
        }
        bytes.append(UInt8(ascii: "."))
        digits(fraction, atLeast: 6)
        while bytes.last == UInt8(ascii: "0") { bytes.removeLast() }
    }

    public mutating func boolean(_ value: Bool) {
        separate()
        append(value ? "true" : "false")
    }

    public mutating func null() {
        separate()
        append("null")
    }

    /// A value that is JSON already.
    public mutating func raw(_ json: some Sequence<UInt8>) {
        separate()
        bytes.append(contentsOf: json)
    }

    // MARK: - Parts

    private mutating func open(_ bracket: UInt8) {
        separate()
        bytes.append(bracket)
        needsComma = false
    }

    private mutating func close(_ bracket: UInt8) {
        bytes.append(bracket)
        needsComma = true
    }

    private mutating func separate() {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        needsComma = true
    }

    private mutating func endKey() {
        bytes.append(UInt8(ascii: ":"))
        needsComma = false
    }

    private mutating func append(_ text: StaticString) {
        bytes.append(
            contentsOf: UnsafeBufferPointer(
                start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    private mutating func digits(_ value: UInt, atLeast width: Int) {
        // The last one first, as they come, and then all of them at once.
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
            var start = digits.count
            var rest = value
            while rest > 0 || digits.count - start < width {
                start -= 1
                digits.initializeElement(
                    at: start, to: UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10))
                rest /= 10
            }
            bytes.append(contentsOf: UnsafeBufferPointer(rebasing: digits[start...]))
        }
    }

    /// Appends text in quotes, with what stands before and behind, as one piece: to append to an
    /// array costs more than the few bytes do.
    private mutating func quoted(_ text: UnsafeBufferPointer<UInt8>, isKey: Bool) {
        let comma = needsComma
        bytes.append(addingCapacity: text.count + 4) { span in
            if comma { span.append(UInt8(ascii: ",")) }
            span.append(UInt8(ascii: "\""))
            span.withUnsafeMutableBufferPointer { memory, count in
                _ = UnsafeMutableBufferPointer(rebasing: memory[count...]).update(
                    fromContentsOf: text)
                count += text.count
            }
            span.append(UInt8(ascii: "\""))
            if isKey { span.append(UInt8(ascii: ":")) }
        }
        needsComma = true
    }

    private mutating func quote(_ text: some Sequence<UInt8>) {
        bytes.append(UInt8(ascii: "\""))
        // Most text needs no escapes: it is copied in one piece then.
        let isPlain = text.withContiguousStorageIfAvailable { buffer -> Bool in
            guard buffer.allSatisfy(Self.isPlain) else { return false }
            bytes.append(contentsOf: buffer)
            return true
        }
        if isPlain != true { for byte in text { escape(byte) } }
        bytes.append(UInt8(ascii: "\""))
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        byte >= 0x20 && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
    }

    private mutating func escape(_ byte: UInt8) {
        if Self.isPlain(byte) { return bytes.append(byte) }
        switch byte {
        case UInt8(ascii: "\""): append(#"\""#)
        case UInt8(ascii: "\\"): append(#"\\"#)
        case UInt8(ascii: "\n"): append(#"\n"#)
        case UInt8(ascii: "\r"): append(#"\r"#)
        case UInt8(ascii: "\t"): append(#"\t"#)
        default:
            append(#"\u00"#)
            for nibble in [byte >> 4, byte & 15] {
                bytes.append(nibble < 10 ? 0x30 + nibble : 0x57 + nibble)
            }
        }
    }
}
