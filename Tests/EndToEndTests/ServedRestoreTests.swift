// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

extension EndToEnd {
    /// What it counts meanwhile would be lost, or mixed with what is restored.
    @Test func `Nothing is restored into a Redis that a service counts on`() async throws {
        let redis = try RedisServer(.appendOnly(fsync: "everysec"))
        try await blocking {
            let address = "unix://\(redis.socketPath)"
            let service = try TallyProcess(arguments: ["--redis", address, "--flush-interval", "1"])
            try service.start()
            let client = service.client()
            #expect(
                try client.post("/v1/events", #"{"subject":"a","meters":{"tokens":7}}"#).status
                    == 200)
            let policy = #"{"default_allowance":"5"}"#
            let put = try client.request(
                "PUT", "/v1/credit-policy", Array(policy.utf8), "application/json")
            #expect(put.status == 200)
            let rollups = "\(service.data)/rollups"
            try waitUntil("a file") {
                FileManager.default.fileExists(atPath: "\(rollups)/default/state.json")
            }
            let command = ["restore", rollups, "--redis", address, "--force"]
            let refused = try TallyProcess.run(command)
            #expect(refused.status != 0, "\(refused)")
            #expect("\(refused)".contains("stop all services on it before a restore"))
            #expect(try client.usage(of: "a").totals == ["tokens": 7])
            // Also one that was killed, as soon as it is clear that it is gone.
            service.kill()
            let restored = try TallyProcess.run(command)
            #expect(restored.status == 0, "\(restored)")
            try service.start()
            #expect(try service.client().usage(of: "a").totals == ["tokens": 7])
            service.terminate()
        }
    }
}
