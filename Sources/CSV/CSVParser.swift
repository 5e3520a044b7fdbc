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
    /// Whether there is more in it than may be kept; then there are no cells.
    public var isTooLong: Bool

    public init(line: Int, cells: [String], isUTF8: Bool = true, isTooLong: Bool = false) {
        self.line = line
        self.cells = cells
        self.isUTF8 = isUTF8
        self.isTooLong = isTooLong
    }
}

/// Takes CSV apart, through libcsv, as it comes. Spaces and tabs around a cell are no part of it, unless it stands
/// in quotes: RFC 4180 would keep them, but then columns that somebody has aligned, amounts among them, could not
/// be read, and a quote behind a space would end the file.
public final class CSVParser {
    /// The text is no CSV.
    public struct Malformed: Error {
        /// On which line of the file the cell begins that is none.
        public let line: Int
        /// Whether it begins with a quote.
        public let isQuoted: Bool
        /// The rows before it that were not handed over yet.
        public let rows: [CSVRow]
    }

    /// How many times as long as a cell a row may be.
    private static let cellsKept = 16

    /// What the callbacks of libcsv fill.
    private final class Rows {
        var ready: [CSVRow] = []
        var cells: [String] = []
        var isUTF8 = true
        var start = 1
        var line = 1
        var isAfterReturn = false
        /// How many bytes are kept of a row, with one for each of its cells.
        let bytesMax: Int
        var bytes = 0
        /// How many line breaks were in what was cut off the cell that is read; nil when nothing was.
        var cutLines: Int?

        init(bytesMax: Int) { self.bytesMax = bytesMax }

        /// Where the cell begins that is read.
        var cellLine: Int { line + (isAfterReturn ? 1 : 0) }

        func add(_ cell: UnsafeRawBufferPointer) {
            line = cellLine
            isAfterReturn = false
            if bytes == 0 { start = line }
            line += cell.count { $0 == 0x0a } + (cutLines ?? 0)
            bytes += cell.count + 1
            guard bytes <= bytesMax else {
                cells = []
                cutLines = nil
                return
            }
            // Where it was cut, there may be a part of a letter.
            let text =
                cutLines == nil
                ? String(validating: cell, as: UTF8.self) : String(decoding: cell, as: UTF8.self)
            if text == nil { isUTF8 = false }
            cells.append(text ?? "")
            cutLines = nil
        }

        /// libcsv reports each CR and each LF; together they are one line break.
        func endLine(_ byte: Int32) {
            if bytes > 0 {
                ready.append(
                    CSVRow(
                        line: start, cells: isUTF8 ? cells : [], isUTF8: isUTF8,
                        isTooLong: bytes > bytesMax))
            }
            cells = []
            bytes = 0
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

    private let rows: Rows
    private let cellBytesMax: Int?
    private var parser = csv_parser()

    /// Nil when there is no memory.
    ///
    /// - Parameter cellBytesMax: of a longer cell only the start is kept, but more bytes than these, however long it
    ///   is; a row of several such cells has none. Nil where the text is in memory already.
    public init?(cellBytesMax: Int? = nil) {
        self.cellBytesMax = cellBytesMax
        rows = Rows(bytesMax: cellBytesMax.map { $0 * Self.cellsKept } ?? .max)
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
        defer { rows.ready.removeAll(keepingCapacity: true) }
        guard isRead else {
            throw Malformed(line: rows.cellLine, isQuoted: parser.quoted != 0, rows: rows.ready)
        }
        if let cellBytesMax { cut(cellBytesMax) }
        return rows.ready
    }

    /// Forgets what is in the middle of a long cell that is read: a quote that nobody closes would bring the whole
    /// file into memory. Its end stays, which libcsv takes off when the cell ends: spaces, and the quote before them.
    private func cut(_ limit: Int) {
        guard parser.entry_pos > 3 * limit, let buffer = parser.entry_buf else { return }
        let spaces = min(parser.spaces, limit)
        let end = parser.entry_pos - parser.spaces
        let kept = min(end, limit + 2)
        if kept < end {
            let dropped = UnsafeBufferPointer(start: buffer + kept - 1, count: end - kept)
            rows.cutLines = (rows.cutLines ?? 0) + dropped.count { $0 == 0x0a }
            buffer[kept - 1] = buffer[end - 1]
        }
        (buffer + kept).update(repeating: 0x20, count: spaces)
        parser.spaces = spaces
        parser.entry_pos = kept + spaces
    }
}
