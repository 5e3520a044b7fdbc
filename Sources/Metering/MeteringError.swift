// SPDX-License-Identifier: Apache-2.0

public import Redis

/// Why the engine could not answer.
public enum MeteringError: Error, Sendable {
    /// Redis did not answer, or refused.
    case unavailable(RedisError)
    /// Redis did not say whether a decision was taken.
    case undecided(reason: String)
    /// It takes some time until it can be answered; it is being worked on.
    case building(what: String)
    /// There are as many of this already as may be; some of them end by themselves.
    case tooMany(what: String)
    /// What could not be read is needed for the answer.
    case incomplete(warnings: [String])
    /// Redis holds something under a key of Tally that Tally did not put there.
    case damaged(what: String)
}
