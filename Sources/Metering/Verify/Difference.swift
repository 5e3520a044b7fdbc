// SPDX-License-Identifier: Apache-2.0

/// Something that is not what it should be, or two things that do not agree.
public struct Difference: Sendable, Hashable, CustomStringConvertible {
    /// What it is about: `day 2026-11-21`, `account user-7`, the path of a file.
    public let place: String
    /// What of it: `tokens of user-7`, `checksum`.
    public let what: String
    public let expected: String
    public let found: String

    init(_ place: String, _ what: String, expected: String, found: String) {
        (self.place, self.what, self.expected, self.found) = (place, what, expected, found)
    }

    init(_ place: String, _ what: String, expected: Int, found: Int) {
        self.init(place, what, expected: "\(expected)", found: "\(found)")
    }

    /// `PLACE: WHAT: expected E, found F`, in one line once control characters are escaped.
    public var description: String { "\(place): \(what): expected \(expected), found \(found)" }
}
