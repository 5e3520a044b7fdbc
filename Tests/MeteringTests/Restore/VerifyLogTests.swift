// SPDX-License-Identifier: Apache-2.0

import Metering
import Redis
import TestSupport
import Testing

/// The log of events against the totals of days.
@Suite(.timeLimit(.minutes(15))) struct VerifyLogTests {
    /// A change of the log, and all that is told of it by the log and the days.
    struct Change: CustomTestStringConvertible, Sendable {
        let testDescription: String
        /// Lua; `log` is the key of today's log, `entries` what it has.
        let script: String
        let tells: [String]

        init(_ name: String, _ script: String, tells: [String]) {
            (testDescription, self.script, self.tells) = (name, script, tells)
        }
    }

    private static let today = "day 2026-11-21"
    private static let yesterday = "day 2026-11-20"
    private static let log = "log of 2026-11-21"

    /// Entry 1 is of yesterday and today, 2 and 3 of today; 4 undoes one of 2, 5 is a grant, 6 of today.
    static let changes: [Change] = [
        Change(
            "the first entry taken out", "call('XDEL', log, '0-1')",
            tells: ["\(log): entry 0-1: expected 1, found 0"]),
        Change(
            "entries taken out", "call('XDEL', log, '0-3', '0-4', '0-5')",
            tells: ["\(log): entries 0-3 to 0-5: expected 3, found 0"]),
        Change(
            "the last entry taken out", "call('XDEL', log, '0-6')",
            tells: ["\(log): entry 0-6: expected 1, found 0"]),
        Change(
            "all entries taken out", "call('XTRIM', log, 'MAXLEN', 0)",
            tells: ["\(log): entries 0-1 to 0-6: expected 6, found 0"]),
        Change(
            "an entry twice", "call('XADD', log, '0-*', unpack(entries[1][2]))",
            tells: [
                "\(yesterday): batches in the log: expected 1, found 2",
                "\(yesterday): events in the log: expected 1, found 2",
                "\(yesterday): tokens in the log: expected 7, found 14",
                "\(today): batches in the log: expected 5, found 6",
                "\(today): events in the log: expected 4, found 5",
                "\(today): own_meter in the log: expected 3, found 6",
                "\(today): tokens in the log: expected 36, found 38",
            ]),
        Change(
            "a reversal twice", "call('XADD', log, '0-*', unpack(entries[4][2]))",
            tells: [
                "\(today): batches in the log: expected 5, found 6",
                "\(today): events in the log: expected 4, found 3",
                "\(today): tokens in the log: expected 36, found 31",
            ]),
        Change(
            "another amount",
            change(
                3,
                "local b = cmsgpack.unpack(e[2][2]) b[6][1][7] = 9 e[2][2] = cmsgpack.pack(b)"),
            tells: ["\(today): tokens in the log: expected 36, found 34"]),
        Change(
            "an event that counted said not to have", change(2, "e[2][6] = cmsgpack.pack({2, ''})"),
            tells: [
                "\(today): events in the log: expected 4, found 3",
                "\(today): tokens in the log: expected 36, found 28",
            ]),
        Change(
            "an entry that cannot be read", change(3, "e[2][2] = 'x'"),
            tells: ["\(log): entry 0-3: expected to be readable, found something else"]),
    ]

    /// The log with one of its entries changed.
    private static func change(_ number: Int, _ change: String) -> String {
        "call('DEL', log) for i, e in ipairs(entries) do if i == \(number) then \(change) end "
            + "call('XADD', log, e[1], unpack(e[2])) end"
    }

    private static func eval(_ script: String) -> RedisCommand {
        var command = RedisCommand("EVAL")
        command.append(
            "local call, log = redis.call, 't1:{default}:log:2026-11-21' "
                + "local entries = call('XRANGE', log, '-', '+') \(script)")
        command.append(0)
        return command
    }

    private static func told(_ found: [Difference]) -> [String] {
        found.map { "\($0)" }.filter {
            $0.hasPrefix("log of ") || $0.contains(" in the log: ")
        }
    }

    private static func prepare(_ history: RestoreBench) async throws {
        let bench = history.bench
        _ = await bench.record([
            event("ann", ["tokens": 7], at: noon - RestoreBench.days),
            event("ann", ["tokens": 2, "own_meter": 3]),
        ])
        _ = await bench.record([
            event("ann", ["tokens": 5], id: "e1"), event("ben", ["tokens": 8], id: "e2"),
        ])
        _ = await bench.record([event("ann", ["tokens": 11], id: "e3")])
        _ = try await bench.engine.reverse(ByteString("e1"), reason: .empty)
        _ = try await bench.engine.decide(
            Decision(
                .grant(id: ByteString("g"), expires: nil, priority: 0),
                subject: subjectID("cleo"), credits: 900_000))
        // What came before does not count again.
        _ = await bench.record([
            event("ben", ["tokens": 15]), event("ann", ["tokens": 5], id: "e1"),
        ])
        try await history.flushing.flush()
    }

    @Test func `What is taken out of the log, put in or changed is named`() async throws {
        try await withHistory { _, redis, history in
            try await Self.prepare(history)
            #expect(try await history.verify().map { "\($0)" } == [])
            let client = history.bench.client
            var dump = RedisCommand("DUMP")
            dump.append("t1:{default}:log:2026-11-21")
            let kept = try await client.send(dump).bytes ?? []
            for change in Self.changes {
                _ = try await client.send(Self.eval(change.script))
                let told = Self.told(try await history.verify())
                #expect(told == change.tells, "\(change.testDescription)")
                var restore = RedisCommand("RESTORE")
                restore.append("t1:{default}:log:2026-11-21")
                restore.append(0)
                restore.append(kept)
                restore.append("REPLACE")
                _ = try await client.send(restore)
            }
            // Minutes have followed what was in the log meanwhile.
            #expect(Self.told(try await history.verify()) == [])
        }
    }

    @Test func `Of a log that is gone nothing is told, and what came since is compared`()
        async throws
    {
        try await withHistory(hotDays: 2) { _, _, history in
            let (bench, clock) = (history.bench, history.clock)
            try await Self.prepare(history)
            clock.advance(RestoreBench.days)
            _ = await bench.record([
                event("ann", ["tokens": 1], at: noon), event("ann", ["tokens": 1], at: noon + 1),
            ])
            try await history.flushing.flush()
            _ = try await bench.client.send(Self.eval("call('DEL', log)"))
            #expect(Self.told(try await history.verify()) == [])
            // Days that are in their files only are compared with these.
            clock.advance(12 * RestoreBench.days)
            let then = clock.now.milliseconds
            _ = await bench.record([event("ann", ["tokens": 4], at: then - 1)])
            for _ in 0..<20 {
                clock.advance(RestoreBench.days)
                try await bench.closer.closeDays()
                try await history.flushing.flush()
            }
            #expect(Self.told(try await history.verify()) == [])
            let cold = try await bench.client.send(
                Self.eval("return call('HLEN', 't1:{default}:cold')")
            ).integer
            #expect(cold == 3)
            _ = try await bench.client.send(
                Self.eval(
                    "log = 't1:{default}:log:2026-12-04' "
                        + "call('XADD', log, '0-*', unpack(call('XRANGE', log, '-', '+')[1][2]))"))
            #expect(
                Self.told(try await history.verify()) == [
                    "day 2026-12-04: batches in the log: expected 1, found 2",
                    "day 2026-12-04: events in the log: expected 1, found 2",
                    "day 2026-12-04: tokens in the log: expected 4, found 8",
                ])
        }
    }

    @Test func `After a restore, days on which nothing was counted before are compared`()
        async throws
    {
        try await withHistory { _, redis, history in
            var random = SeededGenerator(31)
            try await history.write(rounds: 5, &random)
            try await history.flushing.flush()
            try redis.request("FLUSHALL")
            _ = try await history.restore()
            #expect(try await history.verify().map { "\($0)" } == [])
            let bench = history.bench
            history.clock.advance(2 * RestoreBench.days)
            let now = history.clock.now.milliseconds
            for age in [0, 1, 3 * RestoreBench.days] {
                _ = await bench.record([event("ann", ["tokens": 2], at: now - age)])
            }
            #expect(try await history.verify().map { "\($0)" } == [])
            let day = CivilDay(number: now / RestoreBench.days)
            _ = try await bench.client.send(
                Self.eval(
                    "log = 't1:{default}:log:\(day)' "
                        + "call('XADD', log, '0-*', unpack(call('XRANGE', log, '-', '+')[1][2]))"))
            #expect(
                Self.told(try await history.verify()) == [
                    "day \(day): batches in the log: expected 2, found 3",
                    "day \(day): events in the log: expected 2, found 3",
                    "day \(day): tokens in the log: expected 4, found 6",
                ])
        }
    }

    @Test func `What is written twice is named while others count`() async throws {
        try await withRedis { redis in
            try await onLoop { host in
                _ = try await whileAnotherCounts(on: redis, host, seed: 41) {
                    _, other, number, random in
                    try await other.live(number, &random)
                } _: { history in
                    #expect(Self.told(try await history.verify()) == [])
                    _ = try await history.bench.client.send(
                        Self.eval(
                            "for _, key in ipairs(call('KEYS', '*:log:*')) do "
                                + "call('XADD', key, '0-*', unpack(call('XRANGE', key, '-', '+')[1][2])) "
                                + "end"))
                    let told = Self.told(try await history.verify())
                    #expect(told.contains { $0.contains(": batches in the log: ") }, "\(told)")
                }
            }
        }
    }

    @Test(arguments: [UInt64(51), 52, 53])
    func `Nothing differs after late, undone, uncounted, merged and erased events`(
        seed: UInt64
    ) async throws {
        try await withErasures { _, history, _ in
            var random = SeededGenerator(seed)
            for round in 0..<6 {
                let now = history.clock.now.milliseconds
                try await history.queries.put("s1", #"{"demo":\#(round % 2 == 0)}"#)
                try await history.write(rounds: 3, &random)
                _ = await history.bench.record([
                    event("guest:\(round)", ["tokens": 5], at: now),
                    event("guest:\(round)", ["tokens": 4], at: now - 100 * RestoreBench.days),
                    event("s1", ["tokens": 3], id: "d\(round)", at: now),
                    event("pat", ["tokens": 1], id: "u\(round)", at: now - RestoreBench.days),
                ])
                _ = try await history.mergeAll("guest:\(round)", into: "s\(round % 3 + 2)")
                _ = try await history.bench.engine.reverse(ByteString("u\(round)"), reason: .empty)
                #expect(Self.told(try await history.verify()) == [])
                if round == 3 { try await history.erase("pat") }
                // The clock may be set back.
                if round == 4 { history.clock.advance(-2 * RestoreBench.days) }
            }
            try await history.flushing.flush()
            #expect(try await history.verify().map { "\($0)" } == [])
            // It was compared: what nobody knew before is whole in the log.
            history.clock.advance(20 * RestoreBench.days)
            let day = CivilDay(number: history.clock.now.milliseconds / RestoreBench.days)
            _ = await history.bench.record(
                event("s3", ["tokens": 1], at: history.clock.now.milliseconds))
            _ = try await history.bench.client.send(
                Self.eval(
                    "log = 't1:{default}:log:\(day)' "
                        + "call('XADD', log, '0-*', unpack(call('XRANGE', log, '-', '+')[1][2]))"))
            let told = Self.told(try await history.verify())
            #expect(told.contains("day \(day): tokens in the log: expected 1, found 2"), "\(told)")
        }
    }
}
