// SPDX-License-Identifier: Apache-2.0

/// The decisions of a batch, made for one instant and one version of the rules.
struct DecisionList {
    private(set) var decisions: [BatchDecision] = []
    /// For each event of the batch, the index of its decision.
    private(set) var ofEvent: [Int: Int] = [:]
    /// For each item of the batch that is a decision, the index of it.
    private(set) var ofItem: [Int] = []
    private(set) var accounts: [Account] = []
    let rules: Rules
    let now: Timestamp
    private let windows: LimitWindows
    private var indexOfAccount: [ByteString: Int] = [:]

    struct Account {
        let subject: SubjectID
        /// Whether it gets its first balance if it has none.
        var asksCredits: Bool
    }

    init(_ batch: EventBatch, at now: Timestamp, _ windows: LimitWindows) {
        rules = batch.rules
        self.now = now
        self.windows = windows
        let concerned = batch.sums.sets.map { set in
            set.contains { meter in
                meter == .creditsMicro || rules.limits.limits.contains { $0.meter == meter }
            }
        }
        // In the order of arrival, so that what is decided is what would be without batches.
        var event = 0
        for item in batch.items {
            switch item {
            case .event:
                // Most events are of meters that neither cost anything nor have a limit.
                let set = batch.sums.rows[batch.sums.placeOfEvent[event].row].set
                if concerned[set] || batch.events[event].purpose.isAlwaysDecided,
                    let decision = decision(for: batch.events[event], place: event + 1)
                {
                    ofEvent[event] = decisions.count
                    decisions.append(decision)
                }
                event += 1
            case .decision(let pending):
                ofItem.append(decisions.count)
                decisions.append(decision(for: pending.decision))
            }
        }
    }

    var isEmpty: Bool { decisions.isEmpty }

    /// Whether it undoes events.
    private(set) var undoes = false

    /// Whether the script has alerts to judge.
    var hasAlerts: Bool { !isEmpty && !rules.judgedAlerts.isEmpty }

    /// How long a limit's window is that was open when the decisions were asked for, in seconds.
    func seconds(of limit: Limit) -> Int? {
        windows.seconds(of: limit.window, at: now.milliseconds)
    }

    /// When that window ends, or the one that is open at another instant; milliseconds since 1970, 0 for
    /// never.
    func end(of limit: Limit, at instant: Int? = nil) -> Int {
        windows.span(of: limit.window, at: instant ?? now.milliseconds).ends
    }

    private mutating func account(_ subject: SubjectID, asksCredits: Bool) -> Int {
        if let index = indexOfAccount[subject.id] {
            if asksCredits { accounts[index].asksCredits = true }
            return index
        }
        indexOfAccount[subject.id] = accounts.count
        accounts.append(Account(subject: subject, asksCredits: asksCredits))
        return accounts.count - 1
    }

    /// What an event takes; nil when that is nothing and nobody asks.
    private mutating func decision(for pending: PendingEvent, place: Int) -> BatchDecision? {
        if case .move = pending.purpose { return nil }
        let event = pending.event
        let sign = if case .reverse = pending.purpose { -1 } else { 1 }
        let credits = sign * (event.amounts.amount(of: .creditsMicro) ?? 0)
        let time = windowTime(of: pending)
        var limits: [(index: Int, amount: Int)] = []
        for (index, limit) in rules.limits.limits.enumerated() {
            guard let amount = event.amounts.amount(of: limit.meter), amount != 0,
                time >= windows.span(of: limit.window, at: now.milliseconds).starts,
                // Only holds count in it; it says no to events that are to be refused.
                limit.window != .concurrent || pending.isEnforced
            else { continue }
            // A limit gives nothing back that it cannot have counted.
            if case .reverse(let logged) = pending.purpose,
                logged.rulesNumber < limit.since
            {
                continue
            }
            limits.append((index, sign * amount))
        }
        var kind = BatchDecision.Kind.use
        var extra: [BatchDecision.Extra] = []
        switch pending.purpose {
        case .record:
            guard credits > 0 || !limits.isEmpty else { return nil }
        case .enforce:
            guard credits > 0 || !limits.isEmpty else { return nil }
            kind = .useIfAllowed
        case .settle(let hold, let policy, let held):
            kind = .commitHold
            extra = [
                .text(hold), .number(policy == .reject ? 1 : 0),
                .number(policy == .cap ? held ?? -1 : -1),
                .amounts(policy == .reject ? event.amounts : []),
            ]
        case .reverse(let logged):
            kind = .giveBack
            undoes = true
            extra = [
                .text(logged.origin.pointer(place: logged.place)),
                .number(logged.charged?.milliseconds ?? time), .number(logged.erasures),
            ]
        case .move: return nil
        }
        let asksCredits = credits > 0
        return BatchDecision(
            kind: kind, account: account(event.subject, asksCredits: asksCredits), place: place,
            time: time, credits: credits, asksCredits: asksCredits, limits: limits, extra: extra)
    }

    /// The time of the windows that an event counts in, or gives back to; milliseconds since 1970. The
    /// log has to tell it: see `PendingEvent.countsWhenDecided`.
    private func windowTime(of pending: PendingEvent) -> Int {
        switch pending.purpose {
        // Past windows have no counters: what is to be refused is judged, and counted, by the present.
        case .enforce: now.milliseconds
        case .reverse(let logged): logged.windowTime.milliseconds
        case .record, .settle, .move: min(pending.time.milliseconds, now.milliseconds)
        }
    }

