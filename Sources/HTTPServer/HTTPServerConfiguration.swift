// SPDX-License-Identifier: Apache-2.0

/// Limits and deadlines of a server. Sizes are bytes.
public struct HTTPServerConfiguration: Sendable {
    /// The request line with its end; at most 16 KiB.
    public var maxRequestLine = 8 * 1024
    /// All header fields, with the blank line behind them; at most 48 KiB less one request line.
    public var maxHeaderBlock = 16 * 1024
    public var maxHeaderFields = 100
    public var maxBody = 8 * 1024 * 1024
    /// What bodies may take together that are being received or worked on, of all servers with one
    /// `HTTPServerLoad`; who sends one for which there is no room gets 503.
    public var maxBodies = 256 * 1024 * 1024
    /// What answers may take together that their peers have not taken yet, of all servers with one
    /// `HTTPServerLoad`; a connection that comes to owe more then is closed.
    public var maxUnsentOfAll = 256 * 1024 * 1024
    /// Requests of one connection that wait for their answers; reading pauses at this number.
    public var maxPipelined = 100
    /// Where paths begin on which no request is answered with a 5xx for its method: gateways take
    /// that for an error of the server's.
    public var pathsForGateways: String?
    /// Open connections, of all servers with one `HTTPServerLoad`; further ones get 503.
    public var maxConnections = 10_000
    /// From the first byte of a request to the end of its header.
    public var headerDeadline = Duration.seconds(10)
    /// From the end of the header to the end of the body.
    public var bodyDeadline = Duration.seconds(30)
    /// From the moment that the peer takes no more to the end of the answer; for a streamed
    /// answer, how long it may make no progress.
    public var writeDeadline = Duration.seconds(10)
    /// How long a connection may do nothing between requests.
    public var idleDeadline = Duration.seconds(60)
    /// After the last answer: how long the server waits for the peer to close.
    public var drainDeadline = Duration.seconds(1)

    public init() {}

    /// What a connection may owe its peer before it stops reading or its stream suspends.
    static let maxUnsent = 256 * 1024
    /// What a connection may always owe: nobody who takes no answers keeps others from getting small ones.
    static let freeUnsent = 16 * 1024
    /// What a body may always take: nobody who sends large ones keeps others from sending small ones.
    static let freeBody = 16 * 1024
    /// What is read and thrown away behind a refused request before the connection is closed, apart
    /// from what was announced as its body.
    static let maxDrained = 64 * 1024
    static let maxChunkExtension = 256

    /// With sizes for which 16-bit offsets into the head suffice.
    var bounded: HTTPServerConfiguration {
        var copy = self
        copy.maxRequestLine = min(max(64, maxRequestLine), 16 * 1024)
        copy.maxHeaderBlock = min(max(64, maxHeaderBlock), 48 * 1024 - 64 - copy.maxRequestLine)
        copy.maxHeaderFields = min(max(1, maxHeaderFields), 1000)
        copy.maxPipelined = max(1, maxPipelined)
        return copy
    }
}
