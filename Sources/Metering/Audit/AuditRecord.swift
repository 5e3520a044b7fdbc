// SPDX-License-Identifier: Apache-2.0

internal import JSON

/// An administrative act as a line of a snapshot tells it.
struct AuditRecord {
    /// Of an act, in the order in which they are kept.
    private static let texts: [StaticString] = [
        "actor", "role", "address", "method", "route", "path",
    ]

    let entry: AuditEntry

    /// Writes its line; false when what was before or after is no JSON.
    func write(_ json: inout JSONWriter, _ reader: JSONReader) -> Bool {
        func isJSON(_ text: [UInt8]?) -> Bool {
            guard let text else { return true }
            return (try? reader.read(text)) != nil && !text.contains(UInt8(ascii: "\n"))
        }
        let (act, outcome) = (entry.act, entry.outcome)
        guard isJSON(act.before), isJSON(outcome?.after) else { return false }
        json.beginObject()
        json.member("id", Array(entry.id.text.utf8))
        json.member("actor", act.actor.bytes)
        for (name, text) in zip(
            Self.texts.dropFirst(), [act.role, act.address, act.method, act.route, act.path])
        {
            json.member(name, Array(text.utf8))
        }
        json.key("before")
        if let before = act.before { json.raw(before) } else { json.null() }
        if let outcome {
            json.member("ended", outcome.ended.milliseconds)
            json.member("status", outcome.status)
            json.key("after")
            if let after = outcome.after { json.raw(after) } else { json.null() }
        }
        json.endObject()
        return true
    }

    init(_ entry: AuditEntry) { self.entry = entry }

    /// Reads a line; nil when it is none.
    init?(_ value: JSONValue) {
        func text(_ name: StaticString) -> String? { value[name]?.text }
        func json(_ name: StaticString) -> [UInt8]? {
            guard let member = value[name], !member.isNull else { return nil }
            var writer = JSONWriter()
            writer.value(member)
            return writer.bytes
        }
        guard let id = text("id").flatMap({ AuditPosition($0) }),
            let actor = value["actor"]?.string, let role = text("role"),
            let address = text("address"), let method = text("method"), let route = text("route"),
            let path = text("path")
        else { return nil }
        var outcome: AuditOutcome?
        if let ended = value["ended"]?.integer, let status = value["status"]?.integer {
            outcome = AuditOutcome(
                ended: Timestamp(milliseconds: ended), status: status, after: json("after"))
        }
        let act = AuditAct(
            actor: ByteString(bytes: Array(actor)), role: role, address: address, method: method,
            route: route, path: path, before: json("before"))
        entry = AuditEntry(id: id, act: act, outcome: outcome)
    }
}

extension AuditPosition {
    /// The day that the entry belongs to, UTC.
    var day: CivilDay { CivilDay(number: milliseconds.flooredQuotient(86_400_000)) }

    /// As the order of its bytes is that of the entries.
    var orderedText: String {
        func padded(_ number: Int) -> String {
            let digits = "\(number)"
            return String(repeating: "0", count: max(0, 16 - digits.utf8.count)) + digits
        }
        return padded(milliseconds) + "-" + padded(sequence)
    }
}
