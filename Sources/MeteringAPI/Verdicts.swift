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
        case .tooMany: "too_many"
        case .past: "out_of_range"
        case .alreadyCounted: "event_already_counted"
        case .allowed, .repeated, .skipped, .changed, .erasing: "conflict"
        }
    }

    var denialDetail: String {
        switch status {
        case .limitReached, .limitReachedAndCreditsShort:
            "over the limit: \(violatedNames.joined(separator: ", "))"
        case .creditsShort: "the balance does not suffice"
        case .holdMissing: "there is no such hold, or it is not of this subject"
        case .holdEnded: "the hold is \(holdState?.name ?? "ended") already; nothing was counted"
        case .exceedsHold: "more than the hold has set aside; it stays open"
        case .tooLarge: "a total would pass what is counted exactly; nothing was changed"
        case .conflict: "this id was used before for something else"
        case .alreadyCounted: "this event was counted before; the hold is open: release it"
        case .past: "expires_at: a time to come"
        case .tooMany: "a subject has at most 1000 open holds and 200 grants with something left"
        case .allowed, .repeated, .skipped, .changed, .erasing: "nothing was changed"
        }
    }

    fileprivate var denialStatus: HTTPStatus {
        switch status {
        case .limitReached, .limitReachedAndCreditsShort: .tooManyRequests
        case .creditsShort: .paymentRequired
        case .holdMissing: .notFound
        case .tooLarge, .conflict, .tooMany, .past: .unprocessableContent
        default: .conflict
        }
    }

    /// Names of the limits, and `credits`, that said no.
    var violatedNames: [String] {
        guard status.isDenial else { return [] }
        let credits = status == .creditsShort || status == .limitReachedAndCreditsShort
        return violated.map(\.limit.name) + (credits ? ["credits"] : [])
    }

    /// Seconds until all that said no may say yes; nil when that is not known, or never.
    var retryAfter: Int? {
        guard status.isDenial else { return nil }
        var last = time.milliseconds + 1
        if status != .creditsShort {
            for state in violated {
                guard let at = state.resetsAt else { return nil }
                last = max(last, at.milliseconds)
            }
        }
        if status != .limitReached {
            guard let at = creditsSufficeAt else { return nil }
            last = max(last, at.milliseconds)
        }
        return (last - time.milliseconds + 999) / 1000
    }

}

extension LimitState {
    func used(taken: Bool) -> Int {
        // What holds keep of something without a limit may be more than any one amount.
        taken ? used.addingReportingOverflow(asked).partialValue : used
    }

    /// What is left for others.
    func remaining(taken: Bool) -> Int {
        guard let most else { return .max }
        return max(0, most - used(taken: taken))
    }
}

/// The texts of verdicts that stay the same from one answer to the next. One per loop.
final class VerdictTexts {
    /// The largest integer of a Structured Field.
    private static let integerMax = 999_999_999_999_999

    /// By name: the item of the policy, with what it was made of.
    private var policies: [String: (limit: Limit, most: Int, seconds: Int?, item: String)] = [:]
    /// By name: when the limit's window ends, as text.
    private var resets: [String: (time: Timestamp, text: String)] = [:]

    /// The header fields that tell of limits; those that are nearest come first.
    ///
    /// - Parameter taken: what was asked is used by now.
    func headers(_ verdict: Verdict, taken: Bool) -> [(name: String, value: String)] {
        var known = verdict.limits.filter { $0.most != nil }
        if known.count > 1 {
            known.sort { $0.remaining(taken: taken) < $1.remaining(taken: taken) }
        }
        var headers: [(name: String, value: String)] = []
        if !known.isEmpty {
            var policies = ""
            var items = ""
            for state in known {
                if !policies.isEmpty {
                    policies += ", "
                    items += ", "
                }
                policies += policy(state)
                append(state, at: verdict.time, taken: taken, to: &items)
            }
            headers = [("RateLimit-Policy", policies), ("RateLimit", items)]
        }
        if let retryAfter = verdict.retryAfter { headers.append(("Retry-After", "\(retryAfter)")) }
        return headers
    }

    // MARK: Denials from memory

    /// An answer that stays the same for as long as its seconds do.
    private struct KeptAnswer {
        let number: Int
        let retryAfter: Int?
        let path: String
        let response: HTTPResponse
    }

    private static let keptCountMax = 1024
    /// By the number of the denial, in a ring.
    private var kept: [KeptAnswer?] = Array(repeating: nil, count: keptCountMax)

