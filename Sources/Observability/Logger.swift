// SPDX-License-Identifier: Apache-2.0

internal import FoundationEssentials
internal import Glibc

/// Writes one line per event to standard error: text on a terminal, JSON elsewhere.
///
/// Callers never pass keys, tokens or bodies. Control characters of values are escaped, so that
/// nothing a client sends can forge a line or steer a terminal.
public struct Logger: Sendable {
    /// How much an event matters, least first.
    public enum Level: String, Sendable, CaseIterable, Comparable {
        /// Of use to who works on the service itself.
        case debug
        /// What happens in normal service.
        case info
        /// Normal, but an operator wants to know.
        case notice
        /// Something failed and was made good, or will fail if nobody looks.
        case warning
        /// Something failed and somebody has to act.
        case error

        /// Whether the left level matters less.
        public static func < (left: Level, right: Level) -> Bool {
            left.rank < right.rank
        }

        private var rank: Int {
            switch self {
            case .debug: 0
            case .info: 1
            case .notice: 2
            case .warning: 3
            case .error: 4
            }
        }
    }

    /// The form of a line.
    public enum Form: Sendable {
        /// For people: `time level message name=value`.
        case text
        /// For programs: one JSON object.
        case json
    }

    /// The least level that is written.
    public var level: Level
    private let form: Form
    private let descriptor: Int32

    /// A logger for a descriptor, standard error unless told otherwise.
    ///
    /// - Parameter form: Text on a terminal and JSON elsewhere, unless told otherwise.
    public init(level: Level = .info, descriptor: Int32 = 2, form: Form? = nil) {
        self.level = level
        self.descriptor = descriptor
        self.form = form ?? (isatty(descriptor) == 0 ? .json : .text)
    }

    /// Writes one line if `level` is high enough. Otherwise the arguments are not even computed.
    public func log(
        _ level: Level, _ message: @autoclosure () -> String,
        _ metadata: @autoclosure () -> KeyValuePairs<String, String> = [:]
    ) {
        guard level >= self.level else { return }
        write(Self.line(form, .now, level, message(), metadata()))
    }

    /// Logs at level `debug`.
    public func debug(
        _ message: @autoclosure () -> String,
        _ metadata: @autoclosure () -> KeyValuePairs<String, String> = [:]
    ) {
        log(.debug, message(), metadata())
    }

    /// Logs at level `info`.
    public func info(
        _ message: @autoclosure () -> String,
        _ metadata: @autoclosure () -> KeyValuePairs<String, String> = [:]
    ) {
        log(.info, message(), metadata())
    }

    /// Logs at level `notice`.
    public func notice(
        _ message: @autoclosure () -> String,
        _ metadata: @autoclosure () -> KeyValuePairs<String, String> = [:]
    ) {
        log(.notice, message(), metadata())
    }

    /// Logs at level `warning`.
    public func warning(
        _ message: @autoclosure () -> String,
        _ metadata: @autoclosure () -> KeyValuePairs<String, String> = [:]
    ) {
        log(.warning, message(), metadata())
    }

    /// Logs at level `error`.
    public func error(
        _ message: @autoclosure () -> String,
        _ metadata: @autoclosure () -> KeyValuePairs<String, String> = [:]
    ) {
        log(.error, message(), metadata())
    }

    static func line(
        _ form: Form, _ date: Date, _ level: Level, _ message: String,
        _ metadata: KeyValuePairs<String, String>
    ) -> String {
        let time = date.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
        switch form {
        case .json:
            var line = "{\"time\":\"\(time)\",\"level\":\"\(level.rawValue)\",\"message\":"
            line += Escaping.json(message)
            for (name, value) in metadata {
                line += ",\(Escaping.json(name)):\(Escaping.json(value))"
            }
            return line + "}\n"
        case .text:
            var line = "\(time) \(level.rawValue) \(Escaping.text(message))"
            for (name, value) in metadata {
                line += " \(Escaping.text(name))=\(Escaping.field(value))"
            }
            return line + "\n"
        }
    }

    /// One write per line, as a rule, so that lines of several threads do not mix. What cannot be
    /// written is dropped: a log must not stop the service.
    private func write(_ line: String) {
        var line = line
        line.withUTF8 { bytes in
            var rest = UnsafeRawBufferPointer(bytes)[...]
            while !rest.isEmpty {
                let part = UnsafeRawBufferPointer(rebasing: rest)
                let count = Glibc.write(descriptor, part.baseAddress, part.count)
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else { return }
                rest = rest.dropFirst(count)
            }
        }
    }
}
