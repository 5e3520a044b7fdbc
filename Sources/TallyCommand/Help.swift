// SPDX-License-Identifier: Apache-2.0

/// The help texts, made from the tables of options.
enum Help {
    struct Verb: Sendable {
        let name: String
        let synopsis: String
        let summary: String
        let options: @Sendable () -> String
        var details = ""
    }

    static let verbs: [Verb] = [
        Verb(
            name: "serve", synopsis: "tally serve [OPTION...]", summary: "Run the service",
            options: { lines(ServiceConfiguration.options) },
            details: """

                Each option is also a variable (--late-days is TALLY_LATE_DAYS) and a key of the
                configuration file (late_days). Flags outrank variables, variables the file.
                The admin key comes from TALLY_ADMIN_KEY or the file only.
                """),
        Verb(
            name: "record", synopsis: "tally record SUBJECT METER=N... [OPTION...]",
            summary: "Record one event and show the subject's totals",
            options: { lines(RecordVerb.options) },
            details: """

                credits=N and api_cost=N are no meters but the event's own, and may be decimals. Write
                -- before a subject that starts with -.
                """),
        Verb(
            name: "top", synopsis: "tally top METER [OPTION...]", summary: "Show a leaderboard",
            options: { lines(TopVerb.options) }),
        Verb(
            name: "import", synopsis: "tally import FILE [OPTION...]",
            summary: "Record the events of an NDJSON or CSV file",
            options: { lines(ImportVerb.options) },
            details: """

                Ids are made of the source's name and the line, so that an import that broke off
                can be repeated: what was counted is not counted again while the service remembers
                the ids. Another file of the same name needs another --source; so does each pipe
                whose lines have no ids.

                Events are charged when they are counted, of whatever time they are: history that
                was paid for elsewhere brings "credits": "0" in each.

                Files are UTF-8: a line that is not fails, and so does an event of more than 1 MiB. An
                empty cell of a CSV file is a value that was left out. Spaces around a cell are no
                part of it, unless it stands in quotes.
                """),
        Verb(
            name: "import-subjects", synopsis: "tally import-subjects FILE [OPTION...]",
            summary: "Create or change the profiles of an NDJSON or CSV file",
            options: { lines(ImportSubjectsVerb.options) },
            details: """

                A CSV file has a header of members of a profile (id, email, full_name, ...); an empty
                cell clears. Spaces around a cell are no part of it, unless it stands in quotes. What a
                row does not name stays as it is. An import may be repeated.
                """),
        Verb(
            name: "export", synopsis: "tally export WHAT [OPTION...]",
            summary: "Write events, balances, a leaderboard, series or the audit log to a file",
            options: { lines(ExportVerb.options) },
            details: """

                WHAT is events, balances, leaderboard, series or audit. Events take --subject to --to,
                leaderboards --meter, --window and --limit, series --meter, --bucket, --group-by,
                --subject, --from and --to, the audit log --actor, --action, --from and --to. With
                --output the file has its name once it is whole; what is written to standard output
                is whole if the command ends with 0.
                """),
        Verb(
            name: "verify", synopsis: "tally verify [OPTION...]",
            summary: "Compare counters, ledgers and snapshots with each other",
            options: { lines(VerifyVerb.options) },
            details: """

                Each difference is a line that begins with its workspace; the exit code is 1 when
                there is one. A service may run on the data meanwhile; on a folder without one its
                Redis is started for a while.
                """),
        Verb(
            name: "restore", synopsis: "tally restore SNAPSHOTS [OPTION...]",
            summary: "Rebuild an empty Redis from snapshots",
            options: { lines(RestoreVerb.options) },
            details: """

                SNAPSHOTS is a folder rollups, or that of one workspace in it. All files of all
                workspaces are checked before anything is changed. A restore that broke off can be
                repeated.
                """),
    ]

    static var overview: String {
        var text = "Tally counts usage.\n\n"
        for verb in verbs { text += "  " + padded("tally \(verb.name)", 24) + verb.summary + "\n" }
        return text + "\n  tally VERB --help shows a verb's options, tally --version the version."
    }

    static func text(for name: String) -> String {
        guard let verb = verbs.first(where: { $0.name == name }) else { return overview }
        return "\(verb.summary).\n\nUsage: \(verb.synopsis)\n\n\(verb.options())\(verb.details)"
    }

    private static func lines<Settings>(_ options: [Option<Settings>]) -> String {
        var text = ""
        for option in options {
            var left = "  " + (option.sources.contains(.flag) ? option.flag : option.variable)
            if option.shape != .flag && !option.placeholder.isEmpty {
                left += " \(option.placeholder)"
            }
            let right = option.help + (option.fallback.map { " [\($0)]" } ?? "")
            text += left.count < 30 ? padded(left, 32) : left + "\n" + padded("", 32)
            text += right + "\n"
        }
        return text
    }

    private static func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }
}
