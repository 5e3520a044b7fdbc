// SPDX-License-Identifier: Apache-2.0
//
// What Redis keeps of accounts, holds and grants, as it stands in state.json. Fields stand in Redis
// by their places: lua/include/account_fields.lua and lua/include/holds.lua.

internal import JSON

/// An account as Redis keeps it. Credits are micro-credits, times are milliseconds since 1970.
struct AccountState: Equatable {
    struct Grant: Equatable {
        let id: [UInt8]
        let left: Int
        let expires: Int
        let priority: Int
    }
    struct Hold: Equatable {
        let id: [UInt8]
        let credits: Int
        let expires: Int
        /// Flat: limit's id, amount.
        let amounts: [Int]
        /// Not in the account; from the hold's own record.
        var created = 0
        var asked: [HoldAmount] = []
        var askedCredits: Int?
    }
    struct Window: Equatable {
        let limit: Int
        let start: Int
        /// What is used, or a rate's level; nil for a rolling window.
        let used: Int?
        /// Flat: bucket, amount.
        let buckets: [Int]
    }

    /// MONTH_LENGTH is in minutes.
    private static let minuteMS = 60_000
    /// How many fields an account has: those of an earlier build had no `monthBegan`.
    static let fieldCounts = 11...12

    let subject: [UInt8]
    /// Of its last lines in the log; 0 for none, and always in a file.
    var position = 0
    var anchor = 0
    var allowance = 0
    var monthly = 0
    var monthUsed = 0
    var totalUsed = 0
    var nextReset = 0
    /// Nil where an earlier build began the month that runs.
    var monthBegan: Int?
    var grants: [Grant] = []
    var holds: [Hold] = []
    var windows: [Window] = []
    /// Flat: limit's id, amount.
    var overrides: [Int] = []

    /// What is left of the month and of all grants. Nil when that is no number that is counted.
    var balance: Int? {
        grants.reduce(monthly as Int?) { sum, grant in
            guard let sum, case (let next, false) = sum.addingReportingOverflow(grant.left) else {
                return nil
            }
            return next
        }
    }

    var held: Int? {
        holds.reduce(0 as Int?) { sum, hold in
            guard let sum, case (let next, false) = sum.addingReportingOverflow(hold.credits)
            else { return nil }
            return next
        }
    }

    /// Reads an account of Redis; nil when it is damaged.
    init?(_ subject: [UInt8], packed: [UInt8]) {
        guard let fields = MessagePackValue(packed)?.array,
            Self.fieldCounts.contains(fields.count),
            let head = MessagePackValue.array(Array(fields.prefix(7))).integers,
            let grants = Self.list(
                fields[7], 4,
                { fields -> Grant? in
                    guard let id = fields[0].bytes, let left = fields[1].integer,
                        let expires = fields[2].integer, let priority = fields[3].integer
                    else { return nil }
                    return Grant(id: id, left: left, expires: expires, priority: priority)
                }),
            let holds = Self.list(
                fields[8], 4,
                { fields -> Hold? in
                    guard let id = fields[0].bytes, let credits = fields[1].integer,
                        let expires = fields[2].integer, let amounts = fields[3].integers,
                        amounts.count % 2 == 0
                    else { return nil }
                    return Hold(id: id, credits: credits, expires: expires, amounts: amounts)
                }),
            let windows = Self.list(
                fields[9], 3,
                { fields -> Window? in
                    guard let limit = fields[0].integer, let start = fields[1].integer else {
                        return nil
                    }
                    if let used = fields[2].integer {
                        return Window(limit: limit, start: start, used: used, buckets: [])
                    }
                    guard let buckets = fields[2].integers, buckets.count % 2 == 0 else {
                        return nil
                    }
                    return Window(limit: limit, start: start, used: nil, buckets: buckets)
                }),
            let overrides = Self.list(fields[10], 1, { $0[0].integer }), overrides.count % 2 == 0
        else { return nil }
        self.subject = subject
        (position, anchor, allowance, monthly) = (head[0], head[1], head[2], head[3])
        (monthUsed, totalUsed, nextReset) = (head[4], head[5], head[6])
        monthBegan =
            fields.count > 11 ? fields[11].integer.map { nextReset &- $0 &* Self.minuteMS } : nil
        (self.grants, self.holds) = (grants, holds)
        (self.windows, self.overrides) = (windows, overrides)
    }

    /// An empty list is kept as 0.
    private static func list<Element>(
        _ value: MessagePackValue, _ width: Int, _ read: ([MessagePackValue]) -> Element?
    ) -> [Element]? {
        if value.integer == 0 { return [] }
        guard let flat = value.array, flat.count % width == 0 else { return nil }
        let elements = stride(from: 0, to: flat.count, by: width).compactMap {
            read(Array(flat[$0..<$0 + width]))
        }
        return elements.count == flat.count / width ? elements : nil
    }

    // MARK: As JSON

