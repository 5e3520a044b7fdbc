// SPDX-License-Identifier: Apache-2.0

internal import Redis

extension RedisCommand {
    /// One command of a name and its arguments.
    init(_ name: StaticString, _ arguments: [[UInt8]]) {
        self.init(name)
        for argument in arguments { append(argument) }
    }

    /// Reads one entry of a day's log.
    static func readLogEntry(_ key: [UInt8], _ position: LogPosition) -> RedisCommand {
        let id = Array("0-\(position.number)".utf8)
        return RedisCommand("XRANGE", [key, id, id])
    }
}

extension RedisError {
    /// Whether the same batch may be counted when it is sent again: after unknown outcomes, and
    /// after answers of a Redis that is not ready (yet, or any more).
    var isWorthResending: Bool {
        switch self {
        case .disconnected, .timedOut: true
        case .server(let code, _): Self.passingCodes.contains(code)
        case .unexpectedReply: true
        case .overloaded: false
        }
    }

    private static let passingCodes: Set<String> = [
        "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "UNBLOCKED",
        "NOREPLICAS", "NOSCRIPT",
    ]
}

extension RedisValue {
    /// The bytes of a bulk or status reply.
    var bytes: [UInt8]? {
        switch self {
        case .bulk(let bytes): bytes
        case .status(let text): Array(text.utf8)
        default: nil
        }
    }

    var elements: [RedisValue]? {
        if case .array(let elements) = self { elements } else { nil }
    }
}
