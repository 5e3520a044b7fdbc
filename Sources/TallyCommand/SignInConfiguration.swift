// SPDX-License-Identifier: Apache-2.0

/// How people of other applications sign in, and from which pages they may call.
public struct SignInConfiguration: Sendable, Equatable {
    /// The file of a JSON Web Key Set; nil for no tokens.
    public var keysFile: String?
    /// The `iss` that tokens have to have; nil for any.
    public var issuer: String?
    /// The `aud` that tokens have to have; nil for any.
    public var audience: String?
    /// By how much the clocks of those who sign may differ, in seconds.
    public var leewaySeconds = 30
    /// The claim that names the subject.
    public var subjectClaim = "sub"
    /// The claim that names the workspace.
    public var workspaceClaim = "workspace"
    /// The claim that names the role.
    public var roleClaim = "role"
    /// The origins of pages that may call: `https://HOST[:PORT]`, or `*`.
    public var corsOrigins: [String] = []
}

extension ServiceConfiguration {
    /// The options of signing in.
    static let signInOptions: [Option<ServiceConfiguration>] = [
        Option(
            "jwt-keys", .text, "FILE",
            help: "JSON Web Key Set whose tokens are accepted (HS256, RS256, ES256)",
            apply: { settings, text throws(BadValue) in
                settings.signIn.keysFile = try Check.path(text)
            }),
        Option(
            "jwt-issuer", .text, "NAME", help: "The iss that tokens have to have",
            apply: { settings, text throws(BadValue) in
                settings.signIn.issuer = try claim(text)
            }),
        Option(
            "jwt-audience", .text, "NAME", help: "The aud that tokens have to have",
            apply: { settings, text throws(BadValue) in
                settings.signIn.audience = try claim(text)
            }),
        Option(
            "jwt-leeway", .number, "SECONDS", fallback: "30",
            help: "By how much the clocks of those who sign may differ (0...600)",
            apply: { settings, text throws(BadValue) in
                settings.signIn.leewaySeconds = try Check.integer(text, 0...600)
            }),
        Option(
            "jwt-subject-claim", .text, "NAME", fallback: "sub",
            help: "The claim that names the subject",
            apply: { settings, text throws(BadValue) in
                settings.signIn.subjectClaim = try claim(text)
            }),
        Option(
            "jwt-workspace-claim", .text, "NAME", fallback: "workspace",
            help: "The claim that names the workspace",
            apply: { settings, text throws(BadValue) in
                settings.signIn.workspaceClaim = try claim(text)
            }),
        Option(
            "jwt-role-claim", .text, "NAME", fallback: "role",
            help: "The claim that names the role: admin, writer, reader; anything else is self",
            apply: { settings, text throws(BadValue) in
                settings.signIn.roleClaim = try claim(text)
            }),
        Option(
            "cors-origins", .list, "ORIGINS",
            help: "Origins of web pages that may call, such as https://chat.example.com, or *",
            apply: { settings, text throws(BadValue) in
                settings.signIn.corsOrigins = try origins(text)
            }),
    ]

    private static func claim(_ text: String) throws(BadValue) -> String {
        guard (1...256).contains(text.utf8.count),
            text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f })
        else { throw BadValue("1 to 256 bytes without control characters") }
        return text
    }

    /// An origin as browsers send it: lower case, no path, no port that the scheme implies.
    private static func origins(_ text: String) throws(BadValue) -> [String] {
        if text.isEmpty { return [] }
        let origins = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        for origin in origins where origin != "*" {
            let host =
                origin.hasPrefix("https://")
                ? origin.dropFirst(8) : origin.hasPrefix("http://") ? origin.dropFirst(7) : ""
            let isPlain = host.utf8.allSatisfy { byte in
                (0x61...0x7a).contains(byte) || (0x30...0x39).contains(byte)
                    || ".-:[]_".utf8.contains(byte)
            }
            guard !host.isEmpty, isPlain else {
                throw BadValue(
                    "origins such as https://chat.example.com, with commas between, or *")
            }
        }
        return origins
    }
}
