// SPDX-License-Identifier: Apache-2.0

internal import Foundation

/// By what profiles are in order.
public enum ProfileOrder: String, Sendable, CaseIterable {
    /// By id, as bytes.
    case id
    /// By e-mail, in lower case, as bytes; those without one first; equal ones by id.
    case email
    /// As `email`.
    case username
    /// The oldest first, equal ones by id.
    case createdAt = "created_at"

    /// What stands before the subject in its members: lua/list_people.lua.
    var rule: String {
        switch self {
        case .id: "nothing"
        case .email, .username: "text"
        case .createdAt: "time"
        }
    }

    /// What a cursor begins with; a capital for the order backwards.
    fileprivate func letter(isDescending: Bool) -> UInt8 {
        let letter =
            switch self {
            case .id: UInt8(ascii: "i")
            case .email: UInt8(ascii: "e")
            case .username: UInt8(ascii: "u")
            case .createdAt: UInt8(ascii: "c")
            }
        return isDescending ? letter - 32 : letter
    }
}

/// A place in an order of profiles: behind one of them, also when it has gone since.
public struct ProfileCursor: Sendable, Equatable {
    let order: ProfileOrder
    let isDescending: Bool
    /// A member of the order.
    let member: [UInt8]

    init(_ order: ProfileOrder, isDescending: Bool = false, _ member: [UInt8]) {
        self.order = order
        self.isDescending = isDescending
        self.member = member
    }

    /// Reads what `text` wrote for a list in this order and direction; nil for anything else.
    public init?(_ text: String, of order: ProfileOrder, isDescending: Bool = false) {
        guard text.utf8.count <= 1024 else { return nil }
        var plain = text.replacing("-", with: "+").replacing("_", with: "/")
        while plain.utf8.count % 4 != 0 { plain += "=" }
        guard let bytes = Data(base64Encoded: plain).map({ Array($0) }), bytes.count > 1,
            bytes[0] == order.letter(isDescending: isDescending)
        else { return nil }
        self.init(order, isDescending: isDescending, Array(bytes.dropFirst()))
        // In one spelling only.
        guard self.text == text else { return nil }
    }

    /// It as a text of letters, digits, `-` and `_`.
    public var text: String {
        Data([order.letter(isDescending: isDescending)] + member).base64EncodedString()
            .replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }
}

/// Which profiles to list; all, but for what is named.
public struct ProfileFilter: Sendable {
    public var kind: SubjectClass?
    public var role: String?
    public var isActive: Bool?
    public var isDemo: Bool?
    /// A part of the id, a name, the e-mail (whatever the case) or of the phone number's digits.
    public var text: String?
    /// Those whose last event was before it, or who had none.
    public var inactiveSince: Timestamp?
    /// The one of this e-mail, whatever the case.
    public var email: String?
    /// The one of this phone number.
    public var phone: String?

    public init() {}

    /// Makes what asks the same of every profile once.
    func test() -> (Profile, _ lastEvent: Int) -> Bool {
        let part = text.map { Profile.folded(ByteString($0)) }
        let email = email.map { Profile.folded(ByteString($0)) }
        let phone = phone.map { Profile.phoneKey(ByteString($0)) }
        let role = role.map { ByteString($0) }
        return { [self] profile, last in
            if let kind, profile.kind != kind { return false }
            if let role, profile.role != role { return false }
            if let isActive, profile.isActive != isActive { return false }
            if let isDemo, profile.isDemo != isDemo { return false }
            if let inactiveSince, last >= inactiveSince.milliseconds, last > 0 { return false }
            if let email, Profile.folded(profile.email) != email { return false }
            if let phone, Profile.phoneKey(profile.phone) != phone { return false }
            if let part, !profile.mentions(part) { return false }
            return true
        }
    }
}

/// Some profiles of a list.
public struct ProfilePage: Sendable {
    public let profiles: [Profile]
    /// Where the next ones begin; nil when there are no more. A page may have few profiles, or none,
    /// and a next one all the same: reading ends after a while, wherever it is.
    public let next: ProfileCursor?
}
