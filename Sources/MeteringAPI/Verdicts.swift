// SPDX-License-Identifier: Apache-2.0
//
// How decisions are told over HTTP: bodies, problems (RFC 9457), and the RateLimit fields of
// draft-ietf-httpapi-ratelimit-headers, whose values are Structured Fields (RFC 9651).

internal import HTTPServer
internal import JSON
internal import Metering

extension Verdict {
    /// A stable name of why not.
    var denialCode: String {
        switch status {
        case .limitReached, .limitReachedAndCreditsShort: "quota_exceeded"
        case .creditsShort: "insufficient_credits"
        case .holdMissing: "hold_not_found"
        case .holdEnded: "hold_ended"
        case .exceedsHold: "exceeds_hold"
        case .tooLarge: "counter_overflow"
        case .conflict: "id_reused"
        case .allowed, .repeated, .skipped: "conflict"
        }
    }

    var denialDetail: String {
        switch status {
        case .limitReached, .limitReachedAndCreditsShort:
            "over the limit: \(violatedNames.joined(separator: ", "))"
        case .creditsShort: "the balance does not suffice"
        case .holdMissing: "there is no such hold of this subject"
        case .holdEnded: "the hold is \(holdState?.name ?? "ended") already; nothing was counted"
        case .exceedsHold: "more than the hold has set aside; it stays open"
        case .tooLarge: "a total would pass what is counted exactly; nothing was changed"
        case .conflict: "this id was used before for something else"
        case .allowed, .repeated, .skipped: "nothing was changed"
        }
    }

    fileprivate var denialStatus: HTTPStatus {
        switch status {
        case .limitReached, .limitReachedAndCreditsShort: .tooManyRequests
        case .creditsShort: .paymentRequired
        case .holdMissing: .notFound
        case .tooLarge, .conflict: .unprocessableContent
        default: .conflict
        }
    }

    /// Names of the limits, and `credits`, that said no.
    var violatedNames: [String] {
        let credits = status == .creditsShort || status == .limitReachedAndCreditsShort
        return violated.map(\.limit.name) + (credits ? ["credits"] : [])
    }

    /// Seconds until all that said no may say yes; nil when that is not known, or never.
    var retryAfter: Int? {
        guard status == .limitReached else { return nil }
        var seconds = 1
        for state in violated {
            guard let at = state.resetsAt else { return nil }
            seconds = max(seconds, (at.milliseconds - time.milliseconds + 999) / 1000)
        }
        return seconds
    }

    /// The header fields that tell of limits; those that are nearest come first.
    ///
    /// - Parameter taken: what was asked is used by now.
    func rateLimitHeaders(taken: Bool) -> [(name: String, value: String)] {
        let known = limits.filter { $0.most != nil }.sorted {
            $0.remaining(taken: taken) < $1.remaining(taken: taken)
        }
        var headers: [(name: String, value: String)] = []
        if !known.isEmpty {
            headers.append(
                ("RateLimit-Policy", known.map(\.policyItem).joined(separator: ", ")))
            headers.append(
                (
                    "RateLimit",
                    known.map { $0.item(at: time, taken: taken) }.joined(separator: ", ")
                ))
        }
        if let retryAfter { headers.append(("Retry-After", "\(retryAfter)")) }
        return headers
    }
}

extension LimitState {
    /// What is left for others.
    func remaining(taken: Bool) -> Int {
        guard let most else { return .max }
        return max(0, most - used - (taken ? asked : 0))
    }

    /// The largest integer of a Structured Field.
    private static let integerMax = 999_999_999_999_999

    fileprivate var policyItem: String {
        var item = "\"\(limit.name)\";q=\(min(most ?? 0, Self.integerMax))"
        if case .concurrent = limit.window {
            item += ";qu=\"concurrent-requests\""
        } else if limit.meter.name.hasSuffix("_bytes") {
            item += ";qu=\"content-bytes\""
        } else {
            // No registered unit: tokens, files and the like are named by the meter.
            item += ";tally-meter=\"\(limit.meter.name)\""
        }
        if let seconds = limit.seconds { item += ";w=\(seconds)" }
        return item
    }

    fileprivate func item(at now: Timestamp, taken: Bool) -> String {
        let item = "\"\(limit.name)\";r=\(min(remaining(taken: taken), Self.integerMax))"
        guard let resetsAt else { return item }
        return item + ";t=\(max(0, (resetsAt.milliseconds - now.milliseconds + 999) / 1000))"
    }
}

extension JSONWriter {
    /// The members that tell what a verdict found.
    mutating func verdict(_ verdict: Verdict, taken: Bool) {
        key("allowed")
        boolean(verdict.status == .allowed)
        key("limits")
        beginArray()
        for state in verdict.limits {
            beginObject()
            key("name")
            string(state.limit.name)
            key("meter")
            string(state.limit.meter.name)
            key("limit")
            if let most = state.most { integer(most) } else { null() }
            key("used")
            integer(state.used + (taken ? state.asked : 0))
            key("remaining")
            if state.most == nil { null() } else { integer(state.remaining(taken: taken)) }
            key("resets_at")
            if let at = state.resetsAt { string(at.text) } else { null() }
            endObject()
        }
        endArray()
        if let balance = verdict.balance {
            key("balance")
            micros(balance)
            key("held")
            micros(verdict.held)
            key("available")
            micros(balance - verdict.held)
        }
        key("violated")
        beginArray()
        for name in verdict.violatedNames { string(name) }
        endArray()
    }
}

extension API {
    /// The answer to what was denied: a problem that says also what was found.
    func denial(
        of verdict: Verdict, at path: String, status: HTTPStatus? = nil
    ) -> HTTPResponse {
        let status = status ?? verdict.denialStatus
        var json = JSONWriter()
        json.beginObject()
        json.key("type")
        json.string(
            verdict.status.isDenial
                ? "https://iana.org/assignments/http-problem-types#quota-exceeded" : "about:blank")
        json.key("title")
        json.string(status.reason)
        json.key("status")
        json.integer(status.code)
        json.key("detail")
        json.string(verdict.denialDetail)
        json.key("instance")
        json.string(path)
        json.key("code")
        json.string(verdict.denialCode)
        if verdict.status.isDenial {
            json.key("violated-policies")
            json.beginArray()
            for name in verdict.violatedNames { json.string(name) }
            json.endArray()
            json.verdict(verdict, taken: false)
        }
        if let state = verdict.holdState {
            json.key("state")
            json.string(state.name)
        }
        json.endObject()
        return HTTPResponse(
            status: status,
            headers: [("Content-Type", "application/problem+json")]
                + verdict.rateLimitHeaders(taken: false), body: .bytes(json.bytes))
    }
}
