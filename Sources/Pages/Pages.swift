// SPDX-License-Identifier: Apache-2.0

internal import Cryptography
public import HTTPServer

/// The web interface: one HTML document for all pages, and the files that it needs.
///
/// The files' paths have a digest of all of them in it, so that browsers keep them for ever and load them
/// anew when any of them changes; between themselves they go by relative paths.
public struct Pages: Sendable {
    private static let assetsPath = "/assets/"
    /// What the document may load and do: nothing from elsewhere, and nothing inline.
    private static let policy = [
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:",
        "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
    ].joined(separator: "; ")

    private let document: Asset
    private let etag: String
    private let prefix: String
    private let assets: [String: Asset]

    /// - Parameter charts: the library that draws charts, as its package brings it; without it pages
    ///   have tables only.
    public init(charts: [UInt8]?) {
        self.init(html: Self.html, charts: charts)
    }

    /// - Parameter html: the document, with `{{assets}}` where the files' path belongs.
    init(html: [UInt8], charts: [UInt8]?) {
        var files = Self.files
        if let charts { files["chart.js"] = charts }
        let digest = StreamingDigest()
        // The document, too, is known by it.
        html.withUnsafeBytes { digest.update($0) }
        for (name, bytes) in files.sorted(by: { $0.key < $1.key }) {
            Array(name.utf8).withUnsafeBytes { digest.update($0) }
            bytes.withUnsafeBytes { digest.update($0) }
        }
        let version = String(decoding: digest.hexadecimal().prefix(12), as: UTF8.self)
        prefix = "\(Self.assetsPath)\(version)/"
        etag = "\"\(version)\""
        assets = Dictionary(uniqueKeysWithValues: files.map { ($0, Asset($0, $1)) })
        let template = String(decoding: html, as: UTF8.self)
        var parts: [Substring] = []
        var rest = template[...]
        // `Foundation` is not linked: it would be most of the binary.
        while let range = rest.firstRange(of: "{{assets}}/") {
            parts.append(rest[..<range.lowerBound])
            rest = rest[range.upperBound...]
        }
        parts.append(rest)
        document = Asset("index.html", Array(parts.joined(separator: prefix).utf8))
    }

    /// The answer, if the path is one of theirs.
    public func response(to request: HTTPRequest) -> HTTPResponse? {
        if let path = Self.pathMeant(by: request) {
            let query = request.query.map { "?\($0)" } ?? ""
            return HTTPResponse(
                status: .seeOther, headers: [(name: "Location", value: path + query)])
        }
        let isPage = Self.paths.contains(request.path)
        guard isPage || request.path.hasPrefix(Self.assetsPath) else { return nil }
        guard request.method == .get || request.method == .head else {
            var problem = HTTPProblem(
                .methodNotAllowed, code: "method_not_allowed", title: "Method Not Allowed",
                detail: "this path takes GET, HEAD", instance: request.path)
            problem.headers.append((name: "Allow", value: "GET, HEAD"))
            return problem.response()
        }
        return isPage ? page(request) : asset(request)
    }

    private func page(_ request: HTTPRequest) -> HTTPResponse {
        let headers = [
            (name: "Cache-Control", value: "no-cache"), (name: "ETag", value: etag),
            (name: "Content-Security-Policy", value: Self.policy),
            (name: "Referrer-Policy", value: "no-referrer"),
            (name: "Cross-Origin-Opener-Policy", value: "same-origin"),
        ]
        if request.headers.hasIfNoneMatch(etag) {
            return HTTPResponse(status: .notModified, headers: headers)
        }
        return document.response(to: request, headers)
    }

    private func asset(_ request: HTTPRequest) -> HTTPResponse {
        guard request.path.hasPrefix(prefix),
            let asset = assets[String(request.path.dropFirst(prefix.count))]
        else {
            return HTTPProblem(
                .notFound, code: "not_found", title: "Not Found",
                detail: "there is no such file of these pages; load the page anew",
                instance: request.path
            ).response()
        }
        return asset.response(
            to: request, [(name: "Cache-Control", value: "public, max-age=31536000, immutable")])
    }

    /// The page that somebody typed with a slash behind it, or without its last part.
    private static func pathMeant(by request: HTTPRequest) -> String? {
        guard request.method == .get || request.method == .head, request.path != "/" else {
            return nil
        }
        let path = String(request.path.hasSuffix("/") ? request.path.dropLast() : request.path[...])
        if path == "/dashboard" { return "/" }
        return path != request.path && paths.contains(path) ? path : nil
    }

    /// Where the document is; the script in it shows what belongs there.
    static let paths: Set<String> = [
        "/", "/usage", "/dashboard/users", "/dashboard/workspace", "/dashboard/credits",
        "/dashboard/live", "/dashboard/keys", "/dashboard/limits", "/dashboard/alerts",
        "/dashboard/audit",
    ]
}

/// Answers what is for the pages, and hands on everything else.
public final class PagesResponder: HTTPResponder {
    private let pages: Pages
    private let next: any HTTPResponder
    private let observe: (HTTPStatus) -> Void

    /// - Parameter observe: is told of each answer of the pages.
    public init(
        _ pages: Pages, before next: any HTTPResponder, observe: @escaping (HTTPStatus) -> Void
    ) {
        self.pages = pages
        self.next = next
        self.observe = observe
    }

    public func respondNow(to request: HTTPRequest, reply: HTTPReply) -> Bool {
        if next.respondNow(to: request, reply: reply) { return true }
        guard let response = pages.response(to: request) else { return false }
        reply.send(response)
        observe(response.status)
        return true
    }

    public func respond(to request: HTTPRequest) async -> HTTPResponse {
        await next.respond(to: request)
    }
}
