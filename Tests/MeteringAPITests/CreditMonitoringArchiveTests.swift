// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPServer
import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct CreditMonitoringArchiveTests {
    /// What is told of some days, whatever day it is.
    private static func answers(_ api: Harness, _ days: Int) async -> [String] {
        let overview = await api.credits("overview", "days=\(days)")
        let trend = await api.credits("daily-trend", "days=\(days)")
        #expect(overview.json["warnings"] == nil && trend.json["warnings"] == nil)
        let used = trend.list("daily_trend").filter { $0["events"] as? Int != 0 }.map {
            "\($0["date"] ?? "") \($0["events"] ?? "") \($0["total_credits"] ?? "") "
                + "\($0["unique_users"] ?? "")"
        }
        return [
            overview.text.replacing(/"period_days":\d+,/, with: ""),
            await api.credits("top-consumers", "days=\(days)").text,
        ] + used
    }

    @Test func `Days that have left Redis are told as before`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                let data = try makeTemporaryFolder()
                defer { removeFolder(data) }
                let api = await Harness(
                    redis, on: host.loop, data: data, settings: ColdDayTests.settings)
                await api.introduce("a", "a@example.com")
                await api.count(
                    (0..<60).map { number in
                        creditEvent(
                            ["a", "b@example.com", "c"][number % 3], ["chat", "file"][number % 2],
                            credits: "0.\(number + 10)", cost: "0.0\(number % 7)",
                            time: "2026-11-\(17 + number % 5)T08:00:00Z")
                    })
                let before = await Self.answers(api, 10)
                #expect(before.count == 7 && before[1].contains("b@example.com"), "\(before)")
                try await ColdDayTests.evict(redis, on: host.loop, api, data)
                #expect(try redis.request("HLEN t1:{default}:cold") == ":5\r\n")
                #expect(await Self.answers(api, 15) == before)
                #expect(await api.credits("stats").json["total_events"] as? Int == 60)
                // What was counted of somebody in demo mode is taken off files, too.
                await api.introduce("c", "c@example.com", #","demo":true"#)
                let rest = await Self.answers(api, 15)
                #expect(rest[0].contains(#""total_events":40"#), "\(rest)")
                #expect(rest[0].contains(#""active_users":2"#), "\(rest)")
                #expect(!rest[1].contains("c@example.com"))
                #expect(rest[2...].allSatisfy { $0.hasSuffix(" 2") }, "\(rest)")
                await api.queries.stop()
            }
        }
    }

    @Test func `Nobody is left of somebody in demo mode whose events were undone`() async throws {
        try await withAPI { _, api, _ in
            await api.introduce("d", "d@example.com")
            let counted = await api.post("[\(creditEvent("d", "chat", credits: "1"))]")
            let id = try #require(counted.results.first?["id"] as? String)
            await api.count([creditEvent("e", "chat", credits: "1")])
            #expect(
                await api.send(.authorized(.post, "/v1/events/\(percentEncoded(id))/reverse"))
                    .status == 200)
            func users() async -> Int? {
                await api.credits("daily-trend", "days=1").list("daily_trend").first?[
                    "unique_users"] as? Int
            }
            #expect(await users() == 2)
            await api.introduce("d", "d@example.com", #","demo":true"#)
            #expect(await users() == 1)
            #expect(await api.credits("health").json["users_last_hour"] as? Int == 1)
        }
    }
}
