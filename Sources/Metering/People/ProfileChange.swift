// SPDX-License-Identifier: Apache-2.0

public import JSON

/// What is to become of the fields of a profile: a JSON merge patch (RFC 7396) of one level.
public struct ProfileChange: Sendable {
    /// What is to become of one field.
    enum Field<Value: Sendable>: Sendable {
        case kept, cleared
        case set(Value)
    }

    var kind = Field<SubjectClass>.kept
    var username = Field<ByteString>.kept
    var email = Field<ByteString>.kept
    var fullName = Field<ByteString>.kept
    var phone = Field<ByteString>.kept
    var role = Field<ByteString>.kept
    var isActive = Field<Bool>.kept
    var isDemo = Field<Bool>.kept
    var createdAt = Field<Timestamp>.kept

    public init() {}

    /// Reads an object of the members of a profile, each one known; null clears. An empty text is
    /// none. `id` may stand there; the caller compares it.
    public init(_ value: JSONValue) throws(EventRejection) {
        guard value.kind == .object else {
            throw .wrongType("", "a profile is a JSON object")
        }
        for (key, member) in value.members {
            let name = key.text
            if name == "id" { continue }
            switch member.kind {
            case .null: try set(name, nil) { .unknownProfileField(key) }
            case .true, .false:
                try set(name, .flag(member.boolean ?? false)) { .unknownProfileField(key) }
            case .string:
                try set(name, .text(member.text ?? "")) { .unknownProfileField(key) }
            case .number, .array, .object:
                try set(name, .other) { .unknownProfileField(key) }
            }
        }
    }

    /// Reads a row of a table by its header; an empty cell clears.
    public init(header: [String], cells: [String]) throws(EventRejection) {
        for (name, cell) in zip(header, cells) where name != "id" {
            let isFlag = name == "active" || name == "demo"
            var value: Value? = cell.isEmpty ? nil : .text(cell)
            if isFlag, !cell.isEmpty {
                switch cell.lowercased() {
                case "true", "1", "yes": value = .flag(true)
                case "false", "0", "no": value = .flag(false)
                default: value = .other
                }
            }
            try set(name, value) { .unknownProfileColumn(name) }
        }
    }

    // MARK: Fields

    private enum Value {
        case text(String)
        case flag(Bool)
        case other
    }

    private mutating func set(
        _ name: String, _ value: Value?, _ unknown: () -> EventRejection
    ) throws(EventRejection) {
        switch name {
        case "kind":
            kind = try Self.text(value, "kind", 16) { (text) throws(EventRejection) in
                guard let kind = SubjectClass(name: text.text) else {
                    throw .invalidProfile("invalid_kind", "kind", "user or guest")
                }
                return kind
            }
        case "username": username = try Self.text(value, "username") { $0 }
        case "email":
            email = try Self.text(value, "email", 254) { (text) throws(EventRejection) in
                guard Self.isEmail(text) else {
                    throw .invalidProfile(
                        "invalid_email", "email", "a name and a domain with one @ between them")
                }
                return text
            }
        case "full_name": fullName = try Self.text(value, "full_name") { $0 }
        case "phone":
            phone = try Self.text(value, "phone", 64) { (text) throws(EventRejection) in
                guard !Profile.phoneKey(text).bytes.isEmpty else {
                    throw .invalidProfile("invalid_phone", "phone", "a number has digits")
                }
                return text
            }
        case "role": role = try Self.text(value, "role", Profile.roleBytesMax) { $0 }
        case "active": isActive = try Self.flag(value, "active")
        case "demo": isDemo = try Self.flag(value, "demo")
        case "created_at":
            createdAt = try Self.text(value, "created_at", 64) { (text) throws(EventRejection) in
                guard let time = Timestamp(text.text) else {
                    throw .invalidProfile(
                        "invalid_timestamp", "created_at",
                        "an instant as RFC 3339 has it, such as 2026-11-21T10:00:00Z")
                }
                return time
            }
        default: throw unknown()
        }
    }

    private static func text<Result>(
        _ value: Value?, _ field: String, _ bytesMax: Int = Profile.textBytesMax,
        _ read: (ByteString) throws(EventRejection) -> Result
    ) throws(EventRejection) -> Field<Result> {
        guard let value else { return .cleared }
        guard case .text(let text) = value else { throw .wrongType(field, "a text, or null") }
        if text.isEmpty { return .cleared }
        let bytes = Array(text.utf8)
        let hasControls = bytes.withUnsafeBufferPointer { $0.hasControls }
        guard bytes.count <= bytesMax, !hasControls else {
            throw .invalidProfile(
                "invalid_value", field, "at most \(bytesMax) bytes without control characters")
        }
        return .set(try read(ByteString(bytes: bytes)))
    }

    private static func flag(_ value: Value?, _ field: String) throws(EventRejection) -> Field<Bool>
    {
        switch value {
        case nil: .cleared
        case .flag(let flag): .set(flag)
        case .text, .other: throw .wrongType(field, "true or false, or null")
        }
    }

    /// What mail systems take is decided by them; this keeps out what is no address for sure.
    private static func isEmail(_ text: ByteString) -> Bool {
        let parts = text.bytes.split(
            separator: UInt8(ascii: "@"), omittingEmptySubsequences: false)
        return parts.count == 2 && parts.allSatisfy { !$0.isEmpty }
            && !text.bytes.contains(UInt8(ascii: " "))
    }

    // MARK: Using it

    /// The profile that it makes of another; of none when `base` is nil.
    func applied(
        to base: Profile?, of subject: SubjectID, at now: Timestamp
    ) throws(EventRejection) -> Profile {
        var profile = base ?? Profile(subject, at: now)
        Self.apply(kind, to: &profile.kind, cleared: subject.kind)
        Self.apply(username, to: &profile.username, cleared: .empty)
        Self.apply(email, to: &profile.email, cleared: .empty)
        Self.apply(fullName, to: &profile.fullName, cleared: .empty)
        Self.apply(phone, to: &profile.phone, cleared: .empty)
        Self.apply(role, to: &profile.role, cleared: Profile.defaultRole)
        Self.apply(isActive, to: &profile.isActive, cleared: true)
        Self.apply(isDemo, to: &profile.isDemo, cleared: false)
        Self.apply(createdAt, to: &profile.createdAt, cleared: profile.createdAt)
        guard profile.kind == .guest || subject.kind == .user else {
            throw .invalidProfile(
                "invalid_kind", "kind",
                "an id that begins with \(SubjectID.guestPrefix) is a guest's")
        }
        if let base, profile == base { return base }
        profile.updatedAt = now
        return profile
    }

    private static func apply<Value>(_ field: Field<Value>, to value: inout Value, cleared: Value) {
        switch field {
        case .kept: break
        case .cleared: value = cleared
        case .set(let new): value = new
        }
    }
}

extension EventRejection {
    fileprivate static let profileMembers =
        "id, kind, username, email, full_name, phone, role, active, demo, created_at"

    fileprivate static func unknownProfileField(_ key: JSONKey) -> Self {
        unknownField(key, detail: "a profile has \(profileMembers)")
    }

    fileprivate static func unknownProfileColumn(_ name: String) -> Self {
        Self(
            status: 400, code: "unknown_field", field: shortened(name.utf8),
            detail: "a profile has \(profileMembers)")
    }

    static func invalidProfile(_ code: String, _ field: String, _ detail: String) -> Self {
        Self(code: code, field: field, detail: detail)
    }
}
