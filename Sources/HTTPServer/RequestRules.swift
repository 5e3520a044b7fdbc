// SPDX-License-Identifier: Apache-2.0
//
// What llhttp lets pass and this server does not: whatever two HTTP programs may read differently
// is refused, so that no proxy in front and no server behind disagree on where a request ends.

internal import CLlhttp

/// The head of a request that passed the rules.
struct RequestHead {
    enum Framing: Equatable { case none, length(Int), chunked }

    /// How the request is to be answered.
    struct Manner {
        let isHead: Bool
        let isHTTP10: Bool
        let keepsAlive: Bool
        let expectsContinue: Bool
    }

    let method: HTTPMethod
    let path: String
    let query: String?
    var headers: HTTPHeaders
    var framing: Framing
    let manner: Manner
}

/// The fields that decide about framing, as far as they were seen.
private struct KnownFields {
    var hostCount = 0
    var contentLength: Int?
    var transferEncoding: UnsafeRawBufferPointer?
    var expectsContinue = false
    var singles: UInt8 = 0
}

extension RequestHead {
    /// Checks a head that llhttp has taken.
    init(
        _ head: UnsafeRawBufferPointer, parser: Parser, limits: HTTPServerConfiguration
    ) throws(HTTPProblem) {
        let state = parser.state
        let lineEnd = state.targetEnd + ParserRecord.versionLength
        guard head.count - lineEnd <= limits.maxHeaderBlock else { throw .headersTooLarge }
        try Self.checkLines(head)
        try Self.checkRequestLine(head, state)
        guard parser.major == 1, parser.minor <= 1 else { throw .unsupportedVersion }
        let method = try Self.method(parser, head, limits)
        let isHTTP10 = parser.minor == 0
        var known = KnownFields()
        for index in 0..<state.fieldCount {
            try Self.check(&state.fields[index], in: head, &known)
        }
        guard known.hostCount == 1 || isHTTP10 else {
            throw .invalid("host_required", "A request needs a Host field.")
        }
        let framing = try Self.framing(known, method, isHTTP10, limits)
        let target = UnsafeRawBufferPointer(rebasing: head[state.targetStart..<state.targetEnd])
        (path, query) = try RequestTarget.split(target)
        self.method = method
        self.framing = framing
        manner = Manner(
            isHead: method == .head, isHTTP10: isHTTP10,
            keepsAlive: !parser.hasClose && (!isHTTP10 || parser.hasKeepAlive),
            expectsContinue: known.expectsContinue && !isHTTP10)
        headers = HTTPHeaders(head: head, spans: state.fields, count: state.fieldCount)
    }

    /// Every line ends in CRLF, none begins with a blank, and no other control characters occur.
    private static func checkLines(_ head: UnsafeRawBufferPointer) throws(HTTPProblem) {
        var index = 0
        while index < head.count {
            if index + 8 <= head.count {
                let plain = ASCII.firstControl(in: head, at: index)
                index += plain
                if plain == 8 { continue }
            }
            let byte = head[index]
            index += 1
            if byte >= 0x20 && byte != 0x7f || byte == 0x09 { continue }
            guard byte == 0x0d else {
                throw byte == 0x0a
                    ? .invalid("bare_lf", "Lines end with CR and LF.")
                    : .invalid("invalid_header", "A control character in the header.")
            }
            guard index < head.count, head[index] == 0x0a else {
                throw .invalid("invalid_header", "A CR without LF in the header.")
            }
            index += 1
            if index < head.count, head[index] == 0x20 || head[index] == 0x09 {
                throw .invalid("obsolete_folding", "A header line begins with a blank.")
            }
        }
    }

    /// One blank between the parts, and a version: llhttp takes more blanks, and HTTP/0.9.
    private static func checkRequestLine(
        _ head: UnsafeRawBufferPointer, _ state: ParserRecord
    ) throws(HTTPProblem) {
        let version = head[state.targetEnd...].prefix(ParserRecord.versionLength)
        guard state.targetStart > 1, head[state.targetStart - 2] != 0x20,
            version.count == ParserRecord.versionLength, version.first == 0x20,
            version.last == 0x0a
        else { throw .invalid("invalid_request", "The request line is not valid.") }
    }

    private static func method(
        _ parser: Parser, _ head: UnsafeRawBufferPointer,
        _ limits: HTTPServerConfiguration
    ) throws(HTTPProblem) -> HTTPMethod {
        switch parser.method {
        case HTTP_GET: return .get
        case HTTP_HEAD: return .head
        case HTTP_POST: return .post
        case HTTP_PUT: return .put
        case HTTP_PATCH: return .patch
        case HTTP_DELETE: return .delete
        case HTTP_OPTIONS: return .options
        default:
            // CONNECT has no path, and PRI is no method but the start of HTTP/2.
            if let prefix = limits.pathsForGateways, parser.method != HTTP_CONNECT,
                parser.method != HTTP_PRI,
                head[parser.state.targetStart...].starts(with: prefix.utf8)
            {
                return .other
            }
            throw parser.method == HTTP_TRACE ? .traceRefused : .unknownMethod(head, limits)
        }
    }

