// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

extension Faults {
    @Test(arguments: [true, false])
    func `A data folder that is moved away is told, and nothing is counted without it`(
        dies: Bool
    ) async throws {
        let service = try TallyProcess(arguments: ["--threads", "2", "--flush-interval", "1"])
        let usage = try await blocking { () -> (found: Usage, counted: Int) in
            try service.start()
            let client = service.client()
            var counted = 0
            func count() throws -> BlockingHTTPClient.Answer {
                let body = #"{"id":"\#(counted)","subject":"a","meters":{"tokens":1}}"#
                let answer = try client.post("/v1/events", body)
                if answer.status == 200 { counted += 1 }
                return answer
            }
            while counted < 5 { _ = try count() }
            let away = "\(service.folder)/away"
            try FileManager.default.moveItem(atPath: service.data, toPath: away)
            if dies { try service.killRedis() }
            let reason = "the data folder: it was moved"
            try waitUntil("the reason in readyz") {
                guard let answer = try? client.get("/readyz"), answer.status == 503 else {
                    return false
                }
                return answer.text.contains(reason)
                    && !answer.text.contains(#""snapshots":"current""#)
            }
            try waitUntil("the reason in an answer") {
                guard let answer = try? count() else { return false }
                return answer.status == 503 && answer.text.contains(reason)
            }
            #expect(service.log.contains(reason))
            // What Redis still has is told.
            if !dies { #expect(try client.usage(of: "a").events == counted) }
            #expect(!FileManager.default.fileExists(atPath: service.data))
            try FileManager.default.moveItem(atPath: away, toPath: service.data)
            try service.waitUntilReady()
            try waitUntil("the snapshots") {
                (try? client.get("/readyz"))?.text.contains(#""snapshots":"current""#) ?? false
            }
            while try count().status != 200 { usleep(20_000) }
            return (try client.usage(of: "a"), counted)
        }
        #expect(usage.found == Usage(events: usage.counted, totals: ["tokens": usage.counted]))
        service.terminate()
    }
}
