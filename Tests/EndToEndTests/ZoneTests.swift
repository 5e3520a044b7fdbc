// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

extension EndToEnd {
    @Test func `Data of one zone are not counted on in another, also after a restore`() async throws
    {
        let redis = try RedisServer(extra: ["--appendonly", "yes"])
        let folder = try makeTemporaryFolder()
        defer { removeFolder(folder) }
        func service(_ zone: String) throws -> TallyProcess {
            try TallyProcess(
                arguments: [
                    "--redis", "unix://\(redis.socketPath)", "--time-zone", zone,
                    "--flush-interval", "1",
                ])
        }
        let body = #"{"subject":"a","meters":{"tokens":1}}"#
        // Nothing was counted: another zone takes its place.
        let unused = try service("Europe/Berlin")
        try await blocking { try unused.start() }
        #expect(unused.terminate() == 0)
        let first = try service("Asia/Kathmandu")
        try await blocking {
            try first.start()
            #expect(try first.client().post("/v1/events", body).status == 200)
        }
        #expect(first.terminate() == 0)
        let rollups = "\(first.data)/rollups"
        for isRestored in [false, true] {
            if isRestored {
                let status = try await blocking {
                    try TallyProcess.run([
                        "restore", rollups, "--data", "\(folder)/data", "--redis",
                        "unix://\(redis.socketPath)", "--force",
                    ]).status
                }
                #expect(status == 0)
            }
            let second = try service("UTC")
            try await blocking {
                try second.launch()
                let client = second.client()
                try waitUntil("both zones are told") {
                    guard let answer = try? client.get("/readyz"), answer.status == 503 else {
                        return false
                    }
                    let detail = answer.json["detail"] as? String ?? ""
                    return detail.contains("goes by UTC")
                        && detail.contains("--time-zone Asia/Kathmandu")
                }
                #expect(try client.post("/v1/events", body).status == 503)
                // It is looked at again and again.
                usleep(2_500_000)
                #expect(try client.get("/readyz").status == 503)
            }
            #expect(second.terminate() == 0)
            #expect(
                !FileManager.default.fileExists(atPath: "\(second.data)/rollups/default/state.json")
            )
            let third = try service("Asia/Kathmandu")
            try await blocking {
                try third.start()
                #expect(try third.client().post("/v1/events", body).status == 200)
            }
            #expect(third.terminate() == 0)
        }
    }
}
