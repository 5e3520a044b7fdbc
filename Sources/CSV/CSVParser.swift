// SPDX-License-Identifier: Apache-2.0

internal import CCsv

/// A row of a CSV file.
public struct CSVRow: Equatable, Sendable {
    /// On which line of the file it begins, from 1.
    public var line: Int
    /// None when the row is not UTF-8: put right, different cells could become the same.
    public var cells: [String]
    /// Whether all cells are UTF-8.
    public var isUTF8: Bool

    public init(line: Int, cells: [String], isUTF8: Bool = true) {
        self.line = line
        self.cells = cells
        self.isUTF8 = isUTF8
    }
}

/// Takes CSV apart, through libcsv, as it comes. Spaces and tabs around a cell are no part of it, unless it stands
/// in quotes: RFC 4180 would keep them, but then columns that somebody has aligned, amounts among them, could not
/// be read, and a quote behind a space would end the file.
public final class CSVParser {
    /// The text is no CSV.
    public struct Malformed: Error {
        /// Near which line of the file.
        public let line: Int
    }

    /// What the callbacks of libcsv fill.
    private final class Rows {
        var ready: [CSVRow] = []
        var cells: [String] = []
        var isUTF8 = true
        var start = 1
        var line = 1
        var isAfterReturn = false

        func add(_ cell: UnsafeRawBufferPointer) {
            if isAfterReturn { line += 1 }
            isAfterReturn = false
            if cells.isEmpty { start = line }
            let text = String(validating: cell, as: UTF8.self)
            if text == nil { isUTF8 = false }
            cells.append(text ?? "")
            line += cell.count { $0 == 0x0a }
        }

        /// libcsv reports each CR and each LF; together they are one line break.
        func endLine(_ byte: Int32) {
            if !cells.isEmpty {
                ready.append(CSVRow(line: start, cells: isUTF8 ? cells : [], isUTF8: isUTF8))
            }
            cells = []
            isUTF8 = true
            if byte == 0x0a {
                line += 1
                isAfterReturn = false
            } else if byte == 0x0d {
                if isAfterReturn { line += 1 }
                isAfterReturn = true
            }
        }
    }

    private let rows = Rows()
    private var parser = csv_parser()

    /// Nil when there is no memory.
    public init?() {
        let options = CSV_STRICT | CSV_STRICT_FINI | CSV_REPALL_NL
        guard csv_init(&parser, UInt8(options)) == 0 else { return nil }
    }

    deinit { csv_free(&parser) }

    /// Takes the next bytes, none at the end.
    ///
    /// - Returns: the rows that are whole now.
    public func rows(_ bytes: [UInt8]) throws(Malformed) -> [CSVRow] {
        let context = Unmanaged.passUnretained(rows).toOpaque()
        let onCell:
            @convention(c) (UnsafeMutableRawPointer?, Int, UnsafeMutableRawPointer?) -> Void =
                { cell, count, context in
                    guard let context else { return }
                    Unmanaged<Rows>.fromOpaque(context).takeUnretainedValue()
                        .add(UnsafeRawBufferPointer(start: cell, count: count))
                }
        let onLine: @convention(c) (Int32, UnsafeMutableRawPointer?) -> Void = { byte, context in
            guard let context else { return }
            Unmanaged<Rows>.fromOpaque(context).takeUnretainedValue().endLine(byte)
        }
        let isRead =
            bytes.isEmpty
            ? csv_fini(&parser, onCell, onLine, context) == 0
            : csv_parse(&parser, bytes, bytes.count, onCell, onLine, context) == bytes.count
        guard isRead else { throw Malformed(line: rows.line) }
        defer { rows.ready.removeAll(keepingCapacity: true) }
        return rows.ready
    }
}
