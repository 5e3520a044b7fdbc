// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPServer
import Metering
import TestSupport
import Testing

/// Random use, by two processes on one Redis, against a plain model.
@Suite(.timeLimit(.minutes(15))) struct AlertModelTests {
    /// What was used, and what has to be told of it.
    private struct Model {
        static let percents = [10, 50, 80, 100, 150]
        var day = 0
        var used: [String: Int] = [:]
        var told: [String: Set<Int>] = [:]
        var messages: [String] = []

        mutating func use(_ amount: Int, by subject: String) {
            used[subject, default: 0] += amount
        }

        /// At the end of a batch.
        mutating func tell() {
            for (subject, used) in used {
                for percent in Self.percents where used >= percent {
                    if told[subject, default: []].insert(percent).inserted {
                        messages.append("\(subject) files \(percent)")
                    }
                }
            }
        }

        mutating func beginDay() {
            day += 1
            (used, told) = ([:], [:])
        }
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func `Each percent is told once a day, and no other`(seed: UInt64) async throws {
        try await withAlerts { host, first, receiver in
            let second = await AlertBench(first.redis, on: host.loop)
            let benches = [first, second]
            let percents = Model.percents.map(String.init).joined(separator: ",")
            await first.put(alert("files", files, percents, receiver.url))
            var random = SeededGenerator(seed)
            var model = Model()
            for step in 0..<120 {
                let bench = benches[Int.random(in: 0...1, using: &random)]
                let events = (0..<Int.random(in: 1...20, using: &random)).map { _ in
                    (
                        subject: "u\(Int.random(in: 0...5, using: &random))",
                        amount: Int.random(in: 1...8, using: &random)
                    )
                }
                for event in events { model.use(event.amount, by: event.subject) }
                model.tell()
                let body = events.map {
                    "{\"subject\":\"\($0.subject)\",\"meters\":{\"files_uploaded\":\($0.amount)}}"
                }
                let answer = await bench.harness.post("[\(body.joined(separator: ","))]")
                #expect(answer.status == 200, "\(answer.text)")
                if Int.random(in: 0..<4, using: &random) == 0 {
                    try await benches[Int.random(in: 0...1, using: &random)].deliver()
                }
                if step % 40 == 39 {
                    for bench in benches { bench.harness.clock.advance(86_400_000) }
                    model.beginDay()
                }
            }
            for _ in 0..<30 { try await first.deliver() }
            #expect(receiver.told == model.messages.sorted())
            #expect(Set(receiver.messages.map(\.notification)).count == receiver.messages.count)
            await second.harness.queries.stop()
        }
    }
}
