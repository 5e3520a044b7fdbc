// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

extension EndToEnd {
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
}
