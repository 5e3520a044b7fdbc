// SPDX-License-Identifier: Apache-2.0

internal import HTTPServer
internal import JSON
internal import Metering

extension QueryParameters {
    func creditDays() throws(HTTPProblem) -> Int {
        try number("days", in: 1...365, default: 30)
    }

    func creditLimit(default: Int) throws(HTTPProblem) -> Int {
        try number("limit", in: 1...1000, default: `default`)
    }

    /// As `integer`; here what is out of range is content that cannot be processed.
    private func number(
        _ name: String, in range: ClosedRange<Int>, default: Int
    ) throws(HTTPProblem) -> Int {
        do throws(HTTPProblem) {
            return try integer(name, in: range, default: `default`)
        } catch {
            throw .unprocessable("invalid_parameter", error.detail)
        }
    }

    /// As `choice`, likewise.
    func creditWord<Choice: RawRepresentable & CaseIterable>(
        _ name: String, _ type: Choice.Type
    ) throws(HTTPProblem) -> Choice? where Choice.RawValue == String {
        do throws(HTTPProblem) {
            return try choice(name, type)
        } catch {
            throw .unprocessable("invalid_parameter", error.detail)
        }
    }
}

extension JSONWriter {
    mutating func creditPerson(_ person: CreditPerson) {
        key("email")
        text(person.email)
        key("full_name")
        text(person.fullName)
        key("username")
        text(person.username)
        key("id")
        string(bytes: person.subject.bytes)
    }

    mutating func creditBalance(_ account: AccountSummary?) {
        key("current_balance")
        micros(account?.balance ?? 0)
        key("monthly_allowance")
        micros(account?.monthlyAllowance ?? 0)
        key("current_month_consumed")
        micros(account?.monthConsumed ?? 0)
        key("total_consumed")
        micros(account?.totalConsumed ?? 0)
        key("next_reset_at")
        time(account?.nextReset)
    }

    mutating func creditActions(_ actions: [ActionCredits]) {
        key("by_action_type")
        beginArray()
        for action in actions {
            beginObject()
            key("action_type")
            string(bytes: action.action.bytes)
            key("event_count")
            integer(action.eventCount)
            key("total_credits")
            micros(action.credits)
            key("avg_per_event")
            micros(action.average)
            endObject()
        }
        endArray()
    }

    mutating func creditMembers(of event: HistoryEvent) {
        let recorded = event.recorded
        func amount(_ meter: Meter) -> Int {
            recorded.amounts.first { $0.0 == meter }?.1 ?? 0
        }
        key("timestamp")
        string(recorded.time.text)
        key("action_type")
        string(bytes: recorded.action.bytes)
        key("credits")
        micros(event.credits ?? 0)
        key("description")
        text(recorded.description.bytes.isEmpty ? nil : recorded.description)
        key("input_tokens")
        integer(amount(.inputTokens))
        key("output_tokens")
        integer(amount(.outputTokens))
        key("model")
        text(recorded.model.bytes.isEmpty ? nil : recorded.model)
        if event.isReversal {
            key("reversal")
            boolean(true)
        }
        if event.isReversed {
            key("reversed")
            boolean(true)
        }
    }
}
