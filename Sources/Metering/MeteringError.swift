// SPDX-License-Identifier: Apache-2.0

internal import Glibc
public import Redis

/// Why the engine could not answer.
public enum MeteringError: Error, Sendable {
    /// Redis did not answer, or refused.
    case unavailable(RedisError)
    /// Redis did not say whether a decision was taken.
    case undecided(reason: String)
    /// It was not done, and may be asked for again: at once, or when Redis can store again.
    case postponed(reason: String, fault: StorageFault? = nil)
    /// It takes some time until it can be answered; it is being worked on.
    case building(what: String)
    /// There are as many of this already as may be; some of them end by themselves.
    case tooMany(what: String)
    /// What could not be read is needed for the answer.
    case incomplete(warnings: [String])
    /// Redis holds something under a key of Tally that Tally did not put there.
    case damaged(what: String)
}

/// Why Redis stores nothing, whatever is asked; what is there can be read all the same.
public enum StorageFault: Sendable {
    /// Its memory has reached `maxmemory`, and nothing may be evicted.
    case outOfMemory
    /// There is no room on its disk, or none is left of its user's quota.
    case full
    /// What it has to persist cannot be written, or it did not say why.
    case unwritable

    /// Nil for what is refused, or fails, for another reason.
    init?(_ error: RedisError) {
        guard case .server(let code, let message) = error else { return nil }
        switch code {
        case "OOM": self = .outOfMemory
        // Of its append-only file Redis tells the error of the system, of its snapshots none.
        case "MISCONF":
            let isFull = [ENOSPC, EDQUOT].contains {
                message.contains(String(cString: strerror($0)))
            }
            self = isFull ? .full : .unwritable
        default: return nil
        }
    }
}

extension MeteringError {
    /// Why it was not done; nil when it is not for want of room, or not known to be not done.
    public var storageFault: StorageFault? {
        switch self {
        case .unavailable(let error): StorageFault(error)
        case .postponed(_, let fault): fault
        default: nil
        }
    }

    /// What stands in the way, without what it means for what was asked for.
    public var reason: String {
        switch self {
        case .undecided(let reason), .postponed(let reason, _): reason
        default: "\(self)"
        }
    }

    /// Whether what was to be changed may have been.
    public var mayBeDone: Bool {
        switch self {
        case .unavailable(let error): error.mayHaveBeenExecuted
        case .undecided: true
        default: false
        }
    }
}

extension MeteringError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .unavailable(let error): "\(error)"
        case .undecided(let reason): "it is not known whether it was done: \(reason)"
        case .postponed(let reason, _): "\(reason); nothing was done"
        case .building(let what): "\(what) is being made ready"
        case .tooMany(let what): "there are too many of these: \(what)"
        case .incomplete(let warnings): warnings.joined(separator: "; ")
        case .damaged(let what): "Redis holds something else: \(what)"
        }
    }
}
