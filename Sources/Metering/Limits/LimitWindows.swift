// SPDX-License-Identifier: Apache-2.0

/// The windows that are open at an instant, in one zone. They are found once and hold until the
/// first of them ends. Not `Sendable`: one per loop.
final class LimitWindows {
    /// From the first millisecond of a window to the first one after it; `ends` is 0 for never.
    struct Span: Equatable {
        let starts: Int
        let ends: Int
    }

    private let calendar: WorkspaceCalendar
    private let hours: CachedCalendar
    /// Minute, hour, day, month.
    private var spans: [Span] = []
    private var validFrom = Int.max
    private var validTo = Int.min

    init(_ calendar: WorkspaceCalendar) {
        self.calendar = calendar
        hours = CachedCalendar(calendar)
    }

    /// The window of a limit at `now` (milliseconds since 1970). For a rolling window and a rate:
    /// from how late an amount still counts.
    func span(of window: Limit.Window, at now: Int) -> Span {
        if now < validFrom || now >= validTo { find(now) }
        switch window {
        case .minute: return spans[0]
        case .hour: return spans[1]
        case .day: return spans[2]
        case .month: return spans[3]
        case .lifetime, .concurrent: return Span(starts: Int.min, ends: 0)
        case .rolling(let seconds), .rate(let seconds, _):
            return Span(starts: now - seconds * 1000, ends: seconds * 1000)
        }
    }

    /// How long the window that is open at `now` is, in seconds: a day may have 23 or 25 hours, a
    /// month 28 to 31 such days. Nil for a window without a length.
    func seconds(of window: Limit.Window, at now: Int) -> Int? {
        switch window {
        case .minute, .hour, .day, .month:
            let span = span(of: window, at: now)
            return (span.ends - span.starts) / 1000
        case .lifetime, .concurrent: return nil
        case .rolling(let seconds): return seconds
        // A burst is no amount per period.
        case .rate(let seconds, let burst): return burst == nil ? seconds : nil
        }
    }

    private func find(_ now: Int) {
        let seconds = now.flooredQuotient(1000)
        let minute = seconds.flooredQuotient(60) * 60
        let hour = hours.place(Timestamp(milliseconds: now)).hour
        let today = calendar.day(at: seconds)
        let month = today.firstOfMonth
        spans = [
            Span(starts: minute * 1000, ends: (minute + 60) * 1000),
            Span(starts: hour * 1000, ends: calendar.end(ofHour: hour) * 1000),
            Span(
                starts: calendar.start(of: today) * 1000,
                ends: calendar.start(of: CivilDay(number: today.number + 1)) * 1000),
            Span(
                starts: calendar.start(of: month) * 1000,
                ends: calendar.start(of: month.adding(months: 1)) * 1000),
        ]
        validFrom = minute * 1000
        validTo = spans.map(\.ends).min() ?? validFrom
    }
}

extension CivilDay {
    /// The first of its month.
    var firstOfMonth: CivilDay { CivilDay(number: number - date.day + 1) }

    /// The same day of the month that many months later, or that month's last day.
    func adding(months: Int, anchor: Int? = nil) -> CivilDay {
        let (year, month, day) = date
        let index = year * 12 + month - 1 + months
        for candidate in stride(from: anchor ?? day, through: 28, by: -1) {
            if let day = CivilDay(
                year: index.flooredQuotient(12), month: index - index.flooredQuotient(12) * 12 + 1,
                day: candidate)
            {
                return day
            }
        }
        return CivilDay(
            year: index.flooredQuotient(12), month: index - index.flooredQuotient(12) * 12 + 1,
            day: anchor ?? day) ?? self
    }
}
