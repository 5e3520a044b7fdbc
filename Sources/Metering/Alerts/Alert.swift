// SPDX-License-Identifier: Apache-2.0

internal import JSON

/// Tells when so much of something is used.
public struct Alert: Hashable, Sendable {
    /// What an alert looks at.
    public enum Watched: Hashable, Sendable {
        /// What a subject used of a limit, by the limit's name.
        case limit(String)
        /// What a subject spent this month, of all the credits that the month had so far.
        case balance
        /// What the workspace cost this month, of an amount in micro-currency.
        case budget(Int)
    }

    /// Whom it tells.
    public enum Target: Hashable, Sendable {
        /// A URL that gets a signed POST.
        case webhook(String)
        case email(String)

        var isMail: Bool { if case .email = self { true } else { false } }

        /// What it shares with others that lead there: its host, as the URL names it; all e-mail goes to
        /// one server.
        var place: String {
            guard case .webhook(let url) = self else { return "" }
            let ends: Set<Character> = ["/", "?", "#", "\\"]
            let rest = url.drop { $0 != ":" }.drop { $0 == ":" || $0 == "/" }
            return rest.prefix { !ends.contains($0) }.lowercased()
        }
    }

    /// 1 to 64 of `a-z`, `0-9`, `_` and `-`.
    public let name: String
    public let watched: Watched
    /// From the lowest on, each once: 1 to 1,000.
    public let percents: [Int]
    /// The one subject that it is about; nil for all. Never of a budget.
    public let subject: SubjectID?
    public let target: Target
    /// Names what was told: kept while name, subject and what is watched stay, never used again.
    let id: Int
    /// The secret that its webhook's messages are signed with, sealed, in Base64.
    let sealedSecret: String?

    /// Where a secret of an alert belongs: it cannot be opened for another.
    static func place(of id: Int, in workspace: WorkspaceID) -> [UInt8] {
        Array("\(workspace.text)/alert/\(id)".utf8)
    }

    /// Whether what was told for one was told for the other.
    func watches(as other: Alert) -> Bool {
        let isSame =
            switch (watched, other.watched) {
            case (.budget, .budget): true
            default: watched == other.watched
            }
        return isSame && name == other.name && subject == other.subject
    }

    /// Whether both tell the same ones as often.
    func tells(as other: Alert) -> Bool { percents == other.percents && target == other.target }

    /// The same under another id, with another secret.
    func renumbered(_ id: Int, sealedSecret: String?) -> Alert {
        Alert(
            name: name, watched: watched, percents: percents, subject: subject, target: target,
            id: id, sealedSecret: sealedSecret)
    }

    /// Writes it as clients see it, or as it is stored.
    ///
    /// - Parameter secret: of its webhook, where it is shown: once.
    func write(_ writer: inout JSONWriter, isStored: Bool, secret: String? = nil) {
        writer.beginObject()
        writer.key("name")
        writer.string(name)
        writer.key("on")
        writer.beginObject()
        switch watched {
        case .limit(let limit):
            writer.key("limit")
            writer.string(limit)
        case .balance:
            writer.key("balance")
            writer.boolean(true)
        case .budget(let micros):
            writer.key("budget")
            writer.string(MicroDecimal.text(micros))
        }
        writer.endObject()
        writer.key("percent")
        writer.beginArray()
        for percent in percents { writer.integer(percent) }
        writer.endArray()
        if let subject {
            writer.key("subject")
            writer.string(bytes: subject.id.bytes)
        }
        writer.key("to")
        writer.beginObject()
        switch target {
        case .webhook(let url):
            writer.key("webhook")
            writer.string(url)
        case .email(let address):
            writer.key("email")
            writer.string(address)
        }
        writer.endObject()
        if isStored {
            writer.key("id")
            writer.integer(id)
            if let sealedSecret {
                writer.key("sealed")
                writer.string(sealedSecret)
            }
        }
        if let secret {
            writer.key("secret")
            writer.string(secret)
        }
        writer.endObject()
    }
}
