// SPDX-License-Identifier: Apache-2.0

internal import Foundation

/// Tells the day and the hour of an instant in one time zone.
public struct WorkspaceCalendar: Sendable, Hashable {
    /// An IANA name, such as `Asia/Ho_Chi_Minh`.
    public let zone: String
    private let timeZone: TimeZone?

    /// Coordinated Universal Time.
    public static let utc = WorkspaceCalendar(zone: "UTC", timeZone: nil)

    /// Nil when the name is not an IANA zone that this machine knows. Abbreviations (`EST`) and
    /// offsets (`GMT+7`) are no names.
    public init?(zone: String) {
        if zone == "UTC" {
            self = .utc
            return
        }
        // `knownTimeZoneIdentifiers` lacks some: of `Asia/Kolkata` it has the old name only.
        let isNamed = zone.contains("/") && !zone.hasPrefix("Etc/GMT") || zone == "GMT"
        guard isNamed, let timeZone = TimeZone(identifier: zone) else { return nil }
        self.init(zone: zone, timeZone: timeZone)
    }

    private init(zone: String, timeZone: TimeZone?) {
        self.zone = zone
        self.timeZone = timeZone
    }

    /// Seconds to add to UTC at an instant (seconds since 1970).
    public func offset(at seconds: Int) -> Int {
        timeZone?.secondsFromGMT(for: Date(timeIntervalSince1970: Double(seconds))) ?? 0
    }

    /// Seconds to add to UTC at a moment.
    public func offset(at time: Timestamp) -> Int {
        offset(at: time.milliseconds.flooredQuotient(1000))
    }

    /// The day of a moment.
    public func day(of time: Timestamp) -> CivilDay {
        day(at: time.milliseconds.flooredQuotient(1000))
    }

    /// The first instant of a day (seconds since 1970): usually midnight; later where the zone
    /// skips it.
    public func start(of day: CivilDay) -> Int {
        let midnight = day.number * 86_400
        // The offset that holds at the start is that of a moment near it; two steps settle it.
        var instant = midnight - offset(at: midnight)
        instant = midnight - offset(at: instant)
        while self.day(at: instant) < day { instant += 900 }
        while self.day(at: instant - 900) >= day { instant -= 900 }
        return instant
    }

    /// The day of an instant (seconds since 1970).
    public func day(at seconds: Int) -> CivilDay {
        CivilDay(number: (seconds + offset(at: seconds)).flooredQuotient(86_400))
    }

    /// The end of an hour that begins at an instant (seconds since 1970): the next full hour by the zone's clock, or
    /// the change of clocks before it.
    func end(ofHour start: Int) -> Int {
        let offset = offset(at: start)
        for end in stride(from: start + 900, through: start + 3600, by: 900)
        where (end + offset) % 3600 == 0 || self.offset(at: end) != offset {
            return end
        }
        return start + 3600
    }

    /// The start of an hour whose sums are kept under an instant. Earlier builds kept those of an hour that
    /// a change of clocks by half an hour began under an instant before the change.
    public func start(ofHour instant: Int) -> Int {
        let calendar = CachedCalendar(self)
        func start(_ seconds: Int) -> Int {
            calendar.place(Timestamp(milliseconds: seconds * 1000)).hour
        }
        guard start(instant) != instant else { return instant }
        let later = stride(from: instant + 900, to: instant + 3600, by: 900)
        return later.first { start($0) == $0 } ?? instant
    }
}

/// A calendar that remembers the offset of the quarter of an hour that it was asked for last:
/// zones change their offsets on such boundaries only. Not `Sendable`: one per loop.
final class CachedCalendar {
    private let calendar: WorkspaceCalendar
    private var quarter = Int.min
    private var offset = 0
    /// When clocks were set to the offset, if that was within the hour before.
    private var change = Int.min

    init(_ calendar: WorkspaceCalendar) { self.calendar = calendar }

    /// The day of an instant, and the start of its hour (seconds since 1970).
    func place(_ time: Timestamp) -> (day: CivilDay, hour: Int) {
        let seconds = time.milliseconds.flooredQuotient(1000)
        let quarter = seconds.flooredQuotient(900)
        if quarter != self.quarter {
            self.quarter = quarter
            offset = calendar.offset(at: seconds)
            change = lastChange(before: quarter * 900)
        }
        let local = seconds + offset
        // An offset that changed within the hour began a new one.
        return (
            CivilDay(number: local.flooredQuotient(86_400)),
            max(local.flooredQuotient(3600) * 3600 - offset, change)
        )
    }

    private func lastChange(before seconds: Int) -> Int {
        guard calendar.offset(at: seconds - 3600) != offset else { return Int.min }
        var change = seconds
        while calendar.offset(at: change - 900) == offset { change -= 900 }
        return change
    }
}

extension Int {
    /// The quotient rounded towards minus infinity, so that instants before 1970 fall on their day.
    func flooredQuotient(_ divisor: Int) -> Int {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? quotient - 1 : quotient
    }
}
