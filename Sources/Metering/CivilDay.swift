// SPDX-License-Identifier: Apache-2.0

/// A day of the proleptic Gregorian calendar, without a zone.
///
/// The arithmetic is Howard Hinnant's (chrono-compatible low-level date algorithms).
public struct CivilDay: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Days since 1970-01-01.
    public let number: Int

    /// Those that can be written: 0001-01-01 to 9999-12-31.
    public static let writable = CivilDay(number: -719_162)...CivilDay(number: 2_932_896)

    public init(number: Int) { self.number = number }

    /// The day of a date; nil when the calendar has no such day. Years are 1 to 9999.
    public init?(year: Int, month: Int, day: Int) {
        guard (1...9999).contains(year), (1...12).contains(month), day >= 1,
            day <= Self.length(ofMonth: month, year: year)
        else { return nil }
        let shifted = month > 2 ? year : year - 1
        let era = shifted / 400
        let yearOfEra = shifted % 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        number = era * 146_097 + dayOfEra - 719_468
    }

    /// Reads `2026-11-21`, and nothing else.
    public init?(_ text: String) {
        let bytes = Array(text.utf8)
        func digits(_ range: Range<Int>) -> Int? {
            bytes[range].reduce(0) { value, byte in
                guard let value, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else {
                    return nil
                }
                return value * 10 + Int(byte - UInt8(ascii: "0"))
            }
        }
        let dash = UInt8(ascii: "-")
        guard bytes.count == 10, bytes[4] == dash, bytes[7] == dash, let year = digits(0..<4),
            let month = digits(5..<7), let day = digits(8..<10)
        else { return nil }
        self.init(year: year, month: month, day: day)
    }

    /// Year, month and day of the month.
    public var date: (year: Int, month: Int, day: Int) {
        let shifted = number + 719_468
        let era = shifted.flooredQuotient(146_097)
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let month = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * month + 2) / 5 + 1
        return (
            yearOfEra + era * 400 + (month >= 10 ? 1 : 0), month < 10 ? month + 3 : month - 9, day
        )
    }

    public static func < (left: CivilDay, right: CivilDay) -> Bool { left.number < right.number }

    public var description: String {
        var text = DateText()
        text.append(self)
        return text.string
    }

    private static func length(ofMonth month: Int, year: Int) -> Int {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }
}

/// A date or time as it is written, byte by byte: answers have hundreds of them.
struct DateText {
    private var bytes: [UInt8] = []

    init() { bytes.reserveCapacity(32) }

    var string: String { String(decoding: bytes, as: UTF8.self) }

    /// Appends `2026-11-21`.
    mutating func append(_ day: CivilDay) {
        let (year, month, day) = day.date
        append(year, 4)
        append("-")
        append(month, 2)
        append("-")
        append(day, 2)
    }

    /// Appends a number with zeros before it.
    mutating func append(_ value: Int, _ width: Int) {
        let digits = String(value).utf8
        for _ in 0..<max(0, width - digits.count) { append("0") }
        bytes.append(contentsOf: digits)
    }

    mutating func append(_ character: Unicode.Scalar) { bytes.append(UInt8(ascii: character)) }
}
