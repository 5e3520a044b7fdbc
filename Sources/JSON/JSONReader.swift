// SPDX-License-Identifier: Apache-2.0

internal import CSimdjson

/// How large the parts of a document may be.
public struct JSONLimits: Hashable, Sendable {
    /// Arrays and objects inside one another; `[1]` has depth 1.
    public var depth: Int
    /// Members of one object.
    public var fields: Int
    /// Bytes of one string or key, after its escapes are resolved.
    public var stringBytes: Int
    /// Bytes of the text of one number.
    public var numberBytes: Int

    public init(
        depth: Int = 16, fields: Int = 1_000, stringBytes: Int = 65_536, numberBytes: Int = 32
    ) {
        self.depth = depth
        self.fields = fields
        self.stringBytes = stringBytes
        self.numberBytes = numberBytes
    }
}

/// A strict reader of JSON (RFC 8259, UTF-8 only) that keeps its buffers from text to text.
///
/// It checks the whole text before it answers. Numbers keep their text, so that nothing passes
/// through binary floating point. Beyond the grammar it refuses duplicate keys, `\u0000`, lone
/// surrogates, byte order marks and whatever is over its limits.
///
/// Make one for each thread: the values of one text stand only until the next `read`.
public final class JSONReader {
    public let limits: JSONLimits

    private let parser: OpaquePointer
    private(set) var document = csj_document()
    /// Counts the texts read, to catch the use of a value after its text is gone.
    private(set) var generation = 0

    /// Throws `out_of_memory` only.
    public init(limits: JSONLimits = JSONLimits()) throws(JSONError) {
        guard let parser = csj_parser_new() else {
            throw JSONError(.outOfMemory, "no memory for a JSON parser")
        }
        self.parser = parser
        self.limits = limits
    }

    deinit { csj_parser_free(parser) }

    /// Reads one whole document.
    ///
    /// The bytes are copied; the value (and all that is reached from it) stands until the next
    /// call of `read` on this reader.
    public func read(_ bytes: UnsafeRawBufferPointer) throws(JSONError) -> JSONValue {
        let limits = csj_limits(
            depth: UInt32(clamping: limits.depth), fields: UInt32(clamping: limits.fields),
            string_bytes: UInt32(clamping: limits.stringBytes),
            number_bytes: UInt32(clamping: limits.numberBytes))
        generation &+= 1
        let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        document = csj_parse(parser, start, bytes.count, limits)
        guard document.error == CSJ_OK else { throw Self.error(document) }
        return JSONValue(self, 0)
    }

    /// Reads one whole document; see `read(_:)` above.
    public func read(_ bytes: [UInt8]) throws(JSONError) -> JSONValue {
        let result = bytes.withUnsafeBytes { buffer in
            Result { () throws(JSONError) in try read(buffer) }
        }
        return try result.get()
    }

    /// Reads one whole document; see `read(_:)` above.
    public func read(_ text: String) throws(JSONError) -> JSONValue {
        try read(Array(text.utf8))
    }

    private static func error(_ document: csj_document) -> JSONError {
        let (code, message) = reason(document.error)
        // SIZE_MAX, "not known", is -1 here: Swift takes size_t for an Int.
        let offset = document.error_offset
        return JSONError(code, message, offset: offset >= 0 ? offset : nil)
    }

    private static func reason(_ error: csj_error) -> (JSONError.Code, String) {
        switch error {
        case CSJ_NO_MEMORY: (.outOfMemory, "no memory for this document")
        case CSJ_TOO_LARGE: (.invalidJSON, "the document is larger than 1 GiB")
        case CSJ_EMPTY: (.invalidJSON, "there is no JSON value")
        case CSJ_BYTE_ORDER_MARK: (.invalidEncoding, "a byte order mark is not allowed")
        case CSJ_INVALID_ENCODING: (.invalidEncoding, "the text is not valid UTF-8")
        case CSJ_UNCLOSED_STRING: (.invalidJSON, "a string has no closing quote")
        case CSJ_CONTROL_CHARACTER:
            (.invalidString, "a string has a control character that is not escaped")
        case CSJ_INVALID_ESCAPE: (.invalidString, "a string has an unknown escape")
        case CSJ_LONE_SURROGATE: (.invalidString, "a string has half of a surrogate pair")
        case CSJ_NUL_CHARACTER: (.invalidString, "a string has the character U+0000")
        case CSJ_STRING_TOO_LONG: (.stringTooLong, "a string is too long")
        case CSJ_INVALID_NUMBER: (.invalidNumber, "a number is malformed")
        case CSJ_NUMBER_TOO_LONG: (.invalidNumber, "a number has too many characters")
        case CSJ_UNEXPECTED_END: (.invalidJSON, "the document ends too early")
        case CSJ_TRAILING_CONTENT: (.invalidJSON, "something follows the end of the document")
        case CSJ_TOO_DEEP: (.tooDeep, "arrays or objects are nested too deeply")
        case CSJ_TOO_MANY_FIELDS: (.tooManyFields, "an object has too many members")
        case CSJ_DUPLICATE_KEY: (.duplicateKey, "an object has the same key twice")
        default: (.invalidJSON, "there is something unexpected")
        }
    }
}
