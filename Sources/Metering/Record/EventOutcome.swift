// SPDX-License-Identifier: Apache-2.0

/// An event as it was counted.
public struct CountedEvent: Sendable {
    /// The client's id, or the one that Tally gave.
    public var id: ByteString
    /// Lifetime totals of the subject right after this event, for the meters of the event.
    public var totals: [(meter: Meter, total: Int)]
}

/// What became of an event that was offered for counting.
public enum EventOutcome: Sendable {
    case counted(CountedEvent)
    /// Counted before under the same id; what the first answer said.
    case duplicate(CountedEvent)
    /// Not counted, and will not be when sent again as it is.
    case rejected(EventRejection)
    /// Redis did not say that it was counted. Sending it again with the same id is safe.
    case unavailable(reason: String)
}

extension EventRejection {
    static let counterOverflow = EventRejection(
        status: 422, code: "counter_overflow", field: "meters",
        detail: "a total would pass 9007199254740991; nothing of this event was counted")
    static let idReused = EventRejection(
        status: 422, code: "idempotency_key_reused", field: "id",
        detail: "this id was used before for a different event; nothing was counted")
}

/// Where a batch, or an event in it, stands in the log: the day it arrived and its number there.
struct LogPosition: Hashable, Sendable {
    /// As in lua/include/constants.lua.
    static let dayStride = 8_589_934_592
    let day: CivilDay
    let number: Int

    init(_ packed: Int) {
        day = CivilDay(number: packed / Self.dayStride)
        number = packed % Self.dayStride
    }

    /// The id of an event that came without one: its place in the log.
    func eventID(place: Int) -> ByteString {
        ByteString("\(Self.idPrefix)\(day.number)-\(number)-\(place)")
    }

    /// How ids that Tally makes begin; clients' ids may not.
    static let idPrefix = "tly-"
}
