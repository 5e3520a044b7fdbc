// SPDX-License-Identifier: Apache-2.0

/// Who a subject is. Texts are empty where nothing is known.
public struct Profile: Sendable, Equatable {
    /// The longest text, and the longest role, in bytes of UTF-8.
    public static let textBytesMax = 256
    public static let roleBytesMax = 64
    /// What a subject without another role has.
    public static let defaultRole = ByteString("user")

    public let subject: SubjectID
    public internal(set) var kind: SubjectClass
    public internal(set) var username = ByteString.empty
    /// As it was given; found and compared in lower case.
    public internal(set) var email = ByteString.empty
    public internal(set) var fullName = ByteString.empty
    /// As it was given; found and compared by its digits and a leading `+`.
    public internal(set) var phone = ByteString.empty
    public internal(set) var role = Profile.defaultRole
    public internal(set) var isActive = true
    /// Whether it is never counted, ranked or billed.
    public internal(set) var isDemo = false
    public internal(set) var createdAt: Timestamp
    public internal(set) var updatedAt: Timestamp

    init(_ subject: SubjectID, at now: Timestamp) {
        self.subject = subject
        kind = subject.kind
        (createdAt, updatedAt) = (now, now)
    }
}

extension Profile {
    /// Makes two texts one that differ in case only. What an order holds keeps the result, so that
    /// another version of Unicode does not lose it.
    static func folded(_ text: ByteString) -> ByteString { ByteString(text.text.lowercased()) }

    /// A phone number by which it is found: its digits (0 to 9), and a `+` before them. Empty when
    /// there are none.
    static func phoneKey(_ text: ByteString) -> ByteString {
        let digits = text.bytes.filter { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        let first = text.bytes.first { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "(") }
        guard !digits.isEmpty else { return .empty }
        return ByteString(bytes: first == UInt8(ascii: "+") ? [UInt8(ascii: "+")] + digits : digits)
    }

    /// What tells who it is, besides the id.
    var identifyingTexts: [ByteString] {
        [username, email, fullName, phone].filter { $0 != .empty }
    }

    /// Whether a text, in lower case, is part of one of the names.
    func mentions(_ text: ByteString) -> Bool {
        let phone = Self.phoneKey(self.phone)
        return [subject.id, username, email, fullName].contains {
            Self.folded($0).contains(text)
        } || phone.contains(text)
    }

    // MARK: As Redis keeps it

    /// In the order of lua/include/profile_fields.lua.
    func pack(_ writer: MessagePackWriter) -> [UInt8] {
        writer.array(13)
        writer.integer(kind.rawValue)
        writer.integer(isActive ? 1 : 0)
        writer.integer(isDemo ? 1 : 0)
        writer.integer(createdAt.milliseconds)
        writer.integer(updatedAt.milliseconds)
        writer.string(role.bytes)
        writer.string(username.bytes)
        writer.string(Self.folded(username).bytes)
        writer.string(email.bytes)
        writer.string(Self.folded(email).bytes)
        writer.string(phone.bytes)
        writer.string(Self.phoneKey(phone).bytes)
        writer.string(fullName.bytes)
        return writer.take()
    }

    /// Nil when it is damaged.
    init?(_ subject: SubjectID, packed: [UInt8]) {
        guard let fields = MessagePackValue(packed)?.array, fields.count == 13,
            let kind = fields[0].integer.flatMap({ SubjectClass(rawValue: $0) }),
            let active = fields[1].integer, let demo = fields[2].integer,
            let created = fields[3].integer, let updated = fields[4].integer
        else { return nil }
        let texts = fields.dropFirst(5).compactMap { $0.bytes.map { ByteString(bytes: $0) } }
        guard texts.count == 8 else { return nil }
        self.subject = subject
        self.kind = kind
        (isActive, isDemo) = (active == 1, demo == 1)
        createdAt = Timestamp(milliseconds: created)
        updatedAt = Timestamp(milliseconds: updated)
        (role, username, email, phone, fullName) = (
            texts[0], texts[1], texts[3], texts[5], texts[7]
        )
    }
}

extension ByteString {
    /// Whether the other is a part of it. O(bytes of both multiplied), of short texts.
    fileprivate func contains(_ other: ByteString) -> Bool {
        guard let first = other.bytes.first else { return true }
        guard bytes.count >= other.bytes.count else { return false }
        return (0...bytes.count - other.bytes.count).contains { start in
            bytes[start] == first && bytes[start...].starts(with: other.bytes)
        }
    }
}

extension SubjectClass {
    /// As it is told.
    public var name: String {
        switch self {
        case .user: "user"
        case .guest: "guest"
        }
    }

    /// Reads what `name` tells; nil for anything else.
    public init?(name: String) {
        switch name {
        case "user": self = .user
        case "guest": self = .guest
        default: return nil
        }
    }
}
