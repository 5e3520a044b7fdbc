// SPDX-License-Identifier: Apache-2.0

internal import CLlhttp

/// Turns the bytes of one connection into requests. It knows nothing of sockets: bytes in,
/// requests or a refusal out, the same for any division of the bytes into reads.
final class RequestReader {
    enum Stage { case start, head, body }

    enum Outcome {
        /// The bytes are used up.
        case more
        case request(HTTPRequest, RequestHead.Manner)
        /// Nothing after this is read as a request.
        case refused(HTTPProblem)
    }

    /// Where the reader is: `start` between requests.
    private(set) var stage = Stage.start
    /// Grows whenever the stage changes, so that deadlines see that a new one began.
    private(set) var stageChanges = 0
    /// The client waits for `100 Continue` before it sends its body; the owner answers and clears.
    var owesContinue = false

    /// Of the request that is being read, or was refused, where its target came whole and is right.
    var path: String? {
        if let head { return head.path }
        let (start, end) = (parser.state.targetStart, parser.state.targetEnd)
        guard stage == .head, start < end, end < carry.count, carry[end] == 0x20 else {
            return nil
        }
        return carry.withUnsafeBytes { head in
            try? RequestTarget.split(UnsafeRawBufferPointer(rebasing: head[start..<end])).path
        }
    }

    /// What may still come of the body that is being read.
    var bodyDue: Int {
        guard stage == .body else { return 0 }
        return framing == .chunked ? limits.maxBody : missing
    }

    private let limits: HTTPServerConfiguration
    private let load: HTTPServerLoad
    private let parser: Parser
    private let remoteAddress: String
    /// Head, chunk line or trailers that have come in part.
    private var carry: [UInt8] = []
    private var leading = 0
    private var head: RequestHead?
    /// The head before, for `RequestHead.repeated`.
    private var last: RequestHead?
    private var framing = RequestHead.Framing.none
    private var body: [UInt8] = []
    private var share: BodyShare?
    private var missing = 0
    private var isInTrailer = false
    private var isInChunkData = false

    init(_ limits: HTTPServerConfiguration, load: HTTPServerLoad, remoteAddress: String) {
        self.limits = limits
        self.load = load
        self.remoteAddress = remoteAddress
        parser = Parser(limits)
    }

    /// Reads on from `position`, up to the end of a request or of the bytes.
    func next(_ bytes: UnsafeRawBufferPointer, _ position: inout Int) -> Outcome {
        do throws(HTTPProblem) {
            if stage == .start {
                try skipLeadingLineEnd(bytes, &position)
                guard position < bytes.count else { return .more }
                leading = 0
                enter(.head)
            }
            if stage == .head {
                guard try readHead(bytes, &position) else { return .more }
            }
            switch framing {
            case .none: return finish([])
            case .length(let length):
                if missing == length, length <= bytes.count - position {
                    // Mostly it is all there at once, and its memory is as long as it is.
                    let body = UnsafeRawBufferPointer(rebasing: bytes[position..<position + length])
                    position += length
                    return finish(Array(body))
                }
                guard try readFixed(bytes, &position) else { return .more }
            case .chunked: guard try readChunks(bytes, &position) else { return .more }
            }
            var body: [UInt8] = []
            swap(&body, &self.body)
            return finish(body)
        } catch {
            return .refused(error)
        }
    }

    private func enter(_ stage: Stage) {
        self.stage = stage
        stageChanges += 1
    }

    private func finish(_ body: [UInt8]) -> Outcome {
        guard let head = head.take() else { return .more }
        parser.reset()
        enter(.start)
        var request = HTTPRequest(
            method: head.method, path: head.path, query: head.query, headers: head.headers,
            body: body, remoteAddress: remoteAddress)
        request.share = share.take()
        return .request(request, head.manner)
    }

    /// One empty line before a request is forgiven (RFC 9112, 2.2), a second one is not.
    private func skipLeadingLineEnd(
        _ bytes: UnsafeRawBufferPointer, _ position: inout Int
    ) throws(HTTPProblem) {
        while position < bytes.count {
            let byte = bytes[position]
            switch (leading, byte) {
            case (0, 0x0d), (1, 0x0a): leading += 1
            case (0, 0x0a), (1, _), (2, 0x0d), (2, 0x0a):
                throw .invalid("invalid_request", "Empty lines before the request line.")
            default: return
            }
            position += 1
        }
    }

