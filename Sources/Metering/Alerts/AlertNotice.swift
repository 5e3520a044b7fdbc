// SPDX-License-Identifier: Apache-2.0

/// What an alert has to tell, once.
public struct AlertNotice: Sendable {
    /// The same at every attempt.
    public let id: String
    let alert: Int
    public let alertName: String
    /// Of the limit; empty for a balance or a budget.
    public let limitName: String
    /// Nil for the workspace.
    public let subject: ByteString?
    public let percent: Int
    /// In the unit of the limit's meter, micro-credits or micro-currency; as it was then.
    public let used: Int
    public let most: Int
    /// When the percent was reached.
    public let time: Timestamp
    /// When the window, or the month, ends; nil when it does not.
    public let resets: Timestamp?
    /// How often it was tried to deliver it.
    public let attempts: Int
    /// What the last attempt failed for; empty before that.
    public let fault: String

    /// Reads a notice as lua/include/alert_fields.lua has it; nil when it is damaged.
    init?(_ id: [UInt8], packed: [UInt8]) {
        guard let fields = MessagePackValue(packed)?.array, fields.count == 11,
            let alert = fields[0].integer, let name = fields[1].bytes, let limit = fields[2].bytes,
            let subject = fields[3].bytes, let fault = fields[10].bytes,
            let numbers = MessagePackValue.array(Array(fields[4..<10])).integers
        else { return nil }
        self.id = String(decoding: id, as: UTF8.self)
        self.alert = alert
        alertName = String(decoding: name, as: UTF8.self)
        limitName = String(decoding: limit, as: UTF8.self)
        self.subject = subject.isEmpty ? nil : ByteString(bytes: subject)
        self.fault = String(decoding: fault, as: UTF8.self)
        (percent, used, most) = (numbers[0], numbers[1], numbers[2])
        time = Timestamp(milliseconds: numbers[3])
        resets = numbers[4] == 0 ? nil : Timestamp(milliseconds: numbers[4])
        attempts = numbers[5]
    }
}

/// Which notices are listed.
public enum NoticeState: String, Sendable, CaseIterable {
    /// They are on their way.
    case pending
    /// They could not be delivered.
    case dead
}

/// Some notices, by when they are due, or were given up.
public struct NoticePage: Sendable {
    public let notices: [(notice: AlertNotice, at: Timestamp)]
    /// Where the next page begins; nil at the end.
    public let next: NoticeCursor?
}

/// A place in a list of notices.
public struct NoticeCursor: Sendable {
    let time: Int
    let id: String

    /// As clients bring it back.
    public var text: String { "\(time)_\(id)" }

    init(time: Int, id: String) {
        self.time = time
        self.id = id
    }

    /// Nil for what is no place.
    public init?(_ text: String) {
        let parts = text.split(separator: "_", omittingEmptySubsequences: false)
        guard parts.count == 2, let time = Int(parts[0]), time >= 0, parts[0].utf8.count <= 16,
            AlertNotice.isID(parts[1])
        else { return nil }
        self.init(time: time, id: String(parts[1]))
    }
}

extension AlertNotice {
    /// Whether a text can be the id of a notice.
    public static func isID(_ text: some StringProtocol) -> Bool {
        (3...40).contains(text.utf8.count)
            && text.utf8.allSatisfy { (0x30...0x39).contains($0) || $0 == UInt8(ascii: "-") }
    }
}
