// SPDX-License-Identifier: Apache-2.0

internal import Cryptography
internal import HTTPServer
internal import Identity
internal import Metering

/// The cookie in which a browser keeps the key of who is signed in. Scripts cannot read it, and it is sent
/// with requests of the service's own pages only.
enum Session {
    private static let name = Array("tally_session=".utf8)
    private static let shownHeader = "x-tally-session"
    private static let attributes = "Path=/; HttpOnly; SameSite=Strict"
    /// Keys and tokens are shorter than what a header may be.
    private static let byteCountMax = 8192
    /// Browsers drop larger cookies without a word (RFC 6265, section 6.1).
    private static let cookieByteCountMax = 4096

    /// The key in the request's cookie.
    static func secret(of request: HTTPRequest) -> [UInt8]? {
        // A proxy may have taken the field apart.
        for value in request.headers.values(of: "cookie")
        where value.utf8.count <= byteCountMax {
            for part in value.utf8.split(separator: UInt8(ascii: ";")) {
                let cookie = part.drop { $0 == UInt8(ascii: " ") }
                guard cookie.starts(with: name) else { continue }
                let secret = base64URLDecoded(Array(cookie.dropFirst(name.count)))
                return secret.flatMap { $0.isEmpty ? nil : $0 }
            }
        }
        return nil
    }

    /// Whether the service's own pages made the request: asked of what may change something. Besides the
    /// cookie's `SameSite`, since other origins of one site are not kept out by that.
    static func isOwn(_ request: HTTPRequest) -> Bool {
        if let site = request.headers.value(of: "sec-fetch-site") { return site == "same-origin" }
        // A browser from before 2020 says at least where it comes from.
        guard let origin = request.headers.value(of: "origin"),
            let host = request.headers.value(of: "host")
        else { return false }
        return origin == "http://\(host)" || origin == "https://\(host)"
    }

    /// Whether the page that made the request shows somebody else: who has signed in in another tab since
    /// is not the one who meant it.
    static func isOfAnother(_ request: HTTPRequest, than principal: Principal) -> Bool {
        request.headers.values(of: shownHeader).contains { $0 != principal.sessionID }
    }

    /// The header field that keeps a key in the browser until it is closed.
    ///
    /// - Throws: 422 when no browser would keep it.
    static func field(
        _ secret: [UInt8], for request: HTTPRequest
    ) throws(HTTPProblem) -> (name: String, value: String) {
        let key = String(decoding: name + base64URLEncoded(secret), as: UTF8.self)
        let value = "\(key); \(attributes)\(secure(request))"
        guard value.utf8.count <= cookieByteCountMax else {
            throw .unprocessable(
                "key_too_long", "a browser keeps no cookie of \(value.utf8.count) bytes")
        }
        return (name: "Set-Cookie", value: value)
    }

    /// The header field that makes a browser forget it.
    static func emptyField(for request: HTTPRequest) -> (name: String, value: String) {
        let empty = String(decoding: name, as: UTF8.self)
        return (name: "Set-Cookie", value: "\(empty); \(attributes)\(secure(request)); Max-Age=0")
    }

    /// Behind a proxy that speaks TLS. Who makes that up only keeps its own browser from sending it.
    private static func secure(_ request: HTTPRequest) -> String {
        request.headers.value(of: "x-forwarded-proto") == "https" ? "; Secure" : ""
    }
}

extension Principal {
    /// Tells the pages one caller from another, and nothing of it. The operator is the same in all workspaces.
    var sessionID: String {
        let digest = StreamingDigest()
        let place = role == .operator ? "" : workspace.text
        Array("\(role.rawValue)\n\(place)\n\(name)\n".utf8).withUnsafeBytes { digest.update($0) }
        Array(subject?.id.bytes ?? []).withUnsafeBytes { digest.update($0) }
        return String(decoding: digest.hexadecimal().prefix(16), as: UTF8.self)
    }
}

extension HTTPProblem {
    static let otherSession = HTTPProblem(
        .conflict, code: "other_session", title: "Conflict",
        detail: "somebody else has signed in in this browser since the page was shown")
}