    private mutating func decision(for asked: Decision) -> BatchDecision {
        let credits = asked.credits ?? 0
        var asksCredits = asked.credits != nil
        var kind = BatchDecision.Kind.check
        var limits: [(index: Int, amount: Int)] = []
        var extra: [BatchDecision.Extra] = []
        switch asked.kind {
        case .check, .consume:
            if case .consume = asked.kind { kind = .consume }
            limits = asked.judged(by: rules)
        case .openHold(let id, let seconds):
            kind = .openHold
            limits = asked.judged(by: rules)
            let amounts = asked.amounts.filter { $0.1 > 0 }.sorted {
                Meter.precedes($0.0, $1.0)
            }
            extra = [
                .text(id), .number(now.milliseconds + seconds * 1000), .amounts(amounts),
            ]
        case .releaseHold(let id):
            kind = .releaseHold
            extra = [.text(id)]
        case .grant(let id, let expires, let priority):
            kind = .grant
            extra = [
                .text(id), .number(expires?.milliseconds ?? 0), .number(priority),
                .text(asked.formerSubject?.id ?? .empty),
            ]
            asksCredits = true
        case .setAllowance: kind = .setAllowance
        case .setOverride(let amount):
            kind = .setOverride
            let index = asked.limits?.first.flatMap { rules.limits.index(named: $0.utf8) }
            limits = index.map { [($0, amount ?? -1)] } ?? []
        case .look:
            kind = .look
            asksCredits = true
        case .merge(let merge):
            kind = .merge
            extra = [
                .number(account(merge.guest, asksCredits: false) + 1),
                .number(merge.latest.packed), .number(merge.eventCount),
                .number(merge.moves.count),
                .number(merge.isErasing ? 2 : merge.isPartial ? 1 : 0),
            ]
        }
        return BatchDecision(
            kind: kind, account: asked.subject.map { account($0, asksCredits: asksCredits) },
            time: now.milliseconds, credits: credits, asksCredits: asksCredits, limits: limits,
            extra: extra)
    }

    // MARK: Arguments

    /// Writes rules, holders and decisions, as lua/record_events.lua documents them.
    func write(_ resets: [UInt8], today: CivilDay, _ writer: MessagePackWriter) {
        guard !isEmpty else {
            for _ in 0..<3 { writer.array(0) }
            return
        }
        let alerts = rules.judgedAlerts
        rules.credits.write(
            rules.limits.limits.count, resets, today: today, hasAlerts: !alerts.isEmpty, writer
        ) {
            for limit in rules.limits.limits { write(limit, writer) }
        }
        if !alerts.isEmpty {
            writer.array(alerts.count)
            for (alert, limit) in alerts { writer.alert(alert, limit: limit) }
        }
        writer.array(3 * accounts.count)
        for account in accounts {
            writer.string(account.subject.id.bytes)
            writer.integer(account.subject.kind.rawValue)
            writer.integer(account.asksCredits ? 1 : 0)
        }
        writer.array(decisions.count)
        for decision in decisions { decision.write(writer) }
    }

    private func write(_ limit: Limit, _ writer: MessagePackWriter) {
        let span = windows.span(of: limit.window, at: now.milliseconds)
        let (kind, starts, resolution, burst) =
            switch limit.window {
            case .minute, .hour, .day, .month: (1, span.starts, 0, 0)
            case .lifetime: (1, 0, 0, 0)
            case .rolling(let seconds): (2, 0, seconds * 1000 / 60, 0)
            case .rate(let seconds, let burst): (3, 0, seconds * 1000, burst ?? 0)
            case .concurrent: (4, 0, 0, 0)
            }
        writer.array(7)
        writer.integer(limit.id)
        writer.integer(kind)
        writer.integer(starts)
        writer.integer(span.ends)
        writer.array(2)
        writer.integer(limit.user ?? -1)
        writer.integer(limit.guest ?? -1)
        writer.integer(resolution)
        writer.integer(burst)
    }
}

extension CreditPolicy {
    /// Writes rules as lua/include/context.lua reads them.
    ///
    /// - Parameters:
    ///   - limitCount: how many limits `writeLimits` writes.
    ///   - today: in the workspace's zone.
    ///   - hasAlerts: whether the caller writes alerts behind them.
    func write(
        _ limitCount: Int, _ resets: [UInt8], today: CivilDay, hasAlerts: Bool = false,
        _ writer: MessagePackWriter, limits writeLimits: () -> Void = {}
    ) {
        writer.array(hasAlerts ? 8 : 7)
        writer.array(limitCount)
        writeLimits()
        writer.string(resets)
        writer.integer(monthReset == .calendar ? 1 : 0)
        writer.integer(today.date.day)
        writer.integer(defaultAllowance)
        writer.integer(rolloverMax)
        writer.integer(-overdraft)
    }
}

extension EventPurpose {
    /// Whether there is something to decide whatever the event's meters are.
    fileprivate var isAlwaysDecided: Bool {
        switch self {
        case .record, .enforce, .move: false
        case .settle, .reverse: true
        }
    }
}
