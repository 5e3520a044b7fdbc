// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

extension EndToEnd {
    private static func putAlerts(
        _ names: [String], _ client: BlockingHTTPClient
    ) throws -> BlockingHTTPClient.Answer {
        let alerts = names.map {
            #"{"name":"\#($0)","on":{"limit":"files_per_day"},"percent":[50],"#
                + #""to":{"webhook":"http://127.0.0.1:1/x"}}"#
        }
        let body = #"{"alerts":[\#(alerts.joined(separator: ","))]}"#
        return try client.request("PUT", "/v1/alerts", Array(body.utf8), "application/json")
    }

    private static func importKey(
        _ secret: String, _ client: BlockingHTTPClient
    ) throws -> BlockingHTTPClient.Answer {
        try client.post("/api/elevenlabs/keys/import", #"[{"name":"k","secret":"\#(secret)"}]"#)
    }

    /// What `change` does to the key, and how it is told.
    private static func spoilings(_ key: String) -> [(says: String, change: () throws -> Void)] {
        let files = FileManager.default
        return [
            ("secrets.key is missing from", {}),
            (
                "others may read it: chmod 600 \(key)",
                {
                    try files.copyItem(atPath: "\(key).copy", toPath: key)
                    try files.setAttributes([.posixPermissions: 0o644], ofItemAtPath: key)
                }
            ),
            (
                "\(key) is empty or damaged",
                {
                    _ = files.createFile(
                        atPath: key, contents: nil, attributes: [.posixPermissions: 0o600])
                }
            ),
            (
                "\(key) is no regular file",
                { try files.createDirectory(atPath: key, withIntermediateDirectories: false) }
            ),
            (
                "\(key) is no regular file",
                { try files.createSymbolicLink(atPath: key, withDestinationPath: "\(key).copy") }
            ),
            (
                "another secrets.key than this process",
                {
                    let other = Data((0..<32).map { UInt8($0) }).base64EncodedString()
                    _ = files.createFile(
                        atPath: key, contents: Data(other.utf8),
                        attributes: [.posixPermissions: 0o600])
                }
            ),
        ]
    }

    @Test func `A secrets key that was lost or spoilt is told, and not replaced`() async throws {
        try await blocking {
            let service = try TallyProcess(arguments: ["--allow-private-webhooks"])
            try service.start()
            let client = service.client()
            #expect(try Self.importKey("one", client).status == 200)
            #expect(try Self.importKey("two", client).status == 200)
            #expect(try Self.putAlerts(["low"], client).status == 200)
            let key = "\(service.data)/secrets.key"
            let files = FileManager.default
            try files.moveItem(atPath: key, toPath: "\(key).copy")
            let assigning = #"{"user_id":"1","quantity":1}"#
            for (says, change) in Self.spoilings(key) {
                try change()
                let isThere = files.fileExists(atPath: key)
                let assigned = try client.post("/api/elevenlabs/bulk-assign", assigning)
                for answer in [
                    try Self.importKey("three", client), try Self.putAlerts(["low", "2"], client),
                    assigned,
                ] {
                    #expect(answer.status == 503 && answer.text.contains(says), "\(answer.text)")
                }
                // What brings nothing new goes on.
                #expect(try Self.putAlerts(["low"], client).status == 200)
                #expect(files.fileExists(atPath: key) == isThere)
                try waitUntil("\(says) in the log") {
                    service.log.contains("secrets of pools and webhooks cannot be read")
                        && service.log.contains(says)
                }
                if isThere { try files.removeItem(atPath: key) }
            }
            // Nor for another workspace, which has no secrets of its own.
            let made = try client.post("/v1/workspaces", #"{"id":"acme"}"#)
            #expect(made.status == 201, "\(made.text)")
            let other = try client.post(
                "/api/elevenlabs/keys/import", #"[{"name":"k","secret":"x"}]"#,
                headers: ["X-Tally-Workspace": "acme"])
            #expect(other.status == 503 && other.text.contains("is missing from"), "\(other.text)")
            #expect(!files.fileExists(atPath: key))

            func isTold(_ count: Int) -> Bool {
                guard let ready = try? client.get("/readyz"),
                    let metrics = try? client.get("/metrics").text
                else { return false }
                #expect(ready.status == 200, "\(ready.text)")
                let isInDetail = ready.text.contains(
                    "webhooks of \(count) workspaces cannot be read")
                return isInDetail == (count > 0)
                    && metrics.contains("\ntally_secrets_unreadable_workspaces \(count)\n")
            }
            try waitUntil("it in the detail and in a metric") { isTold(1) }

            try files.moveItem(atPath: "\(key).copy", toPath: key)
            try waitUntil("neither") { isTold(0) }
            try waitUntil("secrets that can be read") {
                service.log.contains("secrets of pools and webhooks can be read again")
            }
            let assigned = try client.post("/api/elevenlabs/bulk-assign", assigning)
            #expect(assigned.status == 200 && assigned.text.contains("****"), "\(assigned.text)")
            #expect(service.terminate() == 0)
        }
    }
}
