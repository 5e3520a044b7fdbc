// SPDX-License-Identifier: Apache-2.0

import Foundation
import Metering

/// What credits mean, in their plainest form: all that is due happens in the order of time.
struct CreditModel {
    struct Policy: Sendable {
        var allowance = 0
        var overdraft = 0
        var rollover = 0
        var isCalendar = false
    }

    struct Grant: Equatable {
        let id: String
        var left: Int
        /// `Int.max` for never.
        let expires: Int
        let priority: Int
    }

    struct Hold: Equatable {
        let credits: Int
        let expires: Int
        var state = HoldState.open
    }

    struct Charged {
        let credits: Int
        let time: Int
        var isReversed = false
    }

    private static let lastPriority = 1_000_000
    var policy: Policy
    /// Day of the month; nil before the first balance.
    private(set) var anchor: Int?
    private(set) var allowance = 0
    private(set) var left = 0
    private(set) var monthUsed = 0
    private(set) var totalUsed = 0
    private(set) var nextReset = Int.max
    private var monthBegan = Int.min
    private(set) var grants: [Grant] = []
    private(set) var holds: [String: Hold] = [:]
    private(set) var charges: [String: Charged] = [:]
    private var knownGrants: [String: Grant] = [:]
    private var now: Int
    private let calendar: Calendar

    init(_ policy: Policy, zone: String, at now: Int) {
        self.policy = policy
        self.now = now
        calendar = Self.calendar(zone)
    }

    static func calendar(_ zone: String) -> Calendar {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = TimeZone(identifier: zone) ?? .gmt
        return calendar
    }

    var balance: Int { left + grants.reduce(0) { $0 + $1.left } }
    var held: Int { openHolds.reduce(0) { $0 + $1.value.credits } }
    var openHolds: [String: Hold] { holds.filter { $0.value.state == .open } }
    private var floor: Int { -policy.overdraft }

    // MARK: Time

    /// The first reset after an instant.
    static func reset(
        after instant: Int, on anchor: Int, _ calendar: Calendar
    ) -> Int {
        let date = Date(timeIntervalSince1970: Double(instant) / 1000)
        let parts = calendar.dateComponents([.year, .month], from: date)
        for ahead in 0... {
            guard let year = parts.year, let month = parts.month,
                // At noon, which no zone skips.
                let first = calendar.date(
                    from: DateComponents(year: year, month: month + ahead, day: 1, hour: 12)),
                let days = calendar.range(of: .day, in: .month, for: first),
                let target = calendar.date(
                    byAdding: .day, value: min(anchor, days.count) - 1, to: first)
            else { continue }
            let reset = Int(calendar.startOfDay(for: target).timeIntervalSince1970) * 1000
            if reset > instant { return reset }
        }
        return Int.max
    }

    private var resetDay: Int { policy.isCalendar ? 1 : anchor ?? 1 }

    mutating func move(to now: Int) {
        while let due = nextDue, due <= now {
            for (id, hold) in openHolds where hold.expires == due { holds[id]?.state = .expired }
            grants.removeAll { $0.expires == due }
            if due == nextReset {
                left = allowance + min(max(left, 0), policy.rollover)
                monthUsed = 0
                monthBegan = due
                nextReset = Self.reset(after: due, on: resetDay, calendar)
            }
        }
        self.now = now
    }

    /// When something happens by itself.
    var nextDue: Int? {
        let due =
            openHolds.map(\.value.expires) + grants.map(\.expires)
            + (anchor == nil ? [] : [nextReset])
        return due.filter { $0 < Int.max }.min()
    }

    private mutating func openAccount() {
        guard anchor == nil else { return }
        anchor = calendar.component(
            .day, from: Date(timeIntervalSince1970: Double(now) / 1000))
        nextReset = Self.reset(after: now, on: resetDay, calendar)
        allowance = policy.allowance
        left = allowance
    }

    /// As somebody sees it who only looks: with its first balance, which is not given by looking.
    var seen: CreditModel {
        var model = self
        model.openAccount()
        return model
    }

