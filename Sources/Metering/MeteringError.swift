// SPDX-License-Identifier: Apache-2.0

public import Redis

/// Why the engine could not answer.
public enum MeteringError: Error, Sendable {
    /// Redis did not answer, or refused.
    case unavailable(RedisError)
    /// Redis did not say whether a decision was taken.
    case undecided(reason: String)
    /// It was not done, and may be asked for again.
    case postponed(reason: String)
    /// It takes some time until it can be answered; it is being worked on.
    case building(what: String)
    /// There are as many of this already as may be; some of them end by themselves.
    case tooMany(what: String)
    /// What could not be read is needed for the answer.
    case incomplete(warnings: [String])
    /// Redis holds something under a key of Tally that Tally did not put there.
    case damaged(what: String)
}

extension MeteringError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .unavailable(let error): "\(error)"
        case .undecided(let reason): "it is not known whether it was done: \(reason)"
        case .postponed(let reason): "\(reason); nothing was done"
        case .building(let what): "\(what) is being made ready"
        case .tooMany(let what): "there are too many of these: \(what)"
        case .incomplete(let warnings): warnings.joined(separator: "; ")
        case .damaged(let what): "Redis holds something else: \(what)"
        }
    }
}
