// SPDX-License-Identifier: Apache-2.0

internal import Foundation

/// Behind which value and subject a leaderboard goes on.
///
/// Who has passed or left between two pages is told as it is then; nobody who stays is left out.
public struct LeaderboardCursor: Sendable, Equatable {
    /// 1 to 2^53 − 1.
    public let value: Int
    public let subject: ByteString

    init(value: Int, subject: ByteString) {
        self.value = value
        self.subject = subject
    }

    /// Reads the text of a cursor; nil when it is none.
    public init?(_ text: String) {
        guard text.utf8.count <= 600 else { return nil }
        var base64 = text.replacing("-", with: "+").replacing("_", with: "/")
        base64 += String(repeating: "=", count: (4 - base64.utf8.count % 4) % 4)
        guard let bytes = Data(base64Encoded: base64).map({ Array($0) }),
            let colon = bytes.firstIndex(of: UInt8(ascii: ":")),
            let value = Int(String(decoding: bytes[..<colon], as: UTF8.self)),
            (1...EventBatch.exactIntegerMax).contains(value),
            let id = String(validating: bytes[(colon + 1)...], as: UTF8.self),
            let subject = SubjectID(existing: id)
        else { return nil }
        self.init(value: value, subject: subject.id)
        // In one spelling only.
        guard self.text == text else { return nil }
    }

    /// It as a text of letters, digits, `-` and `_`.
    public var text: String {
        Data(Array("\(value):".utf8) + subject.bytes).base64EncodedString()
            .replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }
}

/// A part of a leaderboard.
public struct LeaderboardPage: Sendable {
    /// The days that it covers; nil for all there are.
    public let days: ClosedRange<CivilDay>?
    public let entries: [LeaderboardEntry]
    /// Rank of the first entry, counted from 1.
    public let firstRank: Int
    /// Where it goes on; nil at the end.
    public let next: LeaderboardCursor?
    /// What could not be read, and is not counted.
    public let warnings: [String]

    init(_ part: BoardPart, limit: Int, _ days: ClosedRange<CivilDay>?, _ warnings: [String]) {
        self.days = days
        self.warnings = warnings
        entries = Array(part.entries.prefix(limit))
        firstRank = part.first + 1
        next =
            part.entries.count > limit
            ? entries.last.map { LeaderboardCursor(value: $0.value, subject: $0.subject) } : nil
    }
}

/// Where a subject stands on a leaderboard.
public struct LeaderboardPlace: Sendable {
    /// The days that it covers; nil for all there are.
    public let days: ClosedRange<CivilDay>?
    /// Counted from 1.
    public let rank: Int
    public let value: Int
    /// By how much the next above has more; nil for the first.
    public let gap: Int?
    /// How many subjects are ranked.
    public let count: Int
    /// Those before it and behind it, in the order of their ranks.
    public let above: [LeaderboardEntry]
    public let below: [LeaderboardEntry]
    /// What could not be read, and is not counted.
    public let warnings: [String]

    /// Nil when the subject is not ranked. A subject must have been asked for with a neighbour at
    /// least, of which more than `neighbours` are not told.
    init?(
        _ part: BoardPart, neighbours: Int, _ days: ClosedRange<CivilDay>?, _ warnings: [String]
    ) {
        guard let index = part.index, part.entries.indices.contains(index - part.first) else {
            return nil
        }
        let place = index - part.first
        let before = part.entries[..<place]
        self.days = days
        self.warnings = warnings
        rank = index + 1
        value = part.entries[place].value
        gap = before.last.map { [value] in $0.value - value }
        count = part.count
        above = Array(before.suffix(neighbours))
        below = Array(part.entries[(place + 1)...].prefix(neighbours))
    }
}
