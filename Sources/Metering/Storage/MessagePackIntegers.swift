// SPDX-License-Identifier: Apache-2.0

extension [Int] {
    /// Reads an array of integers only, as cmsgpack writes it: straight from the bytes, since each
    /// batch is answered with hundreds of them. Nil when the bytes hold something else.
    init?(messagePack bytes: [UInt8]) {
        let values: [Int]? = bytes.withUnsafeBytes { bytes in
            var scanner = MessagePackScanner(bytes)
            guard let count = scanner.arrayHead(), count <= bytes.count else { return nil }
            var values: [Int] = []
            values.reserveCapacity(count)
            for _ in 0..<count {
                guard let value = scanner.integer() else { return nil }
                values.append(value)
            }
            return scanner.isAtEnd ? values : nil
        }
        guard let values else { return nil }
        self = values
    }
}

/// Takes MessagePack apart from its front.
private struct MessagePackScanner {
    private let bytes: UnsafeRawBufferPointer
    private var index = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var isAtEnd: Bool { index == bytes.count }

    /// The number of an array's elements. An empty Lua table may come as a map.
    mutating func arrayHead() -> Int? {
        guard let head = take(UInt8.self) else { return nil }
        switch head {
        case 0x80: return 0
        case 0x90...0x9f: return Int(head & 0x0f)
        case 0xdc: return take(UInt16.self).map { Int($0) }
        case 0xdd: return take(UInt32.self).map { Int($0) }
        default: return nil
        }
    }

    mutating func integer() -> Int? {
        guard let head = take(UInt8.self) else { return nil }
        switch head {
        case 0x00...0x7f: return Int(head)
        case 0xe0...0xff: return Int(Int8(bitPattern: head))
        case 0xcc: return take(UInt8.self).map { Int($0) }
        case 0xcd: return take(UInt16.self).map { Int($0) }
        case 0xce: return take(UInt32.self).map { Int($0) }
        case 0xcf: return take(UInt64.self).flatMap { Int(exactly: $0) }
        case 0xd0: return take(Int8.self).map { Int($0) }
        case 0xd1: return take(Int16.self).map { Int($0) }
        case 0xd2: return take(Int32.self).map { Int($0) }
        case 0xd3: return take(Int64.self).map { Int($0) }
        // Lua has doubles only; cmsgpack writes some integers as such.
        case 0xcb: return take(UInt64.self).flatMap { Int(exactly: Double(bitPattern: $0)) }
        case 0xca:
            return take(UInt32.self).flatMap { Int(exactly: Float(bitPattern: $0)) }
        default: return nil
        }
    }

    private mutating func take<Value: FixedWidthInteger & BitwiseCopyable>(
        _: Value.Type
    ) -> Value? {
        let size = MemoryLayout<Value>.size
        guard bytes.count - index >= size else { return nil }
        defer { index += size }
        return Value(bigEndian: bytes.loadUnaligned(fromByteOffset: index, as: Value.self))
    }
}
