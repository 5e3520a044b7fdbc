// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import Metering
import Synchronization
import TestSupport
import Testing

/// Receivers that hang, beside others of the same workspace.
@Suite(.timeLimit(.minutes(15))) struct AlertShareTests {
    /// Delivers at once, but to one host, which hangs until it is let go.
    private final class Carrier: Sendable {
        let told = Mutex<[String]>([])
        let hanging = Mutex(0)
        private let stream: AsyncStream<Void>
        let ending: AsyncStream<Void>.Continuation

        init() { (stream, ending) = AsyncStream<Void>.makeStream() }

        var carry: AlertCarrier {
            { message, _ in
                guard case .webhook(let url, _, _) = message else { return .failed("no webhook") }
                guard url.lowercased().contains("hangs") else {
                    self.told.withLock { $0.append(url) }
                    return .delivered
                }
                self.hanging.withLock { $0 += 1 }
                for await _ in self.stream {}
                return .failed("it hangs")
            }
        }
    }

    /// Counts for so many subjects what a limit's percents are reached with.
    private static func use(_ count: Int, _ bench: AlertBench) async {
        let events = (0..<count).map {
            "{\"subject\":\"s\($0)\",\"meters\":{\"files_uploaded\":50}}"
        }
        let answer = await bench.harness.post("[\(events.joined(separator: ","))]")
        #expect(answer.status == 200, "\(answer.text)")
    }

    /// - Parameter waitMS: for how long it has hung when more comes: it is slow after a second.
    @Test(arguments: [1, 1_500])
    func `A receiver that hangs holds up no other alert of its workspace`(waitMS: Int) async throws
    {
        try await withAlerts { host, bench, _ in
            let carrier = Carrier()
            let queries = bench.harness.queries
            await bench.put(
                [
                    alert("blocked", files, "50", "http://hangs.example/a"),
                    alert("too", files, "50", "http://HANGS.example/b"),
                    alert("vip", files, "50,60", "http://good.example/", subject: "vip"),
                ].joined(separator: ","))
            await Self.use(10, bench)
            await bench.upload(50, by: "vip")
            var tasks = try await queries.keepAlerts(carrier.carry)
            while carrier.told.withLock({ $0.isEmpty }) || carrier.hanging.withLock({ $0 < 8 }) {
                await host.loop.sleep(for: .milliseconds(1))
            }
            #expect(carrier.hanging.withLock { $0 } == 8)
            // Many more are due before the next one by now. They are passed over; those for a receiver that is
            // slow are put off.
            await Self.use(300, bench)
            bench.harness.clock.advance(waitMS)
            await bench.upload(10, by: "vip")
            tasks += try await queries.keepAlerts(carrier.carry)
            while carrier.told.withLock({ $0.count < 2 }) {
                await host.loop.sleep(for: .milliseconds(1))
            }
            #expect(carrier.hanging.withLock { $0 } == 8)
            let page = try await queries.notices(.pending, limit: 200).notices
            #expect(page.count { $0.notice.attempts == 0 } > 100)
            carrier.ending.finish()
            for task in tasks { await task.value }
        }
    }

    @Test func `What waits for room goes as soon as there is some`() async throws {
        try await withAlerts { host, bench, receiver in
            await bench.put(alert("files", files, "50", receiver.url))
            await Self.use(100, bench)
            try await bench.deliver()
            // Nobody asks again.
            while receiver.messages.count < 100 {
                await host.loop.sleep(for: .milliseconds(1))
            }
            #expect(Set(receiver.told).count == 100)
        }
    }

    @Test func `What never left is no attempt`() async throws {
        try await withAlerts { _, bench, receiver in
            await bench.put(alert("files", files, "50", receiver.url))
            await bench.upload(50)
            for _ in 0..<20 {
                let tasks = try await bench.harness.queries.keepAlerts({ _, _ in
                    .unsent("too much")
                })
                #expect(tasks.count == 1)
                for task in tasks { await task.value }
                let pending = await bench.deliveries("pending")
                #expect(pending.first?["attempts"] as? Int == 0)
                #expect(pending.first?["last_error"] as? String == "too much")
                try await bench.deliver()
                #expect(receiver.messages.isEmpty)
                bench.harness.clock.advance(2_000)
            }
            try await bench.deliver()
            #expect(receiver.told == ["u1 files 50"])
        }
    }
}
