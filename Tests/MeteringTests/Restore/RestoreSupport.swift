// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Foundation
import JSON
import Metering
import Observability
import Redis
import Synchronization
import TestSupport
import Testing

/// What was found, from any thread.
final class FoundDifferences: Sendable {
    private let list = Mutex<[Difference]>([])

    var all: [Difference] { list.withLock { $0 } }
    func add(_ difference: Difference) { list.withLock { $0.append(difference) } }
}

/// A Redis with an engine, a flusher and an engine for restores, and a history at random.
final class RestoreBench {
    static let days = 86_400_000

    let bench: Bench
    let flushing: FlushBench
    let queries: QueryEngine
    let clock: ManualClock
    let settings: WorkspaceSettings
    private let loop: EventLoop
    private let socketPath: String
    private(set) var subjects: Set<String> = []
    private var counted: [String] = []

    init(
        _ redis: RedisServer, on loop: EventLoop, clock: ManualClock, hotDays: Int = 35,
        data: String? = nil
    ) async throws {
        let meters = ["tokens", "credits_micro", "own_meter"].compactMap {
            Meter(name: Array($0.utf8))
        }
        settings = WorkspaceSettings(
            rankedMeters: meters, idempotencyHours: 840, hotDays: hotDays)
        self.clock = clock
        self.loop = loop
        socketPath = redis.socketPath
        bench = await Bench(redis.socketPath, on: loop, clock: clock, settings: settings)
        flushing = try await FlushBench(
            redis.socketPath, on: loop, clock: clock, settings: settings, data: data)
        var configuration = RedisConfiguration(address: .unix(redis.socketPath))
        configuration.commandTimeout = .seconds(20)
        queries = QueryEngine(
            on: loop, redis: configuration, settings: settings, clock: clock,
            data: flushing.data, metrics: MetricsRegistry(), logger: Logger(level: .error))
        await queries.start(isKeeping: false)
        while await !queries.isReady { await loop.sleep(for: .milliseconds(1)) }
    }

    /// The engine of another process, on the same Redis, and the same folder unless it has its own.
    func another(data: String? = nil) async -> QueryEngine {
        var configuration = RedisConfiguration(address: .unix(socketPath))
        configuration.commandTimeout = .seconds(20)
        let queries = QueryEngine(
            on: loop, redis: configuration, settings: settings, clock: clock,
            data: data ?? flushing.data, metrics: MetricsRegistry(), logger: Logger(level: .error))
        await queries.start(isKeeping: false)
        while await !queries.isReady { await loop.sleep(for: .milliseconds(1)) }
        return queries
    }

    var folder: String { "\(flushing.data)/rollups/default" }

    func verify(isOnlyFolder: Bool = true) async throws -> [Difference] {
        let found = FoundDifferences()
        try await queries.verify(
            snapshots: folder, isOnlyFolder: isOnlyFolder, progress: { _ in }, report: found.add)
        return found.all
    }

    /// Restores; events of before cannot be undone any more.
    func restore(isForced: Bool = false) async throws -> RestoreReport {
        defer { counted = [] }
        return try await queries.restore(
            from: folder, into: nil, isForced: isForced, progress: { _, _ in })
    }

    // MARK: History

    func write(rounds: Int, _ random: inout SeededGenerator) async throws {
        var policy = CreditPolicy()
        policy.overdraft = 5_000_000
        policy.defaultAllowance = 7_000_000
        _ = try await bench.engine.setCreditPolicy(policy)
        let prices = #"{"models":{"gpt-4o":{"credits_per_message":"0.25"}}}"#
        if let book = try? PriceBook(try JSONReader().read(prices)) {
            _ = try await bench.engine.setPrices(book)
        }
        for round in 0..<rounds {
            await count(round, &random)
            try await decide(round, &random)
            if random.next() % 2 == 0 { try await introduce(&random) }
            if random.next() % 3 == 0, !counted.isEmpty {
                let place = Int(random.next() % UInt64(counted.count))
                let outcome = try await bench.engine.reverse(
                    ByteString(counted.remove(at: place)), reason: .empty)
                #expect(outcome?.counted != nil)
            }
            if random.next() % 2 == 0 {
                clock.advance(Int.random(in: 0...20_000_000, using: &random))
            }
            if random.next() % 6 == 0 { try await bench.closer.closeDays() }
        }
    }

