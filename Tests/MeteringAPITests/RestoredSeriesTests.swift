// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import Metering
import TestSupport
import Testing

/// What a subject's events would tell, of days before a restore.
@Suite(.timeLimit(.minutes(15))) struct RestoredSeriesTests {
    @Test func `Hours and groups of a subject before a restore are said not to be known`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let data = try makeTemporaryFolder()
                defer { removeFolder(data) }
                let harness = await Harness(redis, on: host.loop, data: data)
                let event = #"{"subject":"u1","action":"x","model":"m","meters":{"tokens":7}}"#
                #expect(await harness.post(event).status == 200)
                let questions = [
                    "meter=tokens&bucket=hour&subject=u1",
                    "meter=tokens&bucket=minute&subject=u1&from=2026-11-21T09:58:00Z",
                    "meter=tokens&bucket=day&subject=u1&group_by=model&from=2026-11-20",
                    "meter=tokens&bucket=month&subject=u1&group_by=action&from=2026-11-01",
                ]
                for question in questions {
                    let answer = await harness.get("/v1/series", query: question)
                    #expect(answer.json["warnings"] as? [String] == [], "\(question)")
                    #expect(await harness.get("/v1/export/series", query: question).status == 200)
                }
                harness.clock.advance(1_000)
                try await ReceiptRestoreTests.flush(harness, redis, on: host.loop, data)
                _ = try await harness.queries.restore(
                    from: "\(data)/rollups/default", into: nil, isForced: true,
                    progress: { _, _ in })
                for question in questions {
                    let answer = await harness.get("/v1/series", query: question)
                    let warnings = answer.json["warnings"] as? [String] ?? []
                    #expect(answer.status == 200)
                    #expect(
                        warnings.contains {
                            $0.contains("2026-11-21 before 2026-11-21T10:00:01Z are not known")
                        }, "\(question): \(answer.text)")
                    let export = await harness.get("/v1/export/series", query: question)
                    #expect(export.status == 503 && export.code == "incomplete", "\(question)")
                    #expect(export.detail.contains("2026-11-21"))
                }
                // The period before is one of those of which nothing is known.
                harness.clock.advance(86_400_000)
                #expect(await harness.post(event).status == 200)
                let later = "meter=tokens&bucket=hour&subject=u1&from=2026-11-22&to=2026-11-22"
                let known = await harness.get("/v1/series", query: later)
                #expect(known.json["warnings"] as? [String] == [], "\(known.text)")
                #expect(await harness.get("/v1/export/series", query: later).status == 200)
                let compared = await harness.get("/v1/series", query: later + "&compare=previous")
                #expect((compared.json["warnings"] as? [String])?.count == 1, "\(compared.text)")
                // Days are in the files.
                let days = "meter=tokens&bucket=day&subject=u1&from=2026-11-20"
                let whole = await harness.get("/v1/series", query: days)
                #expect(whole.json["warnings"] as? [String] == [])
                #expect(whole.text.contains(#""total":{"value":14,"events":2}"#), "\(whole.text)")
                await harness.queries.stop()
            }
        }
    }
}
