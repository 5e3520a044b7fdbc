// SPDX-License-Identifier: Apache-2.0

/// What a subject may still use. Credits are micro-credits.
public struct Account: Sendable {
    /// What is left of the allowance and of all grants, with what is held.
    public let balance: Int
    public let held: Int
    public let monthlyAllowance: Int
    public let monthConsumed: Int
    public let totalConsumed: Int
    /// Nil while the subject has no credits.
    public let nextReset: Timestamp?
    /// The day of the month on which it resets; nil while the subject has no credits.
    let anchorDay: Int?
    public let grants: [Grant]
    /// What the subject has of limits instead of its class, by the limit's number.
    let ownAmounts: [Int: Int]
    /// Where the ledger goes on, and the lines that are due and not written yet.
    let ledgerHead: LogPosition?
    let dueLines: [LedgerLine]

    /// What is left of a grant.
    public struct Grant: Sendable {
        public let id: ByteString
        public let left: Int
        /// Nil for never.
        public let expires: Timestamp?
        public let priority: Int
    }

    /// Reads the answer to `Decision.Kind.look`; nil when it is damaged.
    init?(_ verdict: Verdict) {
        guard verdict.fields.count == 5, let balance = verdict.balance,
            let fields = verdict.fields[3].bytes.flatMap({ MessagePackValue($0) })?.array,
            let lines = verdict.fields[4].bytes.flatMap({ MessagePackValue($0) })?.array,
            AccountState.fieldCounts.contains(fields.count)
        else { return nil }
        let head = fields.prefix(7).compactMap(\.integer)
        guard head.count == 7 else { return nil }
        // An empty list is kept as 0.
        let flat = fields[7].array ?? []
        let own = (fields[10].array ?? []).compactMap(\.integer)
        self.balance = balance
        held = verdict.held
        ledgerHead = head[0] == 0 ? nil : LogPosition(head[0])
        nextReset = head[1] == 0 ? nil : Timestamp(milliseconds: head[6])
        anchorDay = head[1] == 0 ? nil : head[1]
        monthlyAllowance = head[2]
        monthConsumed = head[4]
        totalConsumed = head[5]
        grants = stride(from: 0, to: flat.count - 3, by: 4).compactMap { index in
            guard let id = flat[index].bytes, let left = flat[index + 1].integer,
                let expires = flat[index + 2].integer, let priority = flat[index + 3].integer
            else { return nil }
            return Grant(
                id: ByteString(bytes: id), left: left,
                expires: expires == 0 ? nil : Timestamp(milliseconds: expires), priority: priority)
        }
        ownAmounts = Dictionary(
            stride(from: 0, to: own.count - 1, by: 2).map { (own[$0], own[$0 + 1]) }
        ) { $1 }
        dueLines = LedgerLine.lines(lines) { _ in nil }
    }
}

/// A change of a subject's balance, or of what is held of it.
public struct LedgerLine: Sendable {
    /// As lua/include/account_fields.lua numbers them.
    public enum Kind: Int, Sendable {
        case reset = 1
        case grant, charge, expiry, correction, hold, release

        public var name: String {
            switch self {
            case .reset: "reset"
            case .grant: "grant"
            case .charge: "charge"
            case .expiry: "expiry"
            case .correction: "correction"
            case .hold: "hold"
            case .release: "release"
            }
        }
    }

    public let kind: Kind
    /// Of the balance, micro-credits.
    public let change: Int
    /// After the change.
    public let balance: Int
    public let time: Timestamp
    /// Change of what is held.
    public let heldChange: Int
    /// Id of the event, grant or hold; nil for none.
    public let reference: ByteString?

    /// Reads lines as lua/include/accounts.lua keeps them, one behind the other.
    ///
    /// - Parameter eventID: the id of the event at a place of the batch.
    static func lines(
        _ flat: [MessagePackValue], eventID: (Int) -> ByteString?
    ) -> [LedgerLine] {
        stride(from: 0, to: flat.count - 5, by: 6).compactMap {
            LedgerLine(Array(flat[$0..<$0 + 6]), eventID: eventID)
        }
    }

    private init?(_ fields: [MessagePackValue], eventID: (Int) -> ByteString?) {
        guard let kind = fields[0].integer,
            let known = Kind(rawValue: kind), let change = fields[1].integer,
            let balance = fields[2].integer, let time = fields[3].integer,
            let held = fields[4].integer
        else { return nil }
        self.kind = known
        self.change = change
        self.balance = balance
        self.time = Timestamp(milliseconds: time)
        heldChange = held
        switch fields[5] {
        case .integer(let place): reference = place == 0 ? nil : eventID(place)
        case .string(let id): reference = id.isEmpty ? nil : ByteString(bytes: id)
        default: reference = nil
        }
    }
}

/// A part of a subject's ledger, newest first. The sum of all changes is the balance.
public struct Ledger: Sendable {
    public let lines: [LedgerLine]
    /// The balance before the oldest of the lines.
    public let openingBalance: Int
    /// Where older lines begin; nil when there are none, or the log has forgotten them.
    public let older: String?
}

/// Credits and amounts that were set aside.
public struct Hold: Sendable {
    public let id: ByteString
    public internal(set) var subject: SubjectID
    public let state: HoldState
    public let credits: Int
    /// As they were asked for.
    public let amounts: [(meter: Meter, amount: Int)]
    public let created: Timestamp
    public let expires: Timestamp
    /// When it was ended, or expired; nil while it is open.
    public let ended: Timestamp?

    /// Reads a hold as lua/include/holds.lua keeps it.
    init?(_ id: [UInt8], _ bytes: [UInt8], at now: Timestamp) {
        guard let fields = MessagePackValue(bytes)?.array, fields.count >= 7,
            let subject = fields[0].bytes, let stored = fields[1].integer,
            let state = HoldState(rawValue: stored), let credits = fields[2].integer,
            let created = fields[4].integer, let expires = fields[5].integer,
            let ended = fields[6].integer
        else { return nil }
        let isExpired = state == .open && expires <= now.milliseconds
        self.id = ByteString(bytes: id)
        self.subject = SubjectID(stored: ByteString(bytes: subject))
        self.state = isExpired ? .expired : state
        self.credits = credits
        let asked = fields.count > 8 ? fields[8].array ?? [] : []
        amounts = stride(from: 0, to: asked.count - 1, by: 2).compactMap { index in
            guard let meter = Meter(asked[index]), let amount = asked[index + 1].integer else {
                return nil
            }
            return (meter, amount)
        }
        self.created = Timestamp(milliseconds: created)
        self.expires = Timestamp(milliseconds: expires)
        self.ended =
            isExpired
            ? self.expires : ended == 0 ? nil : Timestamp(milliseconds: ended)
    }
}
