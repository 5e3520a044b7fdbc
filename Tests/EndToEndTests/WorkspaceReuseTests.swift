// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

extension EndToEnd {
    /// What one process remembers of a workspace is not told of the next one that has its id.
    @Test func `A workspace that has another one's id begins with nothing`() async throws {
        let redis = try RedisServer(.appendOnly(fsync: "everysec"))
        let services = try (0..<2).map { _ in
            try TallyProcess(
                arguments: ["--redis", "unix://\(redis.socketPath)", "--flush-interval", "1"])
        }
        try await blocking { for service in services { try service.start() } }
        let paths = [
            "/v1/series?meter=tokens&bucket=day&group_by=action",
            "/v1/series?meter=tokens&bucket=hour&group_by=model", "/v1/leaderboards/tokens",
            "/v1/leaderboards/tokens?window=7d", "/api/v1/admin/credits/overview",
            "/admin/analytics", "/v1/subjects", "/v1/events", "/v1/prices",
        ]
        try await blocking {
            let operators = services.map { $0.client() }
            for name in ["zebra", "okapi"] {
                try operators[0].requestUntilReady("POST", "/v1/workspaces", #"{"id":"acme"}"#)
                let made = try operators[0].requestUntilReady(
                    "POST", "/v1/keys", #"{"role":"admin","workspace":"acme"}"#)
                let key = made.json["secret"] as? String
                let clients = services.map { BlockingHTTPClient(port: $0.port, key: key) }
                // Another process knows a workspace a fifth of a second later.
                while try clients[1].get("/v1/workspace").status != 200 { usleep(20_000) }
                // The first has as many events as the second: nothing tells them apart by their numbers.
                for number in 0..<3 {
                    try clients[number % 2].requestUntilReady(
                        "POST", "/v1/events",
                        #"{"id":"\#(number)","subject":"\#(name)","action":"\#(name)","#
                            + #""model":"\#(name)","meters":{"tokens":1,"messages":1}}"#)
                }
                if name == "zebra" {
                    try clients[0].requestUntilReady(
                        "PUT", "/v1/prices", #"{"models":{"zebra":{"input":"1"}}}"#)
                }
                for client in clients {
                    let texts = try paths.map { try client.requestUntilReady("GET", $0).text }
                    #expect(
                        texts.allSatisfy { name == "zebra" || !$0.contains("zebra") }, "\(texts)")
                    #expect(texts[0].contains(name) && texts[1].contains(name))
                }
                guard name == "zebra" else { break }
                // Files of the first are there when it goes.
                sleep(2)
                let gone = try operators[0].request("DELETE", "/v1/workspaces/acme", nil, "")
                #expect(gone.status == 202)
            }
        }
        for service in services { service.terminate() }
    }
}
