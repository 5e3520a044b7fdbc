// SPDX-License-Identifier: Apache-2.0

/// The fields of a request: its bytes and where each field lies in them, in one array.
public struct HTTPHeaders: Sendable, ExpressibleByDictionaryLiteral {
    /// The bytes that hold the fields, then four 16-bit offsets for each field.
    @usableFromInline let storage: [UInt8]
    private let table: Int
    /// How many fields there are.
    public let count: Int

    /// Copies the head of a request and its table. The spans lie within the head.
    init(head: UnsafeRawBufferPointer, spans: UnsafePointer<FieldSpan>, count: Int) {
        self.init(
            head: head,
            table: UnsafeRawBufferPointer(
                start: spans, count: count * MemoryLayout<FieldSpan>.size),
            count: count)
    }

    private init(head: UnsafeRawBufferPointer, table: UnsafeRawBufferPointer, count: Int) {
        var storage: [UInt8] = []
        storage.append(addingCapacity: head.count + table.count) { span in
            span.withUnsafeMutableBufferPointer { memory, size in
                let raw = UnsafeMutableRawBufferPointer(memory)
                raw.copyMemory(from: head)
                UnsafeMutableRawBufferPointer(rebasing: raw[head.count...]).copyMemory(from: table)
                size = head.count + table.count
            }
        }
        self.storage = storage
        self.table = head.count
        self.count = count
    }

    /// The bytes that hold the fields: those of a request are its whole head.
    func withHead<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        storage.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[..<table])) }
    }

    /// The same fields at the same places of another head, which is as long.
    func copied(from head: UnsafeRawBufferPointer) -> HTTPHeaders {
        precondition(head.count == table, "a head of another length")
        return storage.withUnsafeBytes {
            HTTPHeaders(
                head: head, table: UnsafeRawBufferPointer(rebasing: $0[table...]), count: count)
        }
    }

    /// Headers made by hand, for tests; what lies beyond 64 KiB is left out.
    public init(_ fields: [(name: String, value: String)]) {
        var bytes: [UInt8] = []
        var spans: [FieldSpan] = []
        for (name, value) in fields
        where bytes.count + name.utf8.count + value.utf8.count <= Int(UInt16.max) {
            let start = bytes.count
            bytes += name.utf8
            let middle = bytes.count
            bytes += value.utf8
            spans.append(
                FieldSpan(
                    nameStart: UInt16(start), nameEnd: UInt16(middle), valueStart: UInt16(middle),
                    valueEnd: UInt16(bytes.count)))
        }
        table = bytes.count
        count = spans.count
        spans.withUnsafeBytes { bytes += $0 }
        storage = bytes
    }

    public init(dictionaryLiteral elements: (String, String)...) {
        self.init(elements.map { (name: $0.0, value: $0.1) })
    }

    /// The value of the first field of that name (compared without case), as text; bytes that are
    /// no UTF-8 are replaced. Not for names of what is counted, since different ones could become one:
    /// see `bytes(of:)`.
    public func value(of name: String) -> String? {
        bytes(of: name).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The values of all fields of that name, in order.
    public func values(of name: String) -> [String] {
        (0..<count).filter { matches(span($0), name) }.map {
            String(decoding: value(span($0)), as: UTF8.self)
        }
    }

    /// The value of the first field of that name (compared without case), as it was sent.
    public func bytes(of name: String) -> ArraySlice<UInt8>? {
        for index in 0..<count {
            let span = span(index)
            if matches(span, name) { return value(span) }
        }
        return nil
    }

    /// Hands over the value of the first field of that name (in lower case), without a copy. Nil
    /// without such a field.
    @inlinable
    public func withBytes<Result>(
        of name: StaticString, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) rethrows -> Result? {
        guard let range = range(of: name) else { return nil }
        return try storage.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }

    /// Where the value of the first field of that name (in lower case) lies.
    @usableFromInline
    func range(of name: StaticString) -> Range<Int>? {
        storage.withUnsafeBytes { bytes in
            for index in 0..<count {
                let span = bytes.loadUnaligned(
                    fromByteOffset: table + index * MemoryLayout<FieldSpan>.size,
                    as: FieldSpan.self)
                // By length first: most fields are out with that.
                guard Int(span.nameEnd) - Int(span.nameStart) == name.utf8CodeUnitCount else {
                    continue
                }
                let found = bytes[Int(span.nameStart)..<Int(span.nameEnd)]
                if ASCII.equal(UnsafeRawBufferPointer(rebasing: found), name) {
                    return Int(span.valueStart)..<Int(span.valueEnd)
                }
            }
            return nil
        }
    }

    /// All fields as text, in order.
    public var all: [(name: String, value: String)] {
        (0..<count).map {
            let span = span($0)
            return (
                String(decoding: storage[Int(span.nameStart)..<Int(span.nameEnd)], as: UTF8.self),
                String(decoding: value(span), as: UTF8.self)
            )
        }
    }

    private func span(_ index: Int) -> FieldSpan {
        storage.withUnsafeBytes {
            $0.loadUnaligned(
                fromByteOffset: table + index * MemoryLayout<FieldSpan>.size, as: FieldSpan.self)
        }
    }

    private func value(_ span: FieldSpan) -> ArraySlice<UInt8> {
        storage[Int(span.valueStart)..<Int(span.valueEnd)]
    }

    private func matches(_ span: FieldSpan, _ name: String) -> Bool {
        guard name.utf8.count == Int(span.nameEnd) - Int(span.nameStart) else { return false }
        var position = Int(span.nameStart)
        for byte in name.utf8 {
            guard ASCII.lowercased(byte) == ASCII.lowercased(storage[position]) else {
                return false
            }
            position += 1
        }
        return true
    }
}

