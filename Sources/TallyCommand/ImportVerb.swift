// SPDX-License-Identifier: Apache-2.0

internal import Observability

/// `tally import FILE`
struct ImportVerb: HasAccess {
    enum Format: String, CaseIterable, Sendable {
        case ndjson, csv
    }

    var access = Access()
    var path = ""
    var format: Format?
    var columns: [(target: String, column: String)] = []
    var spread: SubjectSpread?
    var action: String?
    var model: String?
    var batch = 1000
    var source: String?

    /// The name in the ids: the source's, or else the file's.
    var sourceName: String { source ?? path.split(separator: "/").last.map(String.init) ?? path }

    /// The form given, or else the one that the file's name tells.
    var actualFormat: Format {
        format ?? (path.lowercased().hasSuffix(".csv") ? .csv : .ndjson)
    }

    static var options: [Option<ImportVerb>] {
        [
            Option(
                "format", .text, "ndjson|csv", fallback: "by the file's name", sources: .flag,
                help: "Form of the file",
                apply: { verb, text throws(BadValue) in
                    verb.format = try Check.choice(text, Format.self)
                }),
            Option(
                "columns", .text, "TARGET=COLUMN,...", sources: .flag,
                help:
                    "CSV: which column is id, subject, time, action, model, description, "
                    + "credits, api_cost, or a meter",
                apply: { verb, text throws(BadValue) in verb.columns = try columns(text) }),
            Option(
                "subject-spread", .text, "N:SEED", sources: .flag,
                help: "Lines without a subject get one of N, drawn by Zipf's law",
                apply: { verb, text throws(BadValue) in verb.spread = try spread(text) }),
            Option(
                "action", .text, "A", sources: .flag, help: "Action of events without one",
                apply: { $0.action = $1 }),
            Option(
                "model", .text, "M", sources: .flag, help: "Model of events without one",
                apply: { $0.model = $1 }),
            Option(
                "batch", .number, "N", fallback: "1000", sources: .flag,
                help: "Events in a request (1...10000)",
                apply: { verb, text throws(BadValue) in
                    verb.batch = try Check.integer(text, 1...10_000)
                }),
            Option(
                "source", .text, "NAME", fallback: "the file's name", sources: .flag,
                help:
                    "Start of the ids that lines without an id get; a pipe has no name",
                apply: { verb, text throws(BadValue) in
                    guard text.wholeMatch(of: /[A-Za-z0-9][A-Za-z0-9._:@-]{0,99}/) != nil else {
                        throw BadValue("up to 100 letters, digits and . _ : @ -")
                    }
                    verb.source = text
                }),
        ] + accessOptions
    }

    static func run(
        _ words: [String], _ environment: [String: String], _ console: Console
    ) throws -> Int32 {
        var arguments = Arguments(words, options)
        if arguments.wantsHelp {
            try console.print(Help.text(for: "import"))
            return ExitCode.success
        }
        let verb = try read(&arguments, environment)
        let events = try EventReader(verb)
        let client = try ServiceClient(verb.access)
        var importer = Importer(client: client, batch: verb.batch, console: console)
        return try importer.run(events)
    }

    static func read(
        _ arguments: inout Arguments, _ environment: [String: String]
    ) throws(UsageError) -> ImportVerb {
        var verb = ImportVerb()
        arguments.apply(options, to: &verb, environment: environment)
        if let path = arguments.onlyWord("tally import FILE") {
            verb.path = path
        } else {
            arguments.problems.append("which file? tally import FILE")
        }
        if verb.actualFormat == .csv, !arguments.flags.contains(where: { $0.name == "columns" }) {
            arguments.problems.append(
                "a CSV file needs --columns, such as --columns time=TIMESTAMP,input_tokens=Input")
        }
        let name = verb.sourceName
        if !name.isEmpty, name.wholeMatch(of: /[A-Za-z0-9][A-Za-z0-9._:@-]{0,99}/) == nil {
            arguments.problems.append("the file's name cannot start an id: choose a --source NAME")
        }
        guard arguments.problems.isEmpty else { throw UsageError(problems: arguments.problems) }
        return verb
    }

    private static func columns(
        _ text: String
    ) throws(BadValue) -> [(target: String, column: String)] {
        var columns: [(target: String, column: String)] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard sides.count == 2, Text.isMeter(sides[0]), !sides[1].isEmpty,
                !columns.contains(where: { $0.target == sides[0] })
            else { throw BadValue("TARGET=COLUMN,... with each target once") }
            columns.append((String(sides[0]), String(sides[1])))
        }
        return columns
    }

    private static func spread(_ text: String) throws(BadValue) -> SubjectSpread {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let subjects = Int(parts[0]), (1...10_000_000).contains(subjects),
            let seed = UInt64(parts[1])
        else { throw BadValue("N:SEED with N from 1 to 10000000, such as 500:42") }
        return SubjectSpread(subjects: subjects, seed: seed)
    }
}
