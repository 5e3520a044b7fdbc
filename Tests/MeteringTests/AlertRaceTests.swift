// SPDX-License-Identifier: Apache-2.0

import EventLoop
import JSON
import Synchronization
import TestSupport
import Testing

@testable import Metering

/// What several processes do about alerts at the same time.
@Suite(.timeLimit(.minutes(15))) struct AlertRaceTests {
    private static func draft(_ alerts: String) throws -> AlertBook.Draft {
        try AlertBook.Draft(try JSONReader().read(Array("{\"alerts\":[\(alerts)]}".utf8)))
    }

    private static func files(_ address: String) -> String {
        #"{"name":"files","on":{"limit":"files_per_day"},"percent":[50],"to":{"email":"\#(address)"}}"#
    }

    private static let money =
        #"{"name":"money","on":{"budget":"10"},"percent":[50,90],"to":{"email":"a@example.com"}}"#

    /// A process looked at the rules, and somebody else put others in force before it claimed.
    @Test(arguments: ["", AlertRaceTests.files("old@example.com")])
    func `A notice goes where its alert leads when it is claimed`(old: String) async throws {
        try await withHistory { host, redis, bench in
            _ = try await bench.queries.setAlerts(try Self.draft(old), ifTag: nil)
            try await withQueries(
                1, redis.socketPath, on: host, clock: bench.clock, settings: bench.settings
            ) { engines in
                let told = Mutex<[String]>([])
                try await engines[0].refreshAlerts()
                let new = try Self.draft(Self.files("new@example.com"))
                _ = try await bench.queries.setAlerts(new, ifTag: nil)
                let outcome = await bench.bench.record(event("u1", ["files_uploaded": 50]))
                #expect(outcome.counted != nil)
                try await engines[0].deliverAlerts { message, _ in
                    guard case .email(let to, _, _, _) = message else { return .failed("") }
                    told.withLock { $0.append(to) }
                    return .delivered
                }
                #expect(told.withLock { $0 } == ["new@example.com"])
                let dead = try await bench.queries.notices(.dead, limit: 10).notices
                #expect(dead.isEmpty)
            }
        }
    }

    /// One process adds up what the month costs, and is slow to say so; another has told more meanwhile.
    @Test func `A sum that is older than what was told lets nothing be told again`() async throws {
        try await withHistory { host, redis, bench in
            _ = try await bench.queries.setAlerts(try Self.draft(Self.money), ifTag: nil)
            try await withQueries(
                2, redis.socketPath, on: host, clock: bench.clock, settings: bench.settings
            ) { engines in
                let (slow, other) = (engines[0], engines[1])
                for engine in engines { try await engine.refreshAlerts() }
                var told = [try await slow.tellBudgets { 1_000_000 }]
                _ = await bench.bench.record(event("u1", ["cost_micro": 10_000_000]))
                told += [
                    try await slow.tellBudgets {
                        let news = try await other.tellBudgets { 10_000_000 }
                        #expect(news == 2)
                        return 1_000_000
                    }
                ]
                told += [try await slow.tellBudgets { 10_000_000 }]
                #expect(told == [0, 0, 0])
                // What is less by now arms the percents again, as ever.
                for sum in [1_000_000, 10_000_000] {
                    _ = await bench.bench.record(event("u1", ["cost_micro": 1]))
                    told += [try await slow.tellBudgets { sum }]
                }
                #expect(told == [0, 0, 0, 0, 2])
            }
        }
    }
}

extension QueryEngine {
    fileprivate func refreshAlerts() async throws { _ = try await dispatch.refresh() }

    fileprivate func deliverAlerts(_ carry: AlertCarrier) async throws {
        let dispatch = try dispatch
        var offset = 0
        for claim in try await dispatch.claim(after: &offset) {
            await dispatch.attempt(claim, carry)
        }
    }

    fileprivate func tellBudgets(_ cost: @Sendable () async throws -> Int) async throws -> Int {
        try await dispatch.tellBudgets { _ in try await cost() }
    }
}
