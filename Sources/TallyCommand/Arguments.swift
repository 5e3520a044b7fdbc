// SPDX-License-Identifier: Apache-2.0

/// The words after a verb, sorted into flags and the rest.
struct Arguments: Sendable {
    /// Flags and their values, in the order given.
    var flags: [(name: String, value: String)] = []
    var positional: [String] = []
    var wantsHelp = false
    var problems: [String] = []

    /// Reads `--name value`, `--name=value` and, for switches, `--name` alone. After `--` nothing
    /// is a flag.
    init<Settings>(_ words: [String], _ options: [Option<Settings>]) {
        let known = options.filter { $0.sources.contains(.flag) }
        var rest = words[...]
        while let word = rest.popFirst() {
            if word == "--" {
                positional += rest
                return
            }
            if word == "--help" || word == "-h" {
                wantsHelp = true
            } else if word.hasPrefix("--") {
                read(word, &rest, known, options)
            } else if word.hasPrefix("-") && word.count > 1 {
                // Only the start is shown: what follows may be a secret.
                problems.append(
                    "unknown option \(word.prefix(2)): write -- before words that start with -")
            } else {
                positional.append(word)
            }
        }
    }

    private mutating func read<Settings>(
        _ word: String, _ rest: inout ArraySlice<String>, _ known: [Option<Settings>],
        _ all: [Option<Settings>]
    ) {
        let parts = word.dropFirst(2).split(
            separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name = parts.first.map(String.init) ?? ""
        let inline = parts.count > 1 ? String(parts[1]) : nil
        guard let option = known.first(where: { $0.name == name }) else {
            if let kept = all.first(where: { $0.name == name }) {
                problems.append(
                    "--\(name) is no flag, because flags show in the list of processes: "
                        + "set \(kept.variable) in the environment instead")
            } else {
                problems.append(
                    "unknown option --\(name)" + Text.hint("--" + name, among: known.map(\.flag)))
            }
            // What follows is probably its value, and may be a secret: it is not to be repeated as
            // an argument that nobody expected.
            if inline == nil, let next = rest.first, !next.hasPrefix("-") { rest.removeFirst() }
            return
        }
        if !option.repeats && flags.contains(where: { $0.name == name }) {
            problems.append("--\(name) is given twice")
        }
        if option.shape == .flag {
            flags.append((name, inline ?? "true"))
        } else if let inline {
            flags.append((name, inline))
        } else if let next = rest.first, !next.hasPrefix("--") {
            rest.removeFirst()
            flags.append((name, next))
        } else {
            problems.append("--\(name) needs a value: --\(name) \(option.placeholder)")
        }
    }

    /// Puts the flags, and below them the environment, into the settings.
    ///
    /// An empty variable counts as not set, since that is how compose files pass on "nothing".
    mutating func apply<Settings>(
        _ options: [Option<Settings>], to settings: inout Settings, environment: [String: String]
    ) {
        for option in options where option.sources.contains(.environment) {
            guard let value = environment[option.variable], !value.isEmpty else { continue }
            apply(option, value, from: option.variable, to: &settings)
        }
        for (name, value) in flags {
            guard let option = options.first(where: { $0.name == name }) else { continue }
            apply(option, value, from: option.flag, to: &settings)
        }
    }

    mutating func apply<Settings>(
        _ option: Option<Settings>, _ value: String, from source: String,
        to settings: inout Settings
    ) {
        do throws(BadValue) {
            try option.apply(&settings, value)
        } catch {
            problems.append("\(source) is \(option.shown(value)), but must be \(error.reason)")
        }
    }
}
