// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPServer
import Metering
import TestSupport
import Testing

/// What alerts tell, how often, and to whom, with a real receiver.
@Suite(.timeLimit(.minutes(15))) struct AlertTests {
    @Test func `A limit's percents are told once each, signed, as a CloudEvent`() async throws {
        try await withAlerts { host, bench, receiver in
            let put = await bench.put(alert("files", files, "100,80", receiver.url))
            #expect(put.status == 200, "\(put.text)")
            await bench.upload(79)
            try await bench.deliver()
            #expect(receiver.messages.isEmpty)
            await bench.upload(1)
            await bench.upload(1)
            try await bench.deliver()
            try await bench.deliver()
            #expect(receiver.told == ["u1 files 80"])
            await bench.upload(60)
            try await bench.deliver()
            #expect(receiver.told == ["u1 files 100", "u1 files 80"])
            let message = try #require(receiver.messages.first)
            let secret = try #require(bench.secrets["files"])
            #expect(message.isSigned(by: secret) && !message.isSigned(by: secret + "x"))
            #expect(message.type.hasPrefix("application/cloudevents+json"))
            #expect(message.json["specversion"] as? String == "1.0")
            #expect(message.json["type"] as? String == "tally.threshold.reached")
            #expect(message.json["source"] as? String == "/v1/workspaces/default")
            #expect(message.json["id"] as? String == message.notification)
            #expect(message.json["time"] as? String == "2026-11-21T10:00:00Z")
            #expect(message.data["used"] as? Int == 80 && message.data["of"] as? Int == 100)
            #expect(message.data["meter"] as? String == "files_uploaded")
            #expect(message.data["resets_at"] as? String == "2026-11-22T00:00:00Z")
        }
    }

    @Test func `A day's reset arms the percents again`() async throws {
        try await withAlerts { host, bench, receiver in
            await bench.put(alert("files", files, "50,90", receiver.url))
            await bench.upload(95)
            bench.harness.clock.advance(14 * 3_600_000)
            await bench.upload(49)
            try await bench.deliver()
            #expect(receiver.told == ["u1 files 50", "u1 files 90"])
            await bench.upload(1)
            try await bench.deliver()
            #expect(receiver.told == ["u1 files 50", "u1 files 50", "u1 files 90"])
        }
    }

    /// A limit of a minute is full and empty again before anybody looks: it was told all the same.
    @Test func `What was reached between two looks is told`() async throws {
        try await withAlerts { host, bench, receiver in
            let limits = await bench.harness.send(
                .put, "/v1/limits",
                #"{"limits":[{"name":"burst","meter":"messages","window":"minute","user":10}]}"#)
            #expect(limits.status == 200)
            await bench.put(alert("burst", #""limit":"burst""#, "100", receiver.url))
            for _ in 0..<5 {
                _ = await bench.harness.post(#"{"subject":"u1","meters":{"messages":10}}"#)
                bench.harness.clock.advance(60_000)
                _ = await bench.harness.post(#"{"subject":"u1","meters":{"messages":1}}"#)
                bench.harness.clock.advance(60_000)
            }
            try await bench.deliver()
            #expect(receiver.told == Array(repeating: "u1 burst 100", count: 5))
        }
    }

    @Test func `What goes up and down around a percent tells it once`() async throws {
        try await withAlerts { host, bench, receiver in
            let limits = await bench.harness.send(
                .put, "/v1/limits",
                #"{"limits":[{"name":"open","meter":"api_calls","window":"concurrent","user":100}]}"#
            )
            #expect(limits.status == 200)
            await bench.put(alert("open", #""limit":"open""#, "80", receiver.url))
            func hold(_ id: String) async {
                let answer = await bench.harness.send(
                    .post, "/v1/holds",
                    #"{"id":"\#(id)","subject":"u1","amounts":{"api_calls":5},"ttl_s":3600}"#)
                #expect(answer.status == 201, "\(answer.text)")
            }
            func release(_ id: String) async {
                let answer = await bench.harness.send(
                    .authorized(.post, "/v1/holds/\(id)/release"))
                #expect(answer.status == 200, "\(answer.text)")
            }
            for index in 0..<16 { await hold("h\(index)") }
            await release("h7")
            await hold("i7")
            try await bench.deliver()
            #expect(receiver.told == ["u1 open 80"])
            // Below nine tenths of 80 % it is armed again.
            for id in ["h5", "h6", "i7"] { await release(id) }
            for id in ["j5", "j6", "j7"] { await hold(id) }
            try await bench.deliver()
            #expect(receiver.told == ["u1 open 80", "u1 open 80"])
        }
    }

    @Test func `What a merge, or a lower limit, makes of a subject is told with the next change`()
        async throws
    {
        try await withAlerts { host, bench, receiver in
            await bench.put(alert("files", files, "50,80", receiver.url))
            func told() -> [String] { receiver.told.filter { $0.hasPrefix("u") } }
            let answer = await bench.harness.post(
                #"{"subject":"guest:1","meters":{"files_uploaded":4}}"#)
            #expect(answer.status == 200, "\(answer.text)")
            await bench.upload(78)
            try await bench.deliver()
            #expect(told() == ["u1 files 50"])
            let merged = await bench.harness.send(
                .post, "/v1/subjects/u1/merge", #"{"guest":"guest:1"}"#)
            #expect(merged.status == 200, "\(merged.text)")
            try await bench.deliver()
            #expect(told() == ["u1 files 50", "u1 files 80"])
            await bench.upload(10, by: "u2")
            let lower = await bench.harness.send(
                .put, "/v1/limits/files_per_day/subjects/u2", #"{"limit":20}"#)
            #expect(lower.status == 200, "\(lower.text)")
            try await bench.deliver()
            #expect(told() == ["u1 files 50", "u1 files 80", "u2 files 50"])
        }
    }

    @Test func `A check that takes is told, one that only asks is not`() async throws {
        try await withAlerts { host, bench, receiver in
            await bench.put(alert("files", files, "50", receiver.url))
            func check(_ consume: Bool) async {
                let answer = await bench.harness.send(
                    .post, "/v1/check",
                    #"{"subject":"u1","amounts":{"files_uploaded":60},"consume":\#(consume)}"#)
                #expect(answer.status == 200, "\(answer.text)")
            }
            await check(false)
            try await bench.deliver()
            #expect(receiver.told == [])
            await check(true)
            try await bench.deliver()
            #expect(receiver.told == ["u1 files 50"])
        }
    }

    @Test func `A balance is told by what was spent of the month, and a grant arms it again`()
        async throws
    {
        try await withAlerts { host, bench, receiver in
            let policy = await bench.harness.send(
                .put, "/v1/credit-policy", #"{"default_allowance":"100"}"#)
            #expect(policy.status == 200)
            await bench.put(alert("low", balance, "80,100", receiver.url))
            func spend(_ credits: Int) async {
                let answer = await bench.harness.post(
                    #"{"subject":"u1","credits":\#(credits),"meters":{"messages":1}}"#)
                #expect(answer.status == 200, "\(answer.text)")
            }
            await spend(79)
            try await bench.deliver()
            #expect(receiver.told == [])
            await spend(1)
            try await bench.deliver()
            #expect(receiver.told == ["u1 low 80"])
            #expect(receiver.messages[0].data["credits_used"] as? String == "80")
            #expect(receiver.messages[0].data["of"] as? String == "100")
            let grant = await bench.harness.send(
                .post, "/v1/credits/u1/grants", #"{"id":"g1","credits":"100"}"#)
            #expect(grant.status == 201, "\(grant.text)")
            await spend(100)
            try await bench.deliver()
            #expect(receiver.told == ["u1 low 80", "u1 low 80"])
            await spend(25)
            try await bench.deliver()
            #expect(receiver.told == ["u1 low 100", "u1 low 80", "u1 low 80"])
            // The next month has its own.
            bench.harness.clock.advance(31 * 86_400_000)
            await spend(85)
            try await bench.deliver()
            #expect(receiver.told.filter { $0 == "u1 low 80" }.count == 3)
        }
    }

    @Test func `A workspace's budget is told once a month, whoever looks`() async throws {
        try await withAlerts { host, bench, receiver in
            await bench.put(alert("money", #""budget":"10.00""#, "50,100", receiver.url))
            func cost(_ amount: String) async {
                let answer = await bench.harness.post(
                    #"{"subject":"u2","api_cost":"\#(amount)","meters":{"messages":1}}"#)
                #expect(answer.status == 200, "\(answer.text)")
            }
            await cost("4.999999")
            try await bench.deliver()
            #expect(receiver.told == [])
            await cost("0.000001")
            try await bench.deliver()
            try await bench.deliver()
            #expect(receiver.told == ["- money 50"])
            let other = await AlertBench(bench.redis, on: host.loop)
            await cost("7")
            try await other.deliver()
            try await bench.deliver()
            await other.harness.queries.stop()
            #expect(receiver.told == ["- money 100", "- money 50"])
            #expect(receiver.messages[1].data["cost"] as? String == "12")
            #expect(receiver.messages[1].data["resets_at"] as? String == "2026-12-01T00:00:00Z")
            bench.harness.clock.advance(12 * 86_400_000)
            await cost("6")
            try await bench.deliver()
            #expect(receiver.told == ["- money 100", "- money 50", "- money 50"])
        }
    }

    @Test func `An alert about one subject tells of no other`() async throws {
        try await withAlerts { host, bench, receiver in
            await bench.put(
                [
                    alert("one", files, "50", receiver.url, subject: "u1"),
                    alert("all", files, "60", receiver.url),
                ].joined(separator: ","))
            await bench.upload(70, by: "u1")
            await bench.upload(70, by: "u2")
            // The class of guests has a limit of its own.
            await bench.upload(3, by: "guest:3")
            try await bench.deliver()
            #expect(receiver.told == ["guest:3 all 60", "u1 all 60", "u1 one 50", "u2 all 60"])
        }
    }

    @Test func `The same event sent again tells nothing again`() async throws {
        try await withAlerts { host, bench, receiver in
            await bench.put(alert("files", files, "50", receiver.url))
            for _ in 0..<3 {
                let answer = await bench.harness.post(
                    #"{"id":"e1","subject":"u1","meters":{"files_uploaded":50}}"#)
                #expect(answer.status == 200)
            }
            try await bench.deliver()
            #expect(receiver.told == ["u1 files 50"])
        }
    }

    @Test func `Alerts that are put again have told what they told`() async throws {
        try await withAlerts { host, bench, receiver in
            await bench.put(alert("files", files, "50", receiver.url))
            await bench.upload(55)
            let secret = bench.secrets["files"]
            // Another percent of the same alert: what was told is not told again.
            let again = await bench.put(alert("files", files, "50,60", receiver.url))
            #expect(!again.text.contains("secret"))
            await bench.upload(1)
            try await bench.deliver()
            #expect(receiver.told == ["u1 files 50"])
            #expect(receiver.messages[0].isSigned(by: secret ?? ""))
            await bench.upload(4)
            try await bench.deliver()
            #expect(receiver.told == ["u1 files 50", "u1 files 60"])
        }
    }
}
