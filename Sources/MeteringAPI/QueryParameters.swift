// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import Metering

/// The parameters of a query, each given at most once and each one known to the route.
struct QueryParameters {
    let values: [String: String]

    /// Reads a query. Throws a 400 for a parameter that is unknown, given twice or badly encoded.
    init(_ query: String?, allowed: [String]) throws(HTTPProblem) {
        try self.init(query, isKnown: allowed.contains) {
            allowed.isEmpty
                ? "this route takes no parameters"
                : "unknown parameter; this route takes \(allowed.joined(separator: ", "))"
        }
    }

    /// As `init(_:allowed:)`, for names that cannot be listed.
    init(
        _ query: String?, isKnown: (String) -> Bool, known: () -> String = { "unknown parameter" }
    ) throws(HTTPProblem) {
        var values: [String: String] = [:]
        for pair in (query ?? "").split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = percentDecoded(parts[0]),
                let value = percentDecoded(parts.count == 2 ? parts[1] : "")
            else {
                throw .badRequest("invalid_parameter", "the query is not properly percent-encoded")
            }
            guard isKnown(name) else { throw .badRequest("unknown_parameter", known()) }
            guard values.updateValue(value, forKey: name) == nil else {
                throw .badRequest("duplicate_parameter", "\(name) is given twice")
            }
        }
        self.values = values
    }

    func text(_ name: String) -> String? { values[name] }

    /// An integer in plain digits within a range, or the default when it is not given.
    func integer(_ name: String, in range: ClosedRange<Int>, default: Int) throws(HTTPProblem)
        -> Int
    {
        guard let text = values[name] else { return `default` }
        guard !text.isEmpty, text.utf8.count <= 16,
            text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
            let value = Int(text), range.contains(value)
        else {
            throw .badRequest(
                "invalid_parameter",
                "\(name) is a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    /// `true` or `false`; false when it is not given.
    func flag(_ name: String) throws(HTTPProblem) -> Bool {
        switch values[name] {
        case nil, "false": return false
        case "true": return true
        default: throw .badRequest("invalid_parameter", "\(name) is true or false")
        }
    }
}

extension HTTPProblem {
    static func badRequest(_ code: String, _ detail: String) -> HTTPProblem {
        HTTPProblem(.badRequest, code: code, title: "Bad Request", detail: detail)
    }

    static func notFound(_ detail: String) -> HTTPProblem {
        HTTPProblem(.notFound, code: "not_found", title: "Not Found", detail: detail)
    }

    static func unprocessable(_ code: String, _ detail: String) -> HTTPProblem {
        HTTPProblem(
            .unprocessableContent, code: code, title: "Unprocessable Content", detail: detail)
    }

    /// What was asked for was not done, and may be asked for again.
    static func postponed(_ reason: String, _ fault: StorageFault? = nil) -> HTTPProblem {
        .unavailable("\(reason); nothing was changed: send it again", fault)
    }

    /// Redis did not answer, or can store nothing: nothing is half done, and a retry with the same id
    /// is safe.
    static func unavailable(_ detail: String, _ fault: StorageFault? = nil) -> HTTPProblem {
        HTTPProblem(
            .serviceUnavailable, code: unavailableCode(fault), title: "Service Unavailable",
            detail: detail)
    }

    static func unavailableCode(_ fault: StorageFault?) -> String {
        switch fault {
        case .outOfMemory: "storage_out_of_memory"
        case .full: "storage_full"
        case .unwritable: "storage_failed"
        case nil: "backend_unavailable"
        }
    }

    /// Redis was asked, and did not say what became of it.
    static func outcomeUnknown(_ detail: String) -> HTTPProblem {
        HTTPProblem(
            .serviceUnavailable, code: outcomeUnknownCode, title: "Service Unavailable",
            detail: detail)
    }

    static let outcomeUnknownCode = "outcome_unknown"
}

/// Decodes percent-encoding; nil when it is malformed or does not give UTF-8.
func percentDecoded(_ text: Substring) -> String? {
    guard text.utf8.contains(UInt8(ascii: "%")) || text.utf8.contains(UInt8(ascii: "+")) else {
        return String(text)
    }
    return percentDecodedBytes(text).flatMap { String(validating: $0, as: UTF8.self) }
}

/// As `percentDecoded`; a `+` stays a `+`, as in paths (RFC 3986).
func percentDecodedBytes(_ text: Substring) -> [UInt8]? {
    var bytes: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
        guard byte == UInt8(ascii: "%") else {
            bytes.append(byte)
            continue
        }
        guard let high = rest.popFirst().flatMap({ hexDigit($0) }),
            let low = rest.popFirst().flatMap({ hexDigit($0) })
        else { return nil }
        bytes.append(high << 4 | low)
    }
    return bytes
}

private func hexDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
}