    /// Gives somebody a profile. Nobody is in demo mode, so that all of the history counts.
    private func introduce(_ random: inout SeededGenerator) async throws {
        let number = random.next()
        try await queries.put(
            subject(&random),
            #"{"email":"Ä\#(number)+x@example.com","phone":"+84 \#(number)","#
                + #""username":"\"q\" \#(number % 9)","active":\#(number % 2 == 0)}"#)
    }

    static let odd = ["a", "ü", "\"quoted\\", "\u{1F600}", "line\u{2028}", "{x}:*[a]?", " "]

    private func subject(_ random: inout SeededGenerator) -> String {
        let name =
            random.next() % 3 == 0
            ? Self.odd[Int(random.next() % UInt64(Self.odd.count))] : "s\(random.next() % 40)"
        subjects.insert(name)
        return name
    }

    private func count(_ round: Int, _ random: inout SeededGenerator) async {
        var events: [UsageEvent] = []
        for index in 0..<Int.random(in: 1...25, using: &random) {
            let now = clock.now.milliseconds
            let age = random.next() % 3 == 0 ? Int.random(in: 0...9 * Self.days, using: &random) : 0
            var amounts = ["tokens": Int.random(in: 0...1_000, using: &random)]
            if random.next() % 3 == 0 { amounts["own_meter"] = 3_000_000_000 }
            if random.next() % 4 == 0 { amounts["files_uploaded"] = 1 }
            if random.next() % 2 == 0 { amounts["credits_micro"] = Int(random.next() % 300_000) }
            events.append(
                event(
                    subject(&random), amounts, id: "e\(round)-\(index)", at: now - age,
                    action: ["chat", "\"a\"", ""][Int(random.next() % 3)],
                    model: ["", "gpt-4o", "m"][Int(random.next() % 3)]))
        }
        for (event, outcome) in zip(events, await bench.record(events))
        where outcome.counted != nil {
            if let id = event.id?.text { counted.append(id) }
        }
    }

    private func decide(_ round: Int, _ random: inout SeededGenerator) async throws {
        let id = subjectID(subject(&random))
        let now = clock.now.milliseconds
        switch random.next() % 5 {
        case 0:
            let expires = random.next() % 2 == 0 ? now + Int(random.next() % 200_000_000) + 1 : nil
            _ = try await bench.engine.decide(
                Decision(
                    .grant(
                        id: ByteString("g\(round)"),
                        expires: expires.map { Timestamp(milliseconds: $0) },
                        priority: Int(random.next() % 3)), subject: id,
                    credits: Int(random.next() % 3_000_000) + 1))
        case 1, 2:
            _ = try await bench.engine.decide(
                Decision(
                    .openHold(
                        id: ByteString("h\(round)"), seconds: 60 + Int(random.next() % 90_000)),
                    subject: id, credits: Int(random.next() % 900_000),
                    amounts: [(.filesUploaded, 1)]))
            if random.next() % 3 == 0 {
                _ = try await bench.engine.decide(
                    Decision(.releaseHold(id: ByteString("h\(round)")), subject: id, credits: 0))
            } else if random.next() % 2 == 0 {
                let settled = event(id.id.text, ["credits_micro": 5], id: "c\(round)")
                _ = await bench.engine.settle(
                    ByteString("h\(round)"), with: settled, .overflow, heldCredits: nil)
            }
        case 3:
            _ = try await bench.engine.decide(
                Decision(.setAllowance, subject: id, credits: Int(random.next() % 9_000_000)))
        default: break
        }
    }

    /// Gives others time to look: what is written meanwhile is to be looked at, too.
    func rest() async { await loop.sleep(for: .milliseconds(40)) }

    /// A round of what comes while others look.
    func live(_ round: Int, _ random: inout SeededGenerator) async throws {
        await count(1_000_000 + round, &random)
        try await decide(1_000_000 + round, &random)
    }

    // MARK: Reading

    /// All that can be read, as text: what is expected to be the same afterwards.
    func reading() async throws -> [String] {
        var lines: [String] = []
        for name in subjects.sorted() {
            let id = subjectID(name)
            if let usage = try await bench.engine.reader.subject(id), usage.eventCount > 0 {
                let totals = usage.totals.filter { $0.total != 0 }.map {
                    "\($0.meter.name) \($0.total)"
                }
                lines.append("\(name): \(usage.eventCount) \(totals)")
                let activity = try await queries.activity(of: id)
                lines.append("\(activity.filesUploaded) \(activity.times)")
            }
            let account = try await bench.engine.account(of: id)
            let next = account.nextReset?.text ?? ""
            let grants = account.grants.map {
                "\($0.id.text) \($0.left) \($0.priority) \(String(describing: $0.expires))"
            }
            lines.append(
                "\(name): \(account.balance) \(account.held) \(account.monthlyAllowance) "
                    + "\(account.monthConsumed) \(account.totalConsumed) \(next) \(grants)")
            let limits = try await bench.engine.decide(Decision(.check, subject: id, limits: nil))
            lines.append("\(limits.limits.map { "\($0.limit.name) \($0.used) \($0.most ?? -1)" })")
        }
        for order in ProfileOrder.allCases {
            for profile in try await queries.all(by: order) { lines.append("\(profile)") }
        }
        for id in try await bench.members("t1:{default}:people:registered").sorted() {
            lines.append("registered \(id)")
        }
        for state in [HoldState.open, .expired, .settled, .released] {
            for hold in try await queries.holds(state, limit: 1_000).holds
                .sorted(by: { $0.id < $1.id })
            {
                lines.append(
                    "\(hold.id.text) \(hold.subject.id.text) \(state) \(hold.credits) \(hold.amounts) "
                        + "\(hold.created.text) \(hold.expires.text) \(hold.ended?.text ?? "")")
            }
        }
        let today = bench.engine.reader.today.number
        for day in today - 12...today + 1 {
            for meter in settings.rankedMeters {
                let entries = try await queries.leaderboard(
                    meter, .day(CivilDay(number: day)), limit: 1_000, after: nil
                ).entries
                lines.append(
                    "\(day) \(meter.name) \(entries.map { "\($0.subject.text) \($0.value)" })")
            }
        }
        return lines
    }

    /// The days' files, and the state's without its first line, which tells when it was written.
    func export() throws -> [String: String] {
        var files: [String: String] = [:]
        for name in FileManager.default.enumerator(atPath: folder)?.compactMap({ $0 as? String })
            ?? [] where name.hasSuffix(".json")
        {
            let text = try String(contentsOfFile: "\(folder)/\(name)", encoding: .utf8)
            var lines = text.split(separator: "\n")
            if name == "state.json" { lines = Array(lines.dropFirst().dropLast()) }
            files[name] = lines.joined(separator: "\n")
        }
        return files
    }
}

/// Runs a test's body on a history at random, while another bench counts on the same Redis.
///
/// - Parameter round: what the other one does again and again.
/// - Returns: the history's bench, and how often the other one did that.
func whileAnotherCounts(
    on redis: RedisServer, _ host: isolated LoopHost, seed: UInt64,
    round:
        @escaping @Sendable (
            isolated LoopHost, RestoreBench, Int, inout SeededGenerator
        ) async throws -> Void,
    _ body: (RestoreBench) async throws -> Void
) async throws -> (bench: RestoreBench, rounds: Int) {
    let clock = ManualClock(noon)
    let history = try await RestoreBench(redis, on: host.loop, clock: clock)
    let other = try await RestoreBench(redis, on: host.loop, clock: clock)
    var random = SeededGenerator(seed)
    try await history.write(rounds: 6, &random)
    let counting = Task {
        var random = SeededGenerator(seed + 100)
        var rounds = 0
        while !Task.isCancelled {
            // On the loop of the host, as all the rest.
            try await round(host, other, rounds, &random)
            rounds += 1
            await other.rest()
        }
        return rounds
    }
    try await body(history)
    counting.cancel()
    return (history, try await counting.value)
}

/// Runs a test's body with a Redis of its own, and a bench on it that writes history.
func withHistory(
    hotDays: Int = 35,
    _ body: @Sendable (isolated LoopHost, RedisServer, RestoreBench) async throws -> Void
) async throws {
    try await withRedis { redis in
        try await onLoop { host in
            let history = try await RestoreBench(
                redis, on: host.loop, clock: ManualClock(noon), hotDays: hotDays)
            try await body(host, redis, history)
        }
    }
}
