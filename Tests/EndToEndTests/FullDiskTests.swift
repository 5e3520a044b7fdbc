// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

extension Faults {
    @Test(.enabled(if: canMount, "needs the right to mount a tmpfs"))
    func `A full disk of the private Redis is told, and nothing acknowledged is lost`()
        async throws
    {
        let service = try TallyProcess(arguments: ["--threads", "2"])
        try FileManager.default.createDirectory(
            atPath: service.data, withIntermediateDirectories: false)
        try #require(mount("tmpfs", service.data, "tmpfs", 0, "size=8m") == 0)
        defer {
            service.kill()
            umount2(service.data, Int32(MNT_DETACH))
        }
        let reason = "the disk of the data folder is full"
        let usage = try await blocking { () -> (found: Usage, counted: Int) in
            try service.start()
            let client = service.client()
            var counted = 0
            func count() throws -> BlockingHTTPClient.Answer {
                let body = #"{"id":"\#(counted)","subject":"a","meters":{"tokens":1}}"#
                let answer = try client.post("/v1/events", body)
                if answer.status == 200 { counted += 1 }
                return answer
            }
            let filler = "\(service.data)/filler"
            let descriptor = open(filler, O_WRONLY | O_CREAT, 0o600)
            let block = [UInt8](repeating: 0, count: 4096)
            while write(descriptor, block, block.count) > 0 {}
            close(descriptor)
            // What is left of the last page takes some.
            while try count().status == 200 {}
            try waitUntil("the reason in readyz") {
                (try? client.get("/readyz"))?.text.contains(reason) ?? false
            }
            try waitUntil("the reason in an answer") {
                guard let answer = try? count() else { return false }
                return answer.status == 503 && answer.text.contains(reason)
            }
            try waitUntil("the reason in the log") {
                service.log.contains("the private Redis died") && service.log.contains(reason)
            }
            unlink(filler)
            try service.waitUntilReady()
            while try count().status != 200 { usleep(20_000) }
            return (try client.usage(of: "a"), counted)
        }
        #expect(usage.found == Usage(events: usage.counted, totals: ["tokens": usage.counted]))
        service.terminate()
    }

    @Test(.enabled(if: canMount, "needs the right to mount a tmpfs"))
    func `With everysec it is told that what was acknowledged last could not be written`()
        async throws
    {
        let service = try TallyProcess(arguments: ["--threads", "1", "--durability", "everysec"])
        try FileManager.default.createDirectory(
            atPath: service.data, withIntermediateDirectories: false)
        try #require(mount("tmpfs", service.data, "tmpfs", 0, "size=8m") == 0)
        defer {
            service.kill()
            umount2(service.data, Int32(MNT_DETACH))
        }
        try await blocking {
            try service.start()
            let descriptor = open("\(service.data)/filler", O_WRONLY | O_CREAT, 0o600)
            let block = [UInt8](repeating: 0, count: 4096)
            while write(descriptor, block, block.count) > 0 {}
            close(descriptor)
            let client = service.client()
            let body = #"{"subject":"a","meters":{"tokens":1}}"#
            try waitUntil("an event that is refused") {
                (try? client.post("/v1/events", body))?.json["code"] as? String == "storage_full"
            }
        }
        #expect(service.terminate() == 1)
        #expect(service.log.contains("could not write the last changes that it acknowledged"))
    }

    @Test(.enabled(if: canMount, "needs the right to mount a tmpfs"))
    func `A day that does not fit keeps nothing else from being written`() async throws {
        let service = try TallyProcess(arguments: ["--flush-interval", "1"])
        let root = "\(service.data)/rollups"
        try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
        try #require(mount("tmpfs", root, "tmpfs", 0, "size=128k") == 0)
        defer {
            service.kill()
            umount2(root, Int32(MNT_DETACH))
        }
        try await blocking {
            try service.start()
            let client = service.client()
            func count(_ subjects: Int, on day: Date) throws {
                let time = day.formatted(.iso8601)
                let events = (0..<subjects).map {
                    #"{"subject":"a-subject-of-the-day-\#($0)","time":"\#(time)","meters":{"tokens":1}}"#
                }
                let answer = try client.post(
                    "/v1/events", "[\(events.joined(separator: ","))]")
                #expect(answer.status == 200, "\(answer.text.prefix(300))")
            }
            let now = Date.now
            for _ in 0..<4 { try count(1_000, on: now) }
            try waitUntil("a day that does not fit") {
                (try? client.get("/readyz"))?.text.contains("No space left") == true
            }
            // The day before comes behind it, and the state and the audit log behind all days.
            try count(1, on: now - 86_400)
            let grant = try client.post(
                "/v1/credits/late/grants", #"{"id":"g","credits":"5"}"#)
            #expect(grant.status < 300, "\(grant.text)")
            try waitUntil("all other files") {
                let paths =
                    FileManager.default.enumerator(atPath: root)?.allObjects
                    .compactMap { $0 as? String } ?? []
                let state = try? String(
                    contentsOfFile: "\(root)/default/state.json", encoding: .utf8)
                let date = (now - 86_400).formatted(.iso8601.year().month().day())
                return state?.contains("late") == true
                    && paths.contains { $0.hasSuffix("/\(date).json") && !$0.contains("audit") }
                    && paths.contains { $0.hasPrefix("default/audit/") && $0.hasSuffix(".json") }
            }
            // The turn fails all the same.
            #expect(try client.get("/readyz").text.contains("No space left"))
        }
    }
}
