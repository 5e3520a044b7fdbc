// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import JSON
internal import Metering

/// Tokens that users tell of themselves: docs/surfaces.md, B.
extension API {
    static let tokenRoutes: [Route] = [
        Route(.post, "/api/user/update-tokens", access: .holder) { try await $0.updateTokens($1) }
    ]

    /// `{"totalTokens": n}`
    private func updateTokens(_ call: Call) async throws -> HTTPResponse {
        try requireReadiness()
        let subject = try ownSubject(call)
        let event = try UsageEvent(
            tokenUpdate: try body(of: call), of: subject, key: try idempotencyKey(call.request))
        if let rejection = engine.rejection(of: event, isBackfill: false) { throw rejection }
        let outcome = await withCheckedContinuation { continuation in
            engine.record(event) { continuation.resume(returning: $0) }
        }
        switch outcome {
        case .counted(let event), .duplicate(let event): return Self.answer(event.totals)
        // Not counted, and no mistake of the caller's: the total is as it was.
        case .skipped: return Self.answer(try await engine.reader.subject(subject)?.totals ?? [])
        case .refused(let verdict): return denial(of: verdict, at: call.request.path)
        case .rejected(let rejection): throw rejection
        case .postponed(let reason, let fault):
            throw MeteringError.postponed(reason: reason, fault: fault)
        case .unavailable(let reason):
            throw HTTPProblem.outcomeUnknown(
                "\(reason); with an Idempotency-Key it is safe to send it again")
        }
    }

    private static func answer(_ totals: [(meter: Meter, total: Int)]) -> HTTPResponse {
        var json = JSONWriter()
        json.beginObject()
        json.key("success")
        json.boolean(true)
        json.key("tokensUsed")
        json.integer(totals.first { $0.meter == .tokens }?.total ?? 0)
        json.endObject()
        return .json(json.bytes)
    }
}
