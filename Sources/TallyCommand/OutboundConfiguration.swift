// SPDX-License-Identifier: Apache-2.0

/// How the service tells what alerts have to say.
public struct OutboundConfiguration: Sendable, Equatable {
    /// Whether webhooks may lead to any address, also without TLS.
    public var allowsPrivateWebhooks = false
    /// `smtp://HOST[:PORT]` or `smtps://HOST[:PORT]`; nil for no e-mail.
    public var smtpURL: String?
    /// The address that e-mail comes from.
    public var smtpFrom: String?
    public var smtpUser: String?
    public var smtpPassword: String?
}

extension ServiceConfiguration {
    /// The options of alerts.
    static let outboundOptions: [Option<ServiceConfiguration>] = [
        Option(
            "allow-private-webhooks", .flag, fallback: "false",
            help: "Let webhooks of alerts lead to private addresses, also without TLS",
            apply: { settings, text throws(BadValue) in
                settings.outbound.allowsPrivateWebhooks = try Check.boolean(text)
            }),
        Option(
            "smtp-url", .text, "URL", secrecy: .address,
            help: "Server for e-mail of alerts: smtp://HOST:PORT, smtps://",
            apply: { settings, text throws(BadValue) in
                settings.outbound.smtpURL = try mailServer(text)
            }),
        Option(
            "smtp-from", .text, "ADDRESS", help: "Address that e-mail of alerts comes from",
            apply: { settings, text throws(BadValue) in
                settings.outbound.smtpFrom = try mailAddress(text)
            }),
        Option(
            "smtp-user", .text, sources: [.environment, .file], secrecy: .hidden,
            help: "User at the server for e-mail",
            apply: { settings, text throws(BadValue) in
                settings.outbound.smtpUser = try credential(text)
            }),
        Option(
            "smtp-password", .text, sources: [.environment, .file], secrecy: .hidden,
            help: "Password at the server for e-mail",
            apply: { settings, text throws(BadValue) in
                settings.outbound.smtpPassword = try credential(text)
            }),
    ]

    private static func mailServer(_ text: String) throws(BadValue) -> String {
        let form = "smtp://HOST[:PORT] or smtps://HOST[:PORT]"
        guard let scheme = ["smtp://", "smtps://"].first(where: text.hasPrefix) else {
            throw BadValue(form)
        }
        let place = text.dropFirst(scheme.count)
        let isPlain = place.utf8.allSatisfy {
            Text.isAlphanumeric($0) || "-._:[]".utf8.contains($0)
        }
        guard isPlain, (1...260).contains(place.utf8.count) else { throw BadValue(form) }
        // Behind the brackets of an IPv6 address, if there are any.
        let end = place.lastIndex(of: "]") ?? place.startIndex
        if let colon = place[end...].firstIndex(of: ":") {
            let port = place[place.index(after: colon)...]
            guard Text.isDigits(port), let number = Int(port), (1...65_535).contains(number) else {
                throw BadValue("\(form), with a port from 1 to 65535")
            }
        }
        return text
    }

    private static func mailAddress(_ text: String) throws(BadValue) -> String {
        let parts = text.split(separator: "@", omittingEmptySubsequences: false)
        let isPlain = text.utf8.allSatisfy { byte in
            Text.isAlphanumeric(byte) || "!#$%&'*+-/=?^_`{|}~.@".utf8.contains(byte)
        }
        guard isPlain, parts.count == 2, text.utf8.count <= 254,
            parts.allSatisfy({ !$0.isEmpty })
        else { throw BadValue("an address such as tally@example.com") }
        return text
    }

    private static func credential(_ text: String) throws(BadValue) -> String {
        guard (1...1024).contains(text.utf8.count),
            text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f })
        else { throw BadValue("1 to 1024 bytes without control characters") }
        return text
    }
}
