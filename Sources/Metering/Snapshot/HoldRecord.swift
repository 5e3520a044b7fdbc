// SPDX-License-Identifier: Apache-2.0

internal import JSON

/// A hold as Redis keeps it by its id. Credits are micro-credits, times milliseconds since 1970.
struct HoldRecord: Equatable {
    static let open = 1

    let id: [UInt8]
    let subject: [UInt8]
    /// As lua/include/account_fields.lua numbers them.
    let state: Int
    let credits: Int
    /// Flat: limit's id, amount.
    let amounts: [Int]
    let created: Int
    let expires: Int
    /// 0 while it is open.
    let ended: Int
    /// What was asked for, by meter: a repetition is compared with it.
    let asked: [HoldAmount]
    /// So are the credits that were asked for; nil where an earlier build did not note them.
    let askedCredits: Int?

    /// Reads a hold of Redis; nil when it is damaged.
    init?(_ id: [UInt8], packed: [UInt8]) {
        guard let fields = MessagePackValue(packed)?.array, fields.count >= 8,
            let subject = fields[0].bytes, let state = fields[1].integer,
            let credits = fields[2].integer, let amounts = fields[3].integers,
            amounts.count % 2 == 0, let created = fields[4].integer,
            let expires = fields[5].integer, let ended = fields[6].integer,
            let asked = HoldAmount.list(fields.count > 8 ? fields[8] : nil)
        else { return nil }
        (self.asked, askedCredits) = (asked, fields.count > 9 ? fields[9].integer : nil)
        self.id = id
        self.subject = subject
        (self.state, self.credits, self.amounts) = (state, credits, amounts)
        (self.created, self.expires, self.ended) = (created, expires, ended)
    }

    /// The record of an open hold of an account.
    init(_ hold: AccountState.Hold, of subject: [UInt8]) {
        id = hold.id
        self.subject = subject
        (state, credits, amounts) = (Self.open, hold.credits, hold.amounts)
        (asked, askedCredits) = (hold.asked, hold.askedCredits)
        (created, expires, ended) = (hold.created, hold.expires, 0)
    }

    func write(_ json: inout JSONWriter) {
        json.beginObject()
        json.member("id", id)
        json.member("subject", subject)
        json.member("state", state)
        json.member("credits", credits)
        json.amounts(amounts)
        json.member("created", created)
        json.member("expires", expires)
        json.member("ended", ended)
        json.asked(asked, askedCredits)
        json.endObject()
    }

    init?(_ value: JSONValue) {
        guard let id = value["id"]?.string, let subject = value["subject"]?.string,
            let state = value["state"]?.integer, let credits = value["credits"]?.integer,
            let amounts = value.amounts, let created = value["created"]?.integer,
            let expires = value["expires"]?.integer, let ended = value["ended"]?.integer,
            let asked = value.asked
        else { return nil }
        (self.asked, askedCredits) = (asked, value.askedCredits)
        (self.id, self.subject) = (Array(id), Array(subject))
        (self.state, self.credits, self.amounts) = (state, credits, amounts)
        (self.created, self.expires, self.ended) = (created, expires, ended)
    }

    /// The hold as scripts take it. Where the event is that settled it is not told: the log is gone.
    func pack(_ writer: MessagePackWriter) {
        writer.array(askedCredits == nil ? 9 : 10)
        writer.string(subject)
        writer.integer(state)
        writer.integer(credits)
        writer.integers(amounts)
        for value in [created, expires, ended, 0] { writer.integer(value) }
        writer.array(2 * asked.count)
        for amount in asked {
            writer.meter(amount.meter)
            writer.integer(amount.amount)
        }
        if let askedCredits { writer.integer(askedCredits) }
    }
}

/// An amount of a meter that a hold was asked for.
struct HoldAmount: Equatable {
    let meter: Meter
    let amount: Int

    /// Reads a flat list of meters and amounts; an empty table of Lua is a map.
    static func list(_ value: MessagePackValue?) -> [HoldAmount]? {
        guard let flat = value?.array, flat.count % 2 == 0 else { return [] }
        let amounts = stride(from: 0, to: flat.count, by: 2).compactMap { index in
            Meter(flat[index]).flatMap { meter in
                flat[index + 1].integer.map { HoldAmount(meter: meter, amount: $0) }
            }
        }
        return amounts.count == flat.count / 2 ? amounts : nil
    }
}

