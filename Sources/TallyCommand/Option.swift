// SPDX-License-Identifier: Apache-2.0

/// Why a value is refused, in words that follow "must be": "a whole number from 1 to 840".
struct BadValue: Error {
    var reason: String
    init(_ reason: String) { self.reason = reason }
}

/// Where a value may come from.
struct OptionSources: OptionSet, Sendable {
    let rawValue: Int
    static let flag = OptionSources(rawValue: 1)
    static let environment = OptionSources(rawValue: 2)
    static let file = OptionSources(rawValue: 4)
    static let all: OptionSources = [.flag, .environment, .file]
}

/// One option of a verb: the row that drives the command line, the environment, the configuration
/// file and the help.
struct Option<Settings>: Sendable {
    /// How a value is written in a configuration file.
    enum Shape: Sendable {
        case text, number, flag, list
    }

    /// What may be shown of a value.
    enum Secrecy: Sendable {
        /// All, unless it looks like an address.
        case open
        /// An address: its user and password are hidden.
        case address
        case hidden
    }

    /// As on the command line, without the dashes: `late-days`.
    let name: String
    let shape: Shape
    /// What stands for the value in the help: `N`.
    let placeholder: String
    /// The default, as the help shows it.
    let fallback: String?
    let help: String
    let sources: OptionSources
    let secrecy: Secrecy
    /// Whether the option may be given several times.
    let repeats: Bool
    /// Checks a value and puts it into the settings.
    let apply: @Sendable (inout Settings, String) throws(BadValue) -> Void

    init(
        _ name: String, _ shape: Shape = .text, _ placeholder: String = "",
        fallback: String? = nil, sources: OptionSources = .all, secrecy: Secrecy = .open,
        repeats: Bool = false, help: String,
        apply: @escaping @Sendable (inout Settings, String) throws(BadValue) -> Void
    ) {
        self.name = name
        self.shape = shape
        self.placeholder = placeholder
        self.fallback = fallback
        self.help = help
        self.sources = sources
        self.secrecy = secrecy
        self.repeats = repeats
        self.apply = apply
    }

    /// `--late-days`
    var flag: String { "--" + name }
    /// `late_days`
    var key: String { name.replacing("-", with: "_") }
    /// `TALLY_LATE_DAYS`
    var variable: String { "TALLY_" + key.uppercased() }

    /// The value as a message may show it.
    func shown(_ value: String) -> String {
        // A password may hold commas: what has an @ is taken for one address.
        let isList = shape == .list && !value.contains("@")
        let parts =
            isList
            ? value.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
            : [value]
        let shown = parts.compactMap(shownPart)
        return shown.count == parts.count ? Text.quoted(shown.joined(separator: ",")) : "(hidden)"
    }

    /// One value without passwords, or nil where that is not to be had. An address may be given to any
    /// option, by mistake or since it takes some.
    private func shownPart(_ value: String) -> String? {
        let isAddress = value.contains("://") || (value.contains(":") && value.contains("@"))
        switch secrecy {
        case .hidden: return nil
        case .open where !isAddress: return value
        case .open, .address: return Self.withoutPassword(value)
        }
    }

    /// The address without user and password, or nil where one cannot be sure what is a password.
    private static func withoutPassword(_ address: String) -> String? {
        guard let start = address.firstRange(of: "://")?.upperBound else { return nil }
        var rest = address[start...]
        var hidden = ""
        if let at = rest.lastIndex(of: "@") {
            hidden = "***@"
            rest = rest[rest.index(after: at)...]
        }
        // `redis://:secret` is a forgotten host: after a colon only a port may be shown.
        let parts = rest.split(separator: ":", omittingEmptySubsequences: false)
        let isPlain = rest.utf8.allSatisfy {
            Text.isAlphanumeric($0) || "-._:/[]".utf8.contains($0)
        }
        let isPort = parts.dropFirst().allSatisfy { part in
            part.first.map { $0.isNumber } ?? false
        }
        guard isPlain, isPort || rest.hasPrefix("[") else { return nil }
        return address[..<start] + hidden + rest
    }
}

/// What is wrong with what was asked for: one line per problem, all of them together.
public struct UsageError: Error {
    var problems: [String]
    /// Whether the help of the verb would help.
    var isUsage = true

    init(problems: [String], isUsage: Bool = true) {
        (self.problems, self.isUsage) = (problems, isUsage)
    }

    /// A value that is well formed and cannot be used.
    public init(option: String, value: String, problem: String) {
        self.init(problems: ["--\(option) \(value): \(problem)"], isUsage: false)
    }
}

/// Checks that several options share.
enum Check {
    static func integer(_ text: String, _ range: ClosedRange<Int>) throws(BadValue) -> Int {
        guard Text.isDigits(text), let value = Int(text), range.contains(value) else {
            throw BadValue("a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    static func boolean(_ text: String) throws(BadValue) -> Bool {
        switch text.lowercased() {
        case "true", "yes", "on", "1": return true
        case "false", "no", "off", "0": return false
        default: throw BadValue("true or false")
        }
    }

    static func choice<Choice: RawRepresentable & CaseIterable>(
        _ text: String, _ type: Choice.Type
    ) throws(BadValue) -> Choice where Choice.RawValue == String {
        if let choice = Choice(rawValue: text) { return choice }
        throw BadValue("one of " + type.allCases.map(\.rawValue).joined(separator: ", "))
    }

    /// The id of a workspace, as the service takes it.
    static func workspace(_ text: String) throws(BadValue) -> String {
        guard text.wholeMatch(of: /[a-z0-9][a-z0-9_-]{0,62}/) != nil else {
            throw BadValue("1 to 63 of a-z, 0-9, - and _, beginning with a letter or digit")
        }
        return text
    }

    /// A path or another text that must not be empty or hold control characters.
    static func path(_ text: String) throws(BadValue) -> String {
        guard !text.isEmpty, text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
            throw BadValue("a path without control characters")
        }
        return text
    }
}
