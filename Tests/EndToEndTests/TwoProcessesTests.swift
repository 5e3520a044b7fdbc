// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization
import TestSupport
import Testing

extension Faults {
    /// Sent to both, a request is counted by the one that comes first; a limit is kept by both.
    @Test func `Two services on one Redis count each event once and keep one limit`() async throws {
        let redis = try RedisServer(.appendOnly(fsync: "everysec"))
        let services = try (0..<2).map { _ in
            try TallyProcess(arguments: ["--redis", "unix://\(redis.socketPath)"])
        }
        try await blocking { for service in services { try service.start() } }
        let events = Array(Trace.events().prefix(2_000))
        let progress = Progress()
        let duplicates = Atomic(0)
        let allowed = Atomic(0)
        await inParallel(16) { writer in
            progress.attempt {
                let clients = services.map { $0.client() }
                for index in stride(from: writer / 2, to: events.count, by: 8) {
                    // Writers of a pair send the same events, each to a service of its own.
                    let answer = try clients[writer % 2].post("/v1/events", events[index].json)
                    guard answer.status == 200 else {
                        throw Failure(description: "\(answer.status) \(answer.text)")
                    }
                    if answer.json["duplicate"] as? Bool == true {
                        duplicates.add(1, ordering: .relaxed)
                    }
                    let check = try clients[writer % 2].post(
                        "/v1/check",
                        #"{"subject":"one","amounts":{"files_uploaded":1},"consume":true}"#)
                    if check.status == 200 { allowed.add(1, ordering: .relaxed) }
                }
            }
        }
        #expect(progress.problems == [])
        #expect(duplicates.load(ordering: .relaxed) == events.count)
        #expect(allowed.load(ordering: .relaxed) == 100)
        let differences = try await blocking {
            try services.flatMap { try Trace.differences(events, $0) }
        }
        #expect(differences == [])
        for service in services { service.terminate() }
    }
}
