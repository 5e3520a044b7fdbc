// SPDX-License-Identifier: Apache-2.0

/// Reads the flat MessagePack arrays that scripts keep, value by value and without making anything
/// of what is skipped: a day has a million of them. Whoever finds nil has damaged data before him.
struct PackedCursor {
    enum Value: Equatable {
        case integer(Int)
        case string(ByteString)
    }

    private let bytes: UnsafeRawBufferPointer
    private var index = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// Enters an array; its elements are the next so many values. An empty Lua table is a map.
    mutating func array() -> Int? {
        guard let tag = byte() else { return nil }
        switch tag {
        case 0x90...0x9f: return Int(tag & 0x0f)
        case 0x80: return 0
        case 0xdc: return big(2)
        case 0xdd: return big(4)
        default: return nil
        }
    }

    mutating func integer() -> Int? {
        if case .integer(let value) = value() { value } else { nil }
    }

    mutating func value() -> Value? {
        guard let tag = byte() else { return nil }
        switch tag {
        case 0x00...0x7f: return .integer(Int(tag))
        case 0xe0...0xff: return .integer(Int(Int8(bitPattern: tag)))
        case 0xcc: return big(1).map { .integer($0) }
        case 0xcd: return big(2).map { .integer($0) }
        case 0xce: return big(4).map { .integer($0) }
        case 0xcf, 0xd3: return big(8).map { .integer($0) }
        case 0xd0: return big(1).map { .integer(Int(Int8(truncatingIfNeeded: $0))) }
        case 0xd1: return big(2).map { .integer(Int(Int16(truncatingIfNeeded: $0))) }
        case 0xd2: return big(4).map { .integer(Int(Int32(truncatingIfNeeded: $0))) }
        // Lua has doubles only; cmsgpack writes those beyond 32 bits as such.
        case 0xcb:
            guard let bits = big(8),
                let value = Int(exactly: Double(bitPattern: UInt64(bitPattern: Int64(bits))))
            else { return nil }
            return .integer(value)
        case 0xa0...0xbf: return string(Int(tag & 0x1f))
        case 0xd9: return big(1).flatMap { string($0) }
        case 0xda: return big(2).flatMap { string($0) }
        default: return nil
        }
    }

    /// Goes over one value that is no array; false when there is none.
    mutating func skip() -> Bool {
        guard let tag = byte() else { return false }
        let count: Int?
        switch tag {
        case 0x00...0x7f, 0xe0...0xff, 0xc0: count = 0
        case 0xcc, 0xd0: count = 1
        case 0xcd, 0xd1: count = 2
        case 0xce, 0xd2: count = 4
        case 0xcf, 0xd3, 0xcb: count = 8
        case 0xa0...0xbf: count = Int(tag & 0x1f)
        case 0xd9: count = big(1)
        case 0xda: count = big(2)
        case 0xdb: count = big(4)
        default: count = nil
        }
        guard let count, count <= bytes.count - index else { return false }
        index += count
        return true
    }

    private mutating func byte() -> UInt8? {
        guard index < bytes.count else { return nil }
        defer { index += 1 }
        return bytes[index]
    }

    private mutating func big(_ count: Int) -> Int? {
        guard index + count <= bytes.count else { return nil }
        var value: UInt64 = 0
        for offset in 0..<count { value = value << 8 | UInt64(bytes[index + offset]) }
        index += count
        return Int(Int64(bitPattern: value))
    }

    private mutating func string(_ count: Int) -> Value? {
        guard index + count <= bytes.count else { return nil }
        defer { index += count }
        return .string(ByteString(bytes: Array(bytes[index..<index + count])))
    }
}

extension PackedCursor {
    /// Which day a subject's record is on.
    static func day(ofRecord record: [UInt8]) -> Int? {
        record.withUnsafeBytes { bytes in
            var cursor = PackedCursor(bytes)
            guard let count = cursor.array(), count >= 6 else { return nil }
            for _ in 0..<4 where cursor.integer() == nil { return nil }
            return cursor.integer()
        }
    }

    /// Adds what a record holds of its day.
    ///
    /// - Returns: the times of its first and last event, as they are kept; nil when it is damaged.
    static func addRecord(
        _ record: [UInt8], to sums: inout DaySums, _ table: MeterTable
    ) -> (first: Int, last: Int)? {
        record.withUnsafeBytes { bytes in
            var cursor = PackedCursor(bytes)
            guard let count = cursor.array(), count >= 8, count % 3 == 2 else { return nil }
            for _ in 0..<5 where cursor.integer() == nil { return nil }
            guard let events = cursor.integer(), let first = cursor.integer(),
                let last = cursor.integer()
            else { return nil }
            sums.events += events
            for _ in 0..<(count - 8) / 3 {
                guard let place = cursor.place(table), cursor.integer() != nil,
                    let amount = cursor.integer()
                else { return nil }
                sums.add(amount, at: place)
            }
            return (first, last)
        }
    }

    /// Adds an entry of `use`; as `addRecord`.
    static func addUse(
        _ entry: [UInt8], to sums: inout DaySums, _ table: MeterTable
    ) -> (first: Int, last: Int)? {
        entry.withUnsafeBytes { bytes in
            var cursor = PackedCursor(bytes)
            guard let count = cursor.array(), count >= 3, count % 2 == 1,
                let events = cursor.integer(), let first = cursor.integer(),
                let last = cursor.integer(), cursor.addAmounts(count / 2 - 1, to: &sums, table)
            else { return nil }
            sums.events += events
            return (first, last)
        }
    }

    /// Adds the sums of an hour: events, then meters and amounts. Whether they could be read.
    static func addEntry(_ entry: [UInt8], to sums: inout DaySums, _ table: MeterTable) -> Bool {
        entry.withUnsafeBytes { bytes in
            var cursor = PackedCursor(bytes)
            guard let count = cursor.array(), count % 2 == 1, let events = cursor.integer() else {
                return false
            }
            sums.events += events
            return cursor.addAmounts(count / 2, to: &sums, table)
        }
    }

    private mutating func addAmounts(
        _ count: Int, to sums: inout DaySums, _ table: MeterTable
    ) -> Bool {
        for _ in 0..<count {
            guard let place = place(table), let amount = integer() else { return false }
            sums.add(amount, at: place)
        }
        return true
    }

    private mutating func place(_ table: MeterTable) -> Int? {
        switch value() {
        case .integer(let code): table.place(code: code)
        case .string(let name): table.place(name: name)
        case nil: nil
        }
    }
}
