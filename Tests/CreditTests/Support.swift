// SPDX-License-Identifier: Apache-2.0

import EventLoop
import JSON
import Metering
import Observability
import Redis
import TestSupport
import Testing

/// 2026-11-21T10:00:00Z
let noon = 1_795_255_200_000
let day = 86_400_000
/// Micro-credits of a credit.
let one = 1_000_000
let most = 9_007_199_254_740_991

/// An engine on a loop, with its own connection.
final class Bench {
    let engine: MeteringEngine
    let closer: DayCloser
    let clock: ManualClock
    let queries: QueryEngine
    private let client: RedisClient
    private let json: JSONReader

    init(
        _ path: String, on loop: EventLoop, clock: ManualClock,
        settings: WorkspaceSettings = WorkspaceSettings()
    ) async throws {
        let registry = MetricsRegistry()
        var configuration = RedisConfiguration(address: .unix(path))
        configuration.commandTimeout = .seconds(20)
        client = RedisClient(
            on: loop, configuration: configuration, scripts: ScriptLibrary.all, metrics: registry,
            logger: Logger(level: .error))
        self.clock = clock
        json = try JSONReader()
        engine = MeteringEngine(
            on: loop, client: client, settings: settings, clock: clock,
            metrics: MeteringMetrics(registry))
        queries = QueryEngine(
            on: loop, redis: configuration, settings: settings, clock: clock, data: "/nonexistent",
            metrics: registry, logger: Logger(level: .error))
        closer = DayCloser(client: client, settings: settings, clock: clock)
        client.connect()
        await queries.start(isKeeping: false)
        while !client.isReady { await loop.sleep(for: .milliseconds(1)) }
        while (try? await queries.holds(.open, limit: 1)) == nil {
            await loop.sleep(for: .milliseconds(1))
        }
    }

    deinit { queries.assumeIsolated { $0.stop() } }

    // MARK: What is asked

    /// The heads of a leaderboard.
    func leaders(
        _ window: LeaderboardWindow, limit: Int = 100
    ) async throws -> [LeaderboardEntry] {
        try await queries.leaderboard(.tokens, window, limit: limit, after: nil).entries
    }

    func record(_ events: [UsageEvent]) async -> [EventOutcome] {
        await withCheckedContinuation { continuation in
            engine.record(events) { continuation.resume(returning: $0) }
        }
    }

    func record(_ event: UsageEvent) async -> EventOutcome { await record([event])[0] }

    @discardableResult
    func charge(
        _ subject: String, _ credits: Int, id: String? = nil, at time: Int? = nil,
        enforce: Bool = false
    ) async -> EventOutcome {
        await record(event(subject, ["credits_micro": credits], id: id, at: time, enforce: enforce))
    }

    func decide(
        _ kind: Decision.Kind, _ subject: String, _ credits: Int? = nil,
        amounts: [(Meter, Int)] = []
    ) async throws -> Verdict {
        try await engine.decide(
            Decision(kind, subject: subjectID(subject), credits: credits, amounts: amounts))
    }

    @discardableResult
    func grant(
        _ subject: String, _ credits: Int, id: String, expires: Int? = nil, priority: Int = 0
    ) async throws -> DecisionStatus {
        try await decide(
            .grant(
                id: ByteString(id), expires: expires.map { Timestamp(milliseconds: $0) },
                priority: priority), subject, credits
        ).status
    }

    func open(
        _ id: String, _ subject: String, _ credits: Int, seconds: Int = 60
    ) async throws -> Verdict {
        try await decide(.openHold(id: ByteString(id), seconds: seconds), subject, credits)
    }

    func release(_ id: String, _ subject: String) async throws -> Verdict {
        try await decide(.releaseHold(id: ByteString(id)), subject, 0)
    }

    func commit(
        _ id: String, _ event: UsageEvent, _ policy: SettlePolicy = .overflow, held: Int? = nil
    ) async -> EventOutcome {
        await engine.settle(ByteString(id), with: event, policy, heldCredits: held)
    }

    func reverse(_ id: String, reason: String = "") async throws -> EventOutcome? {
        try await engine.reverse(ByteString(id), reason: ByteString(reason))
    }

    // MARK: Rules

    func setPolicy(
        allowance: Int = 0, overdraft: Int = 0, rollover: Int = 0,
        reset: CreditPolicy.MonthReset = .anniversary
    ) async throws {
        var policy = CreditPolicy()
        policy.defaultAllowance = allowance
        policy.overdraft = overdraft
        policy.rolloverMax = rollover
        policy.monthReset = reset
        _ = try await engine.setCreditPolicy(policy)
    }

