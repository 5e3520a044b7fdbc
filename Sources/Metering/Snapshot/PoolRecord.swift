// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import JSON

/// A key of the pool as state.json has it, its secret sealed.
struct PoolKeyRecord {
    let id: [UInt8]
    let provider: [UInt8]
    private let name: [UInt8]
    private let state: Int
    private let balance: Int?
    private let holder: [UInt8]
    private let used: Int
    private let fault: [UInt8]
    private let created: Int
    private let digest: [UInt8]
    private let sealed: [UInt8]

    /// Reads a key of Redis; nil when it is damaged.
    init?(_ id: [UInt8], packed: [UInt8], sealed: [UInt8]) {
        guard let fields = MessagePackValue(packed)?.array, fields.count == 9,
            let provider = fields[0].bytes, let name = fields[1].bytes,
            let state = fields[2].integer, let holder = fields[4].bytes,
            let used = fields[5].integer, let fault = fields[6].bytes,
            let created = fields[7].integer, let digest = fields[8].bytes
        else { return nil }
        self.id = id
        (self.provider, self.name, self.state) = (provider, name, state)
        balance = fields[3].integer
        (self.holder, self.used, self.fault) = (holder, used, fault)
        (self.created, self.digest, self.sealed) = (created, digest, sealed)
    }

    func write(_ json: inout JSONWriter) {
        json.beginObject()
        json.member("id", id)
        json.member("provider", provider)
        json.member("name", name)
        json.member("state", state)
        json.key("balance")
        if let balance { json.integer(balance) } else { json.null() }
        json.member("holder", holder)
        json.member("used", used)
        json.member("error", fault)
        json.member("created", created)
        json.member("digest", Array(Data(digest).base64EncodedString().utf8))
        json.member("sealed", Array(Data(sealed).base64EncodedString().utf8))
        json.endObject()
    }

    init?(_ value: JSONValue) {
        guard let id = value["id"]?.string, let provider = value["provider"]?.string,
            let name = value["name"]?.string, let state = value["state"]?.integer,
            let balance = value["balance"], balance.isNull || balance.integer != nil,
            let holder = value["holder"]?.string, let used = value["used"]?.integer,
            let fault = value["error"]?.string, let created = value["created"]?.integer,
            let digest = value.data("digest"), let sealed = value.data("sealed"),
            Int(String(decoding: id, as: UTF8.self)) != nil, PoolKey.Status(rawValue: state) != nil
        else { return nil }
        self.id = Array(id)
        (self.provider, self.name, self.state) = (Array(provider), Array(name), state)
        self.balance = balance.integer
        (self.holder, self.used, self.fault) = (Array(holder), used, Array(fault))
        (self.created, self.digest, self.sealed) = (created, digest, sealed)
    }

    /// `{id, key as scripts keep it, sealed secret}`
    func pack(_ writer: MessagePackWriter) {
        writer.array(3)
        writer.string(id)
        writer.array(9)
        writer.string(provider)
        writer.string(name)
        writer.integer(state)
        if let balance { writer.integer(balance) } else { writer.string("") }
        writer.string(holder)
        writer.integer(used)
        writer.string(fault)
        writer.integer(created)
        writer.string(digest)
        writer.string(sealed)
    }
}

/// What was ever counted of a holder of keys.
struct PoolHolderRecord {
    let subject: [UInt8]
    let received: Int
    let firstUses: Int

    init?(_ subject: [UInt8], packed: [UInt8]) {
        guard let holder = PoolHolder(packed: packed, ready: 0) else { return nil }
        self.subject = subject
        (received, firstUses) = (holder.received, holder.firstUses)
    }

    func write(_ json: inout JSONWriter) {
        json.beginObject()
        json.member("subject", subject)
        json.member("received", received)
        json.member("first_uses", firstUses)
        json.endObject()
    }

    init?(_ value: JSONValue) {
        guard let subject = value["subject"]?.string, let received = value["received"]?.integer,
            let firstUses = value["first_uses"]?.integer
        else { return nil }
        self.subject = Array(subject)
        (self.received, self.firstUses) = (received, firstUses)
    }

    func pack(_ writer: MessagePackWriter) {
        writer.array(3)
        writer.string(subject)
        writer.integer(received)
        writer.integer(firstUses)
    }
}

extension JSONValue {
    /// Bytes in Base64.
    fileprivate func data(_ name: StaticString) -> [UInt8]? {
        self[name]?.text.flatMap { Data(base64Encoded: $0) }.map { Array($0) }
    }
}
