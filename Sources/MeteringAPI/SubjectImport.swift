// SPDX-License-Identifier: Apache-2.0

internal import CSV
internal import HTTPServer
internal import JSON
internal import Metering

/// A row of an import, and on which line it stands.
private struct ImportedRow {
    let line: Int
    let id: String?
    let content: Result<ProfileRow, EventRejection>
}

extension API {
    /// `POST /v1/subjects/import`: NDJSON or CSV by its Content-Type, each row for itself. Members
    /// that a row does not name stay as they are.
    func importSubjects(_ call: Call) async throws -> HTTPResponse {
        _ = try QueryParameters(call.request.query, allowed: [])
        try requirePlain(call.request)
        let rows = try isCSV(call.request) ? table(call.request) : objects(call.request)
        guard !rows.isEmpty else { throw HTTPProblem.importSize }
        let fit = rows.compactMap { try? $0.content.get() }
        var results = try await back(queries.importProfiles(fit))[...]
        var counts = (created: 0, updated: 0, unchanged: 0, failed: 0)
        var json = JSONWriter()
        json.beginArray()
        for row in rows {
            let result: ProfileResult?
            switch row.content {
            case .failure(let rejection): result = .rejected(rejection)
            case .success: result = results.popFirst()
            }
            switch result {
            case .created: counts.created += 1
            case .updated: counts.updated += 1
            case .unchanged: counts.unchanged += 1
            case .rejected, nil: counts.failed += 1
            }
            json.row(row.line, row.id, result)
        }
        json.endArray()
        return .json(Self.summary(counts, json.bytes))
    }

    private static func summary(
        _ counts: (created: Int, updated: Int, unchanged: Int, failed: Int), _ results: [UInt8]
    ) -> [UInt8] {
        var json = JSONWriter()
        json.beginObject()
        json.key("created")
        json.integer(counts.created)
        json.key("updated")
        json.integer(counts.updated)
        json.key("unchanged")
        json.integer(counts.unchanged)
        json.key("failed")
        json.integer(counts.failed)
        json.key("results")
        json.raw(results)
        json.endObject()
        return json.bytes
    }

    private func isCSV(_ request: HTTPRequest) throws -> Bool {
        let type = request.headers.value(of: "content-type") ?? ""
        let parts = type.split(separator: ";").map { $0.trimmingSpaces().lowercased() }
        guard parts.first == "text/csv" else {
            guard parts.first == "application/x-ndjson", try isNDJSON(request) else {
                throw HTTPProblem.unsupportedMediaType(
                    "send application/x-ndjson or text/csv, in UTF-8")
            }
            return false
        }
        guard
            parts.dropFirst().allSatisfy({
                $0 == "charset=utf-8" || $0 == "charset=\"utf-8\"" || $0 == "header=present"
            })
        else { throw HTTPProblem.unsupportedMediaType("send text/csv in UTF-8, with a header") }
        return true
    }

    /// One profile a line; empty lines are passed over.
    private func objects(_ request: HTTPRequest) throws -> [ImportedRow] {
        var rows: [ImportedRow] = []
        let lines = request.body.droppingByteOrderMark.split(
            separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        for (index, line) in lines.enumerated() {
            let bytes = line.last == 0x0d ? line.dropLast() : line
            if bytes.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) { continue }
            guard rows.count < QueryEngine.importCountMax else { throw HTTPProblem.importSize }
            rows.append(object(Array(bytes), line: index + 1))
        }
        return rows
    }

    private func object(_ bytes: [UInt8], line: Int) -> ImportedRow {
        let value: JSONValue
        do throws(JSONError) {
            value = try json.read(bytes)
        } catch {
            let rejection = EventRejection(
                status: 400, code: error.code.rawValue, field: "", detail: error.explanation)
            return ImportedRow(line: line, id: nil, content: .failure(rejection))
        }
        // Ids of users are numbers in some applications.
        let id = value["id"]?.integer.map { "\($0)" } ?? value["id"]?.text
        return ImportedRow(
            line: line, id: id,
            content: Result { () throws(EventRejection) in
                let subject = try Self.subject(id)
                return ProfileRow(subject: subject, change: try ProfileChange(value))
            })
    }

    /// A header that names the members, then a profile a row.
    private func table(_ request: HTTPRequest) throws -> [ImportedRow] {
        let body = request.body.droppingByteOrderMark
        guard String(validating: body, as: UTF8.self) != nil else {
            throw HTTPProblem.badRequest("invalid_encoding", "the text is not valid UTF-8")
        }
        guard let parser = CSVParser() else { throw HTTPProblem.unavailable("no memory") }
        var rows: [CSVRow]
        do throws(CSVParser.Malformed) {
            rows = body.isEmpty ? [] : try parser.rows(body)
            rows += try parser.rows([])
        } catch {
            throw HTTPProblem.badRequest(
                "invalid_csv", "the cell that begins on line \(error.line) is not CSV")
        }
        guard let header = rows.first?.cells, header.contains("id"),
            Set(header).count == header.count
        else {
            throw HTTPProblem.unprocessable(
                "invalid_header", "the first row names the columns, each once, and one is id")
        }
        guard rows.count - 1 <= QueryEngine.importCountMax else { throw HTTPProblem.importSize }
        return rows.dropFirst().map { row in
            let id = header.firstIndex(of: "id").flatMap {
                row.cells.indices.contains($0) ? row.cells[$0] : nil
            }
            return ImportedRow(
                line: row.line, id: id,
                content: Result { () throws(EventRejection) in
                    guard row.cells.count == header.count else {
                        throw EventRejection(
                            code: "invalid_row", field: "",
                            detail: "\(row.cells.count) cells for \(header.count) columns")
                    }
                    let subject = try Self.subject(id)
                    let change = try ProfileChange(header: header, cells: row.cells)
                    return ProfileRow(subject: subject, change: change)
                })
        }
    }

    private static func subject(_ id: String?) throws(EventRejection) -> SubjectID {
        guard let subject = id.flatMap({ SubjectID($0) }) else {
            throw EventRejection(
                code: "invalid_id", field: "id",
                detail: "a text of \(SubjectID.rule)")
        }
        return subject
    }
}

extension JSONWriter {
    fileprivate mutating func row(_ line: Int, _ id: String?, _ result: ProfileResult?) {
        beginObject()
        key("line")
        integer(line)
        key("id")
        if let id { string(id) } else { null() }
        key("status")
        switch result {
        case .created: string("created" as StaticString)
        case .updated: string("updated" as StaticString)
        case .unchanged: string("unchanged" as StaticString)
        case .rejected(let rejection):
            string("failed" as StaticString)
            key("error")
            beginObject()
            key("code")
            string(rejection.code)
            key("detail")
            string(rejection.explanation)
            endObject()
        case nil: string("failed" as StaticString)
        }
        endObject()
    }
}

extension HTTPProblem {
    fileprivate static let importSize = HTTPProblem.unprocessable(
        "batch_size", "an import holds 1 to \(QueryEngine.importCountMax) profiles")
}

extension [UInt8] {
    /// Spreadsheets put one before the first column's name.
    var droppingByteOrderMark: [UInt8] {
        starts(with: [0xef, 0xbb, 0xbf]) ? Array(dropFirst(3)) : self
    }
}
