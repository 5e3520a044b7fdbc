// SPDX-License-Identifier: Apache-2.0

internal import CLlhttp

/// What llhttp's callbacks write down. Plain memory, because they run for each part of each
/// request: no object is retained and nothing is allocated.
struct ParserRecord {
    enum Event { case none, head, chunkHeader, chunkEnd, end }

    var event = Event.none
    var refusal = Refusal.none
    /// Where the bytes that are parsed now begin, and what of the message came before them.
    var base: UnsafePointer<CChar>?
    var offset = 0
    var targetStart = 0
    var targetEnd = 0
    let fields: UnsafeMutablePointer<FieldSpan>
    var fieldCount = 0
    var isInField = false
    var isInBody = false
    var body: UnsafeRawBufferPointer?
    let maxRequestLine: Int
    let maxHeaderBlock: Int
    let maxFields: Int

    enum Refusal { case none, uriTooLong, headersTooLarge }

    /// ` HTTP/1.1` and the end of the line.
    static let versionLength = 11

    func position(_ at: UnsafePointer<CChar>) -> Int {
        guard let base else { return 0 }
        return offset + (at - base)
    }

    mutating func target(_ at: UnsafePointer<CChar>, _ length: Int) -> Int32 {
        let start = position(at)
        if targetEnd == 0 { targetStart = start }
        targetEnd = start + length
        guard targetEnd + Self.versionLength <= maxRequestLine else {
            refusal = .uriTooLong
            return -1
        }
        return 0
    }

    mutating func name(_ at: UnsafePointer<CChar>, _ length: Int) -> Int32 {
        // Trailers are dropped.
        if isInBody { return 0 }
        let start = position(at)
        guard isWithinLimit(start + length), isInField || fieldCount < maxFields else {
            refusal = .headersTooLarge
            return -1
        }
        if isInField {
            fields[fieldCount - 1].nameEnd = UInt16(start + length)
        } else {
            isInField = true
            fields[fieldCount] = FieldSpan(
                nameStart: UInt16(start), nameEnd: UInt16(start + length), valueStart: 0,
                valueEnd: 0)
            fieldCount += 1
        }
        return 0
    }

    mutating func value(_ at: UnsafePointer<CChar>, _ length: Int) -> Int32 {
        if isInBody { return 0 }
        let start = position(at)
        guard isWithinLimit(start + length), fieldCount > 0 else {
            refusal = .headersTooLarge
            return -1
        }
        if fields[fieldCount - 1].valueStart == 0 {
            fields[fieldCount - 1].valueStart = UInt16(start)
        }
        fields[fieldCount - 1].valueEnd = UInt16(start + length)
        return 0
    }

    /// Whether the header block may reach as far as this.
    func isWithinLimit(_ position: Int) -> Bool {
        position - (targetEnd + Self.versionLength) <= maxHeaderBlock
    }
}

/// One llhttp parser and its record. It stops at the end of the head, around each chunk's data,
/// and at the end of the message.
final class Parser {
    private let parser = UnsafeMutablePointer<llhttp_t>.allocate(capacity: 1)
    private let settings: UnsafeMutablePointer<llhttp_settings_t>
    private let record = UnsafeMutablePointer<ParserRecord>.allocate(capacity: 1)
    private let fields: UnsafeMutablePointer<FieldSpan>

    init(_ limits: HTTPServerConfiguration) {
        fields = .allocate(capacity: limits.maxHeaderFields)
        record.initialize(
            to: ParserRecord(
                fields: fields, maxRequestLine: limits.maxRequestLine,
                maxHeaderBlock: limits.maxHeaderBlock, maxFields: limits.maxHeaderFields))
        settings = .allocate(capacity: 1)
        llhttp_settings_init(settings)
        Self.install(&settings.pointee)
        llhttp_init(parser, HTTP_REQUEST, settings)
        parser.pointee.data = UnsafeMutableRawPointer(record)
    }