    // MARK: Head

    /// Whether the head is complete.
    private func readHead(
        _ bytes: UnsafeRawBufferPointer, _ position: inout Int
    ) throws(HTTPProblem) -> Bool {
        let rest = UnsafeRawBufferPointer(rebasing: bytes[position...])
        var used = 0
        let isFirst = parser.state.offset == 0
        if isFirst, let head = last?.repeated(in: rest, maxBody: limits.maxBody) {
            position += head.headers.withHead(\.count)
            return begin(head)
        }
        if let error = parser.parse(rest, used: &used) {
            carry.append(contentsOf: rest)
            throw carry.withUnsafeBytes { refusal(error, head: $0) }
        }
        position += used
        let taken = UnsafeRawBufferPointer(rebasing: rest[..<used])
        guard parser.state.event == .head else {
            carry.append(contentsOf: taken)
            // Blanks before the target are skipped, and are in no span.
            guard parser.state.targetEnd > 0 || carry.count <= limits.maxRequestLine else {
                throw .uriTooLong
            }
            guard parser.state.targetEnd == 0 || parser.state.isWithinLimit(carry.count) else {
                throw .headersTooLarge
            }
            return false
        }
        let head: RequestHead
        if isFirst {
            do {
                head = try RequestHead(taken, parser: parser, limits: limits)
            } catch {
                carry.append(contentsOf: taken)
                throw error
            }
            last = used <= RequestHead.bytesRemembered ? head : nil
        } else {
            carry.append(contentsOf: taken)
            let whole = carry.withUnsafeBytes { head in
                Result { () throws(HTTPProblem) in
                    try RequestHead(head, parser: parser, limits: limits)
                }
            }
            head = try whole.get()
            carry = []
        }
        return begin(head)
    }

    /// Goes on to the body, if there is one: whether there is none.
    private func begin(_ head: consuming RequestHead) -> Bool {
        framing = head.framing
        let expectsContinue = head.manner.expectsContinue
        self.head = head
        guard framing != .none else { return true }
        enter(.body)
        owesContinue = expectsContinue
        parser.beginBody()
        if case .length(let length) = framing { missing = length }
        return true
    }

    /// What to answer to bytes that llhttp refuses.
    private func refusal(_ error: llhttp_errno_t, head: UnsafeRawBufferPointer) -> HTTPProblem {
        switch parser.state.refusal {
        case .uriTooLong: return .uriTooLong
        case .headersTooLarge: return .headersTooLarge
        case .none: break
        }
        switch error {
        case HPE_INVALID_METHOD:
            let token = head.prefix { $0 != 0x20 }
            return ASCII.isToken(token)
                ? .unknownMethod(head, limits)
                : .invalid("invalid_request", "The request line has no valid method.")
        case HPE_INVALID_VERSION: return versionRefusal(head)
        case HPE_PAUSED_H2_UPGRADE: return .unsupportedVersion
        case HPE_INVALID_URL: return .invalid("invalid_uri", "The request target is not valid.")
        case HPE_UNEXPECTED_CONTENT_LENGTH:
            return .invalid("ambiguous_framing", "More than one length for the body.")
        case HPE_INVALID_CONTENT_LENGTH:
            return .noContentLength
        case HPE_INVALID_TRANSFER_ENCODING:
            return .invalid("invalid_transfer_encoding", "Transfer-Encoding is not valid.")
        case HPE_INVALID_HEADER_TOKEN, HPE_LF_EXPECTED, HPE_CR_EXPECTED, HPE_UNEXPECTED_SPACE:
            return .invalid("invalid_header", "The header is not valid.")
        default: return .invalid("invalid_request", "The request is not valid HTTP.")
        }
    }

    /// 505 for a version that is written as one, 400 for anything else.
    private func versionRefusal(_ head: UnsafeRawBufferPointer) -> HTTPProblem {
        let version = head.dropFirst(parser.state.targetEnd + 6).prefix { $0 != 0x0d }
        let shape = Array(version)
        let isVersion =
            shape.count == 3 && ASCII.isDigit(shape[0]) && shape[1] == 0x2e
            && ASCII.isDigit(shape[2])
        return isVersion
            ? .unsupportedVersion : .invalid("invalid_request", "The HTTP version is not valid.")
    }

