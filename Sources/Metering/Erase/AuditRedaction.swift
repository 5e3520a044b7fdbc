// SPDX-License-Identifier: Apache-2.0
//
// Only what an act tells of the person goes: that it was done, by whom, and what it told of others stays. So it
// matters where a text stands: a limit may have the name that a person has.

internal import JSON

/// What an act tells of an erased subject, and how it reads without.
struct AuditRedaction {
    /// Behind these segments of a path stands a subject.
    private static let collections: Set<String> = ["subjects", "credits"]
    /// Members that hold who somebody is.
    private static let members: Set<String> = [
        "subject", "guest", "user", "user_id", "assigned_user_id", "username", "email",
        "full_name", "phone",
    ]
    /// Members that hold it in what some routes answer, and something else in what others do.
    private static let membersOfRoutes: [String: Set<String>] = [
        // Of each row.
        "POST /v1/subjects/import": ["id"],
        // Operators name keys as those who have them.
        "POST /v1/keys": ["name"],
    ]

    private static let pools = Array("/api/{provider}/".utf8)

    private let subjects: Set<ByteString>
    /// What else tells who it was.
    private let texts: Set<ByteString>
    /// The same as addresses and phone numbers are compared; others are there for nothing.
    private let emails: Set<ByteString>
    private let phones: Set<ByteString>
    private let anonymous: SubjectID
    private let json: JSONReader

    init(of names: [ByteString], texts: [ByteString], as anonymous: SubjectID) throws {
        subjects = Set(names)
        self.texts = Set(texts)
        emails = Set((names + texts).map { Profile.folded($0) })
        phones = Set(texts.map { Profile.phoneKey($0) }.filter { $0 != .empty })
        self.anonymous = anonymous
        json = try JSONReader()
    }

    /// The fields of an entry of the audit log as they read without the subject; nil when they do not name it.
    func fields(of old: [[UInt8]]) -> [[UInt8]]? {
        var fields: [[UInt8]] = []
        var isChanged = false
        for index in stride(from: 0, to: old.count - 1, by: 2) {
            let (name, value) = (old[index], old[index + 1])
            var new: [UInt8]? = value
            switch String(decoding: name, as: UTF8.self) {
            case "path": new = path(value)
            case "actor": new = actor(value)
            case "before": if erases(value, of: old) { new = nil }
            default: break
            }
            if new != value { isChanged = true }
            if let new { fields += [name, new] }
        }
        return isChanged ? fields : nil
    }

    /// Ids of the events that an act of the audit log is about.
    static func events(in act: [[UInt8]]) -> [ByteString] {
        guard let path = field("path", of: act) else { return [] }
        let parts = path.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        return zip(parts, parts.dropFirst()).filter { $0.0 == Array("events".utf8)[...] }.map {
            ByteString(bytes: decoded($0.1))
        }
    }

    /// Whether an act names the subject.
    func names(_ entry: AuditEntry) -> Bool {
        let act = entry.act.fields
        return fields(of: act) != nil
            || entry.outcome?.after.map { erases(outcome: $0, of: act) } ?? false
    }

    /// Whether what was there after an act is to go.
    func erases(outcome: [UInt8], of act: [[UInt8]]) -> Bool {
        if erases(outcome, of: act) { return true }
        // What a tool said of a key while the subject held it may name it.
        return !outcome.isEmpty && Self.field("route", of: act)?.starts(with: Self.pools) ?? false
            && Self.field("before", of: act).map { erases($0, of: act) } ?? false
    }

    /// Whether some JSON that an act has is to go: all that an act about the subject has, and what names it.
    private func erases(_ text: [UInt8], of act: [[UInt8]]) -> Bool {
        guard !text.isEmpty else { return false }
        if let path = Self.field("path", of: act), self.path(path) != path { return true }
        // What cannot be read may name it.
        guard let value = try? json.read(text) else { return true }
        let route = ["method", "route"].compactMap { Self.field($0, of: act) }
            .map { String(decoding: $0, as: UTF8.self) }.joined(separator: " ")
        return isNamed(in: value, of: "", Self.members.union(Self.membersOfRoutes[route] ?? []))
    }

    private static func field(_ name: StaticString, of act: [[UInt8]]) -> [UInt8]? {
        stride(from: 0, to: act.count - 1, by: 2).first { act[$0] == Array("\(name)".utf8) }
            .map { act[$0 + 1] }
    }

    private func path(_ path: [UInt8]) -> [UInt8] {
        let slash = UInt8(ascii: "/")
        var collection = ""
        let parts = path.split(separator: slash, omittingEmptySubsequences: false).map { part in
            defer { collection = String(decoding: part, as: UTF8.self) }
            let text = ByteString(bytes: Self.decoded(part))
            let isOne =
                Self.collections.contains(collection) && subjects.contains(text)
                || collection == "events" && texts.contains(text)
            return isOne ? anonymous.id.bytes : Array(part)
        }
        return Array(parts.joined(separator: [slash]))
    }

    /// Whoever acts by a token is named by it.
    private func actor(_ actor: [UInt8]) -> [UInt8] {
        let prefix = Array("token:".utf8)
        guard actor.starts(with: prefix),
            subjects.contains(ByteString(bytes: Array(actor.dropFirst(prefix.count))))
        else { return actor }
        return prefix + anonymous.id.bytes
    }

    private static func decoded(_ part: ArraySlice<UInt8>) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = part
        while let byte = rest.popFirst() {
            let digits = String(decoding: rest.prefix(2), as: UTF8.self)
            if byte == UInt8(ascii: "%"), digits.utf8.count == 2,
                let value = UInt8(digits, radix: 16)
            {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return bytes
    }

    private func isNamed(
        in value: JSONValue, of member: String, _ members: Set<String>
    ) -> Bool {
        switch value.kind {
        case .string:
            guard members.contains(member),
                let text = value.string.map({ ByteString(bytes: Array($0)) })
            else { return false }
            return subjects.contains(text) || texts.contains(text)
                || member == "email" && emails.contains(Profile.folded(text))
                || member == "phone" && phones.contains(Profile.phoneKey(text))
        case .number:
            // Applications whose users are numbers tell them so.
            return members.contains(member)
                && value.number.map { subjects.contains(ByteString(bytes: Array($0))) } ?? false
        case .array: return value.elements.contains { isNamed(in: $0, of: member, members) }
        case .object: return value.members.contains { isNamed(in: $1, of: $0.text, members) }
        case .null, .true, .false: return false
        }
    }
}
