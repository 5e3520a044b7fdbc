// SPDX-License-Identifier: Apache-2.0

import HTTPServer
import TestSupport
import Testing

/// A request that is refused, and how.
struct Refusal: Sendable {
    let name: String
    let request: HTTPRequest
    let status: Int
    let code: String

    init(_ name: String, _ request: HTTPRequest, _ status: Int, _ code: String) {
        self.name = name
        self.request = request
        self.status = status
        self.code = code
    }

    /// A body that is refused.
    static func body(_ body: String, _ status: Int, _ code: String) -> Refusal {
        Refusal(String(body.prefix(80)), .post(body), status, code)
    }

    /// An event whose meters are refused.
    static func amount(_ text: String, _ status: Int, _ code: String) -> Refusal {
        Refusal(
            "amount \(text.prefix(80))", .post(#"{"subject":"a","meters":{"x":\#(text)}}"#), status,
            code)
    }

    /// An event with one member more that is refused.
    static func member(_ text: String, _ status: Int, _ code: String) -> Refusal {
        Refusal(
            "member \(text.prefix(80))", .post(#"{"subject":"a","meters":{"x":1},\#(text)}"#),
            status, code)
    }

    static func get(_ target: String, _ status: Int, _ code: String) -> Refusal {
        let parts = target.split(separator: "?", maxSplits: 1).map(String.init)
        return Refusal(
            "GET \(target.prefix(80))",
            .authorized(.get, parts[0], query: parts.count == 2 ? parts[1] : nil), status, code)
    }
}

struct RefusalTable: Sendable, CustomTestStringConvertible {
    let name: String
    let rows: [Refusal]
    var testDescription: String { name }
}
