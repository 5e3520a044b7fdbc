// SPDX-License-Identifier: Apache-2.0

/// The methods that are handed to a responder. The server itself refuses all others.
public enum HTTPMethod: Sendable, CaseIterable {
    case get, head, post, put, patch, delete, options
    /// Any other that has a name in a standard, such as PROPFIND: on paths for gateways only, where it
    /// is the method of the request that a gateway asks about.
    case other

    /// Those that may be asked for on any path.
    public static let known = allCases.filter { $0 != .other }

    /// The method as it is written in a request.
    public var name: String {
        switch self {
        case .get: "GET"
        case .head: "HEAD"
        case .post: "POST"
        case .put: "PUT"
        case .patch: "PATCH"
        case .delete: "DELETE"
        case .options: "OPTIONS"
        case .other: "This method"
        }
    }
}

/// A whole request that passed all rules of the server.
public struct HTTPRequest: Sendable {
    public let method: HTTPMethod
    /// As sent, still percent-encoded, without the query. It begins with a slash, has valid
    /// escapes only, and its segments, parted at its slashes, decode to UTF-8 without control
    /// characters, none to `.` or `..`. A decoded segment may have slashes: no path is made of one.
    public let path: String
    /// What follows the first `?`, still encoded; nil without one.
    public let query: String?
    public let headers: HTTPHeaders
    public let body: [UInt8]
    /// The peer's numeric address, or `unix`.
    public let remoteAddress: String
    /// Of a body that counts among those that are held.
    var share: BodyShare?

    /// A request made by hand, so that responders can be tested without a socket.
    public init(
        method: HTTPMethod, path: String, query: String? = nil, headers: HTTPHeaders = [:],
        body: [UInt8] = [], remoteAddress: String = "127.0.0.1"
    ) {
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.remoteAddress = remoteAddress
    }
}

/// An answer. The server adds `Date`, the framing, and `Content-Type` where a body has none.
public struct HTTPResponse: Sendable {
    /// What follows the header.
    public enum Body: Sendable {
        case none
        case bytes([UInt8])
        /// Sent in chunks while it is made. `write` of the writer suspends while the peer is
        /// slow, and throws when it is gone. An error thrown from here cuts the connection, so
        /// that the peer does not take half an answer for a whole one.
        case stream(@Sendable (HTTPBodyWriter) async throws -> Void)
    }

    public var status: HTTPStatus
    /// Further headers. `Date`, `Connection`, `Content-Length` and `Transfer-Encoding` belong to
    /// the server and are left out; so are fields whose name is no token; control characters in
    /// values are dropped.
    public var headers: [(name: String, value: String)]
    public var body: Body
    /// Whether other answers have the same memory for their bodies.
    public var sharesBody = false

    /// How many bytes are kept for it alone while it waits.
    var heldBytes: Int { if case .bytes(let bytes) = body, !sharesBody { bytes.count } else { 0 } }

    public init(
        status: HTTPStatus = .ok, headers: [(name: String, value: String)] = [], body: Body = .none
    ) {
        self.status = status
        self.headers = headers
        self.body = body
    }
}

/// Answers requests. One for each loop, made on it and used only there.
public protocol HTTPResponder: AnyObject {
    /// The hot path, called on the loop.
    ///
    /// - Returns: true if it took the request and calls (or has called) `reply.send` exactly once,
    ///   on the loop; false to have `respond` asked instead.
    func respondNow(to request: HTTPRequest, reply: HTTPReply) -> Bool

    /// Everything else: async code that runs on the loop, isolated to the server.
    func respond(to request: HTTPRequest) async -> HTTPResponse
}

/// The place for one answer. Used on the loop only.
public final class HTTPReply {
    let connection: Connection
    let sequence: Int
    let isHead: Bool
    let isHTTP10: Bool
    let closes: Bool
    private var isSent = false

    init(_ connection: Connection, sequence: Int, isHead: Bool, isHTTP10: Bool, closes: Bool) {
        self.connection = connection
        self.sequence = sequence
        self.isHead = isHead
        self.isHTTP10 = isHTTP10
        self.closes = closes
    }

    /// Sends the answer, in the order of the requests. Calls after the first do nothing, nor does
    /// a call when the peer is gone.
    public func send(_ response: HTTPResponse) {
        guard !isSent else { return }
        isSent = true
        connection.answer(self, response)
    }

    deinit {
        // A forgotten reply must not block those behind it for ever.
        if !isSent { connection.cut() }
    }
}