    // MARK: What is done

    func allows(_ credits: Int) -> Bool { seen.balance - held - credits >= floor }

    /// When so many are there if nothing is done until then; nil when neither the next reset nor what holds
    /// keep now brings them.
    func suffices(_ credits: Int) -> Int? {
        var model = seen
        let last = max(model.nextReset, openHolds.map(\.value.expires).max() ?? 0)
        while let due = model.nextDue, due <= last {
            model.move(to: due)
            if model.allows(credits) { return due }
        }
        return nil
    }

    mutating func charge(_ credits: Int, id: String) {
        openAccount()
        take(credits)
        charges[id] = Charged(credits: credits, time: now)
    }

    private mutating func take(_ credits: Int) {
        var rest = credits
        let part = min(rest, max(0, left))
        left -= part
        rest -= part
        left -= takeFromGrants(rest)
        monthUsed += credits
        totalUsed += credits
    }

    /// What the grants do not have.
    private mutating func takeFromGrants(_ credits: Int) -> Int {
        var rest = credits
        for index in grants.indices {
            let part = min(rest, grants[index].left)
            grants[index].left -= part
            rest -= part
        }
        grants.removeAll { $0.left == 0 }
        return rest
    }

    mutating func reverse(_ id: String) -> Bool {
        guard let charge = charges[id], !charge.isReversed else { return false }
        charges[id]?.isReversed = true
        // To the month up to its allowance, what is more as a grant that stays.
        let toMonth = min(charge.credits, max(0, allowance - left))
        left += toMonth
        let rest = charge.credits - toMonth
        if rest > 0, grants.last?.priority == Self.lastPriority {
            grants[grants.count - 1].left += rest
        } else if rest > 0 {
            grants.append(
                Grant(id: "reversals", left: rest, expires: .max, priority: Self.lastPriority))
        }
        totalUsed -= charge.credits
        // What was charged before this month began is none of this month's.
        if charge.time >= monthBegan { monthUsed -= charge.credits }
        return true
    }

    mutating func grant(_ grant: Grant) -> DecisionStatus {
        if let known = knownGrants[grant.id] { return known == grant ? .repeated : .conflict }
        openAccount()
        knownGrants[grant.id] = grant
        var rest = grant
        let owed = min(rest.left, max(0, -left))
        left += owed
        rest.left -= owed
        if rest.left > 0 { grants.append(rest) }
        // Stable: of equals, the first granted comes first.
        grants = grants.enumerated().sorted {
            ($0.element.priority, $0.element.expires, $0.offset)
                < ($1.element.priority, $1.element.expires, $1.offset)
        }.map(\.element)
        return .allowed
    }

    mutating func setAllowance(_ credits: Int) {
        openAccount()
        let isLower = credits < allowance
        left += credits - allowance
        allowance = credits
        // Grants pay what the month has spent beyond its allowance.
        if isLower, left < 0 { left = -takeFromGrants(-left) }
    }

    mutating func open(_ id: String, _ credits: Int, seconds: Int) -> DecisionStatus {
        if let known = holds[id] { return known.credits == credits ? .repeated : .conflict }
        guard allows(credits) else { return .creditsShort }
        openAccount()
        holds[id] = Hold(credits: credits, expires: now + seconds * 1000)
        return .allowed
    }

    mutating func release(_ id: String) -> DecisionStatus {
        guard let hold = holds[id] else { return .holdMissing }
        guard hold.state == .open else { return .holdEnded }
        holds[id]?.state = .released
        return .allowed
    }

    mutating func commit(
        _ id: String, _ credits: Int, _ policy: SettlePolicy, event: String
    ) -> DecisionStatus {
        guard let hold = holds[id] else { return .holdMissing }
        guard hold.state == .open else { return .holdEnded }
        if policy == .reject, credits > hold.credits { return .exceedsHold }
        holds[id]?.state = .settled
        charge(policy == .cap ? min(credits, hold.credits) : credits, id: event)
        return .allowed
    }
}
