// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

extension EndToEnd {
    private static func service() throws -> TallyProcess {
        let service = try TallyProcess(arguments: ["--threads", "2", "--durability", "everysec"])
        try service.start()
        // What reads the log has a connection of its own, which may be later than the one that
        // `/readyz` is about.
        try waitUntil("what reads") {
            (try? service.client().get("/v1/events?limit=1"))?.status == 200
        }
        return service
    }

    private static func reader(
        _ service: TallyProcess, _ query: String = "", key: String = TallyProcess.key,
        lastID: String? = nil, receiveBuffer: Int32? = nil
    ) throws -> StreamReader {
        let reader = try StreamReader(
            port: service.port, key: key, query: query, lastID: lastID,
            receiveBuffer: receiveBuffer)
        guard reader.status == 200 else { throw Failure(description: "\(reader.status)") }
        return reader
    }

    private static func event(
        _ id: String, _ subject: String = "ann", action: String = "chat", model: String = "m",
        meters: String = #""messages":1"#, more: String = ""
    ) -> String {
        """
        {"id":"\(id)","subject":"\(subject)","action":"\(action)","model":"\(model)",\
        "meters":{\(meters)}\(more)}
        """
    }

    private static func record(_ service: TallyProcess, _ events: [String]) throws {
        let answer = try service.client().post("/v1/events", "[\(events.joined(separator: ","))]")
        guard answer.status == 200, answer.json["counted"] as? Int == events.count else {
            throw Failure(description: String(answer.text.prefix(300)))
        }
    }

