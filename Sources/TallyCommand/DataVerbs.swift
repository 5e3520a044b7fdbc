// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Observability

/// `tally verify`
struct VerifyVerb {
    var place = DataPlace()

    static let options: [Option<VerifyVerb>] = [
        Option(
            "data", .text, "DIR", fallback: "./data",
            help: "Folder of a service's data, running or not",
            apply: { verb, text throws(BadValue) in verb.place.folder = try Check.path(text) }),
        Option(
            "redis", .text, "URL", secrecy: .address,
            help: "Redis to use instead of the one in DIR: redis://... or unix:///PATH",
            apply: { verb, text throws(BadValue) in
                verb.place.redisURL = try ServiceConfiguration.redisURL(text)
            }),
        Option(
            "snapshots", .text, "DIR", fallback: "rollups in DIR", sources: .flag,
            help: "Folder of the snapshots",
            apply: { verb, text throws(BadValue) in verb.place.snapshots = try Check.path(text) }),
        Option(
            "workspace", .text, "ID", fallback: "all of them", sources: .flag,
            help: "Workspace to look at",
            apply: { verb, text throws(BadValue) in
                verb.place.workspace = try Check.workspace(text)
            }),
        Option(
            "events-days", .number, "N", fallback: "35",
            help: "As of the service, for default: older ledger lines may be gone (1...400)",
            apply: { verb, text throws(BadValue) in
                verb.place.eventsDays = try Check.integer(text, 1...400)
            }),
    ]

    static func run(
        _ words: [String], _ environment: [String: String], _ console: Console,
        _ work: TallyCommand.Work
    ) async throws -> Int32 {
        var arguments = Arguments(words, options)
        if arguments.wantsHelp {
            try console.print(Help.text(for: "verify"))
            return ExitCode.success
        }
        var verb = VerifyVerb()
        arguments.apply(options, to: &verb, environment: environment)
        arguments.refuseWords("tally verify")
        let isFolderGiven = arguments.flags.contains { $0.name == "data" }
        if verb.place.redisURL != nil, verb.place.snapshots == nil, verb.place.folder == nil {
            arguments.problems.append("--redis needs --snapshots DIR, or --data DIR with rollups")
        }
        if verb.place.redisURL == nil, verb.place.folder == nil { verb.place.folder = "./data" }
        if isFolderGiven, arguments.flags.contains(where: { $0.name == "redis" }),
            verb.place.snapshots != nil
        {
            arguments.problems.append("--redis with --snapshots needs no --data")
        }
        if let problem = verb.missingFolder { arguments.problems.append(problem) }
        guard arguments.problems.isEmpty else { throw UsageError(problems: arguments.problems) }
        let output = DataConsole(console)
        do {
            try await work(.verify(verb.place), output)
        } catch {
            output.clear()
            // 1 says that there are differences.
            console.report("tally: \(error)")
            return ExitCode.unavailable
        }
        output.clear()
        console.complain(summary(output.parts) + "\n")
        // That nobody reads the differences does not take them away.
        do { try output.check() } catch is OutputClosed {}
        return output.parts.allSatisfy { $0.lineCount == 0 } ? ExitCode.success : ExitCode.failure
    }

    /// What is wrong with the folder of the snapshots: with none of them nothing would differ. Where a
    /// Redis is to be started, that tells of its folder.
    private var missingFolder: String? {
        let (name, path) =
            place.snapshots.map { ("snapshots", $0) } ?? ("data", place.folder ?? "")
        guard place.snapshots != nil || place.redisURL != nil, !path.isEmpty else { return nil }
        var status = stat()
        guard stat(path, &status) == 0 else {
            return "--\(name) \(path): \(String(cString: strerror(errno)))"
        }
        return status.st_mode & S_IFMT == S_IFDIR ? nil : "--\(name) \(path): it is no folder"
    }

    /// The last line: how many differences there are, and in which workspaces.
    static func summary(_ parts: [(workspace: String, lineCount: Int)]) -> String {
        func list(_ words: [String]) -> String {
            let most = 20
            let rest = words.count > most ? ", and \(words.count - most) more" : ""
            return words.prefix(most).joined(separator: ", ") + rest
        }
        let count = parts.reduce(0) { $0 + $1.lineCount }
        guard count == 0 else {
            let found = parts.filter { $0.lineCount > 0 }
            return "\(count) difference\(count == 1 ? "" : "s"): "
                + list(found.map { "\($0.lineCount) in \($0.workspace)" })
        }
        let many = parts.count > 1 ? "\(parts.count) workspaces: " : ""
        return "no differences in " + many + list(parts.map(\.workspace))
    }
}

/// `tally restore SNAPSHOTS`
struct RestoreVerb {
    var place = DataPlace()
    var isForced = false

    static let options: [Option<RestoreVerb>] = [
        Option(
            "data", .text, "DIR", fallback: "./data",
            help: "Folder of a service's data, on which no service runs; the files go to it",
            apply: { verb, text throws(BadValue) in verb.place.folder = try Check.path(text) }),
        Option(
            "redis", .text, "URL", secrecy: .address,
            help: "Redis to use instead of the one in DIR; the files stay without --data",
            apply: { verb, text throws(BadValue) in
                verb.place.redisURL = try ServiceConfiguration.redisURL(text)
            }),
        Option(
            "hot-days", .number, "N", fallback: "35",
            help: "For how many days a day's detail of default goes to Redis, as of the service "
                + "(2...400)",
            apply: { verb, text throws(BadValue) in
                verb.place.hotDays = try Check.integer(text, 2...400)
            }),
        Option(
            "workspace", .text, "ID", fallback: "all of them", sources: .flag,
            help: "Workspace to restore",
            apply: { verb, text throws(BadValue) in
                verb.place.workspace = try Check.workspace(text)
            }),
        Option(
            "force", .flag, sources: .flag,
            help: "Delete what Redis and DIR hold of the workspaces",
            apply: { verb, text throws(BadValue) in verb.isForced = try Check.boolean(text) }),
    ]

    static func run(
        _ words: [String], _ environment: [String: String], _ console: Console,
        _ work: TallyCommand.Work
    ) async throws -> Int32 {
        var arguments = Arguments(words, options)
        if arguments.wantsHelp {
            try console.print(Help.text(for: "restore"))
            return ExitCode.success
        }
        var verb = RestoreVerb()
        arguments.apply(options, to: &verb, environment: environment)
        let snapshots = arguments.onlyWord("tally restore SNAPSHOTS")
        if snapshots == nil {
            arguments.problems.append(
                "from which snapshots? tally restore SNAPSHOTS, such as: tally restore backup/rollups"
            )
        }
        guard arguments.problems.isEmpty, let snapshots else {
            throw UsageError(problems: arguments.problems)
        }
        if verb.place.redisURL == nil, verb.place.folder == nil { verb.place.folder = "./data" }
        let output = DataConsole(console)
        defer { output.clear() }
        try await work(
            .restore(snapshots: snapshots, verb.place, isForced: verb.isForced), output)
        try output.check()
        return ExitCode.success
    }
}
