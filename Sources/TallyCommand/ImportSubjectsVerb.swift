// SPDX-License-Identifier: Apache-2.0

internal import CSV
internal import FoundationEssentials
internal import Observability

/// `tally import-subjects FILE`
struct ImportSubjectsVerb: HasAccess {
    /// A row as the service takes it, or why it is none.
    private struct Row {
        enum Content {
            case profile(String)
            case bad(String)
        }
        let line: Int
        let content: Content
    }

    private struct Answer: Decodable {
        struct Result: Decodable {
            struct Problem: Decodable { var detail: String? }
            var status: String
            var error: Problem?
        }
        var results: [Result]
    }

    private static let shownErrors = 10
    /// Well below what the service takes in one request.
    private static let batchBytes = 4 << 20

    var access = Access()
    var path = ""
    var format: ImportVerb.Format?
    var batch = 1000

    static var options: [Option<ImportSubjectsVerb>] {
        [
            Option(
                "format", .text, "ndjson|csv", fallback: "by the file's name", sources: .flag,
                help: "Form of the file",
                apply: { verb, text throws(BadValue) in
                    verb.format = try Check.choice(text, ImportVerb.Format.self)
                }),
            Option(
                "batch", .number, "N", fallback: "1000", sources: .flag,
                help: "Profiles in a request (1...10000)",
                apply: { verb, text throws(BadValue) in
                    verb.batch = try Check.integer(text, 1...10_000)
                }),
        ] + accessOptions
    }

    static func run(
        _ words: [String], _ environment: [String: String], _ console: Console
    ) throws -> Int32 {
        var arguments = Arguments(words, options)
        if arguments.wantsHelp {
            try console.print(Help.text(for: "import-subjects"))
            return ExitCode.success
        }
        var verb = ImportSubjectsVerb()
        arguments.apply(options, to: &verb, environment: environment)
        if let path = arguments.onlyWord("tally import-subjects FILE") {
            verb.path = path
        } else {
            arguments.problems.append("which file? tally import-subjects FILE")
        }
        guard arguments.problems.isEmpty else { throw UsageError(problems: arguments.problems) }
        return try verb.send(console)
    }

    // MARK: Reading

    /// Hands over the rows of the file as lines of JSON.
    private func rows() throws(ClientError) -> () throws(ClientError) -> Row? {
        let file = try InputFile(path: path)
        let isCSV =
            format == .csv || format == nil && path.lowercased().hasSuffix(".csv")
        guard isCSV else {
            let lines = LineReader(file)
            return { () throws(ClientError) in
                guard let line = try lines.next() else { return nil }
                return Row(line: line.number, content: Self.content(line.bytes))
            }
        }
        let table = try CSVReader(file)
        guard let header = try table.header(), header.contains("id") else {
            throw .input("\(path): the first row has to name the columns, and one is id")
        }
        if let repeated = header.first(where: { name in header.count { $0 == name } > 1 }) {
            throw .input("\(path): has the column \(Text.quoted(repeated)) twice")
        }
        return { () throws(ClientError) in
            guard let row = try table.next() else { return nil }
            if let problem = row.problem { return Row(line: row.line, content: .bad(problem)) }
            guard row.cells.count == header.count else {
                return Row(
                    line: row.line, content: .bad(Text.width(row.cells.count, of: header.count)))
            }
            let profile = Self.object(header, row.cells)
            guard profile.utf8.count <= LineReader.bytesMax else {
                return Row(line: row.line, content: .bad(LineReader.tooLong))
            }
            return Row(line: row.line, content: .profile(profile))
        }
    }

    private static func content(_ bytes: ArraySlice<UInt8>?) -> Row.Content {
        guard let bytes else { return .bad(LineReader.tooLong) }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            return .bad(Text.notUTF8)
        }
        return .profile(text)
    }

    /// An empty cell is null; whatever else a cell holds is judged by the service.
    private static func object(_ header: [String], _ cells: [String]) -> String {
        let members = zip(header, cells).map { name, cell in
            let flag = name == "active" || name == "demo" ? flags[cell.lowercased()] : nil
            return quoted(name) + ":" + (cell.isEmpty ? "null" : flag ?? quoted(cell))
        }
        return "{\(members.joined(separator: ","))}"
    }

    private static let flags = [
        "true": "true", "yes": "true", "1": "true", "false": "false", "no": "false", "0": "false",
    ]

    private static func quoted(_ text: String) -> String {
        let data = try? JSONEncoder().encode(text)
        return String(decoding: data ?? Data("null".utf8), as: UTF8.self)
    }

    // MARK: Sending

    private func send(_ console: Console) throws -> Int32 {
        var client = try ServiceClient(access)
        let next = try rows()
        var counts: [String: Int] = [:]
        var errors: [String] = []
        var read = 0
        var waiting: [(line: Int, json: String)] = []
        var bytes = 0
        func fail(_ line: Int, _ reason: String) {
            counts["failed", default: 0] += 1
            if errors.count < Self.shownErrors {
                errors.append("line \(line): \(Escaping.text(reason))\n")
            }
        }
        func flush() throws(ClientError) {
            guard !waiting.isEmpty else { return }
            let body = waiting.map { $0.json + "\n" }.joined()
            let answer = try client.send(
                "/v1/subjects/import", body: body, contentType: "application/x-ndjson",
                as: Answer.self)
            guard answer.results.count == waiting.count else { throw .unexpected(status: 200) }
            for (row, result) in zip(waiting, answer.results) {
                if result.status == "failed" {
                    fail(row.line, result.error?.detail ?? result.status)
                } else {
                    counts[result.status, default: 0] += 1
                }
            }
            (waiting, bytes) = ([], 0)
            client.patience.includesUnreachable = true
            if console.showsProgress { console.complain("\r\(read) profiles\u{1b}[K") }
        }
        func finish() throws {
            if console.showsProgress { console.complain("\r\u{1b}[K") }
            for error in errors { console.complain(error) }
            let failed = counts["failed"] ?? 0
            if failed > errors.count {
                console.complain("... and \(failed - errors.count) more\n")
            }
            let words = ["created", "updated", "unchanged", "failed"]
            let told = words.map { ", \($0) \(counts[$0] ?? 0)" }.joined()
            try console.conclude("read \(read)\(told)")
        }
        do throws(ClientError) {
            while let row = try next() {
                read += 1
                switch row.content {
                case .bad(let reason): fail(row.line, reason)
                case .profile(let json):
                    waiting.append((row.line, json))
                    bytes += json.utf8.count
                }
                if waiting.count >= batch || bytes >= Self.batchBytes { try flush() }
            }
            try flush()
        } catch {
            try? finish()
            console.complain("The import stopped; it may be repeated.\n")
            throw error
        }
        try finish()
        return counts["failed"] == nil ? ExitCode.success : ExitCode.failure
    }
}
