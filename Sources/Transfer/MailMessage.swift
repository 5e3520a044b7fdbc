// SPDX-License-Identifier: Apache-2.0

internal import FoundationEssentials
internal import Glibc

/// A plain text as mail has it (RFC 5322, RFC 2045). What comes from outside stands in Base64 in it, in
/// the subject too, so that no line of it can become another header, or end the message.
struct MailMessage {
    let from: String
    let to: String
    let subject: String
    let text: String
    /// Letters, digits, points and hyphens: the same for the same message.
    let id: String
    /// Seconds since 1970.
    let seconds: Int

    /// Base64 of so many bytes fits into a line of 76 with `Subject:` before it.
    private static let bytesPerWord = 39
    private static let bytesPerLine = 57

    var bytes: [UInt8] {
        let domain = from.split(separator: "@").last ?? "localhost"
        let lines =
            [
                "From: Tally <\(from)>",
                "To: <\(to)>",
                "Subject: \(Self.words(subject))",
                "Date: \(date)",
                "Message-ID: <\(id)@\(domain)>",
                "Auto-Submitted: auto-generated",
                "MIME-Version: 1.0",
                "Content-Type: text/plain; charset=utf-8",
                "Content-Transfer-Encoding: base64",
                "",
            ] + Self.pieces(Array(text.utf8), Self.bytesPerLine).map(Self.base64)
        return Array((lines.joined(separator: "\r\n") + "\r\n").utf8)
    }

    /// Encoded words (RFC 2047), one to a line, none with a part of a character.
    private static func words(_ text: String) -> String {
        var words: [[UInt8]] = [[]]
        for scalar in text.unicodeScalars {
            let bytes = Array(String(scalar).utf8)
            if words[words.count - 1].count + bytes.count > bytesPerWord { words.append([]) }
            words[words.count - 1] += bytes
        }
        return words.map { "=?utf-8?B?\(base64($0))?=" }.joined(separator: "\r\n ")
    }

    private static func pieces(_ bytes: [UInt8], _ count: Int) -> [[UInt8]] {
        stride(from: 0, to: bytes.count, by: count).map {
            Array(bytes[$0..<min($0 + count, bytes.count)])
        }
    }

    private static func base64(_ bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }

    private var date: String {
        var (time, parts) = (time_t(seconds), tm())
        gmtime_r(&time, &parts)
        // Names of days and months are English: this process sets no locale.
        var text = [CChar](repeating: 0, count: 64)
        let count = strftime(&text, text.count, "%a, %d %b %Y %H:%M:%S +0000", &parts)
        return String(decoding: text[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
