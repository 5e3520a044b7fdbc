// SPDX-License-Identifier: Apache-2.0

internal import Observability

/// `tally top METER`
struct TopVerb: HasAccess {
    var access = Access()
    var meter = ""
    var window = "lifetime"
    var limit = 10
    var isJSON = false

    struct Board: Decodable {
        struct Entry: Decodable {
            var rank: Int
            var subject: String
            var value: Int
        }
        var meter: String
        var window: String
        var entries: [Entry]
    }

    static var options: [Option<TopVerb>] {
        [
            Option(
                "window", .text, "WINDOW", fallback: "lifetime", sources: .flag,
                help: "What counts: 1d, 30d, month, lifetime, a day or FROM..TO",
                apply: { verb, text throws(BadValue) in
                    let isWindow = text.wholeMatch(
                        of: /lifetime|month|[1-9][0-9]{0,3}d|[0-9-]{10}(\.\.[0-9-]{10})?/)
                    guard isWindow != nil else {
                        throw BadValue(
                            "lifetime, month, a number of days such as 30d, a day such as "
                                + "2026-11-21, or two of them such as 2026-11-01..2026-11-21")
                    }
                    verb.window = text
                }),
            Option(
                "limit", .number, "N", fallback: "10", sources: .flag,
                help: "How many subjects (1...1000)",
                apply: { verb, text throws(BadValue) in
                    verb.limit = try Check.integer(text, 1...1000)
                }),
            Option(
                "json", .flag, sources: .flag, help: "JSON instead of a table",
                apply: { verb, text throws(BadValue) in verb.isJSON = try Check.boolean(text) }),
        ] + accessOptions
    }

    var path: String { "/v1/leaderboards/\(meter)?window=\(window)&limit=\(limit)" }

    static func run(
        _ words: [String], _ environment: [String: String], _ console: Console
    ) throws -> Int32 {
        var arguments = Arguments(words, options)
        if arguments.wantsHelp {
            try console.print(Help.text(for: "top"))
            return ExitCode.success
        }
        let verb = try read(&arguments, environment)
        let board = try ServiceClient(verb.access).send(verb.path, as: Board.self)
        try console.print(verb.isJSON ? json(board) : table(board))
        return ExitCode.success
    }

    static func read(
        _ arguments: inout Arguments, _ environment: [String: String]
    ) throws(UsageError) -> TopVerb {
        var verb = TopVerb()
        arguments.apply(options, to: &verb, environment: environment)
        if let meter = arguments.onlyWord("tally top METER"), Text.isMeter(meter) {
            verb.meter = meter
        } else {
            arguments.problems.append("which meter? tally top METER, such as: tally top tokens")
        }
        guard arguments.problems.isEmpty else { throw UsageError(problems: arguments.problems) }
        return verb
    }

    static func table(_ board: Board) -> String {
        let rows =
            [("rank", "subject", board.meter)]
            + board.entries.map { ("\($0.rank)", Escaping.text($0.subject), "\($0.value)") }
        let ranks = rows.map(\.0.count).max() ?? 0
        let subjects = rows.map(\.1.count).max() ?? 0
        let values = rows.map(\.2.count).max() ?? 0
        func space(_ text: String, _ width: Int) -> String {
            String(repeating: " ", count: max(0, width - text.count))
        }
        return rows.map { rank, subject, value in
            space(rank, ranks) + rank + "  " + subject + space(subject, subjects) + "  "
                + space(value, values) + value
        }
        .joined(separator: "\n")
    }

    /// Written anew, and not as it came, so that no id can steer the terminal.
    static func json(_ board: Board) -> String {
        let entries = board.entries.map {
            "{\"rank\":\($0.rank),\"subject\":\(Escaping.json($0.subject)),\"value\":\($0.value)}"
        }
        return "{\"meter\":\(Escaping.json(board.meter)),\"window\":\(Escaping.json(board.window)),"
            + "\"entries\":[\(entries.joined(separator: ","))]}"
    }
}
