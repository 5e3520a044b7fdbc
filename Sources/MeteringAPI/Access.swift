// SPDX-License-Identifier: Apache-2.0

internal import Identity

/// Which roles a route is for.
struct Access: Sendable, Hashable {
    private let roles: UInt8

    private init(_ roles: Role...) {
        self.roles = roles.reduce(0) { $0 | $1.bit }
    }

    /// Anybody, without a key.
    static let open = Access()
    static let `operator` = Access(.operator)
    static let admin = Access(.operator, .admin)
    static let writer = Access(.operator, .admin, .writer)
    static let reader = Access(.operator, .admin, .writer, .reader)
    /// Readers, and end users for what is their own: the first parameter of the path, where there
    /// is one, is then the subject itself.
    static let oneself = Access(.operator, .admin, .writer, .reader, .oneself)
    /// As `oneself`, and guests.
    static let anyone = Access(.operator, .admin, .writer, .reader, .oneself, .guest)
    /// Back ends, and end users and guests who record what they do themselves.
    static let recorder = Access(.operator, .admin, .writer, .oneself, .guest)
    /// Back ends, and end users for themselves.
    static let holder = Access(.operator, .admin, .writer, .oneself)

    /// End users alone.
    static let user = Access(.oneself)
    /// Administrators, and end users for what is their own.
    static let owner = Access(.operator, .admin, .oneself)

    func includes(_ role: Role) -> Bool { roles & role.bit != 0 }

    /// The roles it is for.
    var names: [String] { Role.allCases.filter { includes($0) }.map(\.rawValue) }
}

extension Role {
    fileprivate var bit: UInt8 {
        switch self {
        case .operator: 1
        case .admin: 2
        case .writer: 4
        case .reader: 8
        case .oneself: 16
        case .guest: 32
        }
    }
}