    /// The answer that was given to the same denial a moment ago.
    func answer(to verdict: Verdict, at path: String, _ status: HTTPStatus) -> HTTPResponse? {
        guard let number = verdict.denialNumber, let kept = kept[number % Self.keptCountMax],
            kept.number == number, kept.response.status == status, kept.path == path,
            kept.retryAfter == verdict.retryAfter
        else { return nil }
        return kept.response
    }

    func keep(_ response: HTTPResponse, to verdict: Verdict, at path: String) {
        guard let number = verdict.denialNumber else { return }
        kept[number % Self.keptCountMax] = KeptAnswer(
            number: number, retryAfter: verdict.retryAfter, path: path, response: response)
    }

    private func append(
        _ state: LimitState, at now: Timestamp, taken: Bool, to items: inout String
    ) {
        items += "\""
        items += state.limit.name
        items += "\";r="
        items += String(min(state.remaining(taken: taken), Self.integerMax))
        guard let resetsAt = state.resetsAt else { return }
        items += ";t="
        items += String(max(0, (resetsAt.milliseconds - now.milliseconds + 999) / 1000))
    }

    private func policy(_ state: LimitState) -> String {
        let most = min(state.most ?? 0, Self.integerMax)
        let limit = state.limit
        let seconds = state.windowSeconds
        if let known = policies[limit.name], known.most == most, known.limit == limit,
            known.seconds == seconds
        {
            return known.item
        }
        var item = "\"\(limit.name)\";q=\(most)"
        if case .concurrent = limit.window {
            item += ";qu=\"concurrent-requests\""
        } else if limit.meter.name.hasSuffix("_bytes") {
            item += ";qu=\"content-bytes\""
        } else {
            // No registered unit: tokens, files and the like are named by the meter.
            item += ";tally-meter=\"\(limit.meter.name)\""
        }
        if let seconds { item += ";w=\(seconds)" }
        if policies.count > LimitBook.countMax { policies = [:] }
        policies[limit.name] = (limit, most, seconds, item)
        return item
    }

    private func text(_ time: Timestamp, of limit: Limit) -> String {
        if let known = resets[limit.name], known.time == time { return known.text }
        if resets.count > LimitBook.countMax { resets = [:] }
        resets[limit.name] = (time, time.text)
        return time.text
    }

    /// Writes how a limit stands: its amount, and what is used and left of it.
    func write(_ state: LimitState, taken: Bool, to json: inout JSONWriter) {
        json.piece(#","limit":"#)
        if let most = state.most { json.integer(most) } else { json.null() }
        json.piece(#","used":"#)
        json.integer(state.used(taken: taken))
        json.piece(#","remaining":"#)
        if state.most == nil {
            json.null()
        } else {
            json.integer(state.remaining(taken: taken))
        }
        json.piece(#","resets_at":"#)
        if let at = state.resetsAt {
            json.string(text(at, of: state.limit))
        } else {
            json.null()
        }
    }

    /// Writes the members that tell what a verdict found.
    func write(_ verdict: Verdict, taken: Bool, to json: inout JSONWriter) {
        json.key("allowed")
        json.boolean(verdict.status == .allowed)
        json.piece(#","limits":["#)
        var isFirst = true
        for state in verdict.limits {
            json.piece(isFirst ? #"{"name":"# : #",{"name":"#)
            isFirst = false
            json.string(state.limit.name)
            json.piece(#","meter":"#)
            if let name = state.limit.meter.staticName {
                json.string(name)
            } else {
                json.string(state.limit.meter.name)
            }
            write(state, taken: taken, to: &json)
            json.piece("}")
        }
        json.piece("]")
        if let balance = verdict.balance {
            json.piece(#","balance":"#)
            json.micros(balance)
            json.piece(#","held":"#)
            json.micros(verdict.held)
            json.piece(#","available":"#)
            json.micros(balance - verdict.held)
        }
        json.piece(#","violated":["#)
        for name in verdict.violatedNames { json.string(name) }
        json.endArray()
        if let reason = verdict.skipped {
            json.piece(#","status":"skipped","reason":"#)
            json.string(reason.name)
        }
    }
}

extension API {
    /// The answer to what was denied: a problem that says also what was found.
    func denial(
        of verdict: Verdict, at path: String, status: HTTPStatus? = nil
    ) -> HTTPResponse {
        let status = status ?? verdict.denialStatus
        if let kept = texts.answer(to: verdict, at: path, status) { return kept }
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
            texts.write(verdict, taken: false, to: &json)
        }
        if let state = verdict.holdState {
            json.key("state")
            json.string(state.name)
        }
        json.endObject()
        let response = HTTPResponse(
            status: status,
            headers: [("Content-Type", "application/problem+json")]
                + texts.headers(verdict, taken: false), body: .bytes(json.bytes))
        texts.keep(response, to: verdict, at: path)
        return response
    }
}
