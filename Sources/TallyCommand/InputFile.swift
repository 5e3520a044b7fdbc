// SPDX-License-Identifier: Apache-2.0

internal import CCsv
internal import Glibc

/// A file read piece by piece, without a byte order mark at its start.
final class InputFile {
    private let descriptor: Int32
    private let path: String
    private var isAtStart = true

    init(path: String) throws(ClientError) {
        self.path = path
        var status = stat()
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0, fstat(descriptor, &status) == 0 else {
            throw .input("\(path): \(String(cString: strerror(errno)))")
        }
        guard status.st_mode & S_IFMT != S_IFDIR else { throw .input("\(path): is a folder") }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    /// The next bytes, none at the end.
    func read() throws(ClientError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        var count: Int
        repeat {
            count = Glibc.read(descriptor, &bytes, bytes.count)
        } while count < 0
            && errno == EINTR
        guard count >= 0 else { throw .input("\(path): \(String(cString: strerror(errno)))") }
        bytes.removeLast(bytes.count - count)
        if isAtStart && bytes.starts(with: [0xef, 0xbb, 0xbf]) { bytes.removeFirst(3) }
        isAtStart = false
        return bytes
    }
}

/// The lines of a file; the last one may end without a line break.
final class LineReader {
    private static let limit = 1 << 20
    private let file: InputFile
    private var rest: [UInt8] = []
    private var position = 0
    private var isAtEnd = false
    private var number = 0

    init(_ file: InputFile) {
        self.file = file
    }

    /// The next line that is not blank.
    func next() throws(ClientError) -> (number: Int, bytes: ArraySlice<UInt8>)? {
        while let line = try nextOfAll() {
            if !line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0d }) {
                return (number, line)
            }
        }
        return nil
    }

    private func nextOfAll() throws(ClientError) -> ArraySlice<UInt8>? {
        var searched = position
        while true {
            if let end = rest[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                defer { position = end + 1 }
                number += 1
                return rest[position..<end]
            }
            if isAtEnd {
                defer { position = rest.count }
                number += 1
                return position < rest.count ? rest[position...] : nil
            }
            guard rest.count - position <= Self.limit else {
                throw .input("line \(number + 1) is longer than 1 MiB")
            }
            rest.removeFirst(position)
            position = 0
            searched = rest.count
            let bytes = try file.read()
            isAtEnd = bytes.isEmpty
            rest += bytes
        }
    }
}

/// The rows of a CSV file, through libcsv.
final class CSVReader {
    struct Row: Equatable {
        var line: Int
        var cells: [String]
    }

    /// What the callbacks of libcsv fill.
    private final class Rows {
        var ready: [Row] = []
        var cells: [String] = []
        var start = 1
        var line = 1
        var isAfterReturn = false

        func add(_ cell: UnsafeRawBufferPointer) {
            if isAfterReturn { line += 1 }
            isAfterReturn = false
            if cells.isEmpty { start = line }
            cells.append(String(decoding: cell, as: UTF8.self))
            line += cell.count { $0 == 0x0a }
        }

        /// libcsv reports each CR and each LF; together they are one line break.
        func endLine(_ byte: Int32) {
            if !cells.isEmpty { ready.append(Row(line: start, cells: cells)) }
            cells = []
            if byte == 0x0a {
                line += 1
                isAfterReturn = false
            } else if byte == 0x0d {
                if isAfterReturn { line += 1 }
                isAfterReturn = true
            }
        }
    }

    private let file: InputFile
    private let rows = Rows()
    private var parser = csv_parser()
    private var position = 0
    private var isAtEnd = false

    init(_ file: InputFile) throws(ClientError) {
        self.file = file
        let options = CSV_STRICT | CSV_STRICT_FINI | CSV_REPALL_NL
        guard csv_init(&parser, UInt8(options)) == 0 else { throw .input("out of memory") }
    }

    deinit {
        csv_free(&parser)
    }

    func next() throws(ClientError) -> Row? {
        while position >= rows.ready.count {
            if isAtEnd { return nil }
            rows.ready.removeAll(keepingCapacity: true)
            position = 0
            try fill()
        }
        defer { position += 1 }
        return rows.ready[position]
    }

    private func fill() throws(ClientError) {
        let bytes = try file.read()
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
        isAtEnd = bytes.isEmpty
        let isRead =
            isAtEnd
            ? csv_fini(&parser, onCell, onLine, context) == 0
            : csv_parse(&parser, bytes, bytes.count, onCell, onLine, context) == bytes.count
        guard isRead else {
            throw .input("near line \(rows.line): not CSV: a quote stands where none may be")
        }
    }
}