/// A grant as Redis remembers it, so that it is given once.
struct GrantRecord: Equatable {
    let subject: [UInt8]
    let id: [UInt8]
    let credits: Int
    let expires: Int
    let priority: Int

    /// Reads a field of the hash and its value; nil when they are damaged.
    init?(name: [UInt8], packed: [UInt8]) {
        guard name.count >= 2, let fields = MessagePackValue(packed)?.integers, fields.count == 3
        else { return nil }
        let count = Int(name[0]) << 8 | Int(name[1])
        guard name.count >= 2 + count else { return nil }
        subject = Array(name[2..<2 + count])
        id = Array(name[(2 + count)...])
        (credits, expires, priority) = (fields[0], fields[1], fields[2])
    }

    /// A grant that an account has something left of.
    init(_ grant: AccountState.Grant, of subject: [UInt8]) {
        self.subject = subject
        id = grant.id
        (credits, expires, priority) = (grant.left, grant.expires, grant.priority)
    }

    /// Its field: length of the subject's id (2 bytes), subject, id.
    var name: [UInt8] { Self.name(of: subject, id) }

    static func name(of subject: [UInt8], _ id: [UInt8]) -> [UInt8] {
        let count = subject.count
        return [UInt8(count >> 8 & 255), UInt8(count & 255)] + subject + id
    }

    func write(_ json: inout JSONWriter) {
        json.beginObject()
        json.member("subject", subject)
        json.member("id", id)
        json.member("credits", credits)
        json.member("expires", expires)
        json.member("priority", priority)
        json.endObject()
    }

    init?(_ value: JSONValue) {
        guard let subject = value["subject"]?.string, let id = value["id"]?.string,
            let credits = value["credits"]?.integer, let expires = value["expires"]?.integer,
            let priority = value["priority"]?.integer
        else { return nil }
        (self.subject, self.id) = (Array(subject), Array(id))
        (self.credits, self.expires, self.priority) = (credits, expires, priority)
    }
}

extension JSONWriter {
    mutating func member(_ name: StaticString, _ value: Int) {
        key(name)
        integer(value)
    }

    mutating func member(_ name: StaticString, _ text: [UInt8]) {
        key(name)
        string(bytes: text)
    }

    /// An array of objects, whose members `write` writes.
    mutating func list<Element>(
        _ name: StaticString, _ elements: some Sequence<Element>,
        _ write: (Element, inout JSONWriter) -> Void
    ) {
        key(name)
        beginArray()
        for element in elements {
            beginObject()
            write(element, &self)
            endObject()
        }
        endArray()
    }

    /// What a hold was asked for.
    mutating func asked(_ amounts: [HoldAmount], _ credits: Int?) {
        if let credits { member("asked_credits", credits) }
        list("asked", amounts) { amount, json in
            json.member("meter", Array(amount.meter.name.utf8))
            json.member("amount", amount.amount)
        }
    }

    /// What a hold keeps of limits.
    mutating func amounts(_ flat: [Int]) {
        list("amounts", stride(from: 0, to: flat.count - 1, by: 2)) { index, json in
            json.member("limit", flat[index])
            json.member("amount", flat[index + 1])
        }
    }
}

extension JSONValue {
    /// The elements of an array, each of them read; nil when one is not what it should be.
    func list<Element>(_ name: StaticString, _ read: (JSONValue) -> Element?) -> [Element]? {
        guard let list = self[name], list.kind == .array else { return nil }
        let elements = list.elements.compactMap(read)
        return elements.count == list.count ? elements : nil
    }

    var askedCredits: Int? { self["asked_credits"]?.integer }

    var asked: [HoldAmount]? {
        list("asked") { value -> HoldAmount? in
            guard let name = value["meter"]?.string, let meter = Meter(name: Array(name)),
                let amount = value["amount"]?.integer
            else { return nil }
            return HoldAmount(meter: meter, amount: amount)
        }
    }

    var amounts: [Int]? {
        list("amounts") { value -> [Int]? in
            guard let limit = value["limit"]?.integer, let amount = value["amount"]?.integer else {
                return nil
            }
            return [limit, amount]
        }?.flatMap { $0 }
    }
}
