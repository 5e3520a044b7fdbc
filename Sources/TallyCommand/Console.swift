// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Observability

/// How a command ends. Beyond 0, 1 and 2, the numbers are those of `sysexits.h`.
enum ExitCode {
    static let success: Int32 = 0
    static let failure: Int32 = 1
    static let usage: Int32 = 2
    static let noInput: Int32 = 66
    static let unavailable: Int32 = 69
    static let cannotWrite: Int32 = 74
}

/// Whoever reads the output has gone away, as `head` does.
struct OutputClosed: Error {}

/// The output cannot be written, for example to a full disk.
struct OutputFailed: Error {
    var errno: Int32
    /// The file that was to be written; nil for standard output.
    var path: String?
}

/// Where a command writes to.
struct Console: Sendable {
    /// Writes to standard output; fails when nobody reads it any more.
    let print: @Sendable (String) throws -> Void
    /// Writes to standard error, as well as it can.
    let complain: @Sendable (String) -> Void
    /// Whether standard error is a terminal, so that progress can be shown on it.
    let showsProgress: Bool
    /// Writes bytes to standard output, as `print` does.
    var send: @Sendable (UnsafeRawBufferPointer) throws -> Void = { try check(write($0, to: 1)) }

    /// The process's own standard output and error.
    static let standard = Console(
        print: { try check(write($0 + "\n", to: 1)) },
        complain: { _ = write($0, to: 2) },
        showsProgress: isatty(2) != 0)

    /// Prints what a command came to whose exit code says how it went: that nobody reads it changes nothing of that.
    func conclude(_ text: String) throws {
        do { try print(text) } catch is OutputClosed {}
    }

    /// Says what is wrong, in a line. It may name what was typed, which may hold anything.
    func report(_ problem: String) {
        complain(Escaping.text(Text.withoutPasswords(problem)) + "\n")
    }

    /// Says which words are no text. What follows an option is not repeated, for it may be a secret.
    func refuse(_ words: [[UInt8]]) -> Int32 {
        for (index, word) in words.enumerated()
        where String(validating: word, as: UTF8.self) == nil {
            let isShown = index == 0 || words[index - 1].first != UInt8(ascii: "-")
            let text =
                word.first == UInt8(ascii: "-") || !isShown
                ? nil : String(decoding: word, as: UTF8.self)
            report(
                "tally: argument \(index + 1)" + (text.map { ", \(Text.quoted($0))," } ?? "") + " "
                    + Text.notUTF8)
        }
        return ExitCode.usage
    }

    private static func check(_ code: Int32) throws {
        if code == EPIPE { throw OutputClosed() }
        guard code == 0 else { throw OutputFailed(errno: code) }
    }

    private static func write(_ text: String, to descriptor: Int32) -> Int32 {
        var text = text
        return text.withUTF8 { write(UnsafeRawBufferPointer($0), to: descriptor) }
    }

    /// 0, or the error's number.
    static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Int32 {
        var rest = bytes[...]
        while !rest.isEmpty {
            let part = UnsafeRawBufferPointer(rebasing: rest)
            let count = Glibc.write(descriptor, part.baseAddress, part.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return errno }
            rest = rest.dropFirst(count)
        }
        return 0
    }
}
