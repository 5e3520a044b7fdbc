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
                Self.dropValue(&rest)
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
            if inline == nil { Self.dropValue(&rest) }
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

    /// What follows an option that nobody knows is probably its value, and may be a secret: it is
    /// not to be repeated as an argument that nobody expected.
    private static func dropValue(_ rest: inout ArraySlice<String>) {
        if let next = rest.first, !next.hasPrefix("-") { rest.removeFirst() }
    }

    /// The one word that a verb takes, if there is one.
    ///
    /// Words behind it are a problem that names them: asked for the word alone, who gave one would
    /// not know what is wrong.
    mutating func onlyWord(_ synopsis: String) -> String? {
        refuse(positional.dropFirst(), "too many for \(synopsis)")
        return positional.first.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// Words are a problem to a verb that takes options only.
    mutating func refuseWords(_ verb: String) {
        refuse(positional[...], "too many: \(verb) takes options only")
    }

    private mutating func refuse(_ words: ArraySlice<String>, _ reason: String) {
        guard !words.isEmpty else { return }
        // A pattern of a shell may have become a thousand.
        let most = 3
        let named = words.prefix(most).map(Text.quoted).joined(separator: ", ")
        let more = words.count > most ? " and \(words.count - most) more" : ""
        problems.append("\(named)\(more) \(words.count == 1 ? "is" : "are") \(reason)")
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
