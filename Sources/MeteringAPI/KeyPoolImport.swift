// SPDX-License-Identifier: Apache-2.0

internal import CSV
internal import HTTPServer
internal import JSON
internal import Metering

/// Keys that come into a pool: a JSON array, or CSV with a header.
extension API {
    private typealias Row = Result<PoolKeyDraft, EventRejection>

    private static let columns = ["name", "secret", "credit_balance", "status"]

    func importKeys(_ call: Call) async throws -> HTTPResponse {
        let provider = try provider(call)
        _ = try QueryParameters(call.request.query, allowed: [])
        let rows = try isCSV(call.request) ? csvRows(call.request.body) : jsonRows(call)
        let drafts = rows.compactMap { try? $0.get() }
        var outcomes = try await back(queries.importPoolKeys(drafts, to: provider))[...]
        var json = JSONWriter(capacity: 64 + 64 * rows.count)
        var imported = 0
        json.beginArray()
        for row in rows {
            json.beginObject()
            switch row {
            case .failure(let rejection):
                json.row(nil, rejection.status, rejection.code, rejection.explanation)
            case .success:
                switch outcomes.popFirst() {
                case .imported(let id):
                    imported += 1
                    json.row(id, 201)
                case .duplicate:
                    json.row(
                        nil, 409, "duplicate_secret", "secret: the provider has a key with it")
                case .unknown, nil:
                    json.row(
                        nil, 503, HTTPProblem.outcomeUnknownCode,
                        "whether it was imported is not known: import it again")
                }
            }
            json.endObject()
        }
        json.endArray()
        var answer = JSONWriter(capacity: 64 + json.bytes.count)
        answer.beginObject()
        answer.key("success")
        answer.boolean(imported == rows.count)
        answer.key("imported_count")
        answer.integer(imported)
        answer.key("failed_count")
        answer.integer(rows.count - imported)
        answer.key("results")
        answer.raw(json.bytes)
        answer.endObject()
        return .json(answer.bytes)
    }

    private func isCSV(_ request: HTTPRequest) throws -> Bool {
        let type = request.headers.value(of: "content-type") ?? ""
        let parts = type.split(separator: ";").map { $0.trimmingSpaces().lowercased() }
        guard parts.first == "text/csv" else { return false }
        guard
            parts.dropFirst().allSatisfy({
                ["charset=utf-8", "charset=\"utf-8\"", "header=present"].contains($0)
            })
        else { throw HTTPProblem.unsupportedMediaType("send text/csv in UTF-8, with a header") }
        try requirePlain(request)
        return true
    }

    private func jsonRows(_ call: Call) throws -> [Row] {
        let value = try body(of: call)
        guard value.kind == .array else {
            throw HTTPProblem.unprocessable("wrong_type", "send an array of keys")
        }
        guard (1...PoolKeyDraft.countMax).contains(value.count) else {
            throw HTTPProblem.importSize
        }
        return value.elements.map { element in
            Result { () throws(EventRejection) in try PoolKeyDraft(element) }
        }
    }

    private func csvRows(_ body: [UInt8]) throws -> [Row] {
        let body = body.droppingByteOrderMark
        guard String(validating: body, as: UTF8.self) != nil else {
            throw HTTPProblem.badRequest("invalid_encoding", "the text is not valid UTF-8")
        }
        guard let parser = CSVParser() else { throw HTTPProblem.unavailable("no memory") }
        var rows: [CSVRow]
        do {
            rows = try parser.rows(body)
            rows += try parser.rows([])
        } catch {
            throw HTTPProblem.badRequest(
                "invalid_csv", "the cell that begins on line \(error.line) is not CSV")
        }
        guard !rows.isEmpty else { throw HTTPProblem.importSize }
        let header = rows.removeFirst().cells
        guard Set(header).count == header.count, Set(header).isSubset(of: Self.columns),
            header.contains("name"), header.contains("secret")
        else {
            throw HTTPProblem.unprocessable(
                "invalid_header",
                "the first line names the columns: name, secret and, where they "
                    + "are known, credit_balance and status")
        }
        guard (1...PoolKeyDraft.countMax).contains(rows.count) else {
            throw HTTPProblem.importSize
        }
        return rows.map { row in
            Result { () throws(EventRejection) in
                guard row.cells.count == header.count else {
                    throw EventRejection(
                        code: "wrong_column_count", field: "",
                        detail: "line \(row.line) has not as many cells as the first")
                }
                let cells = Dictionary(zip(header, row.cells)) { $1 }
                return try PoolKeyDraft(
                    name: cells["name"] ?? "", secret: cells["secret"] ?? "",
                    creditBalance: cells["credit_balance"] ?? "", status: cells["status"] ?? "")
            }
        }
    }
}

extension JSONWriter {
    fileprivate mutating func row(
        _ id: Int?, _ status: Int, _ code: String? = nil, _ detail: String = ""
    ) {
        key("id")
        if let id { integer(id) } else { null() }
        key("status")
        integer(status)
        guard let code else { return }
        key("error")
        beginObject()
        key("code")
        string(code)
        key("detail")
        string(detail)
        endObject()
    }
}

extension HTTPProblem {
    fileprivate static let importSize = HTTPProblem.unprocessable(
        "batch_size", "an import holds 1 to \(PoolKeyDraft.countMax) keys")
}
