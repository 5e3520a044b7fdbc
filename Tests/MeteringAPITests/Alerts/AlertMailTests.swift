// SPDX-License-Identifier: Apache-2.0

import Foundation
import Metering
import TestSupport
import Testing
import Transfer

/// Notices by e-mail, with a real server.
@Suite(.timeLimit(.minutes(15))) struct AlertMailTests {
    @Test func `E-mail goes by SMTP, again after a refusal, with nothing but plain text`()
        async throws
    {
        try await withMailServer(refusals: 1) { redis, _, url in
            try await onLoop { host in
                let bench = await AlertBench(
                    redis, on: host.loop,
                    mail: .init(url: url, from: "tally@example.com"))
                let put = await bench.put(
                    #"{"name":"files","on":{\#(files)},"percent":[80],"to":{"email":"ops@example.org"}}"#
                )
                #expect(put.status == 200 && !put.text.contains("secret"), "\(put.text)")
                await bench.upload(80, by: "ÄÖ 漢字 'x'")
                try await bench.deliver()
                let pending = await bench.deliveries("pending")
                #expect(
                    (pending.first?["last_error"] as? String)?.hasSuffix("451 try again later")
                        == true)
                bench.harness.clock.advance(20_000)
                try await bench.deliver()
                #expect(await bench.deliveries("pending").isEmpty)
                await bench.harness.queries.stop()
            }
            let file = try Data(contentsOf: URL(filePath: "\(redis.folder)/2.json"))
            let mail = try #require(try JSONSerialization.jsonObject(with: file) as? [String: Any])
            #expect(mail["from"] as? String == "tally@example.com")
            #expect(mail["to"] as? [String] == ["ops@example.org"])
            let content = try #require(mail["content"] as? String)
            let parts = content.components(separatedBy: "\r\n\r\n")
            let head = parts[0].components(separatedBy: "\r\n")
            #expect(head.contains("To: <ops@example.org>"))
            #expect(head.contains("From: Tally <tally@example.com>"))
            let body = parts.dropFirst().joined().components(separatedBy: "\r\n").joined()
            let text = Data(base64Encoded: body).map { String(decoding: $0, as: UTF8.self) } ?? ""
            #expect(
                text.hasPrefix("ÄÖ 漢字 'x' has reached 80 % of the limit files_per_day"), "\(text)")
            #expect(text.contains("Used: 80 of 100"))
        }
    }

    /// What is done at once when a server has looked at a message for a while, and says that it has it, or
    /// when it does not know whom it is for.
    @Test func `A server may take its time, and whom it does not know gets nothing`() async throws {
        try await withMailServer { redis, _, url in
            try await onLoop { host in
                let bench = await AlertBench(
                    redis, on: host.loop,
                    mail: .init(url: url, from: "tally@example.com"))
                let alerts = ["slow", "nobody"].map {
                    #"{"name":"\#($0)","on":{\#(files)},"percent":[80],"to":{"email":"\#($0)@example.org"}}"#
                }
                await bench.put(alerts.joined(separator: ","))
                await bench.upload(80)
                try await bench.deliver()
                #expect(await bench.deliveries("pending").isEmpty)
                let dead = await bench.deliveries("dead")
                #expect(dead.map { $0["alert"] as? String } == ["nobody"])
                let fault = dead.first?["last_error"] as? String
                #expect(fault?.hasSuffix("550 5.1.1 no such user") == true, "\(fault ?? "")")
                await bench.harness.queries.stop()
            }
            #expect(FileManager.default.fileExists(atPath: "\(redis.folder)/1.json"))
        }
    }

    /// The library waits where it is for what a server says at the end of a message.
    @Test func `A server that takes its time with a message holds up no other`() async throws {
        try await withMailServer { redis, server, url in
            let courier = Courier(
                mailServer: .init(url: url, from: "tally@example.com"))
            @Sendable func mail(_ to: String) async -> Courier.Outcome {
                await courier.mail(to: "\(to)@example.org", subject: to, text: to, id: to)
            }
            async let slow = mail("slow")
            try waitUntil("the server has the first") { server.log.contains("thinking") }
            #expect(await mail("fast") == .delivered)
            let first = try String(contentsOfFile: "\(redis.folder)/1.json", encoding: .utf8)
            #expect(first.contains("fast@example.org"))
            #expect(await slow == .delivered)
        }
    }
}

/// Runs a test's body with a Redis and a server for e-mail.
///
/// - Parameter refusals: how many messages it refuses before it takes one.
private func withMailServer(
    refusals: Int = 0,
    _ body: @Sendable (RedisServer, ChildProcess, _ url: String) async throws -> Void
) async throws {
    try await withRedis { redis in
        let port = try freePort()
        let fixture = "\(TallyProcess.package)/Tests/MeteringAPITests/Fixtures/smtp_server.py"
        // Debian's own, which has its packages.
        let server = try ChildProcess(
            ["/usr/bin/python3", fixture, "\(port)", redis.folder, "\(refusals)"],
            log: "\(redis.folder)/smtp.log")
        defer { server.end() }
        try waitUntil("the SMTP server") { server.log.contains("ready") }
        try await body(redis, server, "smtp://127.0.0.1:\(port)")
    }
}
