// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What limits mean, in their plainest form: lists of what was used and when, calendar dates of
/// Foundation, rates as GCRA is written down (a theoretical arrival time, in exact fractions).
struct PlainModel {
    struct Use {
        let time: Int
        let amount: Int
        let window: String
        /// Of the event that it was.
        var event: String?
    }

    struct Hold {
        let subject: String
        let asked: [String: Int]
        let expires: Int
        /// Names of the limits that it was opened under; nil for all.
        var limits: Set<String>?
    }

    private struct Place: Hashable {
        let subject: String
        let limit: String
    }

    var limits: [PlainLimit]
    private let calendar: Calendar
    private var uses: [Place: [Use]] = [:]
    /// The latest time of a use.
    private var latest: [Place: Int] = [:]
    /// Theoretical arrival times, in milliseconds times the rate; of when they were last set.
    private var arrivals: [Place: (time: Int, at: Int)] = [:]
    private var overrides: [Place: Int] = [:]
    private(set) var holds: [String: Hold] = [:]
    /// When the last of the holds that were left to expire did.
    private(set) var lastExpiry = 0

    init(_ limits: [PlainLimit], zone: String) {
        self.limits = limits
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = TimeZone(identifier: zone) ?? .gmt
        self.calendar = calendar
    }

    // MARK: What is used

    func most(_ limit: PlainLimit, for subject: String) -> Int? {
        overrides[Place(subject: subject, limit: limit.name)]
            ?? (subject.hasPrefix("guest:") ? limit.guest : limit.user)
    }

    /// The most at once.
    func room(_ limit: PlainLimit, for subject: String) -> Int? {
        let most = most(limit, for: subject)
        if case .rate(_, let burst?) = limit.window, most != nil { return burst }
        return most
    }

    /// The least and the most that may be answered as used.
    func used(_ limit: PlainLimit, by subject: String, at now: Int) -> ClosedRange<Int> {
        let place = Place(subject: subject, limit: limit.name)
        let kept = kept(limit, by: subject, at: now)
        let all = uses[place] ?? []
        // A window that was used stays in force when the clock is set back.
        let latest = max(now, latest[place] ?? now)
        switch limit.window {
        case .concurrent: return kept...kept
        case .rolling(let seconds):
            let span = seconds * 1000
            let exact = all.reduce(0) { $0 + ($1.time > latest - span ? $1.amount : 0) }
            // Times sixty, so that a sixtieth of the window stays whole.
            let coarse = all.reduce(0) {
                $0 + (60 * $1.time > 60 * now - 61 * span ? $1.amount : 0)
            }
            return exact + kept...max(exact, coarse) + kept
        case .rate(let seconds, _):
            guard let rate = most(limit, for: subject), let (arrival, at) = arrivals[place] else {
                return kept...kept
            }
            let backlog = max(0, arrival - max(now, at) * rate)
            let units = (backlog + seconds * 1000 - 1) / (seconds * 1000)
            return units + kept...units + kept
        default:
            let window = window(limit.window, at: latest)
            let sum = all.reduce(0) { $0 + ($1.window == window ? $1.amount : 0) }
            return sum + kept...sum + kept
        }
    }

    private func kept(_ limit: PlainLimit, by subject: String, at now: Int) -> Int {
        holds.values.reduce(0) { sum, hold in
            guard hold.subject == subject, hold.expires > now,
                hold.limits?.contains(limit.name) ?? true
            else { return sum }
            return sum + (hold.asked[limit.meter] ?? 0)
        }
    }

    /// Names the window of an instant.
    func window(_ kind: PlainLimit.Window, at time: Int) -> String {
        let date = Date(timeIntervalSince1970: Double(time) / 1000)
        let parts = calendar.dateComponents([.year, .month, .day, .hour], from: date)
        let month = "\(parts.year ?? 0)-\(parts.month ?? 0)"
        let day = "\(month)-\(parts.day ?? 0)"
        switch kind {
        case .minute: return "\(time.quotient(60_000))"
        // An hour that comes twice is two hours.
        case .hour: return "\(day)T\(parts.hour ?? 0)\(calendar.timeZone.secondsFromGMT(for: date))"
        case .day: return day
        case .month: return month
        default: return ""
        }
    }

    // MARK: What changes it

    mutating func use(
        _ meter: String, _ amount: Int, by subject: String, at now: Int, event: String? = nil
    ) {
        for limit in limits where limit.meter == meter {
            use(limit, amount, by: subject, at: now, event: event)
        }
    }

    mutating func use(
        _ limit: PlainLimit, _ amount: Int, by subject: String, at now: Int, event: String? = nil
    ) {
        guard amount > 0, limit.window != .concurrent else { return }
        let place = Place(subject: subject, limit: limit.name)
        let time = max(now, latest[place] ?? now)
        latest[place] = time
        uses[place, default: []].append(
            Use(time: now, amount: amount, window: window(limit.window, at: time), event: event))
        if case .rate(let seconds, _) = limit.window, let rate = most(limit, for: subject) {
            let arrival = max(arrivals[place]?.time ?? 0, time * rate)
            arrivals[place] = (arrival + amount * seconds * 1000, time)
        }
    }

    /// Takes back what an event used of the limits that counted it; a rate keeps what it holds.
    mutating func reverse(_ event: String) {
        for place in uses.keys { uses[place]?.removeAll { $0.event == event } }
    }

    mutating func override(_ limit: String, _ subject: String, _ amount: Int?) {
        overrides[Place(subject: subject, limit: limit)] = amount
    }

    mutating func open(_ id: String, _ hold: Hold) { holds[id] = hold }

    mutating func end(_ id: String) { holds[id] = nil }

    mutating func expire(at now: Int) {
        for (id, hold) in holds where hold.expires <= now {
            lastExpiry = max(lastExpiry, hold.expires)
            holds[id] = nil
        }
    }
}

extension Int {
    fileprivate func quotient(_ divisor: Int) -> Int {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? quotient - 1 : quotient
    }
}
