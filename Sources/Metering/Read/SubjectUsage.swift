// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// What a subject has used, and its last events.
public struct SubjectUsage: Sendable {
    public let subject: SubjectID
    /// Lifetime totals by meter, in the order of the meters' names.
    public let totals: [(meter: Meter, total: Int)]
    /// How many events were counted for it.
    public let eventCount: Int
    public let firstEventAt: Timestamp
    public let lastEventAt: Timestamp
    /// At most 50, the last counted first.
    public let recent: [RecordedEvent]
}

/// An event that was counted.
public struct RecordedEvent: Sendable {
    public let id: ByteString
    public let time: Timestamp
    public internal(set) var subject: ByteString
    public let action: ByteString
    /// Empty when the event named none.
    public let model: ByteString
    public let description: ByteString
    public let amounts: [(Meter, Int)]
}

/// When the first and the last event of a subject's day were.
struct DayTimes: Equatable {
    let first: Timestamp
    let last: Timestamp

    /// - Parameter first: milliseconds from 00:00 UTC of the date, as scripts keep them; above `last`
    ///   when there was no event.
    init?(_ day: CivilDay, first: Int, last: Int) {
        guard first <= last else { return nil }
        self.first = Timestamp(milliseconds: day.number * 86_400_000 + first)
        self.last = Timestamp(milliseconds: day.number * 86_400_000 + last)
    }
}

/// A subject's record, as scripts keep it: see lua/include/constants.lua.
struct SubjectRecord {
    let first: Timestamp
    let last: Timestamp
    let eventCount: Int
    let latest: LogPosition
    let day: CivilDay
    let dayEventCount: Int
    /// Of the first and the last event of `day`; nil when nothing was counted on it.
    let dayTimes: DayTimes?
    /// Lifetime total and that of `day`.
    let meters: [(meter: Meter, total: Int, ofDay: Int)]

    /// Whether all its sums are 0, as when all that was counted has moved.
    var isZero: Bool {
        eventCount == 0 && dayEventCount == 0
            && meters.allSatisfy { $0.total == 0 && $0.ofDay == 0 }
    }

    init?(_ bytes: [UInt8]) {
        guard let fields = MessagePackValue(bytes)?.array, fields.count >= 8, fields.count % 3 == 2
        else { return nil }
        let head = fields.prefix(8).compactMap(\.integer)
        guard head.count == 8 else { return nil }
        first = Timestamp(milliseconds: head[0])
        last = Timestamp(milliseconds: head[1])
        eventCount = head[2]
        latest = LogPosition(head[3])
        day = CivilDay(number: head[4])
        dayEventCount = head[5]
        dayTimes = DayTimes(day, first: head[6], last: head[7])
        meters = stride(from: 8, to: fields.count, by: 3).compactMap { index in
            guard let meter = Meter(fields[index]), let total = fields[index + 1].integer,
                let ofDay = fields[index + 2].integer
            else { return nil }
            return (meter, total, ofDay)
        }
    }
}

extension LogEntry {
    /// The events of some subjects in the entry that count, the last first.
    func recorded(of names: Set<ByteString>) -> [RecordedEvent] {
        events.reversed().compactMap { logged in
            guard !excluded.contains(logged.place), !logged.isMove,
                names.contains(subjects[logged.subject])
            else {
                return nil
            }
            return RecordedEvent(self, logged)
        }
    }
}

extension RecordedEvent {
    /// An event of an entry of the log.
    init(_ entry: LogEntry, _ logged: LogEntry.Logged) {
        id = logged.event.id ?? entry.position.eventID(place: logged.place)
        time = logged.time
        subject = entry.subjects[logged.subject]
        action = logged.event.action
        model = logged.event.model
        description = logged.event.description
        amounts = logged.event.amounts
    }
}
