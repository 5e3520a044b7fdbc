// SPDX-License-Identifier: Apache-2.0
//
// MessagePack is what scripts and Tally tell each other: Redis's Lua has it built in (cmsgpack),
// it keeps integers exact, and one argument carries a whole batch. msgpack-c does the encoding.

internal import CMsgpack

/// Writes MessagePack values one behind the other.
///
/// Strings are written in the `str` family also when they are binary: cmsgpack knows no `bin`.
final class MessagePackWriter {
    private let buffer: UnsafeMutablePointer<msgpack_sbuffer>
    private let packer: UnsafeMutablePointer<msgpack_packer>

    init() {
        buffer = .allocate(capacity: 1)
        packer = .allocate(capacity: 1)
        tally_pack_init(buffer, packer)
    }

    deinit {
        msgpack_sbuffer_destroy(buffer)
        buffer.deallocate()
        packer.deallocate()
    }

    /// Starts an array; its elements are the next `count` values.
    func array(_ count: Int) { tally_pack_array(packer, count) }

    func integer(_ value: Int) { tally_pack_integer(packer, Int64(value)) }

    func null() { tally_pack_nil(packer) }

    func string(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { tally_pack_bytes(packer, $0.baseAddress, $0.count) }
    }

    func string(_ text: String) {
        var text = text
        text.withUTF8 { tally_pack_bytes(packer, $0.baseAddress, $0.count) }
    }

    /// An array of integers.
    func integers(_ values: [Int]) {
        array(values.count)
        for value in values { integer(value) }
    }

    /// A value as it was read.
    func value(_ value: MessagePackValue) {
        switch value {
        case .null: null()
        case .integer(let number): integer(number)
        case .string(let bytes): string(bytes)
        case .array(let values):
            array(values.count)
            for value in values { self.value(value) }
        }
    }

    /// What was written since the last call; the writer is empty afterwards.
    func take() -> [UInt8] {
        defer { msgpack_sbuffer_clear(buffer) }
        return Array(UnsafeRawBufferPointer(start: buffer.pointee.data, count: buffer.pointee.size))
    }
}

/// One MessagePack value.
enum MessagePackValue: Equatable, Sendable {
    case null
    case integer(Int)
    case string([UInt8])
    case array([MessagePackValue])

    /// Reads the one value that the bytes hold; nil when they hold something else.
    init?(_ bytes: [UInt8]) {
        var unpacked = msgpack_unpacked()
        msgpack_unpacked_init(&unpacked)
        defer { msgpack_unpacked_destroy(&unpacked) }
        var offset = 0
        let status = bytes.withUnsafeBytes {
            msgpack_unpack_next(
                &unpacked, $0.assumingMemoryBound(to: CChar.self).baseAddress, $0.count, &offset)
        }
        guard status == MSGPACK_UNPACK_SUCCESS, let value = Self(unpacked.data) else { return nil }
        self = value
    }

    private init?(_ object: msgpack_object) {
        switch object.type {
        case MSGPACK_OBJECT_NIL: self = .null
        case MSGPACK_OBJECT_POSITIVE_INTEGER:
            guard let value = Int(exactly: object.via.u64) else { return nil }
            self = .integer(value)
        case MSGPACK_OBJECT_NEGATIVE_INTEGER: self = .integer(Int(object.via.i64))
        case MSGPACK_OBJECT_FLOAT64:
            // Lua has doubles only; cmsgpack writes those beyond 32 bits as such.
            guard let value = Int(exactly: object.via.f64) else { return nil }
            self = .integer(value)
        case MSGPACK_OBJECT_STR:
            self = .string(
                Array(
                    UnsafeRawBufferPointer(
                        start: object.via.str.ptr, count: Int(object.via.str.size))))
        case MSGPACK_OBJECT_ARRAY:
            let elements = UnsafeBufferPointer(
                start: object.via.array.ptr, count: Int(object.via.array.size))
            var values: [MessagePackValue] = []
            values.reserveCapacity(elements.count)
            for element in elements {
                guard let value = Self(element) else { return nil }
                values.append(value)
            }
            self = .array(values)
        // An empty Lua table may come as a map.
        case MSGPACK_OBJECT_MAP where object.via.map.size == 0: self = .array([])
        default: return nil
        }
    }

    var integer: Int? {
        if case .integer(let value) = self { value } else { nil }
    }
    var bytes: [UInt8]? {
        if case .string(let value) = self { value } else { nil }
    }
    var array: [MessagePackValue]? {
        if case .array(let value) = self { value } else { nil }
    }
    /// An array of integers only.
    var integers: [Int]? {
        guard let array else { return nil }
        let values = array.compactMap(\.integer)
        return values.count == array.count ? values : nil
    }
}
