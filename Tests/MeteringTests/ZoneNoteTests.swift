// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import TestSupport
import Testing

/// The zone of `default`, an option of the service, and what is counted by it.
@Suite(.timeLimit(.minutes(15))) struct ZoneNoteTests {
    @Test(arguments: [false, true])
    func `Another zone takes the place of the first until something goes by that`(
        isAccount: Bool
    ) async throws {
        try await withRedis { redis in
            try await onLoop { host in
                func problem(_ bench: Bench, _ zone: String) async throws -> String? {
                    let calendar = try #require(WorkspaceCalendar(zone: zone))
                    return try await ZoneNote.problem(
                        bench.client, WorkspaceSettings(calendar: calendar), takesPlace: true)
                }
                let calendar = try #require(WorkspaceCalendar(zone: "Asia/Tokyo"))
                let bench = await Bench(
                    redis.socketPath, on: host.loop, clock: ManualClock(noon),
                    settings: WorkspaceSettings(calendar: calendar))
                for zone in ["UTC", "Europe/Berlin", "Asia/Tokyo"] {
                    #expect(try await problem(bench, zone) == nil)
                }
                if isAccount {
                    let taken = await bench.decide(consume("a", ["files_uploaded": 5]))
                    #expect(taken.status == .allowed)
                } else {
                    #expect(await bench.record(event("a")).counted != nil)
                }
                #expect(try await problem(bench, "UTC")?.contains("Asia/Tokyo") == true)
                #expect(try await problem(bench, "Asia/Tokyo") == nil)
            }
        }
    }
}
