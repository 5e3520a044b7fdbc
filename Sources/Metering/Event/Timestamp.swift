// SPDX-License-Identifier: Apache-2.0

/// An instant: milliseconds since 1970-01-01T00:00:00Z.
public struct Timestamp: Hashable, Comparable, Sendable {
    public let milliseconds: Int

    public init(milliseconds: Int) { self.milliseconds = milliseconds }

    /// Reads RFC 3339, strictly: `2026-11-21T10:00:00Z`, with `T` and `Z` in upper case, an offset
    /// of at most 14 hours (and not `-00:00`, which says that it is unknown), 1 to 9 digits of a
    /// second's fraction (cut to milliseconds), only days that the calendar has, no second 60, and
    /// in UTC too only years 1 to 9999, so that what is read can be written.
    public init?(_ bytes: UnsafeBufferPointer<UInt8>) {
        var text = TimeScanner(bytes)
        guard let year = text.digits(4), text.take("-"), let month = text.digits(2), text.take("-"),
            let dayOfMonth = text.digits(2), text.take("T"), let hour = text.digits(2),
            text.take(":"), let minute = text.digits(2), text.take(":"),
            let second = text.digits(2), hour < 24, minute < 60, second < 60,
            let day = CivilDay(year: year, month: month, day: dayOfMonth)
        else { return nil }
        var fraction = 0
        if text.take(".") {
            guard let read = text.fraction() else { return nil }
            fraction = read
        }
        guard let offset = text.offset(), text.isAtEnd else { return nil }
        let seconds = day.number * 86_400 + hour * 3600 + minute * 60 + second - offset
        guard Self.writableSeconds.contains(seconds) else { return nil }
        milliseconds = seconds * 1000 + fraction
    }

    /// 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z.
    private static let writableSeconds = -62_135_596_800...253_402_300_799
    /// 9999-12-31T23:59:59.999Z: what comes behind it has no text (RFC 3339).
    static let last = Timestamp(milliseconds: writableSeconds.upperBound * 1000 + 999)

    public init?(_ text: String) {
        var text = text
        guard let time = text.withUTF8({ Timestamp($0) }) else { return nil }
        self = time
    }

    /// RFC 3339 in UTC; with a fraction of three digits unless it is zero.
    public var text: String {
        var text = clockText
        text.append("Z")
        return text.string
    }

    /// RFC 3339 by the clock of a zone.
    ///
    /// - Parameter offset: what the zone's clock is ahead of UTC then, in seconds. Seconds of an
    ///   offset, as some zones had before 1972, cannot be written: such a time is told in UTC.
    public func text(offset: Int) -> String {
        guard offset != 0, offset % 60 == 0 else { return text }
        let minutes = abs(offset) / 60
        var text = Timestamp(milliseconds: milliseconds + offset * 1000).clockText
        text.append(offset < 0 ? "-" : "+")
        text.append(minutes / 60, 2)
        text.append(":")
        text.append(minutes % 60, 2)
        return text.string
    }

    private var clockText: DateText {
        let seconds = milliseconds.flooredQuotient(1000)
        let day = CivilDay(number: seconds.flooredQuotient(86_400))
        let second = seconds - day.number * 86_400
        var text = DateText()
        text.append(day)
        text.append("T")
        text.append(second / 3600, 2)
        text.append(":")
        text.append(second / 60 % 60, 2)
        text.append(":")
        text.append(second % 60, 2)
        let fraction = milliseconds - seconds * 1000
        if fraction != 0 {
            text.append(".")
            text.append(fraction, 3)
        }
        return text
    }

    public static func < (left: Timestamp, right: Timestamp) -> Bool {
        left.milliseconds < right.milliseconds
    }
}

/// Takes a time's text apart from its front.
private struct TimeScanner {
    private let bytes: UnsafeBufferPointer<UInt8>
    private var index = 0

    init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    var isAtEnd: Bool { index == bytes.count }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard index < bytes.count, bytes[index] == UInt8(ascii: character) else { return false }
        index += 1
        return true
    }

    mutating func digits(_ count: Int) -> Int? {
        guard index + count <= bytes.count else { return nil }
        var value = 0
        for byte in bytes[index..<index + count] {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
            value = value * 10 + Int(byte - UInt8(ascii: "0"))
        }
        index += count
        return value
    }

    /// 1 to 9 digits, as milliseconds.
    mutating func fraction() -> Int? {
        var value = 0
        var count = 0
        while let digit = digits(1) {
            if count < 3 { value = value * 10 + digit }
            count += 1
        }
        guard (1...9).contains(count) else { return nil }
        return count == 1 ? value * 100 : count == 2 ? value * 10 : value
    }

    /// `Z` or `±hh:mm`, in seconds.
    mutating func offset() -> Int? {
        if take("Z") { return 0 }
        let isNegative = take("-")
        guard isNegative || take("+"), let hours = digits(2), take(":"), let minutes = digits(2),
            minutes < 60, hours * 60 + minutes <= 14 * 60, !(isNegative && hours + minutes == 0)
        else { return nil }
        return (isNegative ? -1 : 1) * (hours * 60 + minutes) * 60
    }
}
