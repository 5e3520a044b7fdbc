// SPDX-License-Identifier: Apache-2.0

/// An outside service whose API keys a pool holds: 1 to 32 of `a-z`, `0-9` and `-`.
public struct PoolProvider: Hashable, Sendable {
    public let name: String

    /// First segments of other paths below `/api`: such a provider could not be reached.
    private static let reserved = ["tool", "user", "users", "usage", "v1"]

    /// Nil when the name is none of a provider, or one of `tool`, `user`, `users`, `usage`, `v1`.
    public init?(_ name: String) {
        let isAllowed = name.utf8.allSatisfy { byte in
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                || byte == UInt8(ascii: "-")
        }
        guard isAllowed, (1...32).contains(name.utf8.count), !Self.reserved.contains(name) else {
            return nil
        }
        self.name = name
    }

    /// A name that was valid when it was stored.
    init(stored: String) { name = stored }
}
