// SPDX-License-Identifier: Apache-2.0

/// A Lua script that Redis runs. Its name is its identity: two scripts of one name are the same.
public struct RedisScript: Sendable, Hashable {
    public let name: String
    public let source: String

    public init(name: String, source: String) {
        self.name = name
        self.source = source
    }

    public static func == (left: RedisScript, right: RedisScript) -> Bool {
        left.name == right.name
    }

    public func hash(into hasher: inout Hasher) { hasher.combine(name) }
}
