// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer

/// Lets pages of other origins call (the CORS protocol of the Fetch standard). Keys come in a header
/// that scripts set, never in cookies of these pages, so that no credentials mode is needed.
public struct CrossOrigin: Sendable {
    private static let exposed =
        "ETag, RateLimit, RateLimit-Policy, Retry-After, Location, X-Tally-Remaining"
    private static let methods = "GET, HEAD, POST, PUT, PATCH, DELETE"
    private static let headers =
        "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Guest-ID, "
        + "X-Tally-Workspace, Last-Event-ID"

    private let origins: Set<String>

    /// - Parameter origins: `https://HOST[:PORT]` each, or `*` for all; none lets nobody call.
    public init(origins: [String]) { self.origins = Set(origins) }

    /// The origin of a request from a page; nil when it is none, or nobody is let.
    func origin(of request: HTTPRequest) -> String? {
        origins.isEmpty ? nil : request.headers.value(of: "origin")
    }

    private func isAllowed(_ origin: String) -> Bool {
        origins.contains("*") || origins.contains(origin)
    }

    /// The answer to a question of a browser before the request itself; nil when it is none.
    func preflight(_ request: HTTPRequest) -> HTTPResponse? {
        guard request.method == .options, let origin = origin(of: request),
            request.headers.value(of: "access-control-request-method") != nil
        else { return nil }
        var response = HTTPResponse(status: .noContent)
        guard isAllowed(origin) else { return response }
        response.headers = [
            (name: "Access-Control-Allow-Origin", value: origin), (name: "Vary", value: "Origin"),
            (name: "Access-Control-Allow-Methods", value: Self.methods),
            (name: "Access-Control-Allow-Headers", value: Self.headers),
            (name: "Access-Control-Max-Age", value: "600"),
        ]
        return response
    }

    /// Says that the page may read the answer.
    func open(_ response: inout HTTPResponse, to origin: String) {
        response.headers.append((name: "Vary", value: "Origin"))
        guard isAllowed(origin) else { return }
        response.headers.append((name: "Access-Control-Allow-Origin", value: origin))
        response.headers.append((name: "Access-Control-Expose-Headers", value: Self.exposed))
    }
}
