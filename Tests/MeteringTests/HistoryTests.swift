// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Metering
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct HistoryTests {
    @Test func `A page that has read much ends early, and goes on where it ended`() async throws {
        try await withHistory { _, bench, _ in
            await bench.record([event("a", action: "rare")])
            for _ in 0..<4 { await bench.record((0..<512).map { _ in event("b") }) }
            var query = EventQuery()
            query.action = ByteString("rare")
            var bounds = HistoryBounds()
            bounds.read = 1000
            let first = try await bench.queries.events(query, limit: 10, bounds: bounds)
            #expect(first.events.isEmpty)
            let cursor = try #require(first.next)
            let second = try await bench.queries.events(
                query, limit: 10, after: cursor, bounds: bounds)
            #expect(second.events.isEmpty && second.next != nil)
            #expect(try await bench.pages(query, limit: 10, bounds: bounds).count == 1)
            // One that is full needs no other.
            let whole = try await bench.queries.events(query, limit: 1)
            #expect(whole.events.count == 1 && whole.next == nil)
        }
    }

    @Test func `More events than can be sorted are refused, of one subject they are not`()
        async throws
    {
        try await withHistory { _, bench, _ in
            for _ in 0..<6 { await bench.record([event("a"), event("b")]) }
            await bench.record([event("a", ["credits_micro": 5])])
            var query = EventQuery()
            query.order = .credits
            var bounds = HistoryBounds()
            bounds.sorted = 12
            await Self.expectRejection("range_too_wide") {
                _ = try await bench.queries.events(query, limit: 2, bounds: bounds)
            }
            bounds.sorted = 13
            let best = try await bench.queries.events(query, limit: 2, bounds: bounds)
            #expect(best.events.map(\.credits) == [5, nil])
        }
    }

    @Test func `A cursor of another question, or none, is refused`() async throws {
        try await withHistory { _, bench, _ in
            for _ in 0..<5 { await bench.record([event("a"), event("b")]) }
            var query = EventQuery()
            let cursor = try #require(try await bench.queries.events(query, limit: 3).next)
            #expect(
                try await bench.queries.events(query, limit: 5, after: cursor).events.count == 5)
            let numbers = cursor.split(separator: ".")
            let bad = [
                "", ".", "x", "1.1", "\(cursor)0", String(cursor.dropLast()), cursor + ".1",
                "9\(cursor)", numbers.dropLast().joined(separator: "."),
                "1.2.3.4.\(numbers.last ?? "")", String(repeating: "9", count: 100_000),
                "-1.-1.0000000000000000", "99999999999999999999.1.\(numbers.last ?? "")", "é", "\0",
            ]
            for text in bad {
                await Self.expectRejection("invalid_cursor", text) {
                    _ = try await bench.queries.events(query, limit: 3, after: text)
                }
            }
            query.subject = subjectID("a")
            let ofSubject = query
            await Self.expectRejection("invalid_cursor") {
                _ = try await bench.queries.events(ofSubject, limit: 3, after: cursor)
            }
            query = EventQuery()
            query.order = .credits
            let sorted = query
            await Self.expectRejection("invalid_cursor") {
                _ = try await bench.queries.events(sorted, limit: 3, after: cursor)
            }
        }
    }

    /// What came without a time tells when its batch arrived: nothing older is read then.
    @Test func `A range that has passed ends the reading`() async throws {
        try await withHistory { _, bench, _ in
            for _ in 0..<50 {
                await bench.record([event("a"), event("b", at: noon - 5_000_000)])
                bench.clock.advance(60_000)
            }
            var query = EventQuery()
            query.order = .credits
            query.from = Timestamp(milliseconds: noon + 40 * 60_000)
            var bounds = HistoryBounds()
            // Ten minutes of events, fifteen before them, and what is read ahead.
            bounds.sorted = 2 * 27
            let page = try await bench.queries.events(query, limit: 100, bounds: bounds)
            #expect(page.events.count == 10)
            bounds.sorted = 2 * 24
            let (asked, narrow) = (query, bounds)
            await Self.expectRejection("range_too_wide") {
                _ = try await bench.queries.events(asked, limit: 100, bounds: narrow)
            }
        }
    }

    @Test func `What was not counted is not told`() async throws {
        try await withHistory { _, bench, _ in
            await bench.record([event("a", id: "1"), event("b", id: "2"), event("a", id: "1")])
            await bench.record([event("b", id: "2"), event("a", id: "3")], by: 1)
            try await bench.check(EventQuery(), limit: 10)
            #expect(bench.model.entries.map(\.id.text) == ["1", "2", "3"])
        }
    }

    /// Two processes whose clocks stand on two sides of midnight.
    @Test func `A subject's events are told as they were counted, whatever the clocks say`()
        async throws
    {
        let midnight = noon + 14 * 3_600_000
        try await withHistory(at: midnight - 1_000) { host, bench, redis in
            let ahead = await Bench(
                redis.socketPath, on: host.loop, clock: ManualClock(midnight + 1_000))
            for index in 0..<6 {
                let outcome = await (index % 2 == 0 ? ahead : bench.benches[0]).record(
                    event("a", id: "\(index)"))
                #expect(outcome.counted != nil)
            }
            var query = EventQuery()
            query.subject = subjectID("a")
            let pages = try await bench.pages(query, limit: 2)
            #expect(pages.map(\.recorded.id.text) == ["5", "4", "3", "2", "1", "0"])
            let all = try await bench.pages(EventQuery(), limit: 2)
            #expect(all.map(\.recorded.id.text) == ["4", "2", "0", "5", "3", "1"])
        }
    }

    static func expectRejection(
        _ code: String, _ comment: String = "", _ body: () async throws -> Void
    ) async {
        do {
            try await body()
            Issue.record("no rejection: \(comment)")
        } catch let rejection as EventRejection {
            #expect(rejection.code == code, "\(comment)")
        } catch {
            Issue.record("\(error): \(comment)")
        }
    }
}
