// SPDX-License-Identifier: Apache-2.0

internal import Cryptography
internal import HTTPServer

/// The cookie in which a browser keeps the key of who is signed in. Scripts cannot read it, and it is sent
/// with requests of the service's own pages only.
enum Session {
    private static let name = Array("tally_session=".utf8)
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
