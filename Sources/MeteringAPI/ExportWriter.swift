// SPDX-License-Identifier: Apache-2.0

internal import CSV
internal import HTTPServer
internal import Identity
internal import JSON
internal import Metering

/// The forms that an export can have.
enum ExportFormat: String {
    case csv, json, ndjson

    var contentType: String {
        switch self {
        // RFC 4180 names both parameters.
        case .csv: "text/csv; charset=utf-8; header=present"
        case .json: "application/json"
        case .ndjson: "application/x-ndjson"
        }
    }

    /// Reads `format`; CSV when it is not given.
    init(_ query: QueryParameters) throws(HTTPProblem) {
        guard let format = ExportFormat(rawValue: query.text("format") ?? "csv") else {
            throw .badRequest("invalid_parameter", "format is csv, json or ndjson")
        }
        self = format
    }
}

/// A value of an export's row.
enum ExportCell {
    case none
    /// Text of users, whatever it holds.
    case text(ByteString)
    case integer(Int)
    /// Millionths, shown as an exact decimal.
    case micros(Int)
    /// In a zone that is as many seconds ahead of UTC.
    case time(Timestamp, offset: Int = 0)
    case flag(Bool)
    /// JSON as it is; in CSV the text of it.
    case json([UInt8])
}

/// Writes an answer part by part.
protocol PartWriter: Sendable {
    /// What was written since the last call.
    mutating func take() -> [UInt8]
    /// Ends the answer.
    mutating func end()
}

/// Writes rows of the same columns in one of the formats: a header and a line per row, an array of
/// objects, or an object per line. Whoever has rows feeds it with them, part by part.
struct ExportWriter: PartWriter {
    let format: ExportFormat
    private let columns: [String]
    private var csv = CSVWriter()
    private var json = JSONWriter(capacity: 1 << 16)
    private var isFirst = true

    /// Begins an export; columns are names that need no escapes.
    init(_ format: ExportFormat, columns: [String]) {
        self.format = format
        self.columns = columns
        if format == .csv {
            for column in columns { csv.plain(column.utf8) }
            csv.endRow()
        }
    }

    /// A row: a cell for each column, in their order.
    mutating func row(_ cells: [ExportCell]) {
        precondition(cells.count == columns.count, "a row has a cell for each column")
        if format == .csv {
            for cell in cells { write(cell) }
            csv.endRow()
            return
        }
        if format == .json { json.piece(isFirst ? "[\n" : ",\n") }
        isFirst = false
        json.beginObject()
        for (column, cell) in zip(columns, cells) {
            json.key(bytes: column.utf8)
            json.cell(cell)
        }
        json.endObject()
        if format == .ndjson { json.piece("\n") }
    }

    mutating func end() {
        if format == .json { json.piece(isFirst ? "[\n]\n" : "\n]\n") }
    }

    mutating func take() -> [UInt8] {
        if format == .csv {
            defer { csv.removeAll() }
            return csv.bytes
        }
        defer { json.removeAll() }
        return json.bytes
    }

    private mutating func write(_ cell: ExportCell) {
        switch cell {
        case .none: csv.none()
        case .text(let text): csv.text(text.bytes)
        case .integer(let value): csv.plain(String(value).utf8)
        case .micros(let value): csv.plain(MicroDecimal.text(value).utf8)
        case .time(let time, let offset): csv.plain(time.text(offset: offset).utf8)
        case .flag(let flag): csv.plain((flag ? "true" : "false").utf8)
        case .json(let bytes): csv.text(bytes)
        }
    }
}

extension JSONWriter {
    fileprivate mutating func cell(_ cell: ExportCell) {
        switch cell {
        case .none: null()
        case .text(let text): string(bytes: text.bytes)
        case .integer(let value): integer(value)
        case .micros(let value): micros(value)
        case .time(let time, let offset): string(time.text(offset: offset))
        case .flag(let flag): boolean(flag)
        case .json(let bytes): raw(bytes)
        }
    }
}

extension API {
    /// Writes the next part, and says where to go on; nil at the end.
    typealias AnswerPart<Writer> =
        @Sendable (Writer, _ cursor: String?) async throws -> (Writer, next: String?)

    /// An export; see `sent`.
    ///
    /// - Parameter slot: nil for one that is taken now.
    func export(
        _ name: String, _ call: Call, _ writer: ExportWriter, in slot: AnswerSlots.Slot? = nil,
        part: @escaping AnswerPart<ExportWriter>
    ) async throws -> HTTPResponse {
        let slot = try slot ?? self.slot(of: environment.exports, for: call)
        // What fails already here has an answer of its own.
        let first = try await part(writer, nil)
        let file = "tally-\(name)-\(engine.reader.today).\(writer.format.rawValue)"
        return sent(
            call, in: slot,
            headers: [
                (name: "Content-Type", value: writer.format.contentType),
                (name: "Content-Disposition", value: "attachment; filename=\"\(file)\""),
            ], first, part: part)
    }

    /// An answer that is sent while it is read: a part is asked for when the one before it is on its
    /// way, so a slow reader holds up its own answer only. What fails later cuts the connection,
    /// so that half an answer is not taken for a whole one; so does a key that is revoked.
    func sent<Writer: PartWriter>(
        _ call: Call, in slot: AnswerSlots.Slot, headers: [(name: String, value: String)],
        _ first: (Writer, next: String?), part: @escaping AnswerPart<Writer>
    ) -> HTTPResponse {
        // Bound to the loop, as all that sends the answer is.
        nonisolated(unsafe) let isStillAllowed = isStillAllowed
        return HTTPResponse(
            headers: headers,
            body: .stream { output in
                var (writer, cursor) = first
                while let next = cursor {
                    try await output.write(writer.take())
                    guard await isStillAllowed(call) else { throw HTTPProblem.unknownKey }
                    (writer, cursor) = try await part(writer, next)
                }
                writer.end()
                try await output.write(writer.take())
                // As long as somebody may read, also when nobody ever comes to.
                withExtendedLifetime(slot) {}
            })
    }
}
