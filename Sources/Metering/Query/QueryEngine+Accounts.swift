// SPDX-License-Identifier: Apache-2.0

internal import Redis

extension QueryEngine {
    /// Holds of a state, of one subject if it is named: open ones by when they expire, others by when
    /// they ended, the last first, equal times by id.
    ///
    /// One page looks at 4,000 holds at most, in slices of 200, so that it may have less than
    /// `limit`, and a next page all the same.
    ///
    /// - Parameter cursor: `next` of the page before, nil for the first.
    public func holds(
        _ state: HoldState, of subject: SubjectID? = nil, limit: Int,
        after cursor: HoldCursor? = nil
    ) async throws(MeteringError) -> HoldPage {
        try await HoldReader(client: client, keys: keys, clock: clock).page(
            state, of: subject, limit: limit, after: cursor)
    }

    /// The newest lines of an account's ledger, or those before `cursor`, at most about `limit`:
    /// those of one batch stay together.
    public func ledger(
        of subject: SubjectID, _ account: Account, limit: Int, before cursor: LogPosition? = nil
    ) async throws(MeteringError) -> Ledger {
        try await LedgerReader(client: client, keys: keys, clock: clock).ledger(
            of: subject, account, limit: limit, before: cursor)
    }
}
