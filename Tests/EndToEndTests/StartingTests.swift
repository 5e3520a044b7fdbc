// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

/// A service that is told to end before it serves anybody.
extension EndToEnd {
    @Test func `SIGTERM while the private Redis loads its data ends both`() async throws {
        try await blocking {
            let service = try TallyProcess()
            try service.start()
            let counted = try service.client().post(
                "/v1/events", #"{"id":"e","subject":"a","meters":{"x":1}}"#)
            #expect(counted.status == 200)
            service.terminate()
            // So much that it loads for a second or more.
            let log = "\(service.data)/appendonlydir/appendonly.aof.1.incr.aof"
            let file = try FileHandle(forWritingTo: URL(filePath: log))
            let end = try file.seekToEnd()
            let command = "*3\r\n$3\r\nSET\r\n$8\r\nt1:other\r\n$1\r\n1\r\n"
            let part = Data(String(repeating: command, count: 100_000).utf8)
            for _ in 0..<20 { try file.write(contentsOf: part) }
            try service.launch()
            let redis = try service.redisID()
            #expect(service.terminate() == 0)
            #expect(!TallyProcess.isRunning(redis))
            #expect(service.log.contains(#""message":"stopped""#), "\(service.log)")
            let starts = service.log.components(separatedBy: #""message":"listening""#).count - 1
            #expect(starts == 1, "\(service.log)")
            // Nothing of it is lost.
            try file.truncate(atOffset: end)
            try file.close()
            try service.start()
            let totals = try service.client().get("/v1/subjects/a").json["totals"]
            #expect(totals as? [String: Int] == ["x": 1])
            service.terminate()
        }
    }

    @Test func `SIGTERM while a Redis outside stands still ends the service`() async throws {
        try await blocking {
            let redis = try RedisServer()
            let service = try TallyProcess(arguments: ["--redis", "unix://\(redis.socketPath)"])
            redis.pause()
            try service.launch()
            try waitUntil("an answer") {
                (try? service.client().get("/readyz").status) == 503
            }
            #expect(service.terminate() == 0)
            #expect(service.log.contains(#""message":"stopped""#), "\(service.log)")
        }
    }

    @Test func `A node of a Redis Cluster is refused, whichever slots it has`() async throws {
        try await blocking {
            let redis = try RedisServer(
                .appendOnly(fsync: "everysec"),
                extra: [
                    "--cluster-enabled", "yes", "--port", "\(freePort())", "--cluster-port",
                    "\(freePort())",
                ])
            let service = try TallyProcess(arguments: ["--redis", "unix://\(redis.socketPath)"])
            try service.launch()
            let client = service.client()
            let commands = [
                // No slots, half of them, and all.
                "CLUSTER INFO", "CLUSTER ADDSLOTSRANGE 0 8191",
                "CONFIG SET cluster-require-full-coverage no", "CLUSTER ADDSLOTSRANGE 8192 16383",
            ]
            for command in commands {
                #expect(try !redis.request(command).hasPrefix("-"), "\(command)")
                try waitUntil("a refusal") {
                    let answer = try? client.get("/readyz")
                    return answer?.status == 503
                        && answer?.json["detail"] as? String == "Redis Cluster is not supported"
                }
                let body = #"{"id":"1","subject":"a","meters":{"tokens":1}}"#
                #expect(try client.post("/v1/events", body).status == 503)
            }
            #expect(service.log.contains("Redis Cluster is not supported"), "\(service.log)")
            #expect(service.terminate() == 0)
        }
    }
}
