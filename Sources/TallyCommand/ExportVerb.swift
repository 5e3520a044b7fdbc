// SPDX-License-Identifier: Apache-2.0

internal import Observability

/// `tally export WHAT`
struct ExportVerb: HasAccess {
    enum Subject: String, CaseIterable, Sendable {
        case events, balances, leaderboard, series, audit
    }

    enum Format: String, CaseIterable, Sendable {
        case csv, json, ndjson

        var mediaType: String {
            switch self {
            case .csv: "text/csv"
            case .json: "application/json"
            case .ndjson: "application/x-ndjson"
            }
        }
    }

    var access = Access()
    var subject = Subject.events
    var format = Format.csv
    var output: String?
    /// What the service is asked for, in its words. Which of them it takes is its own to say.
    var filters: [(name: String, value: String)] = []

    static var options: [Option<ExportVerb>] {
        [
            Option(
                "format", .text, "csv|json|ndjson", fallback: "csv", sources: .flag,
                help: "Form of the file",
                apply: { verb, text throws(BadValue) in
                    verb.format = try Check.choice(text, Format.self)
                }),
            Option(
                "output", .text, "FILE", fallback: "standard output", sources: .flag,
                help: "Where to write to",
                apply: { verb, text throws(BadValue) in verb.output = try Check.path(text) }),
            filter("subject", "ID", "Events of one subject only"),
            filter("action", "A", "Events, or acts, of one action only"),
            filter("actor", "NAME", "Acts of one administrator only"),
            filter("model", "M", "Events of one model only"),
            filter("min-credits", "N", "Events that took as many credits"),
            filter("from", "T", "First date, such as 2026-01-31, or instant"),
            filter("to", "T", "Last date, or the first instant behind the range"),
            filter("meter", "NAME", "Meter of the leaderboard or series"),
            filter("bucket", "B", "Steps of the series: minute, hour, day, month"),
            filter("group-by", "G", "Rows of the series by action or model"),
            filter("window", "W", "What the leaderboard counts, such as 1d"),
            filter("limit", "N", "Rows of the leaderboard"),
        ] + accessOptions
    }

    private static func filter(
        _ name: String, _ placeholder: String, _ help: String
    ) -> Option<ExportVerb> {
        Option(
            name, .text, placeholder, sources: .flag, help: help,
            apply: { $0.filters.append((name.replacing("-", with: "_"), $1)) })
    }

    var path: String {
        let query = [("format", format.rawValue)] + filters
        return "/v1/export/\(subject.rawValue)?"
            + query.map { "\($0.0)=\(Self.escaped($0.1))" }.joined(separator: "&")
    }

    static func run(
        _ words: [String], _ environment: [String: String], _ console: Console
    ) throws -> Int32 {
        var arguments = Arguments(words, options)
        if arguments.wantsHelp {
            try console.print(Help.text(for: "export"))
            return ExitCode.success
        }
        let verb = try read(&arguments, environment)
        let client = try ServiceClient(verb.access)
        guard let output = verb.output else {
            try client.download(
                verb.path, as: verb.format.mediaType, receive: console.send)
            return ExitCode.success
        }
        let file = try OutputFile(path: output)
        var progress = Progress(console: console)
        defer { progress.clear() }
        try client.download(verb.path, as: verb.format.mediaType) { bytes in
            try file.append(bytes)
            progress.advance(bytes.count)
        }
        try file.commit()
        progress.clear()
        try console.print("wrote \(Escaping.text(output)), \(progress.count) bytes")
        return ExitCode.success
    }

    static func read(
        _ arguments: inout Arguments, _ environment: [String: String]
    ) throws(UsageError) -> ExportVerb {
        var verb = ExportVerb()
        arguments.apply(options, to: &verb, environment: environment)
        let word = arguments.onlyWord("tally export WHAT")
        if let subject = word.flatMap({ Subject(rawValue: $0) }) {
            verb.subject = subject
        } else {
            let names = Subject.allCases.map(\.rawValue)
            let hint = word.map { Text.hint($0, among: names) } ?? ""
            arguments.problems.append(
                "what? tally export \(names.joined(separator: "|"))\(hint)")
        }
        if verb.subject == .leaderboard, !verb.filters.contains(where: { $0.name == "meter" }) {
            arguments.problems.append("a leaderboard needs --meter, such as --meter tokens")
        }
        guard arguments.problems.isEmpty else { throw UsageError(problems: arguments.problems) }
        return verb
    }

    private static func escaped(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        let bytes = text.utf8.flatMap { byte -> [UInt8] in
            Text.isAlphanumeric(byte) || "-._~".utf8.contains(byte)
                ? [byte] : [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// How much has come, on a terminal.
    private struct Progress {
        let console: Console
        private(set) var count = 0
        private var shown = ContinuousClock.now

        init(console: Console) { self.console = console }

        mutating func advance(_ bytes: Int) {
            count += bytes
            guard console.showsProgress, shown.duration(to: .now) > .milliseconds(100) else {
                return
            }
            shown = .now
            console.complain("\r\(count / 1000) kB\u{1b}[K")
        }

        func clear() {
            if console.showsProgress { console.complain("\r\u{1b}[K") }
        }
    }
}