    func write(_ json: inout JSONWriter) {
        json.beginObject()
        json.member("subject", subject)
        json.member("anchor", anchor)
        json.member("allowance", allowance)
        json.member("monthly", monthly)
        json.member("month_used", monthUsed)
        json.member("total_used", totalUsed)
        json.member("next_reset", nextReset)
        if let monthBegan { json.member("month_began", monthBegan) }
        json.list("grants", grants) { grant, json in
            json.member("id", grant.id)
            json.member("left", grant.left)
            json.member("expires", grant.expires)
            json.member("priority", grant.priority)
        }
        json.list("holds", holds) { hold, json in
            json.member("id", hold.id)
            json.member("credits", hold.credits)
            json.amounts(hold.amounts)
            json.member("created", hold.created)
            json.member("expires", hold.expires)
            json.asked(hold.asked, hold.askedCredits)
        }
        json.list("windows", windows) { window, json in
            json.member("limit", window.limit)
            json.member("start", window.start)
            if let used = window.used { return json.member("used", used) }
            json.key("buckets")
            json.beginArray()
            for value in window.buckets { json.integer(value) }
            json.endArray()
        }
        json.list("own_amounts", stride(from: 0, to: overrides.count - 1, by: 2)) { index, json in
            json.member("limit", overrides[index])
            json.member("amount", overrides[index + 1])
        }
        json.endObject()
    }

    /// Reads what `write` wrote; nil for anything else.
    init?(_ value: JSONValue) {
        guard let subject = value["subject"]?.string, let anchor = value["anchor"]?.integer,
            let allowance = value["allowance"]?.integer, let monthly = value["monthly"]?.integer,
            let monthUsed = value["month_used"]?.integer,
            let totalUsed = value["total_used"]?.integer,
            let nextReset = value["next_reset"]?.integer,
            let grants = value.list("grants", Grant.init),
            let holds = value.list("holds", Hold.init),
            let windows = value.list("windows", Window.init),
            let overrides = value.list(
                "own_amounts",
                { own -> [Int]? in
                    guard let limit = own["limit"]?.integer, let amount = own["amount"]?.integer
                    else {
                        return nil
                    }
                    return [limit, amount]
                })
        else { return nil }
        self.subject = Array(subject)
        (self.anchor, self.allowance, self.monthly) = (anchor, allowance, monthly)
        (self.monthUsed, self.totalUsed, self.nextReset) = (monthUsed, totalUsed, nextReset)
        monthBegan = value["month_began"]?.integer
        (self.grants, self.holds, self.windows) = (grants, holds, windows)
        self.overrides = overrides.flatMap { $0 }
    }

    /// The account as scripts take it, an empty list as 0.
    func pack(_ writer: MessagePackWriter) {
        writer.array(monthBegan == nil ? 11 : 12)
        for value in [position, anchor, allowance, monthly, monthUsed, totalUsed, nextReset] {
            writer.integer(value)
        }
        writer.flat(grants, 4) { grant in
            writer.string(grant.id)
            for value in [grant.left, grant.expires, grant.priority] { writer.integer(value) }
        }
        writer.flat(holds, 4) { hold in
            writer.string(hold.id)
            writer.integer(hold.credits)
            writer.integer(hold.expires)
            writer.integers(hold.amounts)
        }
        writer.flat(windows, 3) { window in
            writer.integer(window.limit)
            writer.integer(window.start)
            if let used = window.used {
                writer.integer(used)
            } else {
                writer.integers(window.buckets)
            }
        }
        writer.flat(overrides, 1) { writer.integer($0) }
        if let monthBegan { writer.integer((nextReset &- monthBegan) / Self.minuteMS) }
    }
}

extension AccountState.Grant {
    init?(_ value: JSONValue) {
        guard let id = value["id"]?.string, let left = value["left"]?.integer,
            let expires = value["expires"]?.integer, let priority = value["priority"]?.integer
        else { return nil }
        self.init(id: Array(id), left: left, expires: expires, priority: priority)
    }
}

extension AccountState.Hold {
    init?(_ value: JSONValue) {
        guard let id = value["id"]?.string, let credits = value["credits"]?.integer,
            let amounts = value.amounts, let created = value["created"]?.integer,
            let expires = value["expires"]?.integer, let asked = value.asked
        else { return nil }
        self.init(
            id: Array(id), credits: credits, expires: expires, amounts: amounts, created: created,
            asked: asked, askedCredits: value.askedCredits)
    }
}

extension AccountState.Window {
    init?(_ value: JSONValue) {
        guard let limit = value["limit"]?.integer, let start = value["start"]?.integer else {
            return nil
        }
        let used = value["used"]?.integer
        let buckets = value["buckets"]?.elements.map(\.integer)
        guard (used == nil) != (buckets == nil), (buckets ?? []).allSatisfy({ $0 != nil }),
            (buckets ?? []).count % 2 == 0
        else { return nil }
        self.init(
            limit: limit, start: start, used: used, buckets: (buckets ?? []).compactMap { $0 })
    }
}

extension MessagePackWriter {
    /// A flat list of entries of `width` values, as accounts have it: 0 when it is empty.
    fileprivate func flat<Element>(
        _ list: [Element], _ width: Int, _ write: (Element) -> Void
    ) {
        guard !list.isEmpty else { return integer(0) }
        array(width * list.count)
        for element in list { write(element) }
    }
}
