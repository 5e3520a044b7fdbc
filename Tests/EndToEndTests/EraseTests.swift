// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

extension EndToEnd {
    @Test func `An erasure that was killed goes on after the start, by itself`() async throws {
        let service = try TallyProcess(arguments: ["--threads", "2", "--flush-interval", "1"])
        try await blocking {
            var random = SeededGenerator(7)
            try service.start()
            var ids: Set<String> = []
            for round in 0..<5 {
                let name = "zq7331-\(round)"
                let client = service.client()
                let lines = (0..<400).map {
                    #"{"id":"\#(name)-\#($0)","subject":"\#(name)","meters":{"tokens":1},"#
                        + #""description":"of \#(name)"}"#
                }
                let sent = try client.request(
                    "POST", "/v1/events", Array(lines.joined(separator: "\n").utf8),
                    "application/x-ndjson")
                #expect(sent.json["counted"] as? Int == 400)
                let put = try client.request(
                    "PUT", "/v1/subjects/\(name)", Array(#"{"email":"\#(name)@a.example"}"#.utf8),
                    "application/json")
                #expect(put.status == 201)
                let port = service.port
                let caller = Thread {
                    let client = BlockingHTTPClient(port: port, key: TallyProcess.key)
                    _ = try? client.request(
                        "DELETE", "/v1/subjects/\(name)?erase=true", nil, "")
                }
                caller.start()
                usleep(UInt32(random.next() % 60_000))
                service.kill()
                try service.start()
                // It had perhaps not begun.
                let again = try service.client().request(
                    "DELETE", "/v1/subjects/\(name)?erase=true", nil, "")
                #expect([200, 202, 404].contains(again.status), "\(again.text)")
                try waitUntil("the end") {
                    let list = try? service.client().get("/v1/erasures").json["erasures"]
                    let erasures = list as? [[String: Any]] ?? []
                    ids = Set(erasures.compactMap { $0["id"] as? String })
                    return !erasures.isEmpty
                        && erasures.allSatisfy { $0["state"] as? String == "done" }
                }
                #expect(ids.count == round + 1)
                #expect(try service.client().get("/v1/subjects/\(name)").status == 404)
            }
            let board = try service.client().get("/v1/leaderboards/tokens?window=lifetime")
            let entries = board.json["entries"] as? [[String: Any]] ?? []
            #expect(entries.map { $0["value"] as? Int } == Array(repeating: 400, count: 5))
            #expect(
                entries.allSatisfy { ($0["subject"] as? String)?.hasPrefix("erased:") ?? false })
            let receipts = try service.client().get("/v1/erasures").text
            #expect(service.terminate() == 0)
            for name in FileManager.default.enumerator(atPath: service.data)?.compactMap({
                $0 as? String
            }) ?? [] {
                let data = FileManager.default.contents(atPath: "\(service.data)/\(name)") ?? Data()
                #expect(data.range(of: Data("zq7331".utf8)) == nil, "\(name)")
            }
            let verified = try TallyProcess.run(["verify", "--data", service.data])
            #expect(verified.status == 0, "\(verified.output)")

            let second = try TallyProcess(arguments: ["--threads", "2"])
            let restored = try TallyProcess.run(
                ["restore", "\(service.data)/rollups", "--data", second.data])
            #expect(restored.status == 0, "\(restored)")
            try second.start()
            #expect(try second.client().get("/v1/erasures").text == receipts)
            for id in ids {
                let receipt = try second.client().get("/v1/erasures/\(id)")
                #expect(receipt.status == 200 && receipts.contains(receipt.text), "\(id)")
            }
            #expect(second.terminate() == 0)
        }
    }
}
