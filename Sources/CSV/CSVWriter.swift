// SPDX-License-Identifier: Apache-2.0

internal import CCsv

/// Writes rows as RFC 4180 says: CR LF at the end of each, quotes doubled. Text stands in quotes,
/// numbers do not.
///
/// A spreadsheet takes text that begins like a formula for one, and runs it: such text gets a `'`
/// before it, which spreadsheets do not show.
public struct CSVWriter: Sendable {
    /// What was written so far.
    public private(set) var bytes: [UInt8] = []
    private var isAtStart = true

    public init() {}

    /// Empties the writer and keeps its buffer.
    public mutating func removeAll() { bytes.removeAll(keepingCapacity: true) }

    /// A cell without a value.
    public mutating func none() { separate() }

    /// A cell of a number or a time: written as it is, so it must hold no comma, quote or line break.
    public mutating func plain(_ text: some Sequence<UInt8>) {
        separate()
        bytes.append(contentsOf: text)
    }

    /// A cell of any text.
    public mutating func text(_ text: [UInt8]) {
        separate()
        let cell = Self.isFormula(text) ? [UInt8(ascii: "'")] + text : text
        // Quotes around it, and each quote within it twice, are all that it can grow by.
        bytes.append(addingCapacity: 2 * cell.count + 2) { span in
            span.withUnsafeMutableBufferPointer { memory, count in
                count += csv_write(
                    memory.baseAddress.map { $0 + count }, memory.count - count, cell, cell.count)
            }
        }
    }

    public mutating func endRow() {
        bytes.append(contentsOf: [UInt8(ascii: "\r"), UInt8(ascii: "\n")])
        isAtStart = true
    }

    private mutating func separate() {
        if !isAtStart { bytes.append(UInt8(ascii: ",")) }
        isAtStart = false
    }

    /// Whether a spreadsheet may take text for a formula. Some leave blanks at its start out, and
    /// some know the full-width forms of the signs (U+FF0B, U+FF0D, U+FF1D, U+FF20), too.
    static func isFormula(_ text: [UInt8]) -> Bool {
        let text = text.drop { $0 == 0x20 }
        switch text.first {
        case UInt8(ascii: "="), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "@"), 0x09, 0x0a,
            0x0d:
            return true
        case 0xef:
            return [[0xbc, 0x8b], [0xbc, 0x8d], [0xbc, 0x9d], [0xbc, 0xa0]].contains {
                text.dropFirst().starts(with: $0)
            }
        default: return false
        }
    }
}
