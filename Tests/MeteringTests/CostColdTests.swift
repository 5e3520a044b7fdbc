// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import TestSupport
import Testing

@testable import Metering

/// What is told of costs and of files, as text.
private struct Told: Equatable {
    var costs: [String]
    var files: String

    init(_ queries: QueryEngine, _ query: CostQuery) async throws {
        let report = try await queries.costs(query)
        costs = report.days.map { "\($0.day) \($0.sums)" } + report.hours.map { "\($0)" }
        costs += report.clients.map { "\($0.subject.id.text) \($0.sums)" }
        costs += ["\(report.total)", "\(report.warnings)"]
        let everybody = try await queries.activity()
        let sums = everybody.sums
        files = "\(everybody.userCount) \(everybody.guestCount) \(sums.filesProcessed) "
        files += "\(sums.inputBytes) \(sums.processingMS) \(sums.types) \(everybody.warnings)"
    }
}

@Suite(.timeLimit(.minutes(15))) struct CostColdTests {
    @Test(arguments: [("America/Sao_Paulo", UInt64(1)), ("Asia/Ho_Chi_Minh", 2)])
    func `Days that have left are told as before, and those whose files are gone are named`(
        zone: String, seed: UInt64
    ) async throws {
        let calendar = try #require(WorkspaceCalendar(zone: zone))
        try await withRedis { redis in
            try await onLoop { host in
                var random = SeededGenerator(seed)
                let clock = ManualClock(noon)
                let all = try await ColdBench(redis, on: host.loop, clock, calendar: calendar)
                let first = calendar.day(of: clock.now)
                for round in 0..<14 {
                    let events = (0..<25).map { _ in Self.randomEvent(&random) }
                    let outcomes = await all.benches[round % 2].record(events)
                    #expect(outcomes.allSatisfy { $0.counted != nil })
                    clock.advance(Int.random(in: 3_600_000...70_000_000, using: &random))
                }
                let query = CostQuery(first...CivilDay(number: first.number + 14))
                let queries = all.benches[1].queries
                let hot = try await Told(queries, query)
                clock.advance(4 * 86_400_000)
                let gone = try await all.evict()
                #expect(gone.count > 4)
                #expect(try await Told(queries, query) == hot)
                // The same again, of what is kept in memory by now, and of another process.
                #expect(try await Told(queries, query) == hot)
                #expect(try await Told(all.benches[0].queries, query) == hot)

                let day = try #require(gone.sorted().dropFirst().first)
                let file = "\(all.flushing[0].data)/rollups/default/2026/\(day).json"
                try FileManager.default.moveItem(atPath: file, toPath: file + ".away")
                let report = try await queries.costs(query)
                #expect(report.warnings == ["rollups/default/2026/\(day).json is missing"])
                #expect(report.days.first { $0.day == day }?.sums == CostSums())
                let sum = report.days.reduce(0) { $0 + $1.sums.messages }
                #expect(sum == report.total.messages)
                #expect(report.hours.reduce(0) { $0 + $1.messages } == sum)
                try FileManager.default.moveItem(atPath: file + ".away", toPath: file)
                #expect(try await Told(queries, query) == hot)

                try await Self.comeBack(day, all, query)
            }
        }
    }

    /// A late event brings a day back: it counts, and nothing else has changed.
    private static func comeBack(
        _ day: CivilDay, _ all: ColdBench, _ query: CostQuery
    ) async throws {
        let queries = all.benches[1].queries
        let before = try await queries.costs(query).total
        let files = try await queries.activity()
        let time = all.settings.calendar.start(of: day) * 1000 + 3_600_000
        let late = event(
            "guest:late", ["messages": 1, "input_bytes": 7, "processing_type_a": 1], at: time)
        #expect(await all.benches[0].record(late).counted != nil)
        #expect(try await !all.cold().contains(day))
        let after = try await queries.costs(query).total
        #expect(after == CostSums(cost: before.cost + 5_000, messages: before.messages + 1))
        let now = try await queries.activity()
        #expect(now.guestCount == files.guestCount + 1 && now.userCount == files.userCount)
        #expect(now.sums.inputBytes == files.sums.inputBytes + 7)
        #expect((now.sums.types.first?.count ?? 0) == (files.sums.types.first?.count ?? 0) + 1)
        // It leaves again, and its file is another one than was read before.
        let told = try await Told(queries, query)
        #expect(try await all.evict().contains(day))
        #expect(try await Told(queries, query) == told)
    }

    private static func randomEvent(_ random: inout SeededGenerator) -> UsageEvent {
        let number = Int.random(in: 0..<16, using: &random)
        var amounts: [String: Int] = [:]
        if random.next() % 3 > 0 {
            amounts["messages"] = Int.random(in: 0...4, using: &random)
        } else {
            amounts["input_bytes"] = Int.random(in: 0...9_000_000, using: &random)
            amounts["files_uploaded"] = 1
            amounts["processing_type_\(["a", "b"].randomElement(using: &random) ?? "a")"] = 1
        }
        if random.next() % 4 == 0 {
            amounts["files_processed"] = 1
            amounts["processing_ms"] = Int.random(in: 0...90_000, using: &random)
        }
        return event(number % 4 == 0 ? "guest:\(number)" : "s\(number)", amounts)
    }
}
