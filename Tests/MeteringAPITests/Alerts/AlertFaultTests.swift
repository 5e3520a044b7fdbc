// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPServer
import Synchronization
import TestSupport
import Testing

/// The built service, killed while it counts and delivers.
@Suite(.serialized, .timeLimit(.minutes(15))) struct AlertFaultTests {
    private static let subjects = 4
    private static let writers = 8
    private static let eventsPerWriter = 25
    private static let alerts = """
        {"alerts":[{"name":"all","on":{"limit":"all"},"percent":[20,40,60,80,100],"to":{"webhook":"URL"}}]}
        """

    @Test func `Two services tell each percent once, whichever is killed`() async throws {
        let redis = try RedisServer(.appendOnly(fsync: "always"))
        let receiver = try await Receiver(statuses: [500, 503, 500, 502])
        let services = try (0..<2).map { _ in
            try TallyProcess(
                arguments: ["--redis", "unix://\(redis.socketPath)", "--allow-private-webhooks"])
        }
        try await blocking { try services[0].start() }
        let limits =
            #"{"limits":[{"name":"all","meter":"messages","window":"lifetime","user":50}]}"#
        let alerts = Self.alerts.replacing("URL", with: receiver.url)
        for (path, body) in [("/v1/limits", limits), ("/v1/alerts", alerts)] {
            let answer = try await blocking {
                var text = ""
                // What answers long questions may connect a moment after the rest is ready.
                try waitUntil(path) {
                    let answer = try? services[0].client().request(
                        "PUT", path, Array(body.utf8), "application/json")
                    text = "\(answer?.status ?? 0) \(answer?.text ?? "")"
                    return !text.hasPrefix("503")
                }
                return text
            }
            #expect(answer.hasPrefix("200"), "\(path): \(answer)")
        }
        try FileManager.default.createDirectory(
            atPath: services[1].data, withIntermediateDirectories: true)
        try FileManager.default.copyItem(
            atPath: "\(services[0].data)/secrets.key", toPath: "\(services[1].data)/secrets.key")
        try await blocking { try services[1].start() }

        let sent = Atomic(0)
        await inParallel(Self.writers + 1) { writer in
            if writer == Self.writers {
                // While they write, each service dies once.
                for (index, service) in services.enumerated() {
                    while sent.load(ordering: .relaxed) < 60 * (index + 1) { usleep(1_000) }
                    service.kill()
                    try? service.start()
                }
                return
            }
            for number in 0..<Self.eventsPerWriter {
                let subject = "s\((writer + number) % Self.subjects)"
                let event =
                    "{\"id\":\"\(writer)/\(number)\",\"subject\":\"\(subject)\",\"meters\":{\"messages\":1}}"
                while true {
                    let service = services[Int.random(in: 0...1)]
                    let answer = try? service.client().post("/v1/events", event)
                    if answer?.status == 200 { break }
                    usleep(2_000)
                }
                sent.add(1, ordering: .relaxed)
            }
        }
        let expected = (0..<Self.subjects).flatMap { subject in
            [20, 40, 60, 80, 100].map { "s\(subject) all \($0)" }
        }
        try await blocking {
            try waitUntil("all is told") { Set(receiver.told) == Set(expected) }
        }
        // What was sent again has the id that it had: there is one for each percent.
        let ids = Dictionary(grouping: receiver.messages) {
            "\($0.subject ?? "") \($0.percent ?? 0)"
        }
        #expect(ids.count == expected.count)
        for (what, messages) in ids {
            #expect(Set(messages.map(\.notification)).count == 1, "\(what)")
        }
        try await blocking { for service in services { service.terminate() } }
        await receiver.stop()
    }
}
