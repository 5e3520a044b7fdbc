// SPDX-License-Identifier: Apache-2.0

import Metering
import Testing

@Suite struct WorkspaceCalendarTests {
    @Test func `A day has the hours that its events are counted in, also half ones`() throws {
        let calendar = try #require(WorkspaceCalendar(zone: "Australia/Lord_Howe"))
        // Clocks go back by half an hour at 02:00, which is 15:00 UTC: the half hour since 01:30 comes again.
        let autumn = try #require(CivilDay("2026-04-05"))
        let start = calendar.start(of: autumn)
        let hours = calendar.hours(of: autumn).map { $0 - start }
        #expect(hours.prefix(5) == [0, 3600, 7200, 9000, 12_600] && hours.count == 25)
        // They go on by half an hour at 02:00, which is 15:30 UTC: the hour of two is half as long.
        let spring = try #require(CivilDay("2026-10-04"))
        let began = calendar.start(of: spring)
        let others = calendar.hours(of: spring).map { $0 - began }
        #expect(others.prefix(5) == [0, 3600, 7200, 9000, 12_600] && others.count == 24)
        // Sums that an earlier build kept under 01:30+11:00 and 01:30+10:30.
        #expect(calendar.start(ofHour: start + 5400) == start + 7200)
        #expect(calendar.start(ofHour: began + 5400 + 1800) == began + 7200)
        for (date, count) in [("2026-04-04", 24), ("2026-10-04", 24), ("2026-10-05", 24)] {
            let day = try #require(CivilDay(date))
            #expect(calendar.hours(of: day).count == count, "\(date)")
        }
        let berlin = try #require(WorkspaceCalendar(zone: "Europe/Berlin"))
        for (date, count) in [("2026-03-29", 23), ("2026-10-25", 25), ("2026-10-26", 24)] {
            let day = try #require(CivilDay(date))
            #expect(berlin.hours(of: day).count == count, "\(date)")
        }
        let apia = try #require(WorkspaceCalendar(zone: "Pacific/Apia"))
        #expect(apia.hours(of: try #require(CivilDay("2011-12-30"))).isEmpty)
        let utc = WorkspaceCalendar.utc.hours(of: autumn)
        #expect(utc == (0..<24).map { WorkspaceCalendar.utc.start(of: autumn) + 3600 * $0 })
    }

    @Test func `Before an hour of half the length there is as much time`() throws {
        let calendar = try #require(WorkspaceCalendar(zone: "Australia/Lord_Howe"))
        for (date, begins) in [("2026-04-05", 7200), ("2026-10-04", 7200)] {
            let start = calendar.start(of: try #require(CivilDay(date))) + begins
            let half = start * 1000..<(start + 1800) * 1000
            #expect(
                calendar.previous(half, .hour) == (start - 1800) * 1000..<start * 1000, "\(date)")
        }
    }

    @Test(arguments: [
        "UTC", "Etc/UTC", "GMT", "Asia/Kolkata", "Asia/Calcutta", "Asia/Saigon",
        "Asia/Ho_Chi_Minh", "Europe/Kyiv", "America/Argentina/Buenos_Aires",
    ])
    func `IANA names are zones`(name: String) {
        #expect(WorkspaceCalendar(zone: name)?.zone == name)
    }

    @Test(arguments: [
        "", "EST", "CET", "GMT+7", "Etc/GMT+7", "UTC+1", "asia/kolkata", "Europe/",
        "/Europe/Berlin",
        "../etc/passwd", "America/Argentina", "Foo/Bar", "Europe/Berlin ",
    ])
    func `Abbreviations, offsets and others are none`(name: String) {
        #expect(WorkspaceCalendar(zone: name) == nil)
    }
}
