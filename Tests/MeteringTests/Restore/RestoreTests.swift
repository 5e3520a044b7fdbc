// SPDX-License-Identifier: Apache-2.0

import Foundation
import Metering
import Redis
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct RestoreTests {
    @Test(arguments: [UInt64(1), 2, 3])
    func `What is restored reads and exports as before, and verifies`(seed: UInt64) async throws {
        try await withHistory { _, redis, history in
            var random = SeededGenerator(seed)
            try await history.write(rounds: 40, &random)
            try await history.flushing.flush()
            #expect(try await history.verify() == [])
            let before = try await history.reading()
            let files = try history.export()
            #expect(files.count > 5)
            await #expect(throws: RestoreError.self) { _ = try await history.restore() }
            try redis.request("FLUSHALL")
            let report = try await history.restore()
            #expect(report.days == files.count - 1)
            #expect(try await history.verify() == [])
            #expect(try await history.reading() == before)
            // Nothing changed, so nothing is written, and then all of it anew.
            #expect(await history.flushing.flusher.flush().days == [])
            try FileManager.default.removeItem(atPath: "\(history.flushing.data)/rollups")
            try await history.flushing.flush()
            let again = try history.export()
            for name in Set(files.keys).union(again.keys) {
                #expect(files[name] == again[name], "\(name)")
            }
        }
    }

    @Test func `A restore that is repeated, and life after it, add up`() async throws {
        try await withHistory { _, _, history in
            var random = SeededGenerator(7)
            try await history.write(rounds: 25, &random)
            try await history.flushing.flush()
            let before = try await history.reading()
            for _ in 0..<2 {
                _ = try await history.restore(isForced: true)
                #expect(try await history.reading() == before)
            }
            history.clock.advance(30_000)
            try await history.write(rounds: 15, &random)
            try await history.flushing.flush()
            #expect(try await history.verify() == [])
            history.clock.advance(3 * RestoreBench.days)
            try await history.bench.closer.closeDays()
            try await history.flushing.flush()
            #expect(try await history.verify() == [])
        }
    }

    @Test func `A day on which all was undone is written on after a restore`() async throws {
        try await withHistory { _, redis, history in
            let yesterday = noon - RestoreBench.days
            _ = await history.bench.record([
                event("mai", ["tokens": 5], id: "e", at: yesterday),
                event("mai", ["tokens": 7]),
            ])
            _ = try await history.bench.engine.reverse(ByteString("e"), reason: .empty)
            try await history.flushing.flush()
            try redis.request("FLUSHALL")
            _ = try await history.restore()
            // When nothing can come late any more the day is written for good, though nothing counts.
            history.clock.advance(9 * RestoreBench.days)
            try await history.bench.closer.closeDays()
            let report = await history.flushing.flusher.flush()
            #expect(report.problem == nil && report.days.count == 2)
            #expect(try await history.verify() == [])
            // Sums that were lost are told, as ever.
            try redis.request("DEL t1:{default}:hours:2026-11-21")
            try redis.request("HINCRBY t1:{default}:changes 20778 1")
            let broken = await history.flushing.flusher.flush()
            #expect(broken.problem?.contains("a part of the day has left Redis") == true)
        }
    }

    @Test func `Who had used up its grants before a restore differs in nothing behind it`()
        async throws
    {
        try await withHistory { _, redis, history in
            for round in 1...2 {
                _ = try await history.bench.engine.decide(
                    Decision(
                        .grant(id: ByteString("g\(round)"), expires: nil, priority: 0),
                        subject: event("a").subject, credits: 20))
                _ = await history.bench.record(event("a", ["credits_micro": 20]))
                try await history.flushing.flush()
                if round == 1 {
                    try redis.request("FLUSHALL")
                    _ = try await history.restore()
                }
                #expect(try await history.verify() == [])
            }
        }
    }

    @Test func `Days that are not hot stay in their files, and count in totals`() async throws {
        try await withHistory(hotDays: 20) { _, redis, history in
            var random = SeededGenerator(9)
            try await history.write(rounds: 20, &random)
            try await history.flushing.flush()
            // All of it becomes final and old.
            history.clock.advance(40 * RestoreBench.days)
            try await history.flushing.flush()
            let usage = try await history.bench.engine.reader.subject(subjectID("s1"))
            let report = try await history.restore(isForced: true)
            #expect(report.coldDays == report.days && report.days > 3)
            #expect(try await history.verify() == [])
            let again = try await history.bench.engine.reader.subject(subjectID("s1"))
            #expect(again?.eventCount == usage?.eventCount)
            #expect(again?.totals.map(\.total) == usage?.totals.map(\.total))
            #expect(try redis.request("EXISTS t1:{default}:use:2026-11-20").hasPrefix(":0"))
        }
    }

    @Test func `Days that are old and were never final stand on boards after a restore`()
        async throws
    {
        try await withHistory { _, redis, history in
            let yesterday = noon - RestoreBench.days
            _ = await history.bench.record([
                event("ann", ["tokens": 100], at: yesterday), event("ann", ["tokens": 5]),
                event("bob", ["tokens": 7], at: yesterday),
            ])
            try await history.flushing.flush()
            history.clock.advance(43 * RestoreBench.days)
            try redis.request("FLUSHALL")
            let report = try await history.restore()
            #expect(report.days == 2 && report.coldDays == 0)
            let window = try #require(LeaderboardWindow("60d"))
            let page = try await history.queries.leaderboard(
                .tokens, window, limit: 10, after: nil)
            #expect(
                page.entries.map { "\($0.subject.text) \($0.value)" } == ["ann 105", "bob 7"])
            #expect(try await history.verify() == [])
        }
    }

    @Test(arguments: [0, 40])
    func `The sums of a day that was restored stay exact`(daysLater: Int) async throws {
        try await withHistory(hotDays: 20) { _, redis, history in
            let most = 9_007_199_254_740_991
            _ = await history.bench.record([
                event("a", ["tokens": most - 5], action: "a"),
                event("b", ["own_meter": 1], action: "b"),
            ])
            try await history.flushing.flush()
            history.clock.advance(daysLater * RestoreBench.days)
            try await history.flushing.flush()
            _ = try await history.restore(isForced: true)
            #expect(
                try redis.request("HKEYS t1:{default}:large").split(separator: "\r\n").count
                    == 3)
            // Another cell than the large one, which this batch does not read; of a day that has
            // left, nothing is counted before it is back.
            guard daysLater == 0 else { return }
            let late = await history.bench.record(event("c", ["tokens": 6], action: "c"))
            #expect(late.code == "counter_overflow")
            #expect(
                await history.bench.record(event("c", ["tokens": 5], action: "c")).counted
                    != nil)
        }
    }

    @Test func `A byte of any file that changes is named, and nothing is restored`() async throws {
        try await withHistory { _, redis, history in
            var random = SeededGenerator(5)
            try await history.write(rounds: 12, &random)
            try await history.flushing.flush()
            let files = try history.export().keys.sorted()
            try redis.request("FLUSHALL")
            for name in files {
                let path = "\(history.folder)/\(name)"
                let whole = try Data(contentsOf: URL(filePath: path))
                let places =
                    [0, whole.count - 2, whole.count - 1]
                    + (0..<12).map { _ in Int(random.next() % UInt64(whole.count)) }
                for place in places {
                    var damaged = whole
                    damaged[place] ^= UInt8(1 << (random.next() % 8))
                    try damaged.write(to: URL(filePath: path))
                    var told = ""
                    do {
                        _ = try await history.restore()
                    } catch {
                        told = "\(error)"
                    }
                    #expect(told.contains(name), "\(name) \(place): \(told)")
                    #expect(try redis.request("DBSIZE").hasPrefix(":0"))
                    let found = try await history.verify()
                    #expect(
                        found.contains { $0.place.contains(name) }, "\(name) \(place): \(found)"
                    )
                    // Verifying has changed nothing.
                    #expect(try redis.request("DBSIZE").hasPrefix(":0"))
                }
                try whole.write(to: URL(filePath: path))
            }
            _ = try await history.restore()
            #expect(try await history.verify() == [])
        }
    }
}
