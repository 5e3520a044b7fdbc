// SPDX-License-Identifier: Apache-2.0

internal import FoundationEssentials
internal import Glibc

/// A configuration file: one JSON5 object with flat values.
struct ConfigurationFile {
    /// A value as the file gives it.
    enum Value: Decodable, Equatable {
        case text(String), number(Double), flag(Bool), list([String]), other

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let flag = try? container.decode(Bool.self) {
                self = .flag(flag)
            } else if let number = try? container.decode(Double.self) {
                self = .number(number)
            } else if let text = try? container.decode(String.self) {
                self = .text(text)
            } else if let list = try? container.decode([String].self) {
                self = .list(list)
            } else {
                self = .other
            }
        }

        /// The value as a flag would spell it, if it has the right type.
        func spelled<Settings>(for option: Option<Settings>) -> String? {
            switch (self, option.shape) {
            case (.text(let text), .text), (.text(let text), .list): text
            case (.list(let list), .list): list.joined(separator: ",")
            case (.flag(let flag), .flag): flag ? "true" : "false"
            case (.number(let number), .number):
                Int(exactly: number).map(String.init) ?? "\(number)"
            default: nil
            }
        }
    }

    private let path: String
    private let values: [String: Value]
    private let lines: [String: Int]
    private let isReadByOthers: Bool

    /// Reads a file.
    ///
    /// - Throws: `UsageError` when it cannot be read, is no object, or names a key twice.
    init(path: String) throws(UsageError) {
        self.path = path
        var status = stat()
        let isFound = stat(path, &status) == 0
        var reason: String?
        if !isFound {
            reason = String(cString: strerror(errno))
        } else if status.st_mode & S_IFMT == S_IFDIR {
            reason = "it is a folder"
        } else if status.st_mode & S_IFMT != S_IFREG {
            reason = "it is not a regular file"
        } else if status.st_size > 1 << 20 {
            reason = "it is larger"
        } else if access(path, R_OK) != 0 {
            reason = String(cString: strerror(errno))
        }
        guard reason == nil, let data = try? Data(contentsOf: URL(filePath: path)) else {
            let problem = "\(path): cannot be read as a file of at most 1 MiB"
            throw UsageError(
                problems: [problem + (reason.map { ": \($0)" } ?? "")], isUsage: false)
        }
        isReadByOthers = status.st_mode & (S_IRWXG | S_IRWXO) != 0
        guard let text = String(validating: data, as: UTF8.self) else {
            throw UsageError(problems: ["\(path): is not UTF-8"], isUsage: false)
        }
        let decoder = JSONDecoder()
        decoder.allowsJSON5 = true
        do {
            values = try decoder.decode([String: Value].self, from: data)
        } catch {
            throw UsageError(
                problems: ["\(path): is no JSON5 object\(Self.place(of: error))"], isUsage: false)
        }
        var scanner = KeyScanner(text)
        let keys = scanner.keys()
        lines = Dictionary(keys.map { ($0.name, $0.line) }, uniquingKeysWith: { first, _ in first })
        // Decoders keep one of two equal keys without a word; which, the reader cannot know.
        var seen: Set<String> = []
        let twice = keys.filter { !seen.insert($0.name).inserted }
        guard twice.isEmpty else {
            throw UsageError(
                problems: twice.map { "\(path):\($0.line): \"\($0.name)\" is given twice" },
                isUsage: false)
        }
    }

    /// Puts the values into the settings; what is wrong goes to `problems`.
    func apply<Settings>(
        _ options: [Option<Settings>], to settings: inout Settings, _ problems: inout [String]
    ) {
        let known = options.filter { $0.sources.contains(.file) }
        let order = values.sorted { (lines[$0.key] ?? 0, $0.key) < (lines[$1.key] ?? 0, $1.key) }
        for (key, value) in order {
            let place = lines[key].map { "\(path):\($0)" } ?? path
            guard let option = known.first(where: { $0.key == key }) else {
                let hint = Text.hint(key, among: known.map(\.key))
                problems.append("\(place): unknown key \"\(key)\"\(hint)")
                continue
            }
            if option.secrecy == .hidden && isReadByOthers {
                problems.append(
                    "\(place): holds \(key), but others may read the file: chmod 600 \(path)")
            }
            guard let text = value.spelled(for: option) else {
                problems.append("\(place): \(key) must be \(Self.name(of: option.shape))")
                continue
            }
            do throws(BadValue) {
                try option.apply(&settings, text)
            } catch {
                problems.append(
                    "\(place): \(key) is \(option.shown(text)), but must be \(error.reason)")
            }
        }
    }

    private static func name<Settings>(of shape: Option<Settings>.Shape) -> String {
        switch shape {
        case .text: "a string"
        case .number: "a number"
        case .flag: "true or false"
        case .list: "a list of strings"
        }
    }

    /// Where reading stopped, from Foundation's description; the text itself may hold secrets.
    private static func place(of error: any Error) -> String {
        guard case DecodingError.dataCorrupted(let context) = error,
            let cause = context.underlyingError,
            let match = "\(cause)".firstMatch(of: /line (\d+), column (\d+)/)
        else { return "" }
        return " (line \(match.1), column \(match.2))"
    }
}
