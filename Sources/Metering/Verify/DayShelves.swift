// SPDX-License-Identifier: Apache-2.0

internal import JSON

/// The subjects of some days' files, in order, with what they used on all of these days together. Of
/// each file only a piece is in memory.
final class DayShelves {
    /// What files say of a subject.
    struct Line {
        let subject: [UInt8]
        /// The days whose files have it.
        var days: [CivilDay] = []
        var used = UsedAmounts()
    }

    /// The subjects of one file.
    private final class Shelf {
        let day: CivilDay
        private let pieces: SnapshotPieces
        private var isInList = false
        private(set) var subject: [UInt8]?
        private(set) var used = UsedAmounts()

        init(_ file: SnapshotSource.Day) throws {
            day = file.day
            pieces = try SnapshotPieces(file.path)
            try advance()
        }

        func advance() throws {
            while let piece = try pieces.next() {
                switch piece {
                case .list(let name): isInList = name == "subjects"
                case .element(let value) where isInList:
                    guard let subject = value["subject"]?.string, let used = UsedAmounts(value)
                    else { throw pieces.fault("a subject's line is not what a snapshot has") }
                    self.subject = Array(subject)
                    self.used = used
                    return
                default: break
                }
            }
            subject = nil
        }
    }

    private let shelves: [Shelf]
    /// The first subject that was not told yet; nil behind the last one.
    private var first: [UInt8]?

    init(_ files: [SnapshotSource.Day]) throws {
        shelves = try files.sorted { $0.day < $1.day }.map { try Shelf($0) }
        findFirst()
    }

    /// The next subject, unless it comes behind one; nil when there is none.
    func next(through last: [UInt8]?) throws -> Line? {
        guard let first else { return nil }
        if let last, last.lexicographicallyPrecedes(first) { return nil }
        var line = Line(subject: first)
        for shelf in shelves where shelf.subject == first {
            line.days.append(shelf.day)
            line.used.add(shelf.used)
            try shelf.advance()
        }
        findFirst()
        return line
    }

    private func findFirst() {
        first = nil
        for shelf in shelves {
            guard let subject = shelf.subject else { continue }
            if first.map({ subject.lexicographicallyPrecedes($0) }) ?? true { first = subject }
        }
    }
}
