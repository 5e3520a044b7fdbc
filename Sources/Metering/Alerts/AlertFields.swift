// SPDX-License-Identifier: Apache-2.0

internal import JSON

/// The members of one alert, read and checked.
struct AlertFields {
    static let percentCountMax = 10
    static let percentMax = 1_000
    static let urlBytesMax = 2_048

    let alert: Alert

    init(_ value: JSONValue, _ field: String, isStored: Bool) throws(EventRejection) {
        guard value.kind == .object else { throw .wrongType(field, "an object") }
        var name: String?
        var watched: Alert.Watched?
        var percents: [Int]?
        var subject: SubjectID?
        var target: Alert.Target?
        var id = 0
        var sealed: String?
        for (key, member) in value.members {
            if key == "name" {
                name = try Self.name(member, "\(field).name")
            } else if key == "on" {
                watched = try Self.watched(member, "\(field).on")
            } else if key == "percent" {
                percents = try Self.percents(member, "\(field).percent")
            } else if key == "subject" {
                if !member.isNull {
                    subject = try Self.subject(member, "\(field).subject", isStored)
                }
            } else if key == "to" {
                target = try Self.target(member, "\(field).to")
            } else if isStored, key == "id" {
                id = member.integer ?? 0
            } else if isStored, key == "sealed" {
                sealed = member.text
            } else {
                throw .unknownField(
                    key, of: field, detail: "an alert has name, on, percent, subject, to")
            }
        }
        guard let name else { throw .required("\(field).name") }
        guard let watched else { throw .required("\(field).on") }
        guard let percents else { throw .required("\(field).percent") }
        guard let target else { throw .required("\(field).to") }
        if case .budget = watched, subject != nil {
            throw EventRejection(
                code: "unexpected_field", field: "\(field).subject",
                detail: "a budget is the whole workspace's")
        }
        alert = Alert(
            name: name, watched: watched, percents: percents, subject: subject, target: target,
            id: id, sealedSecret: sealed)
    }

    private static func name(_ value: JSONValue, _ field: String) throws(EventRejection) -> String {
        guard let bytes = value.string else { throw .wrongType(field, "a string") }
        guard Limit.isName(bytes) else {
            throw EventRejection(
                code: "invalid_name", field: field,
                detail: "1 to \(Limit.nameBytesMax) of a-z, 0-9, _ and -")
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The one member of an object that has to have one.
    private static func only(
        _ value: JSONValue, _ field: String, _ known: String
    ) throws(EventRejection) -> (key: JSONKey, value: JSONValue) {
        guard value.kind == .object else { throw .wrongType(field, "an object with \(known)") }
        var members = value.members
        guard value.count == 1, let member = members.next() else {
            throw EventRejection(
                code: "invalid_value", field: field, detail: "exactly one of \(known)")
        }
        return member
    }

    private static func watched(
        _ value: JSONValue, _ field: String
    ) throws(EventRejection) -> Alert.Watched {
        let known = "limit, balance or budget"
        let (key, member) = try only(value, field, known)
        if key == "limit" { return .limit(try name(member, "\(field).limit")) }
        if key == "balance" {
            guard member.boolean == true else { throw .wrongType("\(field).balance", "true") }
            return .balance
        }
        guard key == "budget" else { throw .unknownField(key, of: field, detail: known) }
        let micros = try MicroDecimal.micros(member, "\(field).budget")
        guard micros > 0 else {
            throw EventRejection(
                code: "out_of_range", field: "\(field).budget", detail: "a budget is more than 0")
        }
        return .budget(micros)
    }

    private static func percents(
        _ value: JSONValue, _ field: String
    ) throws(EventRejection) -> [Int] {
        guard value.kind == .array else { throw .wrongType(field, "an array") }
        guard (1...percentCountMax).contains(value.count) else {
            throw EventRejection(
                code: "out_of_range", field: field, detail: "1 to \(percentCountMax) percents")
        }
        var percents: Set<Int> = []
        for (index, element) in value.elements.enumerated() {
            let percent = try EventDecoder.amount(element, "\(field).\(index)")
            guard (1...percentMax).contains(percent) else {
                throw EventRejection(
                    code: "out_of_range", field: "\(field).\(index)",
                    detail: "1 to \(percentMax)")
            }
            guard percents.insert(percent).inserted else {
                throw EventRejection(
                    code: "duplicate_percent", field: "\(field).\(index)",
                    detail: "\(percent) is there twice")
            }
        }
        return percents.sorted()
    }

    private static func subject(
        _ value: JSONValue, _ field: String, _ isStored: Bool
    ) throws(EventRejection) -> SubjectID {
        guard let text = value.text else { throw .wrongType(field, "a string") }
        guard let subject = isStored ? SubjectID(existing: text) : SubjectID(text) else {
            throw EventRejection(code: "invalid_id", field: field, detail: SubjectID.rule)
        }
        return subject
    }

    private static func target(
        _ value: JSONValue, _ field: String
    ) throws(EventRejection) -> Alert.Target {
        let known = "webhook or email"
        let (key, member) = try only(value, field, known)
        if key == "webhook" {
            guard let url = member.text else { throw .wrongType("\(field).webhook", "a string") }
            guard (1...urlBytesMax).contains(url.utf8.count),
                url.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
            else {
                throw EventRejection(
                    code: "invalid_target", field: "\(field).webhook",
                    detail: "a URL of at most \(urlBytesMax) bytes, percent-encoded")
            }
            return .webhook(url)
        }
        guard key == "email" else { throw .unknownField(key, of: field, detail: known) }
        guard let address = member.text else { throw .wrongType("\(field).email", "a string") }
        guard isAddress(address) else {
            throw EventRejection(
                code: "invalid_email", field: "\(field).email",
                detail: "a name and a domain with one @ between them, in ASCII")
        }
        return .email(address)
    }

    /// An address that is the same in an envelope and in a header, whoever reads them: atoms with
    /// dots, `@`, and a domain's name (RFC 5321, without quoted names and literals).
    static func isAddress(_ text: String) -> Bool {
        let parts = text.split(separator: "@", omittingEmptySubsequences: false)
        guard parts.count == 2, text.utf8.count <= 254, parts[0].utf8.count <= 64 else {
            return false
        }
        let marks = "!#$%&'*+-/=?^_`{|}~".utf8
        func isAlphanumeric(_ byte: UInt8) -> Bool {
            (0x61...0x7a).contains(byte | 0x20) || (0x30...0x39).contains(byte)
        }
        func atoms(_ text: Substring) -> [Substring] {
            text.split(separator: ".", omittingEmptySubsequences: false)
        }
        let isName = atoms(parts[0]).allSatisfy { atom in
            !atom.isEmpty && atom.utf8.allSatisfy { isAlphanumeric($0) || marks.contains($0) }
        }
        return isName
            && atoms(parts[1]).allSatisfy { label in
                !label.isEmpty && label.utf8.count <= 63 && label.first != "-" && label.last != "-"
                    && label.utf8.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "-") }
            }
    }
}
