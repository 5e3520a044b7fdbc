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

/// One MessagePack value within the bytes that hold it, of which nothing is copied. Good within `read` only.
struct MessagePackView {
    private let object: msgpack_object

    private init(_ object: msgpack_object) { self.object = object }

    /// Reads the one value that the bytes hold; nil when they hold something else, and when `body` says so.
    static func read<Result>(
        _ bytes: [UInt8], _ body: (MessagePackView) -> Result?
    ) -> Result? {
        var unpacked = msgpack_unpacked()
        msgpack_unpacked_init(&unpacked)
        defer { msgpack_unpacked_destroy(&unpacked) }
        // Strings are not copied: they are good as long as the bytes are.
        return bytes.withUnsafeBytes { bytes in
            var offset = 0
            let status = msgpack_unpack_next(
                &unpacked, bytes.assumingMemoryBound(to: CChar.self).baseAddress, bytes.count,
                &offset)
            guard status == MSGPACK_UNPACK_SUCCESS else { return nil }
            return body(MessagePackView(unpacked.data))
        }
    }

    var isNull: Bool { object.type == MSGPACK_OBJECT_NIL }

    var integer: Int? {
        switch object.type {
        case MSGPACK_OBJECT_POSITIVE_INTEGER: Int(exactly: object.via.u64)
        case MSGPACK_OBJECT_NEGATIVE_INTEGER: Int(object.via.i64)
        // Lua has doubles only; cmsgpack writes those beyond 32 bits as such.
        case MSGPACK_OBJECT_FLOAT64: Int(exactly: object.via.f64)
        default: nil
        }
    }

    var bytes: UnsafeRawBufferPointer? {
        guard object.type == MSGPACK_OBJECT_STR else { return nil }
        return UnsafeRawBufferPointer(
            start: object.via.str.ptr, count: Int(object.via.str.size))
    }

    var byteString: ByteString? { bytes.map { $0.isEmpty ? .empty : ByteString(bytes: Array($0)) } }

    /// Of an array.
    struct Elements: RandomAccessCollection {
        fileprivate let objects: UnsafeBufferPointer<msgpack_object>

        var startIndex: Int { 0 }
        var endIndex: Int { objects.count }
        subscript(index: Int) -> MessagePackView { MessagePackView(objects[index]) }
    }

    var elements: Elements? {
        switch object.type {
        case MSGPACK_OBJECT_ARRAY:
            Elements(
                objects: UnsafeBufferPointer(
                    start: object.via.array.ptr, count: Int(object.via.array.size)))
        // An empty Lua table may come as a map.
        case MSGPACK_OBJECT_MAP where object.via.map.size == 0:
            Elements(objects: UnsafeBufferPointer(start: nil, count: 0))
        default: nil
        }
    }

    /// What the elements are made to; nil when this is no array, or one of them is none of these.
    func array<Element>(_ element: (MessagePackView) -> Element?) -> [Element]? {
        guard let elements else { return nil }
        var values: [Element] = []
        values.reserveCapacity(elements.count)
        for view in elements {
            guard let value = element(view) else { return nil }
            values.append(value)
        }
        return values
    }

    /// An array of integers only.
    var integers: [Int]? { array(\.integer) }
}

/// One MessagePack value.
enum MessagePackValue: Equatable, Sendable {
    case null
    case integer(Int)
    case string([UInt8])
    case array([MessagePackValue])

    /// Reads the one value that the bytes hold; nil when they hold something else.
    init?(_ bytes: [UInt8]) {
        guard let value = MessagePackView.read(bytes, { Self($0) }) else { return nil }
        self = value
    }

    /// A copy of what is being read; nil when it has what Tally never writes.
    init?(_ view: MessagePackView) {
        if view.isNull {
            self = .null
        } else if let integer = view.integer {
            self = .integer(integer)
        } else if let bytes = view.bytes {
            self = .string(Array(bytes))
        } else if let elements = view.elements {
            var values: [MessagePackValue] = []
            values.reserveCapacity(elements.count)
            for element in elements {
                guard let value = Self(element) else { return nil }
                values.append(value)
            }
            self = .array(values)
        } else {
            return nil
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