    /// Checks a field's name, takes blanks off the end of its value, and notes what it means.
    private static func check(
        _ span: inout FieldSpan, in head: UnsafeRawBufferPointer, _ known: inout KnownFields
    ) throws(HTTPProblem) {
        let name = UnsafeRawBufferPointer(rebasing: head[Int(span.nameStart)..<Int(span.nameEnd)])
        if span.valueStart == 0 {
            span.valueStart = span.nameEnd
            span.valueEnd = span.nameEnd
        }
        while span.valueEnd > span.valueStart, isBlank(head[Int(span.valueEnd) - 1]) {
            span.valueEnd -= 1
        }
        let value = UnsafeRawBufferPointer(
            rebasing: head[Int(span.valueStart)..<Int(span.valueEnd)])
        // By length first: most names are none of these. Those that are need no check as tokens.
        switch name.count {
        case 4 where equal(name, "host"): try host(value, &known)
        case 6 where equal(name, "expect"):
            guard equal(value, "100-continue") else {
                throw HTTPProblem(
                    .expectationFailed, code: "expectation_failed",
                    detail: "only 100-continue can be expected here")
            }
            known.expectsContinue = true
        case 14 where equal(name, "content-length"): try contentLength(value, &known)
        case 17 where equal(name, "transfer-encoding"):
            guard known.transferEncoding == nil else {
                throw .invalid("ambiguous_framing", "More than one Transfer-Encoding.")
            }
            known.transferEncoding = value
        case 12 where equal(name, "content-type"): try single(1, "Content-Type", &known)
        case 13 where equal(name, "authorization"): try single(2, "Authorization", &known)
        case 15 where equal(name, "idempotency-key"): try single(4, "Idempotency-Key", &known)
        default:
            guard ASCII.isToken(name) else {
                throw .invalid("invalid_header", "A field name is empty or no token.")
            }
        }
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    /// Whether bytes are a text of lower-case letters, apart from case.
    private static func equal(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        ASCII.equal(bytes, text)
    }

    private static func single(
        _ bit: UInt8, _ name: String, _ known: inout KnownFields
    ) throws(HTTPProblem) {
        guard known.singles & bit == 0 else {
            throw .invalid("duplicate_header", "More than one \(name).")
        }
        known.singles |= bit
    }

    private static func host(
        _ value: UnsafeRawBufferPointer, _ known: inout KnownFields
    ) throws(HTTPProblem) {
        known.hostCount += 1
        guard known.hostCount == 1 else {
            throw .invalid("duplicate_header", "More than one Host.")
        }
        let bad = HTTPProblem.invalid
        var index = 0
        if value.first == 0x5b {
            // An IPv6 address in brackets.
            guard let end = value.firstIndex(of: 0x5d), end > 2,
                value[1..<end].allSatisfy({
                    ASCII.hexValue($0) != nil || $0 == 0x3a || $0 == 0x2e
                })
            else { throw bad("invalid_host", "The Host is no valid address.") }
            index = end + 1
        } else {
            while index < value.count, ASCII.isInHost(value[index]) { index += 1 }
            guard index > 0 else { throw bad("invalid_host", "The Host is empty or not valid.") }
        }
        guard index < value.count else { return }
        var port = 0
        for byte in value[(index + 1)...] {
            guard ASCII.isDigit(byte), port < 65536 else { port = Int.max; break }
            port = port * 10 + Int(byte - 0x30)
        }
        guard value[index] == 0x3a, port < 65536 else {
            throw bad("invalid_host", "The Host is not valid.")
        }
    }

    private static func contentLength(
        _ value: UnsafeRawBufferPointer, _ known: inout KnownFields
    ) throws(HTTPProblem) {
        guard known.contentLength == nil else {
            throw .invalid("ambiguous_framing", "More than one Content-Length.")
        }
        var length = 0
        for byte in value {
            guard ASCII.isDigit(byte) else { throw .noContentLength }
            // Held at a value that no limit reaches; a wrapped one would smuggle.
            guard length < Int.max / 100 else { continue }
            length = length * 10 + Int(byte - 0x30)
        }
        guard !value.isEmpty else { throw .noContentLength }
        known.contentLength = length
    }

    private static func framing(
        _ known: KnownFields, _ method: HTTPMethod, _ isHTTP10: Bool,
        _ limits: HTTPServerConfiguration
    ) throws(HTTPProblem) -> Framing {
        let takesBody = method == .post || method == .put || method == .patch
        if let coding = known.transferEncoding {
            guard known.contentLength == nil, !isHTTP10 else {
                throw .invalid(
                    "ambiguous_framing", "Transfer-Encoding with Content-Length, or on HTTP/1.0.")
            }
            try checkCoding(coding)
            guard takesBody else {
                throw .invalid("body_not_allowed", "\(method.name) takes no body.")
            }
            return .chunked
        }
        guard let length = known.contentLength else {
            guard takesBody else { return .none }
            throw HTTPProblem(
                .lengthRequired, code: "length_required",
                detail:
                    "\(method.name) needs Content-Length (0 for no body) or Transfer-Encoding: chunked"
            )
        }
        guard takesBody || length == 0 else {
            throw .invalid("body_not_allowed", "\(method.name) takes no body.")
        }
        guard length <= limits.maxBody else { throw .bodyTooLarge }
        return length == 0 ? .none : .length(length)
    }

    /// Only `chunked` alone; other codings are unknown, and `chunked` before another or twice is
    /// no valid framing at all.
    private static func checkCoding(_ value: UnsafeRawBufferPointer) throws(HTTPProblem) {
        let codings = value.split(separator: 0x2c, omittingEmptySubsequences: false).map { part in
            var part = part
            while let first = part.first, isBlank(first) { part.removeFirst() }
            while let last = part.last, isBlank(last) { part.removeLast() }
            return String(decoding: part, as: UTF8.self).lowercased()
        }
        guard codings != ["chunked"] else { return }
        guard !codings.contains(""), !codings.dropLast().contains("chunked") else {
            throw .invalid("invalid_transfer_encoding", "Transfer-Encoding is not valid.")
        }
        throw HTTPProblem(
            .notImplemented, code: "transfer_coding_unsupported",
            detail: "the only transfer coding that is known here is chunked")
    }
}
