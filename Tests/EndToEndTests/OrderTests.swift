// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization
import TestSupport
import Testing

extension Faults {
    @Test func `Each of 32 writers on one subject is answered with the total after its own event`()
        async throws
    {
        let service = try TallyProcess(arguments: ["--threads", "2"])
        try await blocking { try service.start() }
        let progress = Progress()
        let answers = Answers()
        await inParallel(32) { writer in
            progress.attempt {
                let client = service.client()
                for step in 0..<40 {
                    let amount = 1 + (writer * 7 + step * 13) % 97
                    let body = #"{"subject":"one","meters":{"tokens":\#(amount)}}"#
                    let answer = try client.post("/v1/events", body)
                    guard answer.status == 200, let total = answer.total("tokens") else {
                        throw Failure(description: "\(answer.status) \(answer.text)")
                    }
                    answers.add(amount, total)
                }
            }
        }
        #expect(progress.problems == [])
        let all = answers.sorted
        #expect(all.count == 32 * 40)
        #expect(Set(all.map(\.total)).count == all.count)
        #expect(all.last?.total == all.reduce(0) { $0 + $1.amount })
        // In the order of the totals, each event adds its own amount to the one before.
        var before = 0
        for (amount, total) in all {
            #expect(total == before + amount)
            before = total
        }
        let usage = try await blocking { try service.client().usage(of: "one") }
        #expect(usage == Usage(events: all.count, totals: ["tokens": before]))
    }

    private final class Answers: Sendable {
        private let all = Mutex<[(amount: Int, total: Int)]>([])
        func add(_ amount: Int, _ total: Int) { all.withLock { $0.append((amount, total)) } }
        var sorted: [(amount: Int, total: Int)] {
            all.withLock { $0 }.sorted { $0.total < $1.total }
        }
    }
}
