// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

/// A service that is told to end before it serves anybody.
extension EndToEnd {
    @Test func `SIGTERM while the private Redis loads its data ends both`() async throws {
        try await blocking {
            let folder = try makeTemporaryFolder()
            defer { removeFolder(folder) }
            // A Redis that loads for ever: it answers nobody.
            let program = "\(folder)/redis-server"
            try "#!/bin/sh\necho $$ > \(folder)/started\nexec sleep 1000\n"
                .write(toFile: program, atomically: false, encoding: .utf8)
            try FileManager.default.setAttributes(
                [.posixPermissions: 0o700], ofItemAtPath: program)
            let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
            let service = try TallyProcess(environment: ["PATH": "\(folder):\(path)"])
            try service.launch()
            var redis: Int32?
            try waitUntil("a Redis that was started") {
                let text = try? String(contentsOfFile: "\(folder)/started", encoding: .utf8)
                redis = text.flatMap { Int32($0.dropLast()) }
                return redis != nil
            }
            #expect(service.terminate() == 0)
            #expect(!TallyProcess.isRunning(try #require(redis)))
            #expect(service.log.contains(#""signal":"SIGTERM""#), "\(service.log)")
            #expect(service.log.contains(#""message":"stopped""#), "\(service.log)")
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
