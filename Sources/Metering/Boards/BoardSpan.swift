// SPDX-License-Identifier: Apache-2.0

/// What a leaderboard is asked for: `1d`, `7d`, `Nd`, `month`, `lifetime`, `2026-11-21` or
/// `2026-11-01..2026-11-21`.
public enum LeaderboardWindow: Sendable, Hashable {
    /// Today and the days before it, so many together: 1 to `dayCountMax`.
    case days(Int)
    /// The calendar month that today is in.
    case month
    /// All that was ever counted.
    case lifetime
    /// From one day to another, both included.
    case span(ClosedRange<CivilDay>)

    /// Ten years.
    public static let dayCountMax = 3660

    /// One day.
    public static func day(_ day: CivilDay) -> LeaderboardWindow { .span(day...day) }

    /// Reads a window; nil when it is none, or longer than `dayCountMax` days.
    public init?(_ text: String) {
        switch text {
        case "lifetime": self = .lifetime
        case "month": self = .month
        default:
            if let count = Self.dayCount(text) {
                self = .days(count)
            } else if let span = Self.span(text) {
                self = .span(span)
            } else {
                return nil
            }
        }
    }

    private static func dayCount(_ text: String) -> Int? {
        let digits = text.utf8.dropLast()
        guard text.utf8.last == UInt8(ascii: "d"), (1...4).contains(digits.count),
            digits.first != UInt8(ascii: "0"),
            digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
            let count = Int(String(text.dropLast())), count <= dayCountMax
        else { return nil }
        return count
    }

    private static func span(_ text: String) -> ClosedRange<CivilDay>? {
        let bytes = Array(text.utf8)
        if bytes.count == 10 { return CivilDay(text).map { $0...$0 } }
        guard bytes.count == 22, bytes[10..<12] == Array("..".utf8)[...],
            let first = CivilDay(String(decoding: bytes[..<10], as: UTF8.self)),
            let last = CivilDay(String(decoding: bytes[12...], as: UTF8.self)),
            first <= last, last.number - first.number < dayCountMax
        else { return nil }
        return first...last
    }

    /// Whether it means other days on another day.
    var moves: Bool {
        switch self {
        case .days, .month: true
        case .lifetime, .span: false
        }
    }

    /// The days that it means on a day; nil for all there are.
    public func days(on today: CivilDay) -> ClosedRange<CivilDay>? {
        switch self {
        case .lifetime: return nil
        case .span(let span): return span
        case .days(let count): return CivilDay(number: today.number - count + 1)...today
        case .month:
            let (year, month, day) = today.date
            let first = CivilDay(number: today.number - day + 1)
            let next =
                CivilDay(
                    year: month == 12 ? year + 1 : year, month: month == 12 ? 1 : month + 1, day: 1)
                ?? CivilDay(number: first.number + 31)
            return first...CivilDay(number: next.number - 1)
        }
    }
}

/// Which board: the days that it covers, nil for all there are, and its meter.
struct BoardID: Hashable {
    let days: ClosedRange<CivilDay>?
    let meter: Meter

    init(_ days: ClosedRange<CivilDay>?, _ meter: Meter) {
        self.days = days
        self.meter = meter
    }

    /// Its name in `boards`, and a part of its key.
    var name: String {
        days.map { "\($0.lowerBound)..\($0.upperBound):\(meter.name)" }
            ?? "lifetime:\(meter.name)"
    }

    init?(name: String) {
        let parts = name.split(separator: ":", maxSplits: 1)
        guard parts.count == 2, let meter = Meter(name: Array(parts[1].utf8)) else { return nil }
        if parts[0] == "lifetime" {
            self.init(nil, meter)
        } else {
            let ends = parts[0].split(separator: ".")
            guard ends.count == 2, let first = CivilDay(String(ends[0])),
                let last = CivilDay(String(ends[1])), first <= last
            else { return nil }
            self.init(first...last, meter)
        }
    }

    func covers(_ day: CivilDay) -> Bool { days?.contains(day) ?? true }
}
