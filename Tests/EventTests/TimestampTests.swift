// SPDX-License-Identifier: Apache-2.0

import Metering
import Testing

@Suite struct TimestampTests {
    @Test(arguments: [
        ("1970-01-01T00:00:00Z", 0), ("1969-12-31T23:59:59.999Z", -1),
        ("2026-11-21T10:00:00.123Z", 1_795_255_200_123), ("2000-02-29T00:00:00Z", 951_782_400_000),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000),
        ("9999-12-31T23:59:59.999999999Z", 253_402_300_799_999),
        ("1970-01-01T07:00:00+07:00", 0), ("1969-12-31T10:00:00-14:00", 0),
        ("1970-01-01T14:00:00+14:00", 0), ("1970-01-01T00:00:00+00:00", 0),
        ("1970-01-01T05:45:00.5+05:45", 500), ("1970-01-01T00:00:00.01Z", 10),
        ("1970-01-01T00:00:00.0019Z", 1), ("1970-01-01T00:00:00.123456789Z", 123),
        ("2024-02-29T12:00:00Z", 1_709_208_000_000),
    ])
    func `Times are read to the millisecond`(text: String, expected: Int) {
        #expect(Timestamp(text)?.milliseconds == expected)
    }

    @Test(arguments: [
        "", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-10T00:00:00Z",
        "2026-04-31T00:00:00Z", "2026-01-00T00:00:00Z", "1900-02-29T00:00:00Z",
        "2026-2-3T00:00:00Z",
        "20260203T000000Z", " 2026-02-03T00:00:00Z", "2026-02-03T00:00:00Z ", "2026-02-03",
        "2026-02-03T00:00:00Zx", "２026-02-03T00:00:00Z", "10000-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z", "-001-01-01T00:00:00Z", "2026-02-03T23:59:60Z",
        "2026-02-03T24:00:00Z", "2026-02-03T25:00:00Z", "2026-02-03T10:60:00Z",
        "2026-02-03T00:00:00+25:00", "2026-02-03T00:00:00+14:01", "2026-02-03T00:00:00-14:01",
        "2026-02-03T00:00:00-00:00", "2026-02-03T00:00:00+07", "2026-02-03T00:00:00+0700",
        "2026-02-03T00:00:00+07:60", "2026-02-03t00:00:00Z", "2026-02-03T00:00:00z",
        "2026-02-03 00:00:00Z", "2026-02-03T00:00:00,5Z", "2026-02-03T00:00:00.Z",
        "2026-02-03T00:00:00.1234567890Z", "2026-02-03T00:00Z", "2026-02-03T00:00:00.",
        "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "2026-02-03T00:00:00 Z",
        "2026-02-03T00:00:00ZZ", "2026-02-03T00:00:0\u{663}Z", "2026/02/03T00:00:00Z",
    ])
    func `What is no RFC 3339 time is refused`(text: String) {
        #expect(Timestamp(text) == nil)
    }

    @Test(arguments: ["2026-02-03T00:00:00", "2026-02-03T00:00:00.123"])
    func `A time without an offset is refused`(text: String) {
        #expect(Timestamp(text) == nil)
    }

    @Test func `Every time is read back from how it is written`() {
        for _ in 0..<20_000 {
            let time = Timestamp(
                milliseconds: .random(in: -62_135_596_800_000...253_402_300_799_999))
            #expect(Timestamp(time.text) == time)
        }
        #expect(Timestamp(milliseconds: 1_795_255_200_000).text == "2026-11-21T10:00:00Z")
        #expect(Timestamp(milliseconds: -1).text == "1969-12-31T23:59:59.999Z")
        #expect(Timestamp(milliseconds: 5).text == "1970-01-01T00:00:00.005Z")
    }

    @Test func `Any offset names the same instant`() {
        for _ in 0..<5_000 {
            let time = Timestamp(milliseconds: .random(in: 0...4_000_000_000_000))
            let minutes = Int.random(in: -840...840)
            let local = Timestamp(milliseconds: time.milliseconds + minutes * 60_000)
            if minutes == 0 { continue }
            let (hour, minute) = (minutes.magnitude / 60, minutes.magnitude % 60)
            let zone =
                "\(minutes < 0 ? "-" : "+")\(hour < 10 ? "0" : "")\(hour)"
                + ":\(minute < 10 ? "0" : "")\(minute)"
            #expect(Timestamp(local.text.dropLast() + zone) == time)
        }
    }

    @Test func `Days run on one after the other through all years`() {
        var days = -719_162
        for year in 1...9999 {
            let isLeap = year % 400 == 0 || (year % 4 == 0 && year % 100 != 0)
            let lengths = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
            for (month, length) in zip(1..., lengths) {
                for day in [1, length] {
                    let date = CivilDay(year: year, month: month, day: day)
                    #expect(date?.number == days + day - 1)
                    #expect(CivilDay(number: days + day - 1).date == (year, month, day))
                }
                #expect(CivilDay(year: year, month: month, day: length + 1) == nil)
                days += length
            }
        }
    }
}
