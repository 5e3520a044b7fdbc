// SPDX-License-Identifier: Apache-2.0

/// Why a command has no usable reply.
public enum RedisError: Error, Sendable, Equatable {
    /// There is no connection, or it broke before the reply came. `wasSent` tells whether the
    /// whole command had been handed to the kernel by then.
    case disconnected(reason: String, wasSent: Bool = false)
    /// The command was sent and no reply came in time: its outcome is unknown.
    case timedOut(after: Duration)
    /// Redis answered with an error; `code` is its first word (`OOM`, `WRONGTYPE`, `READONLY`).
    case server(code: String, message: String)
    /// Redis answered with something else than the caller understands.
    case unexpectedReply(String)
    /// Too many commands wait for replies already; this one was not sent.
    case overloaded

    /// Whether Redis may have run the command all the same. If so, repeat it only with the same
    /// event ids. A command of which Redis has only a part is never run, and counts as not sent.
    public var mayHaveBeenExecuted: Bool {
        switch self {
        case .disconnected(_, let wasSent): wasSent
        case .timedOut, .unexpectedReply: true
        case .server, .overloaded: false
        }
    }
}

extension RedisError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .disconnected(let reason, _): "no connection to Redis: \(reason)"
        case .timedOut(let limit): "Redis did not answer within \(limit)"
        case .server(let code, let message): "Redis refused: \(code) \(message)"
        case .unexpectedReply(let reason): "Redis gave an unexpected reply: \(reason)"
        case .overloaded: "too many commands are waiting for Redis"
        }
    }
}