/// Where a field lies in the head of its request.
struct FieldSpan: BitwiseCopyable {
    var nameStart: UInt16
    var nameEnd: UInt16
    var valueStart: UInt16
    var valueEnd: UInt16
}

enum ASCII {
    static func lowercased(_ byte: UInt8) -> UInt8 {
        byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte
    }

    static func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }

    static func hexValue(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x37
        case 0x61...0x66: byte - 0x57
        default: nil
        }
    }

    /// Whether bytes are a text of lower-case letters, apart from case.
    @inline(__always)
    static func equal(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        guard bytes.count == text.utf8CodeUnitCount else { return false }
        let text = UnsafeRawPointer(text.utf8Start)
        var index = 0
        while index + 8 <= bytes.count {
            guard
                lowercased(bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
                    == text.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            else { return false }
            index += 8
        }
        guard index < bytes.count else { return true }
        if index > 0 {
            // The last eight, some of them once more.
            let last = bytes.count - 8
            return lowercased(bytes.loadUnaligned(fromByteOffset: last, as: UInt64.self))
                == text.loadUnaligned(fromByteOffset: last, as: UInt64.self)
        }
        while index < bytes.count {
            guard lowercased(bytes[index]) == text.load(fromByteOffset: index, as: UInt8.self)
            else { return false }
            index += 1
        }
        return true
    }

    /// Eight bytes at once. Within each, a number too small to carry into the next one sets the
    /// highest bit from `A` on, and another from behind `Z` on.
    @inline(__always)
    private static func lowercased(_ word: UInt64) -> UInt64 {
        let low = word & 0x7f7f_7f7f_7f7f_7f7f
        let fromA = low &+ 0x3f3f_3f3f_3f3f_3f3f
        let behindZ = low &+ 0x2525_2525_2525_2525
        let isUpper = fromA & ~behindZ & ~word & 0x8080_8080_8080_8080
        return word | isUpper &>> 2
    }

    /// Which of eight bytes is the first control character: less than a blank, or 7F. Eight when
    /// none is.
    @inline(__always)
    static func firstControl(in bytes: UnsafeRawBufferPointer, at index: Int) -> Int {
        let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
        let low = word & 0x7f7f_7f7f_7f7f_7f7f
        let fromBlank = low &+ 0x6060_6060_6060_6060
        let isDelete = low &+ 0x0101_0101_0101_0101
        let controls = (~fromBlank | isDelete) & ~word & 0x8080_8080_8080_8080
        return controls.trailingZeroBitCount / 8
    }

    /// Whether a byte may stand in a host's name: letters, digits, `-`, `.` and `_`.
    @inline(__always)
    static func isInHost(_ byte: UInt8) -> Bool {
        let bits: UInt64 =
            byte < 64 ? 0x03ff_6000_0000_0000 : byte < 128 ? 0x07ff_fffe_87ff_fffe : 0
        return bits &>> UInt64(byte & 63) & 1 == 1
    }

    /// Whether a byte may stand in a token (RFC 9110, 5.6.2): a bit for each, because every name
    /// of every header passes here.
    @inline(__always)
    static func isToken(_ byte: UInt8) -> Bool {
        let bits: UInt64 =
            byte < 64 ? 0x03ff_6cfa_0000_0000 : byte < 128 ? 0x57ff_ffff_c7ff_fffe : 0
        return bits &>> UInt64(byte & 63) & 1 == 1
    }

    /// Whether text is a token: not empty, and nothing else in it.
    @inline(__always)
    static func isToken(_ bytes: some Collection<UInt8>) -> Bool {
        for byte in bytes where !isToken(byte) { return false }
        return !bytes.isEmpty
    }
}

extension HTTPHeaders {
    /// Whether `If-None-Match` names a tag. Weak and strong tags are compared alike there (RFC 9110, 13.1.2).
    public func hasIfNoneMatch(_ tag: String) -> Bool {
        values(of: "if-none-match").contains { value in
            value.split(separator: ",").map { $0.trimmingSpaces() }.contains {
                $0 == "*" || ($0.hasPrefix("W/") ? $0.dropFirst(2) : $0) == tag
            }
        }
    }
}

extension Substring {
    /// Without the spaces and tabs around it, which a list in a field may have.
    public func trimmingSpaces() -> Substring {
        var text = drop { $0 == " " || $0 == "\t" }
        while let last = text.last, last == " " || last == "\t" { text = text.dropLast() }
        return text
    }
}