    @Test func `A stream tells what is counted, once, and what passes its filters`() async throws {
        try await blocking {
            let service = try Self.service()
            try Self.record(service, [Self.event("before")])
            let all = try Self.reader(service)
            let filtered = try [
                "?subject=bob", "?action=upload", "?model=other", "?meter=files_uploaded",
                "?subject=bob&action=upload",
            ].map { try Self.reader(service, $0) }
            let summary = try Self.reader(service, "?summary=true&action=upload")
            try Self.record(
                service,
                [
                    Self.event("1"), Self.event("2", "bob"), Self.event("3", action: "upload"),
                    Self.event("4", model: "other"),
                    Self.event("5", meters: #""files_uploaded":2"#),
                    Self.event("6", "bob", action: "upload"),
                ])
            // Told as a duplicate, and not counted: in no stream.
            _ = try service.client().post("/v1/events", Self.event("1"))
            try Self.record(
                service,
                [
                    Self.event(
                        "7", "bob", action: "upload", model: "other",
                        meters: #""files_uploaded":1"#)
                ])
            let told = try all.next(7)
            #expect(told.map(\.eventID) == ["1", "2", "3", "4", "5", "6", "7"])
            #expect(told.allSatisfy { $0.event == "usage" && !$0.id.isEmpty })
            #expect(Set(told.map(\.id)).count == 7)
            #expect(told[4].json["meters"] as? [String: Int] == ["files_uploaded": 2])
            for (reader, expected) in zip(
                filtered,
                [["2", "6", "7"], ["3", "6", "7"], ["4", "7"], ["5", "7"], ["6", "7"]])
            {
                #expect(try reader.next(expected.count).map(\.eventID) == expected)
            }
            var (count, latest) = (0, [String]())
            while count < 3 {
                let message = try #require(try summary.next())
                #expect(message.event == "summary")
                count += message.json["events"] as? Int ?? 0
                let events = message.json["latest"] as? [[String: Any]] ?? []
                latest += events.compactMap { $0["id"] as? String }
            }
            #expect(count == 3 && latest == ["3", "6", "7"])
        }
    }

    @Test func `A reader that comes back goes on where it was, without gap or repetition`()
        async throws
    {
        try await blocking {
            let service = try Self.service()
            var random = SeededGenerator(20_261_121)
            let total = 600
            let first = try Self.reader(service)
            let progress = Progress()
            Thread.detachNewThread {
                progress.attempt {
                    var next = 0
                    while next < total {
                        let end = min(next + 1 + next % 37, total)
                        try Self.record(service, (next..<end).map { Self.event("e\($0)") })
                        next = end
                        usleep(20_000)
                    }
                }
                progress.stop()
            }
            var seen: [String?] = []
            var reader = first
            while seen.count < total {
                // In the midst of a batch as well as between two.
                let part = min(Int.random(in: 1...60, using: &random), total - seen.count)
                seen += try reader.next(part).map(\.eventID)
                usleep(UInt32.random(in: 0...60_000, using: &random))
                reader = try Self.reader(service, lastID: reader.lastID)
            }
            #expect(seen == (0..<total).map { "e\($0)" })
            try waitUntil("the writer") { progress.isStopped }
            #expect(progress.problems.isEmpty, "\(progress.problems)")
            for wrong in ["x", "1", "1.x", "-1.1", "1.0", "9999999999999999999.1"] {
                let refused = try StreamReader(
                    port: service.port, key: TallyProcess.key, lastID: wrong)
                #expect(refused.status == 400, "\(wrong)")
            }
        }
    }

    @Test func `Nobody is told of another workspace, nor a user of others`() async throws {
        try await blocking {
            let service = try Self.service()
            let client = service.client()
            #expect(try client.post("/v1/workspaces", #"{"id":"shop"}"#).status == 201)
            func key(_ body: String) throws -> String {
                try #require(try client.post("/v1/keys", body).json["secret"] as? String)
            }
            let shop = try key(#"{"role":"reader","workspace":"shop","name":"r"}"#)
            let ann = try key(#"{"role":"self","subject":"ann","name":"a"}"#)
            let ofShop = try Self.reader(service, key: shop)
            let ofAnn = try Self.reader(service, key: ann)
            let alsoOfAnn = try Self.reader(service, "?subject=ann", key: ann)
            let refused = try StreamReader(port: service.port, key: ann, query: "?subject=bob")
            #expect(refused.status == 403)
            try Self.record(service, [Self.event("1", "bob"), Self.event("2")])
            let other = try client.post(
                "/v1/events", Self.event("3"), headers: ["X-Tally-Workspace": "shop"])
            #expect(other.status == 200)
            try Self.record(service, [Self.event("4", "bob"), Self.event("5")])
            #expect(try ofAnn.next(2).map(\.eventID) == ["2", "5"])
            #expect(try alsoOfAnn.next(2).map(\.eventID) == ["2", "5"])
            #expect(try ofShop.next(1).map(\.eventID) == ["3"])
            // The place of an event of one workspace is none of another.
            let back = try StreamReader(port: service.port, key: shop, lastID: ofAnn.lastID)
            #expect(back.status == 410)
        }
    }

    @Test func `A stream ends with the right to read it`() async throws {
        try await blocking {
            let service = try Self.service()
            let client = service.client()
            #expect(try client.post("/v1/workspaces", #"{"id":"shop"}"#).status == 201)
            let made = try client.post("/v1/keys", #"{"role":"reader","name":"x"}"#)
            let ofKey = try Self.reader(service, key: try #require(made.json["secret"] as? String))
            let shop = try client.post(
                "/v1/keys", #"{"role":"reader","workspace":"shop","name":"r"}"#)
            let ofShop = try Self.reader(service, key: try #require(shop.json["secret"] as? String))
            let ofOperator = try Self.reader(service)
            let id = try #require(made.json["id"] as? String)
            #expect(try client.request("DELETE", "/v1/keys/\(id)", nil, "").status == 204)
            #expect(try client.request("DELETE", "/v1/workspaces/shop", nil, "").status == 202)
            for reader in [ofKey, ofShop] {
                #expect(try reader.next() == nil && reader.hasEnded)
            }
            try Self.record(service, [Self.event("1")])
            #expect(try ofOperator.next(1).map(\.eventID) == ["1"])
        }
    }

    @Test func `A reader that does not read is dropped, and the others go on`() async throws {
        try await blocking {
            let service = try Self.service()
            let slow = try Self.reader(service, receiveBuffer: 4096)
            let quick = try Self.reader(service)
            let text = String(repeating: "x", count: 1000)
            let (batches, size) = (40, 200)
            let progress = Progress()
            Thread.detachNewThread {
                progress.attempt {
                    let client = service.client()
                    for batch in 0..<batches {
                        let events = (0..<size).map {
                            Self.event(
                                "\(batch * size + $0)", more: #","description":"\#(text)""#)
                        }
                        let body = "[\(events.joined(separator: ","))]"
                        guard try client.deliver(body, progress) != nil else { return }
                    }
                }
                progress.stop()
            }
            let told: [StreamReader.Message]
            do {
                told = try quick.next(batches * size)
            } catch {
                throw Failure(description: "\(error); the writer: \(progress.problems)")
            }
            #expect(told.map(\.eventID) == (0..<batches * size).map { "\($0)" })
            try waitUntil("the writer") { progress.isStopped }
            #expect(progress.problems.isEmpty, "\(progress.problems)")
            try waitUntil("the end of the slow one") { !slow.isEstablished }
            try Self.record(service, [Self.event("last")])
            #expect(try quick.next(1).map(\.eventID) == ["last"])
        }
    }

    @Test func `A service that stops ends the streams that are open`() async throws {
        try await blocking {
            let service = try Self.service()
            let readers = try (0..<20).map {
                try Self.reader(service, $0 % 2 == 0 ? "" : "?summary=true")
            }
            try Self.record(service, [Self.event("1")])
            #expect(try readers[0].next(1).map(\.eventID) == ["1"])
            #expect(service.terminate() == 0)
            for reader in readers { while (try? reader.next()) ?? nil != nil {} }
            // Those that it had waited for in vain would have been cut.
            #expect(readers.allSatisfy { $0.hasEnded })
        }
    }
}
