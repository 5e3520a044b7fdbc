// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import Observability
internal import Redis

extension ServiceConfiguration {
    /// The table behind `tally serve`: its flags, variables, file keys and help.
    static let options: [Option<ServiceConfiguration>] =
        [
            Option(
                "listen", .text, "HOST:PORT", fallback: "127.0.0.1:8080",
                help: "Address and port to listen on",
                apply: { settings, text throws(BadValue) in
                    (settings.host, settings.port) = try address(text)
                }),
            Option(
                "data", .text, "DIR", fallback: "./data",
                help: "Folder of the admin key and of the service's own Redis",
                apply: { settings, text throws(BadValue) in
                    settings.dataFolder = try Check.path(text)
                }),
            Option(
                "redis", .text, "URL", fallback: "an own one in DIR", secrecy: .address,
                help:
                    "Redis to use: redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE] or unix:///PATH",
                apply: { settings, text throws(BadValue) in settings.redisURL = try redisURL(text) }
            ),
            Option(
                "config", .text, "FILE", sources: [.flag, .environment],
                help: "JSON5 file with these options as keys, - written as _",
                apply: { _, text throws(BadValue) in _ = try Check.path(text) }),
            Option(
                "threads", .number, "N", fallback: "half the cores",
                help: "Event loops, one thread each (1...256)",
                apply: { settings, text throws(BadValue) in
                    settings.threads = try Check.integer(text, 1...256)
                }),
            Option(
                "durability", .text, "everysec|always", fallback: "always",
                help: "When an event is answered: after at most a second's loss, or when on disk",
                apply: { settings, text throws(BadValue) in
                    settings.durability = try Check.choice(text, Durability.self)
                }),
            Option(
                "ranked-meters", .list, "NAMES", fallback: "tokens,credits_micro",
                help: "Meters with leaderboards, at most 16",
                apply: { settings, text throws(BadValue) in settings.rankedMeters = try meters(text)
                }),
            Option(
                "idempotency-hours", .number, "N", fallback: "48",
                help: "How long an event's id is remembered (1...840)",
                apply: { settings, text throws(BadValue) in
                    settings.idempotencyHours = try Check.integer(text, 1...840)
                }),
            Option(
                "late-days", .number, "N", fallback: "7", help: "How old an event may be (0...35)",
                apply: { settings, text throws(BadValue) in
                    settings.lateDays = try Check.integer(text, 0...35)
                }),
            Option(
                "hot-days", .number, "N", fallback: "35",
                help:
                    "For how long a day's detail stays in Redis; then it is in its file (2...400)",
                apply: { settings, text throws(BadValue) in
                    settings.hotDays = try Check.integer(text, 2...400)
                }),
            Option(
                "events-days", .number, "N", fallback: "35",
                help: "For how long single events can be looked at (1...400)",
                apply: { settings, text throws(BadValue) in
                    settings.eventsDays = try Check.integer(text, 1...400)
                }),
            Option(
                "audit-days", .number, "N", fallback: "400",
                help: "For how long the audit log is kept (1...3650)",
                apply: { settings, text throws(BadValue) in
                    settings.auditDays = try Check.integer(text, 1...3650)
                }),
            Option(
                "flush-interval", .number, "SECONDS", fallback: "60",
                help: "How often days that changed are written to files (1...86400)",
                apply: { settings, text throws(BadValue) in
                    settings.flushIntervalSeconds = try Check.integer(text, 1...86_400)
                }),
            Option(
                "time-zone", .text, "NAME", fallback: "UTC",
                help: "IANA zone in which days and months begin",
                apply: { settings, text throws(BadValue) in settings.timeZone = try timeZone(text) }
            ),
            Option(
                "subject-header", .text, "NAME", fallback: "X-Tally-Subject",
                help: "Header field in which a gateway names the subject",
                apply: { settings, text throws(BadValue) in
                    settings.subjectHeader = try fieldName(text)
                }),
            Option(
                "redis-timeout-ms", .number, "N", fallback: "300",
                help: "How long an answer of Redis may take (10...60000)",
                apply: { settings, text throws(BadValue) in
                    settings.redisTimeoutMilliseconds = try Check.integer(text, 10...60_000)
                }),
            Option(
                "log-level", .text, "LEVEL", fallback: "info",
                help: "Least level logged: debug, info, notice, warning, error",
                apply: { settings, text throws(BadValue) in
                    settings.logLevel = try Check.choice(text, Logger.Level.self)
                }),
            Option(
                "allow-volatile", .flag, fallback: "false",
                help: "Run on a Redis that may forget what was counted, or does not tell",
                apply: { settings, text throws(BadValue) in
                    settings.allowsVolatile = try Check.boolean(text)
                }),
            Option(
                "admin-key", .text, sources: [.environment, .file], secrecy: .hidden,
                help: "Admin key, 16 to 512 characters; made at first start if not set",
                apply: { settings, text throws(BadValue) in
                    settings.adminKey = try AdminKey.checked(text)
                }),
        ] + signInOptions + outboundOptions

