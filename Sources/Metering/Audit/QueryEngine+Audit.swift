// SPDX-License-Identifier: Apache-2.0

internal import Redis

extension QueryEngine {
    private static let triesMax = 3

    /// Notes an act before it is done: what cannot be noted must not be done.
    ///
    /// - Returns: its place, by which its outcome is noted. When it throws, an entry without an
    ///   outcome may be there.
    public func beginAct(_ act: AuditAct) async throws(MeteringError) -> AuditPosition {
        await waitUntilReady()
        return try await audit.begin(act, at: clock.now)
    }

    /// Notes how an act went.
    ///
    /// - Throws: `MeteringError` when Redis cannot be reached for some seconds; the act has no
    ///   outcome then.
    public func endAct(
        _ id: AuditPosition, status: Int, after: [UInt8]?
    ) async throws(MeteringError) {
        let outcome = AuditOutcome(ended: clock.now, status: status, after: after)
        for _ in 1..<Self.triesMax {
            await waitUntilReady()
            do throws(MeteringError) {
                return try await audit.end(id, outcome)
            } catch {
                continue
            }
        }
        try await audit.end(id, outcome)
    }

    /// Acts, the newest first. An act is in its place from its beginning on, and pages fit together
    /// while acts come.
    ///
    /// One page looks at 20,000 entries at most, in slices of 100, so that it may have less than
    /// `limit`, and a next page all the same.
    ///
    /// - Parameters:
    ///   - limit: 1 to 1000.
    ///   - cursor: `next` of the page before, nil for the first.
    public func auditPage(
        _ query: AuditQuery, limit: Int, after cursor: AuditPosition?
    ) async throws(MeteringError) -> AuditPage {
        try await audit.page(query, limit: limit, after: cursor)
    }

    private var audit: AuditLog {
        get throws(MeteringError) { AuditLog(try client, keys) }
    }
}
