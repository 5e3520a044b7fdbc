// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import HTTPServer
import Metering
import Synchronization
import TestSupport
import Testing
import Transfer

/// How notices reach those whom they are for, or do not.
@Suite(.timeLimit(.minutes(15))) struct DeliveryTests {
    @Test func `What failed is sent again later, under one id, until it arrives`() async throws {
        try await withAlerts(statuses: [500, 503]) { host, bench, receiver in
            await bench.put(alert("files", files, "50", receiver.url))
            await bench.upload(50)
            try await bench.deliver()
            // Not before it is due.
            try await bench.deliver()
            #expect(receiver.messages.count == 1)
            let pending = await bench.deliveries("pending")
            #expect(pending.count == 1 && pending[0]["attempts"] as? Int == 1)
            #expect(pending[0]["last_error"] as? String == "the answer is 500")
            #expect(pending[0]["subject"] as? String == "u1" && pending[0]["percent"] as? Int == 50)
            for _ in 0..<2 {
                bench.harness.clock.advance(20_000)
                try await bench.deliver()
            }
            #expect(receiver.messages.count == 3)
            #expect(Set(receiver.messages.map(\.notification)).count == 1)
            #expect(Set(receiver.messages.map(\.body)).count == 1)
            // Each signed at its own time.
            #expect(Set(receiver.messages.map(\.signature)).count == 3)
            let secret = bench.secrets["files"] ?? ""
            #expect(receiver.messages.allSatisfy { $0.isSigned(by: secret) })
            #expect(await bench.deliveries("pending").isEmpty)
            #expect(await bench.deliveries("dead").isEmpty)
        }
    }

    @Test func `A redirect is not followed`() async throws {
        try await withAlerts(statuses: [302]) { host, bench, receiver in
            await bench.put(alert("files", files, "50", receiver.url))
            await bench.upload(50)
            try await bench.deliver()
            #expect(receiver.messages.map(\.path) == ["/hook"])
            let pending = await bench.deliveries("pending")
            #expect((pending[0]["last_error"] as? String)?.contains("redirects") == true)
        }
    }

    @Test func `What fails for too long is dead, is listed, and can be sent again`() async throws {
        let statuses = Array(repeating: 500, count: 15)
        try await withAlerts(statuses: statuses) { host, bench, receiver in
            await bench.put(alert("files", files, "50", receiver.url))
            await bench.upload(50)
            for attempt in 1...15 {
                let pending = await bench.deliveries("pending")
                #expect(pending.first?["attempts"] as? Int == attempt - 1)
                let id = pending.first?["id"] as? String ?? ""
                let early = await bench.harness.send(
                    .authorized(.post, "/v1/alerts/deliveries/\(id)/retry"))
                #expect(early.status == 409 && early.code == "delivery_pending")
                try await bench.deliver()
                bench.harness.clock.advance(6 * 3_600_000)
            }
            try await bench.deliver()
            #expect(receiver.messages.count == 15)
            #expect(await bench.deliveries("pending").isEmpty)
            let dead = await bench.deliveries("dead")
            #expect(dead.count == 1 && dead[0]["attempts"] as? Int == 15)
            let id = try #require(dead[0]["id"] as? String)
            let retry = await bench.harness.send(
                .authorized(.post, "/v1/alerts/deliveries/\(id)/retry"))
            #expect(retry.status == 202, "\(retry.text)")
            try await bench.deliver()
            #expect(receiver.messages.count == 16)
            #expect(receiver.messages.last?.notification == id)
            #expect(await bench.deliveries("dead").isEmpty)
            let gone = await bench.harness.send(
                .authorized(.post, "/v1/alerts/deliveries/\(id)/retry"))
            #expect(gone.status == 404 && gone.code == "delivery_not_found")
        }
    }

    @Test func `Who is gone gets no more, and a removed alert tells nobody`() async throws {
        try await withAlerts(statuses: [410]) { host, bench, receiver in
            await bench.put(alert("files", files, "50,60", receiver.url))
            await bench.upload(50)
            try await bench.deliver()
            #expect(
                await bench.deliveries("dead").first?["last_error"] as? String
                    == "the answer is 410")
            await bench.upload(10)
            await bench.put("")
            try await bench.deliver()
            #expect(receiver.messages.count == 1)
            #expect(
                await bench.deliveries("dead").last?["last_error"] as? String
                    == "the alert was removed")
        }
    }

    @Test func `A private address is refused when it is sent to, too`() async throws {
        try await withAlerts { host, bench, receiver in
            await bench.put(alert("files", files, "50", receiver.url))
            await bench.upload(50)
            let strict = Courier()
            let tasks = try await bench.harness.queries.keepAlerts({ message, _ in
                guard case .webhook(let url, let headers, let body) = message else {
                    return .failed("no webhook")
                }
                guard case .failed(let fault) = await strict.post(url, headers: headers, body: body)
                else { return .delivered }
                return .failed(fault)
            })
            for task in tasks { await task.value }
            #expect(receiver.messages.isEmpty)
            let fault = await bench.deliveries("pending").first?["last_error"] as? String
            #expect(fault?.hasPrefix("target_forbidden") == true)
        }
    }

    /// One that takes a notice and then stands still, or dies, keeps it from nobody for long; and what it
    /// says later about its attempt is not believed.
    @Test func `A claim ends by itself`() async throws {
        try await withAlerts { host, bench, receiver in
            await bench.put(alert("files", files, "50", receiver.url))
            await bench.upload(50)
            let (stream, ending) = AsyncStream<Void>.makeStream()
            let other = await AlertBench(bench.redis, on: host.loop)
            let tasks = try await other.harness.queries.keepAlerts({ _, _ in
                for await _ in stream {}
                return .failed("too late")
            })
            #expect(tasks.count == 1)
            try await bench.deliver()
            #expect(receiver.messages.isEmpty)
            bench.harness.clock.advance(20_000)
            try await bench.deliver()
            #expect(receiver.told == ["u1 files 50"])
            ending.finish()
            for task in tasks { await task.value }
            #expect(await bench.deliveries("pending").isEmpty)
            #expect(await bench.deliveries("dead").isEmpty)
            await other.harness.queries.stop()
        }
    }

    @Test func `What is no notice keeps no other from being delivered`() async throws {
        try await withAlerts { _, bench, receiver in
            await bench.put(alert("files", files, "50", receiver.url))
            await bench.upload(50)
            for (id, bytes) in [("1", "what"), ("2", "\\x93\\x01\\x02\\x03"), ("3", "\\xc1")] {
                try bench.redis.request("HSET t1:{default}:alerts:notices \(id) \"\(bytes)\"")
                try bench.redis.request("ZADD t1:{default}:alerts:notices:due 0 \(id)")
            }
            try await bench.deliver()
            #expect(receiver.told == ["u1 files 50"])
        }
    }

    @Test func `Lists go on behind the last notice of a page`() async throws {
        try await withAlerts(statuses: [410, 410, 410, 410, 410]) { host, bench, receiver in
            await bench.put(alert("files", files, "10,20,30,40,50", receiver.url))
            await bench.upload(50)
            try await bench.deliver()
            var seen: [String] = []
            var cursor = ""
            repeat {
                let page = await bench.harness.get(
                    "/v1/alerts/deliveries", query: "status=dead&limit=2" + cursor)
                let items = page.json["deliveries"] as? [[String: Any]] ?? []
                #expect(items.count <= 2)
                seen += items.compactMap { $0["id"] as? String }
                cursor = (page.json["next"] as? String).map { "&cursor=\($0)" } ?? ""
            } while !cursor.isEmpty && seen.count < 20
            #expect(seen.count == 5 && Set(seen).count == 5)
        }
    }
}
