// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

private struct LossUnseen: Error {}

extension TallyProcess {
    /// Empties its Redis, and waits until it sees that. It knows for sure only the name of data that it has seen
    /// for some seconds.
    func loseData(_ flush: () throws -> Void) throws {
        let client = client()
        for _ in 0..<10 {
            sleep(8)
            try flush()
            for _ in 0..<30 {
                let answer = try? client.get("/readyz")
                if answer?.text.contains("Redis has lost its data") == true { return }
                usleep(100_000)
            }
        }
        throw LossUnseen()
    }
}

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
            // It counts no more on a Redis that was emptied, and is here all the same.
            try service.loseData { try redis.request("FLUSHALL") }
            let early = try TallyProcess.run(command)
            #expect(early.status != 0, "\(early)")
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
