// SPDX-License-Identifier: Apache-2.0

import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct WindowLengthTests {
    private static let windows: [PlainLimit.Window] = [
        .minute, .hour, .day, .month, .lifetime, .concurrent, .rolling(90),
    ]

    /// Instants, with the hours of their day and of their month.
    static let instants = [
        ("UTC", "2026-11-21T10:00:00Z", 24, 720), ("UTC", "2028-02-29T23:59:59Z", 24, 696),
        ("Europe/Berlin", "2026-03-29T00:30:00Z", 23, 743),
        ("Europe/Berlin", "2026-10-25T00:30:00Z", 25, 745),
        ("Europe/Berlin", "2026-10-24T21:59:59Z", 24, 745),
        ("America/Sao_Paulo", "2018-11-04T12:00:00Z", 23, 719),
    ]

    @Test(arguments: instants)
    func `A decision tells how long the window is that is open now`(
        zone: String, instant: String, ofDay: Int, ofMonth: Int
    ) async throws {
        let limits = Self.windows.map {
            PlainLimit("\($0)".prefix { $0 != "(" }.description, "files_uploaded", $0, 9)
        }
        let time = try #require(Timestamp(instant)).milliseconds
        try await withLimits(limits, at: time, zone: zone) { _, bench, _ in
            // The second time from memory, being denied.
            for amount in [1, 10, 10] {
                let verdict = await bench.decide(
                    Decision(
                        .check, subject: subjectID("a"),
                        amounts: amounts(["files_uploaded": amount]))
                ).verdict
                #expect(verdict?.state("minute")?.windowSeconds == 60)
                #expect(verdict?.state("hour")?.windowSeconds == 3600)
                #expect(verdict?.state("day")?.windowSeconds == ofDay * 3600)
                #expect(verdict?.state("month")?.windowSeconds == ofMonth * 3600)
                #expect(verdict?.state("rolling")?.windowSeconds == 90)
                for name in ["lifetime", "concurrent"] {
                    #expect(verdict?.state(name) != nil)
                    #expect(verdict?.state(name)?.windowSeconds == nil)
                }
            }
        }
    }
}
