// SPDX-License-Identifier: Apache-2.0

/// An event as it was counted.
public struct CountedEvent: Sendable {
    /// The client's id, or the one that Tally gave.
    public var id: ByteString
    /// Lifetime totals of the subject right after this event, for the meters of the event.
    public var totals: [(meter: Meter, total: Int)]
    /// The subject's micro-credits right after it, with what is held; nil when it cost none.
    public var balance: Int?
    /// What it was charged, in micro-credits: of a commit that was capped no more than was held; nil
    /// when it cost none, or is not known any more.
    public var credits: Int?
}

/// What became of an event that was offered for counting.
public enum EventOutcome: Sendable {
    case counted(CountedEvent)
    /// Counted before under the same id; what the first answer said.
    case duplicate(CountedEvent)
    /// Not counted, since its subject is not; its id is not taken.
    case skipped(SkipReason)
    /// Not counted, because credits or a limit do not suffice, or for its hold.
    case refused(Verdict)
    /// Not counted, and will not be when sent again as it is.
    case rejected(EventRejection)
    /// Redis did not say that it was counted. Sending it again with the same id is safe.
    case unavailable(reason: String)
    /// Not counted for now, and will not be unless it is sent again, with or without an id.
    case postponed(reason: String, fault: StorageFault? = nil)
}

/// Why a subject is not counted.
public enum SkipReason: Sendable {
    case demo
    /// The workspace counts registered users only, and it is none.
    case notRegistered
    /// It is registered, and not active.
    case inactive

    /// By the letter of lua/include/exclude_uncounted.lua.
    init?(_ letter: [UInt8]) {
        switch letter {
        case Array("d".utf8): self = .demo
        case Array("n".utf8): self = .notRegistered
        case Array("i".utf8): self = .inactive
        default: return nil
        }
    }

    /// As it is told.
    public var name: StaticString {
        switch self {
        case .demo: "demo"
        case .notRegistered: "not_registered"
        case .inactive: "inactive"
        }
    }
}

extension EventRejection {
    static let counterOverflow = EventRejection(
        status: 422, code: "counter_overflow", field: "meters",
        detail: "a total would pass 9007199254740991; nothing of this event was counted")

    /// As above, of what is asked for.
    static let sumOverflow = EventRejection(
        code: "counter_overflow", field: "",
        detail: "a sum of what is asked for would pass 2^53 - 1: ask for less")
    static let idReused = EventRejection(
        status: 422, code: "idempotency_key_reused", field: "id",
        detail: "this id was used before for a different event; nothing was counted")
}

/// Where a batch, or an event in it, stands in the log: the day it arrived and its number there.
public struct LogPosition: Hashable, Sendable {
    /// As in lua/include/constants.lua.
    static let dayStride = 8_589_934_592
    let day: CivilDay
    let number: Int

    /// As scripts keep it.
    var packed: Int { day.number * Self.dayStride + number }

    init(_ packed: Int) {
        day = CivilDay(number: packed / Self.dayStride)
        number = packed % Self.dayStride
    }

    /// The id of an event that came without one: its place in the log.
    func eventID(place: Int) -> ByteString {
        Self.eventID(idPrefix, place: place)
    }

    /// What the ids of all events at this position begin with.
    var idPrefix: [UInt8] { Array("\(Self.idPrefix)\(day.number)-\(number)-".utf8) }

    /// Writes the place behind a position's `idPrefix`, without making text of it.
    static func eventID(_ prefix: [UInt8], place: Int) -> ByteString {
        var digits = 1
        var bound = 10
        while place >= bound {
            digits += 1
            bound *= 10
        }
        return ByteString(
            bytes: [UInt8](unsafeUninitializedCapacity: prefix.count + digits) { bytes, count in
                count = bytes.initialize(fromContentsOf: prefix) + digits
                var rest = place
                for index in (prefix.count..<count).reversed() {
                    bytes.initializeElement(
                        at: index, to: UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10))
                    rest /= 10
                }
            })
    }

    /// As lua/include/write_ids.lua writes it: 7 bytes, and 2 for the place.
    func pointer(place: Int) -> ByteString {
        let packed = packed
        let high = stride(from: 48, through: 0, by: -8).map {
            UInt8(truncatingIfNeeded: packed >> $0)
        }
        return ByteString(
            bytes: high + [UInt8(truncatingIfNeeded: place >> 8), UInt8(truncatingIfNeeded: place)])
    }

    init(_ pointer: some Collection<UInt8>) {
        self.init(pointer.prefix(7).reduce(0) { $0 << 8 | Int($1) })
    }

    /// Reads what `cursor` wrote; nil for anything else.
    public init?(cursor: String) {
        guard let (position, _) = Self.parse(ByteString("\(Self.idPrefix)\(cursor)-1")) else {
            return nil
        }
        self = position
    }

    /// The position as clients see it in answers with more to come.
    public var cursor: String { "\(day.number)-\(number)" }

    /// Reads an id that `eventID(place:)` made; nil for others.
    static func parse(_ id: ByteString) -> (LogPosition, place: Int)? {
        let parts = id.text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 4, "\(parts[0])-" == idPrefix, let day = Int(parts[1]),
            let number = Int(parts[2]), let place = Int(parts[3]), (0...1_000_000).contains(day),
            (1..<dayStride).contains(number), (1...EventBatch.eventCountMax).contains(place)
        else { return nil }
        return (LogPosition(day * dayStride + number), place)
    }

    /// How ids that Tally makes begin; clients' ids may not.
    static let idPrefix = "tly-"
}
