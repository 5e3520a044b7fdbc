// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Text that is compared and hashed as bytes.
///
/// Swift's strings compare by canonical equivalence: two ids that Redis keeps apart could be one
/// key of a dictionary. Ids, actions and models are therefore kept as their UTF-8.
public struct ByteString: Hashable, Comparable, Sendable {
    public let bytes: [UInt8]

    public init(bytes: [UInt8]) { self.bytes = bytes }

    init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = Array(bytes) }

    public init(_ text: String) { bytes = Array(text.utf8) }

    public static let empty = ByteString(bytes: [])

    public var text: String { String(decoding: bytes, as: UTF8.self) }

    public static func == (left: ByteString, right: ByteString) -> Bool {
        // In one piece: arrays would compare element by element.
        left.bytes.withUnsafeBytes { left in
            right.bytes.withUnsafeBytes { right in
                guard left.count == right.count else { return false }
                guard let one = left.baseAddress, let other = right.baseAddress else { return true }
                return one == other || memcmp(one, other, left.count) == 0
            }
        }
    }

    func equals(_ other: UnsafeBufferPointer<UInt8>) -> Bool {
        guard bytes.count == other.count else { return false }
        guard let base = other.baseAddress, !bytes.isEmpty else { return true }
        return memcmp(base, bytes, bytes.count) == 0
    }

    public static func < (left: ByteString, right: ByteString) -> Bool {
        left.bytes.lexicographicallyPrecedes(right.bytes)
    }

    public func hash(into hasher: inout Hasher) {
        // In one piece: an array would hash byte by byte.
        bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
    }
}

extension UnsafeBufferPointer<UInt8> {
    /// Whether UTF-8 holds a control character: C0, DEL or C1.
    var hasControls: Bool {
        var previous: UInt8 = 0
        for byte in self[plainPrefix...] {
            if byte < 0x20 || byte == 0x7f { return true }
            // U+0080 to U+009F are C2 80 to C2 9F.
            if previous == 0xc2, byte < 0xa0, byte >= 0x80 { return true }
            previous = byte
        }
        return false
    }

    /// How many bytes at the start are printable ASCII for sure, looked at eight at once.
    private var plainPrefix: Int {
        let bytes = UnsafeRawBufferPointer(self)
        var index = 0
        while index + 8 <= count {
            let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            // The highest bit of each byte: set from a blank on, and set by a DEL.
            let low = word & 0x7f7f_7f7f_7f7f_7f7f
            let fromBlank = low &+ 0x6060_6060_6060_6060
            let isDelete = low &+ 0x0101_0101_0101_0101
            guard (word | ~fromBlank | isDelete) & 0x8080_8080_8080_8080 == 0 else { break }
            index += 8
        }
        return index
    }
}

/// Who is metered: 1 to 256 bytes of UTF-8 without control characters, compared as bytes. Ids of events,
/// holds and grants are made of the same.
public struct SubjectID: Hashable, Sendable {
    public static let byteCountMax = 256
    /// What an id is, for those who sent another.
    public static let rule =
        "1 to \(byteCountMax) bytes without control characters, and neither . nor .."
    public let id: ByteString

    /// Nil when the text is no valid id.
    public init?(_ text: String) {
        var text = text
        guard let id = text.withUTF8({ Self($0) }) else { return nil }
        self = id
    }

    /// Nil when the bytes are no valid id, also when they are no UTF-8: repaired, different ids could be one.
    public init?(bytes: some Collection<UInt8>) {
        guard let text = String(validating: bytes, as: UTF8.self) else { return nil }
        self.init(text)
    }

    /// Nil when the bytes, which must be UTF-8, are no valid id.
    init?(_ bytes: UnsafeBufferPointer<UInt8>) {
        // No path names these two (RFC 3986, 5.2.4): what is counted for them could not be asked for.
        let isDotSegment = bytes.count <= 2 && bytes.allSatisfy { $0 == UInt8(ascii: ".") }
        guard !isDotSegment, let id = Self(form: bytes) else { return nil }
        self = id
    }

    /// An id by which something may have been counted: also `.` and `..`, which were valid once.
    public init?(existing text: String) {
        var text = text
        guard let id = text.withUTF8({ Self(form: $0) }) else { return nil }
        self = id
    }

    private init?(form bytes: UnsafeBufferPointer<UInt8>) {
        guard (1...Self.byteCountMax).contains(bytes.count), !bytes.hasControls else { return nil }
        id = ByteString(bytes)
    }

    /// An id that was valid when it was stored.
    init(stored: ByteString) { id = stored }
}
