// SPDX-License-Identifier: Apache-2.0

import EventLoop
import JSON
import Metering
import Synchronization
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct AlertRestoreTests {
    private static let alerts = """
        {"alerts":[{"name":"files","on":{"limit":"files_per_day"},"percent":[50,90],"to":{"webhook":"https://a.example/"}},
        {"name":"money","on":{"budget":"10"},"percent":[50,90],"to":{"webhook":"https://a.example/"}}]}
        """

    /// What arrives, with each secret's signature at hand.
    private final class Post: Sendable {
        let all = Mutex<[String]>([])
        var carry: AlertCarrier {
            { message, _ in
                guard case .webhook(_, let headers, let body) = message else { return .failed("") }
                let isSigned = headers.contains { $0.name == "Tally-Signature" }
                let text = String(decoding: body, as: UTF8.self)
                let percent = text.split(separator: "\"percent\":").last?.prefix { $0.isNumber }
                self.all.withLock { $0.append("\(percent ?? "?") \(isSigned)") }
                return .delivered
            }
        }
    }

    /// Runs a test's body with a bench that has the alerts, and with what tells what is due of them.
    private static func withAlerts(
        _ body:
            @Sendable (
                isolated LoopHost, RestoreBench, AlertBook, Post, _ keep: () async throws -> Void
            ) async throws -> Void
    ) async throws {
        try await withHistory { host, _, bench in
            let draft = try AlertBook.Draft(try JSONReader().read(Array(alerts.utf8)))
            let book = try await bench.queries.setAlerts(draft, ifTag: nil).book
            let post = Post()
            try await body(host, bench, book, post) {
                for task in try await bench.queries.keepAlerts(post.carry) { await task.value }
            }
            await bench.queries.stop()
        }
    }

    @Test func `Alerts come back from a snapshot, and tell nothing that they told`() async throws {
        try await Self.withAlerts { _, bench, book, post, keep in
            func use(_ amount: Int) async throws {
                let outcome = await bench.bench.record(
                    event("u1", ["files_uploaded": amount, "cost_micro": amount * 100_000]))
                #expect(outcome.counted != nil)
                try await keep()
            }
            try await use(60)
            #expect(post.all.withLock { $0 } == ["50 true", "50 true"])
            try await bench.flushing.flush()
            #expect(try await bench.verify() == [])
            _ = try await bench.restore(isForced: true)
            #expect(try await bench.queries.alerts() == book)
            try await use(5)
            #expect(post.all.withLock { $0.count } == 2)
            try await use(25)
            #expect(
                post.all.withLock { $0.sorted() } == ["50 true", "50 true", "90 true", "90 true"])
            try await bench.flushing.flush()
            #expect(try await bench.verify() == [])
        }
    }

    @Test func `What was told of a budget is of the snapshot, though nothing else changes`()
        async throws
    {
        try await Self.withAlerts { _, bench, _, post, keep in
            let outcome = await bench.bench.record(event("u1", ["cost_micro": 6_000_000]))
            #expect(outcome.counted != nil)
            try await bench.flushing.flush()
            try await keep()
            #expect(post.all.withLock { $0 } == ["50 true"])
            try await bench.flushing.flush()
            #expect(try await bench.verify() == [])
            _ = try await bench.restore(isForced: true)
            try await keep()
            #expect(post.all.withLock { $0 } == ["50 true"])
        }
    }
}
