// SPDX-License-Identifier: Apache-2.0

internal import JSON

/// Why an event, or another document about usage, is refused. It stays refused when it is sent
/// again as it is.
public struct EventRejection: Error, Sendable {
    /// 400 when it is malformed, 422 when it is well-formed and cannot be.
    public let status: Int
    /// A stable name, such as `out_of_range`.
    public let code: String
    /// The member that is at fault, such as `meters.tokens`; empty for the whole.
    public let field: String
    public let detail: String

    public init(status: Int = 422, code: String, field: String, detail: String) {
        self.status = status
        self.code = code
        self.field = field
        self.detail = detail
    }
}

extension EventRejection {
    /// The most that is repeated of a name that was sent.
    private static let nameBytesMax = 64

    /// A member that nothing is known of; `parent` is the name of the object that it stands in.
    static func unknownField(_ key: JSONKey, of parent: String = "", detail: String) -> Self {
        let name = shortened(key)
        return Self(
            status: 400, code: "unknown_field", field: parent.isEmpty ? name : "\(parent).\(name)",
            detail: detail)
    }

    public static func required(_ field: String) -> Self {
        Self(code: "field_required", field: field, detail: "this member is required")
    }

    /// The same amount, given twice.
    public static func ambiguous(_ field: String, _ other: String) -> Self {
        Self(code: "ambiguous_amounts", field: field, detail: "send \(other) or \(field), not both")
    }

    /// - Parameter expected: such as `an object`.
    public static func wrongType(_ field: String, _ expected: String) -> Self {
        Self(code: "wrong_type", field: field, detail: expected)
    }

    /// An id that only an erasure gives.
    public static let reservedID = Self(
        code: "invalid_id", field: "subject",
        detail: "ids that begin with \(SubjectID.erasedPrefix) stand for erased subjects")

    static func unknownMeter(_ field: String) -> Self {
        Self(
            code: "unknown_meter", field: field,
            detail: "a meter's name is a letter a-z and at most 63 of a-z, 0-9 and _")
    }

    /// A key for an answer: cut, so that no answer can be made as long as a request.
    static func shortened(_ key: JSONKey) -> String { shortened(key.bytes) }

    /// By bytes: one character may have any number of them.
    static func shortened(_ bytes: some Sequence<UInt8>) -> String {
        String(decoding: Array(bytes.prefix(nameBytesMax)), as: UTF8.self)
    }
}
