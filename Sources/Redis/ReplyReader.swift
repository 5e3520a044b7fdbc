// SPDX-License-Identifier: Apache-2.0

internal import CHiredis
internal import Glibc

/// Turns the bytes of one connection into replies, with hiredis' parser.
final class ReplyReader {
    /// The bytes are not what Redis sends; the connection is of no more use.
    struct ProtocolError: Error { let reason: String }

    /// An array of more elements than any command here returns comes from a broken peer. hiredis
    /// would make room for all of them at once, seven gigabytes for the first twelve bytes.
    private static let elementsMax: Int32 = 1 << 20

    private let reader: UnsafeMutablePointer<redisReader>
    private let functions: UnsafeMutablePointer<redisReplyObjectFunctions>
    private let bufferedBytesMax: Int

    /// Nil without memory.
    init?(bufferedBytesMax: Int) {
        guard let reader = redisReaderCreate(), let defaults = reader.pointee.fn else { return nil }
        self.reader = reader
        self.bufferedBytesMax = bufferedBytesMax
        functions = .allocate(capacity: 1)
        functions.initialize(to: defaults.pointee)
        functions.pointee.createArray = { task, count in
            ReplyReader.makeArray(task, count)
        }
        reader.pointee.fn = functions
    }

    deinit {
        redisReaderFree(reader)
        functions.deallocate()
    }

    /// Takes bytes in.
    func feed(_ bytes: UnsafeRawBufferPointer) throws(ProtocolError) {
        let start = bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
        guard redisReaderFeed(reader, start, bytes.count) == REDIS_OK else { throw failure }
        guard reader.pointee.len - reader.pointee.pos <= bufferedBytesMax else {
            throw ProtocolError(reason: "reply larger than \(bufferedBytesMax) bytes")
        }
    }

    /// The next complete reply, nil when more bytes are needed.
    func next() throws(ProtocolError) -> RedisValue? {
        var object: UnsafeMutableRawPointer?
        guard redisReaderGetReply(reader, &object) == REDIS_OK else { throw failure }
        guard let object else { return nil }
        defer { freeReplyObject(object) }
        return Self.value(object.assumingMemoryBound(to: redisReply.self))
    }

    private var failure: ProtocolError {
        withUnsafeBytes(of: reader.pointee.errstr) { text in
            ProtocolError(reason: String(decoding: text.prefix { $0 != 0 }, as: UTF8.self))
        }
    }

    private static func value(_ reply: UnsafeMutablePointer<redisReply>) -> RedisValue {
        let text = UnsafeRawBufferPointer(start: reply.pointee.str, count: reply.pointee.len)
        switch reply.pointee.type {
        case REDIS_REPLY_INTEGER: return .integer(Int(reply.pointee.integer))
        case REDIS_REPLY_STRING: return .bulk(Array(text))
        case REDIS_REPLY_STATUS: return .status(String(decoding: text, as: UTF8.self))
        case REDIS_REPLY_ERROR: return .error(text)
        case REDIS_REPLY_ARRAY:
            let elements = UnsafeBufferPointer(
                start: reply.pointee.element, count: reply.pointee.elements)
            return .array(elements.map { $0.map(value) ?? .null })
        default: return .null
        }
    }

    /// hiredis' own function for this, with a bound.
    private static func makeArray(
        _ task: UnsafePointer<redisReadTask>?, _ count: Int32
    ) -> UnsafeMutableRawPointer? {
        guard let task, (0...elementsMax).contains(count),
            let memory = calloc(1, MemoryLayout<redisReply>.size)
        else { return nil }
        let reply = memory.assumingMemoryBound(to: redisReply.self)
        reply.pointee.type = REDIS_REPLY_ARRAY
        if count > 0 {
            guard let elements = calloc(Int(count), MemoryLayout<UnsafeRawPointer?>.size) else {
                free(memory)
                return nil
            }
            reply.pointee.element = elements.assumingMemoryBound(
                to: UnsafeMutablePointer<redisReply>?.self)
        }
        reply.pointee.elements = Int(count)
        if let parent = task.pointee.parent?.pointee.obj {
            let siblings = parent.assumingMemoryBound(to: redisReply.self).pointee.element
            siblings?[Int(task.pointee.idx)] = reply
        }
        return memory
    }
}
