// SPDX-License-Identifier: Apache-2.0

public import JSON

/// Bodies of one member.
extension EventDecoder {
    /// Reads `{"limit": n}`: nil for null, which takes a subject's own amount away.
    public static func override(_ value: JSONValue) throws(EventRejection) -> Int? {
        let member = try only("limit", of: value)
        guard let member else { throw .required("limit") }
        return member.isNull ? nil : try amount(member, "limit")
    }

    /// Reads `{"monthly_allowance": "100"}`, in micro-credits.
    public static func allowance(_ value: JSONValue) throws(EventRejection) -> Int {
        guard let member = try only("monthly_allowance", of: value) else {
            throw .required("monthly_allowance")
        }
        return try MicroDecimal.micros(member, "monthly_allowance")
    }

    /// Reads `{"reason": "…"}`; empty when it is missing.
    public static func reason(_ value: JSONValue) throws(EventRejection) -> ByteString {
        guard let member = try only("reason", of: value), !member.isNull else { return .empty }
        return try label(member, "reason", 0...descriptionBytesMax)
    }

    private static func only(
        _ name: StaticString, of value: JSONValue
    ) throws(EventRejection) -> JSONValue? {
        guard value.kind == .object else { throw .wrongType("", "a JSON object") }
        var found: JSONValue?
        for (key, member) in value.members {
            guard key == name else {
                throw .unknownField(key, detail: "the body has \(name) only")
            }
            found = member
        }
        return found
    }
}
