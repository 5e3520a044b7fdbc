// SPDX-License-Identifier: Apache-2.0

internal import FoundationEssentials
internal import Glibc

/// Writes one line per event to standard error: text on a terminal, JSON elsewhere.
///
/// Callers never pass keys, tokens or bodies. Control characters of values are escaped, so that
/// nothing a client sends can forge a line.
public struct Logger: Sendable {
    /// How much an event matters, least first.
    public enum Level: String, Sendable, CaseIterable, Comparable {
        case debug, info, notice, warning, error

        public static func < (left: Level, right: Level) -> Bool {
            left.rank < right.rank
        }

        private var rank: Int { Level.allCases.firstIndex(of: self) ?? 0 }
    }

    /// The least level that is written.
    public var level: Level
    private let isJSON: Bool
    private let descriptor: Int32

    /// A logger for a descriptor, standard error unless told otherwise.
    public init(level: Level = .info, descriptor: Int32 = 2) {
        self.level = level
        self.descriptor = descriptor
        self.isJSON = isatty(descriptor) == 0
    }

    /// Writes one line if `level` is high enough.
    public func log(
        _ level: Level, _ message: String, _ metadata: KeyValuePairs<String, String> = [:]
    ) {
        guard level >= self.level else { return }
        let time = Date.now.formatted(.iso8601.time(includingFractionalSeconds: true))
        var line =
            isJSON
            ? "{\"time\":\"\(time)\",\"level\":\"\(level.rawValue)\",\"message\":"
            : "\(time) \(level.rawValue) "
        line += isJSON ? Self.quoted(message) : Self.escaped(message)
        for (name, value) in metadata {
            line +=
                isJSON
                ? ",\(Self.quoted(name)):\(Self.quoted(value))" : " \(name)=\(Self.escaped(value))"
        }
        line += isJSON ? "}\n" : "\n"
        // One write per line: lines of several threads do not mix.
        var bytes = Array(line.utf8)
        _ = bytes.withUnsafeMutableBytes { write(descriptor, $0.baseAddress, $0.count) }
    }

    public func debug(_ message: String, _ metadata: KeyValuePairs<String, String> = [:]) {
        log(.debug, message, metadata)
    }
    public func info(_ message: String, _ metadata: KeyValuePairs<String, String> = [:]) {
        log(.info, message, metadata)
    }
    public func notice(_ message: String, _ metadata: KeyValuePairs<String, String> = [:]) {
        log(.notice, message, metadata)
    }
    public func warning(_ message: String, _ metadata: KeyValuePairs<String, String> = [:]) {
        log(.warning, message, metadata)
    }
    public func error(_ message: String, _ metadata: KeyValuePairs<String, String> = [:]) {
        log(.error, message, metadata)
    }

    /// The text with control characters as `\u{..}`; other text as it is.
    static func escaped(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) else { return text }
        return text.unicodeScalars.map {
            $0.value < 0x20 || $0.value == 0x7f ? "\\u{\(String($0.value, radix: 16))}" : String($0)
        }
        .joined()
    }

    private static func quoted(_ text: String) -> String {
        guard let data = try? JSONEncoder().encode(text) else { return "\"\"" }
        return String(decoding: data, as: UTF8.self)
    }
}
