// SPDX-License-Identifier: Apache-2.0

internal import FoundationEssentials

/// Finds the keys of a JSON5 object that is known to be well formed, with their lines.
///
/// Only the outermost object's: its values are flat, so nothing deeper can be valid anyway.
struct KeyScanner {
    private let bytes: [UInt8]
    private var position = 0
    private var line = 1

    init(_ text: String) {
        bytes = Array(text.utf8)
    }

    mutating func keys() -> [(name: String, line: Int)] {
        var keys: [(name: String, line: Int)] = []
        var depth = 0
        var word: (text: [UInt8], line: Int)?
        while position < bytes.count {
            let byte = bytes[position]
            switch byte {
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
            case UInt8(ascii: "/"):
                skipComment()
                continue
            case UInt8(ascii: "\""), UInt8(ascii: "'"):
                let start = line
                word = (quoted(byte), start)
                continue
            case UInt8(ascii: ":"):
                if depth == 1, let word {
                    keys.append((Self.decoded(word.text), word.line))
                }
                word = nil
            case UInt8(ascii: ","): word = nil
            case UInt8(ascii: "\n"): line += 1
            case 0x00...0x20: break
            default:
                word = (bare(), line)
                continue
            }
            position += 1
        }
        return keys
    }

    private mutating func skipComment() {
        let isBlock = position + 1 < bytes.count && bytes[position + 1] == UInt8(ascii: "*")
        position += 2
        while position < bytes.count {
            if bytes[position] == UInt8(ascii: "\n") {
                if !isBlock { return }
                line += 1
            }
            position += 1
            let isEnd =
                position < bytes.count && bytes[position - 1] == UInt8(ascii: "*")
                && bytes[position] == UInt8(ascii: "/")
            if isBlock && isEnd {
                position += 1
                return
            }
        }
    }

    private mutating func quoted(_ quote: UInt8) -> [UInt8] {
        let start = position
        position += 1
        while position < bytes.count, bytes[position] != quote {
            if bytes[position] == UInt8(ascii: "\n") { line += 1 }
            position += bytes[position] == UInt8(ascii: "\\") ? 2 : 1
        }
        position += 1
        return Array(bytes[start..<min(position, bytes.count)])
    }

    private mutating func bare() -> [UInt8] {
        let start = position
        while position < bytes.count, bytes[position] > 0x20,
            !":,/{}[]".utf8.contains(bytes[position])
        {
            position += 1
        }
        // At least one byte, or the scan would stand still.
        position = max(position, start + 1)
        return Array(bytes[start..<position])
    }

    /// The key that a word spells: with quotes, with escapes, or as it stands.
    private static func decoded(_ word: [UInt8]) -> String {
        let decoder = JSONDecoder()
        decoder.allowsJSON5 = true
        if let quote = word.first, quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'") {
            return (try? decoder.decode(String.self, from: Data(word)))
                ?? String(decoding: word, as: UTF8.self)
        }
        return String(decoding: word, as: UTF8.self)
    }
}