    // MARK: Body

    /// Gives back what came of a body that will not be handed over.
    func dropBody() {
        body = []
        share = nil
    }

    /// Asks for room for so much more of the body: it comes before anybody knows who sends it.
    private func makeRoom(for count: Int) throws(HTTPProblem) {
        let size = body.count + count - HTTPServerConfiguration.freeBody
        guard size > 0 else { return }
        let share = share ?? BodyShare(of: load)
        guard share.grow(to: size, max: limits.maxBodies) else { throw .tooManyBodies }
        self.share = share
    }

    /// Whether the body is complete.
    private func readFixed(
        _ bytes: UnsafeRawBufferPointer, _ position: inout Int
    ) throws(HTTPProblem) -> Bool {
        let count = min(missing, bytes.count - position)
        try makeRoom(for: count)
        let part = UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
        if framing == .length(missing) { body.reserveCapacity(min(missing, 64 * 1024)) }
        body.append(contentsOf: part)
        position += count
        missing -= count
        return missing == 0
    }

    private func readChunks(
        _ bytes: UnsafeRawBufferPointer, _ position: inout Int
    ) throws(HTTPProblem) -> Bool {
        while position < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[position...])
            var used = 0
            guard parser.parse(rest, used: &used) == nil else {
                throw .invalid("invalid_chunk", "The chunked body is not valid.")
            }
            position += used
            if let data = parser.state.body {
                try makeRoom(for: data.count)
                body.append(contentsOf: data)
            }
            if !isInChunkData {
                carry.append(contentsOf: rest[..<used])
                try checkCarry()
            }
            switch parser.state.event {
            case .chunkHeader: try beginChunk()
            case .chunkEnd: isInChunkData = false
            case .end:
                try ChunkRules.checkTrailers(carry)
                carry = []
                isInTrailer = false
                return true
            case .none, .head: break
            }
        }
        return false
    }

    private func checkCarry() throws(HTTPProblem) {
        if isInTrailer {
            guard carry.count <= limits.maxHeaderBlock else { throw .headersTooLarge }
        } else if carry.count > ChunkRules.maxLine, parser.state.event != .chunkHeader {
            throw .invalid("invalid_chunk", "A chunk line is too long.")
        }
    }

    /// Checks a whole chunk line, which is what `carry` holds now.
    private func beginChunk() throws(HTTPProblem) {
        try ChunkRules.checkLine(carry)
        carry.removeAll(keepingCapacity: true)
        let size = parser.contentLength
        guard size <= UInt64(limits.maxBody - body.count) else { throw .bodyTooLarge }
        isInTrailer = size == 0
        isInChunkData = size > 0
    }
}

/// The grammar of chunk lines and trailers, which llhttp takes more loosely.
enum ChunkRules {
    static let maxSizeDigits = 8
    static let maxLine = maxSizeDigits + HTTPServerConfiguration.maxChunkExtension + 2

    static func checkLine(_ line: [UInt8]) throws(HTTPProblem) {
        let bad = HTTPProblem.invalid("invalid_chunk", "A chunk line is not valid.")
        guard line.count <= maxLine, line.suffix(2) == [0x0d, 0x0a] else { throw bad }
        let text = line.dropLast(2)
        let digits = text.prefix { ASCII.hexValue($0) != nil }
        guard (1...maxSizeDigits).contains(digits.count) else { throw bad }
        let rest = text.dropFirst(digits.count)
        guard rest.isEmpty || rest.first == 0x3b,
            rest.count <= HTTPServerConfiguration.maxChunkExtension,
            rest.allSatisfy({ $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 })
        else { throw bad }
    }

    /// The lines after the last chunk, with the empty one.
    static func checkTrailers(_ bytes: [UInt8]) throws(HTTPProblem) {
        for (index, byte) in bytes.enumerated() {
            let isValid =
                switch byte {
                case 0x0a: index > 0 && bytes[index - 1] == 0x0d
                case 0x0d: index + 1 < bytes.count && bytes[index + 1] == 0x0a
                default: byte >= 0x20 && byte != 0x7f || byte == 0x09
                }
            guard isValid else { throw .invalid("invalid_chunk", "The trailers are not valid.") }
        }
    }
}
