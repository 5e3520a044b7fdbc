// SPDX-License-Identifier: Apache-2.0

/// How much of a meter a class of subjects may use in a window.
public struct Limit: Hashable, Sendable {
    /// Over what time a limit counts.
    public enum Window: Hashable, Sendable {
        /// From the start of the minute or hour, in the workspace's zone.
        case minute, hour
        /// From midnight, or from midnight of the 1st, in the workspace's zone.
        case day, month
        case lifetime
        /// The last `seconds`, to a resolution of 1/60 of them: an amount leaves the window at most
        /// that much late, never early.
        case rolling(seconds: Int)
        /// The limit's amount per `seconds`, evenly, and at most `burst` at once (nil: the amount).
        /// The generic cell rate algorithm, as a leaky bucket (ITU-T I.371, annex A).
        case rate(seconds: Int, burst: Int?)
        /// What open holds have at the same time.
        case concurrent
    }

    /// 1 to 64 of `a-z`, `0-9`, `_` and `-`.
    public let name: String
    public let meter: Meter
    public let window: Window
    /// The most in a window, in the meter's unit; nil for no limit.
    public let user: Int?
    public let guest: Int?
    /// Names the limit's counters in Redis: kept while meter and window stay, never used again.
    let id: Int
    /// The version of the rules from which on it counts.
    let since: Int

    init(
        name: String, meter: Meter, window: Window, user: Int?, guest: Int?, id: Int, since: Int = 0
    ) {
        self.since = since
        self.name = name
        self.meter = meter
        self.window = window
        self.user = user
        self.guest = guest
        self.id = id
    }

    /// The limit as it is for a class.
    func amount(for kind: SubjectClass) -> Int? { kind == .guest ? guest : user }

    static let nameBytesMax = 64

    static func isName(_ bytes: some Collection<UInt8>) -> Bool {
        (1...nameBytesMax).contains(bytes.count)
            && bytes.allSatisfy { byte in
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                    || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-")
            }
    }
}

/// Whose amount of a limit holds for a subject.
public enum SubjectClass: Int, Sendable {
    case user = 1
    case guest = 2
}

extension SubjectID {
    /// How the ids of guests begin, so that no guest can name itself as a user is named.
    public static let guestPrefix = "guest:"

    /// How ids begin that stand for erased subjects. Clients may read them, and act for none of them.
    public static let erasedPrefix = "erased:"

    /// How those of them begin that stand for erased guests: they stay guests when workspaces count users.
    static let erasedGuestPrefix = erasedPrefix + guestPrefix

    /// Whether it is a guest, or stands for one who was erased.
    var isOrWasGuest: Bool {
        kind == .guest || id.bytes.starts(with: Self.erasedGuestPrefix.utf8)
    }

    /// Whether it stands for somebody who was erased.
    public var isErased: Bool { id.bytes.starts(with: Self.erasedPrefix.utf8) }

    public var kind: SubjectClass {
        id.bytes.starts(with: Self.guestPrefix.utf8) ? .guest : .user
    }
}