    func setPrices(_ text: String) async throws {
        _ = try await engine.setPrices(PriceBook(try json.read(Array(text.utf8))))
    }

    func setLimits(_ text: String) async throws {
        _ = try await engine.setLimits(LimitBook.Draft(try json.read(Array(text.utf8))))
    }

    // MARK: What is read

    func account(_ subject: String) async throws -> Account {
        try await engine.account(of: subjectID(subject))
    }

    /// All lines of a ledger, oldest first, read in pages; records what does not add up.
    @discardableResult
    func checkedLedger(
        _ subject: String, page: Int = 7, _ comment: Comment? = nil
    ) async throws -> [LedgerLine] {
        let account = try await account(subject)
        var lines: [LedgerLine] = []
        var cursor: LogPosition?
        repeat {
            let ledger = try await queries.ledger(
                of: subjectID(subject), account, limit: page, before: cursor)
            // Pages fit together.
            if let last = lines.last { #expect(last.balance - last.change == ledger.closing) }
            lines += ledger.lines
            cursor = ledger.older.flatMap { LogPosition(cursor: $0) }
            if cursor == nil { #expect(ledger.openingBalance == 0, comment) }
        } while cursor != nil
        lines.reverse()
        var balance = 0
        var held = 0
        for line in lines {
            balance += line.change
            held += line.heldChange
            #expect(line.balance == balance, comment)
            #expect(held >= 0, comment)
        }
        #expect(balance == account.balance, comment)
        #expect(held == account.held, comment)
        return lines
    }
}

/// Records lines that do not stand in the order of their times.
func expectInOrder(_ lines: [LedgerLine]) {
    let times = lines.map(\.time)
    #expect(times == times.sorted())
}

extension Ledger {
    /// The balance after the newest of its lines.
    var closing: Int { lines.first?.balance ?? openingBalance }
}

func event(
    _ subject: String, _ amounts: [String: Int] = ["tokens": 1], id: String? = nil,
    at time: Int? = nil, enforce: Bool = false, model: String = "m"
) -> UsageEvent {
    UsageEvent(
        id: id.map { ByteString($0) }, time: time.map { Timestamp(milliseconds: $0) },
        subject: subjectID(subject), action: ByteString("chat"), model: ByteString(model),
        amounts: amounts.compactMap { name, amount in
            Meter(name: Array(name.utf8)).map { ($0, amount) }
        }.sorted { $0.0.name < $1.0.name }, enforce: enforce)
}

func subjectID(_ text: String) -> SubjectID {
    guard let id = SubjectID(text) else { preconditionFailure("no valid subject: \(text)") }
    return id
}

extension EventOutcome {
    var counted: CountedEvent? { if case .counted(let event) = self { event } else { nil } }
    var duplicate: CountedEvent? { if case .duplicate(let event) = self { event } else { nil } }
    var refused: Verdict? { if case .refused(let verdict) = self { verdict } else { nil } }
    var status: DecisionStatus? { counted == nil ? refused?.status : .allowed }
    var code: String? { if case .rejected(let rejection) = self { rejection.code } else { nil } }
    var total: Int? { (counted ?? duplicate)?.totals.first?.total }
}

/// Runs a test's body with two engines on one Redis.
func withBenches<Value: Sendable>(
    at time: Int = noon, zone: String = "UTC", idempotencyHours: Int = 48,
    _ body: @Sendable (isolated LoopHost, Bench, Bench, RedisServer) async throws -> Value
) async throws -> Value {
    try await withRedis { redis in
        try await onLoop { host in
            let clock = ManualClock(time)
            let settings = WorkspaceSettings(
                calendar: try #require(WorkspaceCalendar(zone: zone)),
                idempotencyHours: idempotencyHours)
            let first = try await Bench(
                redis.socketPath, on: host.loop, clock: clock, settings: settings)
            let second = try await Bench(
                redis.socketPath, on: host.loop, clock: clock, settings: settings)
            let result: Result<Value, any Error>
            do {
                result = .success(try await body(host, first, second, redis))
            } catch {
                result = .failure(error)
            }
            for bench in [first, second] { await bench.queries.stop() }
            return try result.get()
        }
    }
}

/// Runs a test's body with an engine on a Redis of its own.
func withBench<Value: Sendable>(
    at time: Int = noon, zone: String = "UTC", idempotencyHours: Int = 48,
    _ body: @Sendable (isolated LoopHost, Bench, RedisServer) async throws -> Value
) async throws -> Value {
    try await withBenches(at: time, zone: zone, idempotencyHours: idempotencyHours) {
        try await body($0, $1, $3)
    }
}
