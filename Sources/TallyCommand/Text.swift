// SPDX-License-Identifier: Apache-2.0

/// Small questions about text.
enum Text {
    /// What is wrong with a line whose bytes are no text: anything put in their place could make
    /// different names the same.
    static let notUTF8 = "is not UTF-8"

    /// What is wrong with a row of CSV that has more or fewer cells than its table has columns.
    static func width(_ cells: Int, of columns: Int) -> String {
        "has \(cells) cells, the first line has \(columns)"
    }

    /// The most that is repeated of what was given.
    private static let repeatedBytesMax = 100

    /// The text in quotes, cut where it is long: it may be a whole file that has no quote at its place.
    static func quoted(_ text: some StringProtocol) -> String {
        var (end, bytes) = (text.unicodeScalars.startIndex, 0)
        while end < text.unicodeScalars.endIndex {
            bytes += text.unicodeScalars[end].utf8.count
            guard bytes <= repeatedBytesMax else { return "\"\(text[..<end])…\"" }
            end = text.unicodeScalars.index(after: end)
        }
        return "\"\(text)\""
    }

    /// The text without users and passwords of addresses: any word may be one, put at the wrong place.
    /// What tells how an address is written has none.
    static func withoutPasswords(_ text: String) -> String {
        text.replacing(/:\/\/(?!\[USER:PASSWORD@\]HOST\[)\S*@/, with: "://***@")
    }

    /// The text as a word of a shell.
    static func word(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy { isAlphanumeric($0) || "._:@+-".utf8.contains($0) }
        guard !isPlain || text.isEmpty else { return text }
        return "'\(text.replacing("'", with: "'\\''"))'"
    }

    static func isDigits(_ text: some StringProtocol) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
    }

    /// Digits, and perhaps a point and digits.
    static func isDecimal(_ text: some StringProtocol) -> Bool {
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        return parts.allSatisfy { isDigits(String($0)) }
    }

    static func isAlphanumeric(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
        default: false
        }
    }

    /// A name of a meter: what the service takes.
    static func isMeter(_ text: some StringProtocol) -> Bool {
        guard let first = text.utf8.first, (0x61...0x7a).contains(first) else { return false }
        return text.utf8.count <= 64
            && text.utf8.allSatisfy {
                (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5f
            }
    }

    /// Of the names, the one that the text was probably meant to be.
    static func nearest(to text: String, among names: some Sequence<String>) -> String? {
        let limit = max(1, text.count / 3)
        var best: (name: String, distance: Int)?
        for name in names {
            // A beginning may be meant as an abbreviation (`--red`), or have a tail too many
            // (`redis_url`); a word that is nearer by its letters comes first.
            let isStart =
                min(text.count, name.count) >= 3 && (name.hasPrefix(text) || text.hasPrefix(name))
            let edits = distance(Array(text.utf8), Array(name.utf8))
            let distance = isStart ? min(edits, limit) : edits
            guard distance <= limit else { continue }
            if distance < best?.distance ?? .max { best = (name, distance) }
        }
        return best?.name
    }

    /// " (did you mean --redis?)", or nothing.
    static func hint(_ text: String, among names: some Sequence<String>) -> String {
        nearest(to: text, among: names).map { " (did you mean \($0)?)" } ?? ""
    }

    /// Edits between two words: insertions, deletions, replacements, and neighbours swapped.
    private static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var before: [Int] = []
        var previous = Array(0...right.count)
        for (row, byte) in left.enumerated() {
            var current = [row + 1]
            for (column, other) in right.enumerated() {
                var cost = min(
                    previous[column] + (byte == other ? 0 : 1), previous[column + 1] + 1,
                    current[column] + 1)
                if row > 0, column > 0, byte == right[column - 1], left[row - 1] == other {
                    cost = min(cost, before[column - 1] + 1)
                }
                current.append(cost)
            }
            before = previous
            previous = current
        }
        return previous[right.count]
    }
}
