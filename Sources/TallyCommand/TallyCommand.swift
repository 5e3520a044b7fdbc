// SPDX-License-Identifier: Apache-2.0

internal import Glibc
public import Observability

/// The command line of `tally`.
public enum TallyCommand {
    /// The version of this build.
    public static let version = "0.1.0"

    /// Runs the service until it is told to stop; answers the exit code.
    public typealias Serve = @Sendable (ServiceConfiguration, Logger) async throws -> Int32

    /// Verifies or restores data.
    public typealias Work = @Sendable (DataTask, DataConsole) async throws -> Void

    /// Runs one command.
    ///
    /// - Parameters:
    ///   - arguments: The words after the program's name, as bytes: put right, different names could become the same.
    ///   - environment: The variables that options may come from.
    ///   - serve: What `tally serve` starts, once its configuration is sound.
    ///   - work: What `tally verify` and `tally restore` have done.
    /// - Returns: The exit code of the process.
    public static func run(
        arguments: [[UInt8]], environment: [String: String], serve: @escaping Serve,
        work: @escaping Work
    ) async -> Int32 {
        // A closed pipe is an error of write(), not the end of the process.
        signal(SIGPIPE, SIG_IGN)
        let words = arguments.compactMap { String(validating: $0, as: UTF8.self) }
        guard words.count == arguments.count else {
            return Console.standard.refuse(arguments)
        }
        return await run(words, environment, .standard, work: work, serve)
    }

    static func run(
        _ words: [String], _ environment: [String: String], _ console: Console,
        work: @escaping Work = { _, _ in }, _ serve: @escaping Serve
    ) async -> Int32 {
        do {
            return try await dispatch(words, environment, console, work, serve)
        } catch is OutputClosed {
            return ExitCode.success
        } catch let error as OutputFailed {
            let reason = String(cString: strerror(error.errno))
            console.report("tally: \(error.path ?? "the output"): \(reason)")
            return ExitCode.cannotWrite
        } catch let error as UsageError {
            for problem in error.problems { console.report("tally: \(problem)") }
            if error.isUsage { console.report(hint(for: words.first)) }
            return ExitCode.usage
        } catch let error as ClientError {
            console.report("tally: \(error.description)")
            return error.exitCode
        } catch {
            console.report("tally: \(error)")
            return ExitCode.failure
        }
    }

    private static func hint(for verb: String?) -> String {
        Help.verbs.contains { $0.name == verb }
            ? "Try: tally \(verb ?? "") --help" : "Try: tally --help"
    }

    private static func dispatch(
        _ words: [String], _ environment: [String: String], _ console: Console,
        _ work: @escaping Work, _ serve: @escaping Serve
    ) async throws -> Int32 {
        let rest = Array(words.dropFirst())
        switch words.first {
        case nil:
            console.complain(Help.overview + "\n")
            return ExitCode.usage
        case "--help", "-h", "help":
            try console.print(Help.overview)
            return ExitCode.success
        case "--version":
            try console.print("tally \(version)")
            return ExitCode.success
        case "serve": return try await serveVerb(rest, environment, console, serve)
        case "record": return try RecordVerb.run(rest, environment, console)
        case "top": return try TopVerb.run(rest, environment, console)
        case "import": return try ImportVerb.run(rest, environment, console)
        case "import-subjects": return try ImportSubjectsVerb.run(rest, environment, console)
        case "export": return try ExportVerb.run(rest, environment, console)
        case "verify": return try await VerifyVerb.run(rest, environment, console, work)
        case "restore": return try await RestoreVerb.run(rest, environment, console, work)
        case let word?:
            let hint = Text.hint(word, among: Help.verbs.map(\.name))
            let kind = word.hasPrefix("-") ? "option" : "verb"
            throw UsageError(problems: ["unknown \(kind) \(word)\(hint)"])
        }
    }

    private static func serveVerb(
        _ words: [String], _ environment: [String: String], _ console: Console,
        _ serve: @escaping Serve
    ) async throws -> Int32 {
        let arguments = Arguments(words, ServiceConfiguration.options)
        if arguments.wantsHelp {
            try console.print(Help.text(for: "serve"))
            return ExitCode.success
        }
        let (configuration, notices) = try ServiceConfiguration.load(
            arguments, environment: environment)
        let logger = Logger(level: configuration.logLevel)
        for notice in notices { logger.notice(notice) }
        return try await serve(configuration, logger)
    }
}
