// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Redis

/// Why a snapshot was not written.
enum FlushError: Error {
    /// A call of the system failed.
    case system(call: String, path: String, code: Int32)
    case redis(RedisError)
    /// Redis holds something that Tally did not put there.
    case damaged(String)
    /// The sums of a day do not agree with one another.
    case unequal(String)
    /// The file is of other data than those in Redis, or of a later version of Tally.
    case foreign(String)
    /// A part of the day has left Redis.
    case incomplete
    /// The day has left Redis, and its file is not there, or is another one.
    case lost(String)
    /// Another flusher has gone on in the meantime; the file there is as new as this one, or newer.
    case superseded
    case leaseLost
    /// The service is to end.
    case outOfTime

    static func system(_ call: String, _ path: String) -> FlushError {
        .system(call: call, path: path, code: errno)
    }

    /// Whether the other files of the same turn can be written all the same.
    var concernsOneFile: Bool {
        switch self {
        // One that does not fit any more leaves room for those that are smaller.
        case .system(_, _, ENOSPC), .system(_, _, EDQUOT), .system(_, _, EFBIG): true
        case .damaged, .unequal, .foreign, .incomplete, .lost, .superseded: true
        case .system, .redis, .leaseLost, .outOfTime: false
        }
    }
}

extension FlushError: CustomStringConvertible {
    var description: String {
        switch self {
        case .system(let call, let path, let code):
            "\(call) \(path): \(String(cString: strerror(code)))"
        case .redis(let error): "\(error)"
        case .damaged(let what): "Redis holds something else: \(what)"
        case .unequal(let what): "the sums of the day do not agree: \(what)"
        case .foreign(let what): what
        case .incomplete: "a part of the day has left Redis; its file stays as it is"
        case .lost(let file):
            "the day has left Redis, and \(file) is missing, older or of other data"
        case .superseded: "another process has written it"
        case .leaseLost: "the lease was lost"
        case .outOfTime: "there was no time left"
        }
    }
}
