// SPDX-License-Identifier: Apache-2.0

/// What somebody is about to do to a workspace.
public struct AuditAct: Sendable, Equatable {
    /// Who: the name of its principal.
    public var actor: ByteString
    public var role: String
    /// The numeric address that the request came from, or `unix`.
    public var address: String
    public var method: String
    /// The path with the names of its parameters.
    public var route: String
    /// As sent, percent-encoded.
    public var path: String
    /// JSON of what the act is about, as it was before; nil for nothing.
    public var before: [UInt8]?

    public init(
        actor: ByteString, role: String, address: String, method: String, route: String,
        path: String, before: [UInt8]?
    ) {
        (self.actor, self.role, self.address) = (actor, role, address)
        (self.method, self.route, self.path) = (method, route, path)
        self.before = before
    }

    /// What was done, in a word: `PUT /v1/prices`.
    public var action: String { "\(method) \(route)" }
}

/// How an act went.
public struct AuditOutcome: Sendable, Equatable {
    public var ended: Timestamp
    /// Of the answer.
    public var status: Int
    /// JSON of what the act was about, as it was then; nil for nothing.
    public var after: [UInt8]?

    public init(ended: Timestamp, status: Int, after: [UInt8]?) {
        (self.ended, self.status, self.after) = (ended, status, after)
    }
}

/// The place of an act in the log.
public struct AuditPosition: Sendable, Hashable {
    /// When it was begun, or a little later.
    public let milliseconds: Int
    /// Tells acts of one millisecond apart.
    let sequence: Int

    init(_ milliseconds: Int, _ sequence: Int) {
        (self.milliseconds, self.sequence) = (milliseconds, sequence)
    }

    /// Reads what `text` writes.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let milliseconds = Self.number(parts[0]),
            let sequence = Self.number(parts[1])
        else { return nil }
        self.init(milliseconds, sequence)
    }

    private static func number(_ text: some StringProtocol) -> Int? {
        guard (1...16).contains(text.utf8.count),
            text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) })
        else { return nil }
        return Int(text)
    }

    public var text: String { "\(milliseconds)-\(sequence)" }
}

/// An act that was begun.
public struct AuditEntry: Sendable {
    public let id: AuditPosition
    public let act: AuditAct
    /// Nil while it is under way, and for ever when its process ended before it could be told.
    public internal(set) var outcome: AuditOutcome?

    public var began: Timestamp { Timestamp(milliseconds: id.milliseconds) }
}

/// Which acts are asked for.
public struct AuditQuery: Sendable {
    public var actor: ByteString?
    /// As `AuditAct.action`.
    public var action: String?
    public var from: Timestamp?
    /// The first instant behind the range.
    public var until: Timestamp?
    /// Acts, as `action`, that are not told whatever else is asked for.
    public var hidden: Set<String> = []

    public init() {}

    func matches(_ act: AuditAct) -> Bool {
        if let actor, actor != act.actor { return false }
        if let action, action != act.action { return false }
        return hidden.isEmpty || !hidden.contains(act.action)
    }
}

/// Some acts, the newest first.
public struct AuditPage: Sendable {
    public internal(set) var entries: [AuditEntry] = []
    /// Where to go on; nil at the end.
    public internal(set) var next: AuditPosition?
}
