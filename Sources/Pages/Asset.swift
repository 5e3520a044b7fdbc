// SPDX-License-Identifier: Apache-2.0

internal import CZlib
internal import HTTPServer

/// A file of the pages, as it is sent.
struct Asset: Sendable {
    let contentType: String
    let bytes: [UInt8]
    /// The same in the gzip format; nil where that is not shorter.
    let compressed: [UInt8]?

    init(_ name: String, _ bytes: [UInt8]) {
        contentType = Self.contentType(of: name)
        self.bytes = bytes
        compressed = Self.compress(bytes)
    }

    /// The answer with it.
    ///
    /// - Parameter headers: besides what follows from the file itself.
    func response(
        to request: HTTPRequest, _ headers: [(name: String, value: String)]
    ) -> HTTPResponse {
        let takesGzip = request.headers.values(of: "accept-encoding").contains { line in
            line.split(separator: ",").contains { Self.isGzip($0) }
        }
        let body = takesGzip ? compressed ?? bytes : bytes
        var response = HTTPResponse(
            headers: headers + [
                (name: "Content-Type", value: contentType),
                (name: "Vary", value: "Accept-Encoding"),
                (name: "X-Content-Type-Options", value: "nosniff"),
            ], body: .bytes(body))
        if takesGzip, compressed != nil {
            response.headers.append((name: "Content-Encoding", value: "gzip"))
        }
        return response
    }

    /// Whether an element of `Accept-Encoding` (RFC 9110, section 12.5.3) takes gzip.
    private static func isGzip(_ element: Substring) -> Bool {
        let parts = element.split(separator: ";").map { $0.filter { $0 != " " && $0 != "\t" } }
        guard let coding = parts.first?.lowercased(), coding == "gzip" || coding == "*" else {
            return false
        }
        return !parts.dropFirst().contains {
            $0.lowercased().hasPrefix("q=0") && Double($0.dropFirst(2)) == 0
        }
    }

    private static func contentType(of name: String) -> String {
        switch name.split(separator: ".").last {
        case "html": "text/html; charset=utf-8"
        case "css": "text/css; charset=utf-8"
        case "svg": "image/svg+xml"
        default: "text/javascript; charset=utf-8"
        }
    }

    private static func compress(_ bytes: [UInt8]) -> [UInt8]? {
        guard bytes.count > 1 else { return nil }
        let compressed = [UInt8](unsafeUninitializedCapacity: bytes.count) { output, count in
            count = bytes.withUnsafeBufferPointer { input in
                tally_gzip(input.baseAddress, input.count, output.baseAddress, output.count)
            }
        }
        return compressed.isEmpty ? nil : compressed
    }
}