    /// Fields that requests have for something else.
    private static let usedFields: Set = [
        "authorization", "connection", "content-length", "cookie", "host", "transfer-encoding",
        "x-guest-id",
    ]

    /// A header field's name (RFC 9110, 5.1) that no other use is made of.
    private static func fieldName(_ text: String) throws(BadValue) -> String {
        let marks = "!#$%&'*+-.^_`|~".utf8
        let isToken = text.utf8.allSatisfy { byte in
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || marks.contains(byte)
        }
        guard isToken, (1...64).contains(text.utf8.count),
            !usedFields.contains(text.lowercased())
        else { throw BadValue("a header field's name with no other use, such as X-User-ID") }
        return text
    }

    private static func address(_ text: String) throws(BadValue) -> (String, Int) {
        guard let colon = text.lastIndex(of: ":") else { throw BadValue("HOST:PORT") }
        var host = String(text[..<colon])
        let port = text[text.index(after: colon)...]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = String(host.dropFirst().dropLast())
            let isHex = host.utf8.allSatisfy { $0 == 0x3a || $0 == 0x2e || isHexDigit($0) }
            guard host.contains(":"), isHex else { throw BadValue("[IPv6 ADDRESS]:PORT") }
        } else {
            guard !host.contains(":") else { throw BadValue("[IPv6 ADDRESS]:PORT") }
            guard isHostName(host) else { throw BadValue("HOST:PORT") }
        }
        guard Text.isDigits(port), let number = Int(port), (1...65535).contains(number) else {
            throw BadValue("HOST:PORT with a port from 1 to 65535")
        }
        return (host, number)
    }

    private static func isHexDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x46, 0x61...0x66: true
        default: false
        }
    }

    private static func isHostName(_ host: String) -> Bool {
        guard !host.isEmpty, host.utf8.count <= 253 else { return false }
        // Digits and dots only are an IPv4 address, or a mistake.
        if host.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == 0x2e }) {
            return isIPv4(host)
        }
        return host.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            !label.isEmpty && !label.hasPrefix("-") && !label.hasSuffix("-")
                && label.utf8.allSatisfy { Text.isAlphanumeric($0) || $0 == 0x2d || $0 == 0x5f }
        }
    }

    /// Read as the service reads it when it connects: what cannot be used is refused here, where the
    /// option has a name.
    static func redisURL(_ text: String) throws(BadValue) -> String {
        do throws(RedisURLError) {
            _ = try RedisConfiguration(url: text)
        } catch {
            throw BadValue(
                "redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE] or unix:///PATH: \(error.reason)")
        }
        return text
    }

    private static func meters(_ text: String) throws(BadValue) -> [String] {
        if text.isEmpty { return [] }
        let names = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        guard names.count <= 16, Set(names).count == names.count,
            names.allSatisfy({ Text.isMeter($0) })
        else {
            throw BadValue(
                "at most 16 different names of meters (a-z, 0-9, _), with commas between")
        }
        return names
    }

    private static func timeZone(_ text: String) throws(BadValue) -> String {
        let known = TimeZone.knownTimeZoneIdentifiers
        // Some names are not known, such as `Asia/Kolkata`, and mean a zone nevertheless.
        let isNamed = text.contains("/") && TimeZone(identifier: text) != nil
        if text == "UTC" || known.contains(text) || isNamed { return text }
        throw BadValue(
            "an IANA name such as Europe/Berlin" + Text.hint(text, among: known + ["UTC"]))
    }
}
