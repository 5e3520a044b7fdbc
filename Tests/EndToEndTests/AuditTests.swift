// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

extension Faults {
    @Test func `An act whose process was killed is in the audit log, without its end`()
        async throws
    {
        let service = try TallyProcess(arguments: ["--threads", "2"])
        try await blocking {
            try service.start()
            let port = service.port
            // Long enough to be killed in the midst of it.
            let rows = (0..<10_000).map { #"{"id":"u\#($0)","username":"name \#($0)"}"# }
            let body = Array(rows.joined(separator: "\n").utf8)
            let caller = Thread {
                let client = BlockingHTTPClient(port: port, key: TallyProcess.key)
                _ = try? client.request(
                    "POST", "/v1/subjects/import", body, "application/x-ndjson")
            }
            caller.start()
            try waitUntil("the entry") {
                (try? service.redis("XLEN t1:{default}:audit")) == ":1\r\n"
            }
            service.kill()
            try service.start()
            let client = service.client()
            try waitUntil("the log") { (try? client.get("/v1/audit").status) == 200 }
            let answer = try client.get("/v1/audit")
            let entries = try #require(answer.json["entries"] as? [[String: Any]])
            let entry = try #require(entries.first)
            #expect(entries.count == 1)
            #expect(entry["action"] as? String == "POST /v1/subjects/import")
            #expect(entry["actor"] as? String == "operator")
            #expect(entry["status"] is NSNull && entry["finished_at"] is NSNull)
            // It goes on as before.
            let put = try service.client().request(
                "PUT", "/v1/subjects/a", Array("{}".utf8), "application/json")
            #expect(put.status == 201)
            let next = try service.client().get("/v1/audit?limit=1").json["entries"]
            #expect((next as? [[String: Any]])?.first?["status"] as? Int == 201)
        }
    }
}
