// SPDX-License-Identifier: Apache-2.0

internal import CSV
internal import Glibc

/// A file read piece by piece, without a byte order mark at its start.
final class InputFile {
    private static let mark: [UInt8] = [0xef, 0xbb, 0xbf]
    /// How files begin that are often taken for text, and what to do with them.
    private static let others: [(start: [UInt8], problem: String)] = [
        ([0x1f, 0x8b], "is gzip: unpack it first"),
        ([0xff, 0xfe], "is UTF-16: convert it to UTF-8"),
        ([0xfe, 0xff], "is UTF-16: convert it to UTF-8"),
    ]
    private let descriptor: Int32
    let path: String
    /// No pipe or device, whose name says nothing of what comes.
    let isRegular: Bool
    /// What was read last, of all.
    private(set) var lastByte: UInt8?
    private var isAtStart = true

    init(path: String) throws(ClientError) {
        self.path = path
        var status = stat()
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0, fstat(descriptor, &status) == 0 else {
            throw .input("\(path): \(String(cString: strerror(errno)))")
        }
        isRegular = status.st_mode & S_IFMT == S_IFREG
        guard status.st_mode & S_IFMT != S_IFDIR else { throw .input("\(path): is a folder") }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    /// The next bytes, none at the end.
    func read() throws(ClientError) -> [UInt8] {
        var bytes = try piece()
        guard isAtStart else { return bytes }
        isAtStart = false
        // A pipe may bring a mark in parts.
        let starts = [Self.mark] + Self.others.map(\.start)
        while starts.contains(where: { $0.count > bytes.count && $0.starts(with: bytes) }) {
            let next = try piece()
            if next.isEmpty { return bytes }
            bytes += next
        }
        if let other = Self.others.first(where: { bytes.starts(with: $0.start) }) {
            throw .input("\(path): \(other.problem)")
        }
        guard bytes.starts(with: Self.mark) else { return bytes }
        bytes.removeFirst(Self.mark.count)
        return bytes.isEmpty ? try piece() : bytes
    }

    private func piece() throws(ClientError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        var count: Int
        repeat {
            count = Glibc.read(descriptor, &bytes, bytes.count)
        } while count < 0
            && errno == EINTR
        guard count >= 0 else { throw .input("\(path): \(String(cString: strerror(errno)))") }
        bytes.removeLast(bytes.count - count)
        lastByte = bytes.last ?? lastByte
        return bytes
    }
}

/// The lines of a file; the last one may end without a line break.
final class LineReader {
    struct Line {
        let number: Int
        /// Nil when there are more than the limit.
        let bytes: ArraySlice<UInt8>?
    }

    /// What is wrong with a line without bytes, and with a row of CSV that makes such a line.
    static let tooLong = "is longer than 1 MiB"
    static let bytesMax = 1 << 20
    private let file: InputFile
    private var rest: [UInt8] = []
    private var position = 0
    private var isAtEnd = false
    private var number = 0

    init(_ file: InputFile) {
        self.file = file
    }

    /// The next line that is not blank.
    func next() throws(ClientError) -> Line? {
        while let line = try nextOfAll() {
            let isBlank = line.bytes?.allSatisfy { $0 == 0x20 || $0 == 0x09 || $0 == 0x0d }
            if isBlank != true { return line }
        }
        return nil
    }

    private func nextOfAll() throws(ClientError) -> Line? {
        var searched = position
        var isTooLong = false
        while true {
            if let end = rest[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                defer { position = end + 1 }
                return line(rest[position..<end], isTooLong)
            }
            if isAtEnd {
                defer { position = rest.count }
                return position < rest.count || isTooLong ? line(rest[position...], isTooLong) : nil
            }
            if rest.count - position > Self.bytesMax {
                // Nothing of it is kept: a file may be one line.
                isTooLong = true
                position = rest.count
            }
            rest.removeFirst(position)
            position = 0
            searched = rest.count
            let bytes = try file.read()
            isAtEnd = bytes.isEmpty
            rest += bytes
        }
    }

    private func line(_ bytes: ArraySlice<UInt8>, _ isTooLong: Bool) -> Line {
        number += 1
        return Line(
            number: number, bytes: isTooLong || bytes.count > Self.bytesMax ? nil : bytes)
    }
}

/// The rows of a CSV file.
final class CSVReader {
    struct Row: Equatable {
        var line: Int
        var cells: [String] = []
        /// Why it has no cells.
        var problem: String?
    }

    private let file: InputFile
    private let parser: CSVParser
    private var rows: [CSVRow] = []
    private var position = 0
    private var isAtEnd = false
    /// Where the file stops being CSV, told behind the rows before it.
    private var fault: Row?

    init(_ file: InputFile) throws(ClientError) {
        self.file = file
        guard let parser = CSVParser(cellBytesMax: LineReader.bytesMax) else {
            throw .input("out of memory")
        }
        self.parser = parser
    }

    /// The names of the columns, in the first row.
    func header() throws(ClientError) -> [String]? {
        guard let row = try next() else { return nil }
        if let problem = row.problem { throw .input("\(file.path): line \(row.line) \(problem)") }
        return row.cells
    }

    func next() throws(ClientError) -> Row? {
        while position >= rows.count {
            if isAtEnd {
                defer { fault = nil }
                return fault
            }
            position = 0
            let bytes = try file.read()
            isAtEnd = bytes.isEmpty
            do throws(CSVParser.Malformed) {
                rows = try parser.rows(bytes)
            } catch {
                rows = error.rows
                isAtEnd = true
                fault = Row(line: error.line, problem: error.isQuoted ? Self.unclosed : Self.stray)
            }
        }
        defer { position += 1 }
        let row = rows[position]
        let problem =
            row.isTooLong ? LineReader.tooLong : row.isUTF8 ? nil : Text.notUTF8
        return Row(line: row.line, cells: row.cells, problem: problem)
    }

    private static let unclosed =
        "begins a cell in quotes that does not end where a cell may: close it, " + advice
    private static let stray =
        "has a quote in a cell that begins without one: put the cell in quotes, " + advice
    private static let advice = "and write each quote in it twice. Nothing from here on was read"
}
