// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

extension EndToEnd {
    @Test func `Verify and restore take any number of workspaces with few descriptors`()
        async throws
    {
        try await blocking {
            let service = try TallyProcess(arguments: ["--threads", "1", "--flush-interval", "1"])
            try service.start()
            let client = service.client()
            let names = (0..<60).map { "space-\($0)" }
            for name in names {
                try client.requestUntilReady("POST", "/v1/workspaces", #"{"id":"\#(name)"}"#)
                let made = try client.requestUntilReady(
                    "POST", "/v1/keys", #"{"role":"writer","workspace":"\#(name)"}"#)
                try BlockingHTTPClient(port: service.port, key: made.json["secret"] as? String)
                    .requestUntilReady(
                        "POST", "/v1/events", #"{"subject":"a","meters":{"tokens":7}}"#)
            }
            // The last turn may leave out what it has no time for.
            try waitUntil("the snapshots") {
                names.allSatisfy {
                    let days = "\(service.data)/rollups/\($0)"
                    let files = try? FileManager.default.subpathsOfDirectory(atPath: days)
                    return files?.contains { $0.hasSuffix(".json") && $0 != "state.json" } ?? false
                }
            }
            #expect(service.terminate() == 0)
            let folder = try makeTemporaryFolder()
            defer { removeFolder(folder) }
            let few = ["prlimit", "--nofile=64:64", "--"]
            let rollups = "\(service.data)/rollups"
            let restored = try TallyProcess.run(
                ["restore", rollups, "--data", "\(folder)/data"], launcher: few)
            #expect(restored.status == 0, "\(restored)")
            for name in names {
                #expect(restored.output.contains("restored \(name): 1 days"), "\(restored)")
            }
            for data in [service.data, "\(folder)/data"] {
                let verified = try TallyProcess.run(["verify", "--data", data], launcher: few)
                #expect(verified.status == 0, "\(verified)")
                #expect(verified.errors.hasPrefix("no differences in 61 workspaces"), "\(verified)")
            }
        }
    }
}