    deinit {
        parser.deallocate()
        settings.deallocate()
        record.deallocate()
        fields.deallocate()
    }

    var state: ParserRecord {
        get { record.pointee }
        _modify { yield &record.pointee }
    }
    var major: UInt8 { parser.pointee.http_major }
    var minor: UInt8 { parser.pointee.http_minor }
    var method: llhttp_method_t { llhttp_method_t(rawValue: UInt32(parser.pointee.method)) }
    var contentLength: UInt64 { parser.pointee.content_length }
    var hasClose: Bool { UInt32(parser.pointee.flags) & F_CONNECTION_CLOSE.rawValue != 0 }
    var hasKeepAlive: Bool {
        UInt32(parser.pointee.flags) & F_CONNECTION_KEEP_ALIVE.rawValue != 0
    }

    /// Makes ready for the next message.
    func reset() {
        llhttp_reset(parser)
        record.pointee.offset = 0
        record.pointee.targetEnd = 0
        record.pointee.fieldCount = 0
        record.pointee.isInField = false
        record.pointee.isInBody = false
    }

    /// Lets the parser take the bytes behind the head as the body, whatever `Upgrade` said.
    func beginBody() {
        record.pointee.isInBody = true
        parser.pointee.upgrade = 0
    }

    /// Parses up to the next event; `used` is how many bytes that took. Returns llhttp's error, or
    /// nil, when the record's event tells why it stopped (`none`: the bytes are used up).
    func parse(_ bytes: UnsafeRawBufferPointer, used: inout Int) -> llhttp_errno_t? {
        guard let base = bytes.assumingMemoryBound(to: CChar.self).baseAddress else { return nil }
        record.pointee.base = base
        record.pointee.event = .none
        record.pointee.body = nil
        defer { record.pointee.offset += used }
        llhttp_resume(parser)
        let status = llhttp_execute(parser, base, bytes.count)
        if status == HPE_OK {
            used = bytes.count
            return nil
        }
        used = llhttp_get_error_pos(parser).map { $0 - base } ?? 0
        return status == HPE_PAUSED ? nil : status
    }

    private static func install(_ settings: inout llhttp_settings_t) {
        settings.on_url = { parser, at, length in
            guard let record = Parser.record(of: parser), let at else { return -1 }
            return record.pointee.target(at, length)
        }
        settings.on_header_field = { parser, at, length in
            guard let record = Parser.record(of: parser), let at else { return -1 }
            return record.pointee.name(at, length)
        }
        settings.on_header_value = { parser, at, length in
            guard let record = Parser.record(of: parser), let at else { return -1 }
            return record.pointee.value(at, length)
        }
        settings.on_header_value_complete = { parser in
            Parser.record(of: parser)?.pointee.isInField = false
            return 0
        }
        settings.on_body = { parser, at, length in
            Parser.record(of: parser)?.pointee.body = UnsafeRawBufferPointer(
                start: at, count: length)
            return 0
        }
        settings.on_headers_complete = { Parser.pause($0, .head) }
        settings.on_chunk_header = { Parser.pause($0, .chunkHeader) }
        settings.on_chunk_complete = { parser in
            // Behind the last chunk the message ends at once, maybe with no byte left to go on with.
            let isLast = UInt32(parser?.pointee.flags ?? 0) & F_TRAILING.rawValue != 0
            return isLast ? 0 : Parser.pause(parser, .chunkEnd)
        }
        settings.on_message_complete = { Parser.pause($0, .end) }
    }

    private static func record(
        of parser: UnsafeMutablePointer<llhttp_t>?
    ) -> UnsafeMutablePointer<ParserRecord>? {
        parser?.pointee.data?.assumingMemoryBound(to: ParserRecord.self)
    }

    private static func pause(
        _ parser: UnsafeMutablePointer<llhttp_t>?, _ event: ParserRecord.Event
    ) -> Int32 {
        record(of: parser)?.pointee.event = event
        return Int32(HPE_PAUSED.rawValue)
    }
}
