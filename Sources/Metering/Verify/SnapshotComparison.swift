// SPDX-License-Identifier: Apache-2.0

internal import JSON

/// Compares two snapshots of the same revision, line by line, in bounded memory: the one on disk is
/// what is expected, the other is what Redis holds.
struct SnapshotComparison {
    private struct Entry {
        let list: String
        let key: [[UInt8]]
        let line: [UInt8]
        let used: UsedAmounts?
    }

    /// The elements of a file, and the members around them.
    private final class Entries {
        private let pieces: SnapshotPieces
        private var list = ""
        private var waiting: String?
        private(set) var next: Entry?
        private(set) var members: [(name: String, text: String)] = []
        /// Whether a version wrote it that knew fewer lists.
        private(set) var isOlder = false

        init(_ path: String) throws {
            pieces = try SnapshotPieces(path)
        }

        /// Goes to the beginning of a list; false when there is no such.
        func enter(_ name: String) throws -> Bool {
            while waiting == nil {
                guard let piece = try pieces.next() else { return false }
                take(piece)
            }
            guard waiting == name else { return false }
            (list, waiting) = (name, nil)
            try advance()
            return true
        }

        func advance() throws {
            guard waiting == nil, let piece = try pieces.next() else {
                next = nil
                return
            }
            guard case .element(let value) = piece else {
                next = nil
                take(piece)
                return
            }
            guard let key = SnapshotElement.key(value, in: list) else {
                throw pieces.fault("a line of \(list) is not what a snapshot has")
            }
            next = Entry(
                list: list, key: key, line: pieces.line, used: UsedAmounts(value))
        }

        func finish() throws {
            while let piece = try pieces.next() { take(piece) }
        }

        private func take(_ piece: SnapshotPieces.Piece) {
            switch piece {
            case .list(let name): waiting = name
            case .members(let value):
                if members.isEmpty {
                    isOlder = value["lists"]?.integer != StateSnapshot.lists.count
                }
                members.append(("", String(decoding: pieces.line, as: UTF8.self)))
            case .text(let name, let text):
                members.append((name, String(decoding: text, as: UTF8.self)))
            case .element: break
            }
        }
    }

    let place: String
    let report: (Difference) -> Void
    /// Takes what differs where the sums of a line agree; nil to report it.
    var otherwise: ((Difference) -> Void)?
    /// Whether a line that only one of them has is one that time alone adds or takes.
    var isPassing: (_ list: String, _ line: [UInt8]) -> Bool = { _, _ in false }

    /// - Parameter lists: the names of the lists, in their order.
    func run(
        _ expected: String, _ found: String, lists: [String], pause: () async throws -> Void
    ) async throws {
        let (left, right) = (try Entries(expected), try Entries(found))
        var count = 0
        for list in lists {
            let (isExpected, isFound) = (try left.enter(list), try right.enter(list))
            if !isExpected, isFound,
                list.hasPrefix("pool") || ["times", "api_keys", "erasures"].contains(list)
            {
                // A file of before there were such lists.
                while right.next != nil { try right.advance() }
                continue
            }
            guard isExpected, isFound else {
                return report(Difference(place, list, expected: "a list", found: "none"))
            }
            while left.next != nil || right.next != nil {
                try compare(left, right)
                count += 1
                if count % 5_000 == 0 { try await pause() }
            }
        }
        try left.finish()
        try right.finish()
        compareMembers(left, right)
    }

    private func compareMembers(_ left: Entries, _ right: Entries) {
        // The first line tells who wrote when.
        let (mine, its) = (left.members.dropFirst(), right.members.dropFirst())
        for name in ["settings", "prices", "limits", "credits", "alerts"] {
            let one = mine.first { $0.name == name }?.text
            let other = its.first { $0.name == name }?.text
            // A file of before settings were written has none.
            if one == other || name == "settings" && left.isOlder { continue }
            report(
                Difference(
                    place, name, expected: one.map(Self.cut) ?? "nothing",
                    found: other.map(Self.cut) ?? "nothing"))
        }
        let unnamed = zip(mine.filter(\.name.isEmpty), its.filter(\.name.isEmpty))
        // How many holds there are changes with time.
        for (one, other) in unnamed
        where one.text != other.text && !one.text.hasPrefix("{\"grant_count\"")
            && !one.text.hasPrefix("\"grant_count\"")
        {
            report(
                Difference(
                    place, "sums", expected: Self.cut(one.text), found: Self.cut(other.text)))
        }
    }

    private func compare(_ left: Entries, _ right: Entries) throws {
        guard let one = left.next else {
            if let other = right.next { tell(nil, other) }
            return try right.advance()
        }
        guard let other = right.next else {
            tell(one, nil)
            return try left.advance()
        }
        if one.key == other.key {
            if one.line != other.line { tell(one, other) }
            try left.advance()
            return try right.advance()
        }
        if SnapshotElement.precedes(one.key, other.key) {
            tell(one, nil)
            try left.advance()
        } else {
            tell(nil, other)
            try right.advance()
        }
    }

    private func tell(_ one: Entry?, _ other: Entry?) {
        guard let entry = one ?? other else { return }
        if one == nil || other == nil, isPassing(entry.list, entry.line) { return }
        let name = "\(entry.list) \(SnapshotElement.name(entry.key))"
        let (mine, its) = (one?.used ?? UsedAmounts(), other?.used ?? UsedAmounts())
        let differences = mine.differences(from: its)
        for difference in differences {
            report(
                Difference(
                    place, "\(difference.name) of \(name)", expected: difference.mine,
                    found: difference.other))
        }
        guard differences.isEmpty else { return }
        func text(_ entry: Entry?) -> String {
            entry.map { Self.cut(String(decoding: $0.line, as: UTF8.self)) } ?? "nothing"
        }
        (otherwise ?? report)(
            Difference(place, name, expected: text(one), found: text(other)))
    }

    private static func cut(_ text: String) -> String {
        text.utf8.count > 400 ? String(text.prefix(400)) + "…" : text
    }
}
