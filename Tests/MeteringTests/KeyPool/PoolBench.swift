// SPDX-License-Identifier: Apache-2.0

import EventLoop
import JSON
import Metering
import Observability
import Redis
import TestSupport
import Testing

/// Engines with loops of their own, as several processes have them, over one Redis and one folder.
final class PoolBench: Sendable {
    let redis: RedisServer
    let clock = ManualClock(noon)
    let engines: [QueryEngine]
    let folder: String
    private let loops: [EventLoop]

    init(_ count: Int, _ redis: RedisServer, workspace: WorkspaceID = .default) async throws {
        self.redis = redis
        folder = try makeTemporaryFolder()
        var configuration = RedisConfiguration(address: .unix(redis.socketPath))
        configuration.commandTimeout = .seconds(20)
        var loops: [EventLoop] = []
        var engines: [QueryEngine] = []
        for _ in 0..<count {
            let loop = try EventLoop()
            loop.start()
            loops.append(loop)
            let engine = QueryEngine(
                on: loop, redis: configuration, settings: WorkspaceSettings(id: workspace),
                clock: clock, data: folder, metrics: MetricsRegistry(),
                logger: Logger(level: .error))
            await engine.start(isKeeping: false)
            while await !engine.isReady { try await Task.sleep(for: .milliseconds(1)) }
            engines.append(engine)
        }
        self.loops = loops
        self.engines = engines
    }

    var engine: QueryEngine { engines[0] }

    func stop() async {
        for engine in engines { await engine.stop() }
        for loop in loops { loop.stop() }
        removeFolder(folder)
    }
}

/// Runs a test's body with engines over a Redis of its own.
func withPool(
    _ count: Int = 1, _ body: (PoolBench) async throws -> Void
) async throws {
    try await withRedis { redis in
        let bench = try await PoolBench(count, redis)
        do {
            try await body(bench)
            await bench.stop()
        } catch {
            await bench.stop()
            throw error
        }
    }
}

func poolProvider(_ name: String = "elevenlabs") -> PoolProvider {
    guard let provider = PoolProvider(name) else { preconditionFailure("no provider: \(name)") }
    return provider
}

func jsonValue(_ text: String) throws -> JSONValue { try JSONReader().read(text) }

extension QueryEngine {
    /// Imports keys with these balances; their ids.
    @discardableResult
    func stock(
        _ balances: [Int?], provider: PoolProvider = poolProvider(), prefix: String = "secret",
        status: String = "active"
    ) async throws -> [Int] {
        let rows = try balances.enumerated().map { index, balance in
            try PoolKeyDraft(
                name: "Key \(index)", secret: "\(prefix)-\(index)",
                creditBalance: balance.map { "\($0)" } ?? "", status: status)
        }
        return try await importPoolKeys(rows, to: provider).compactMap(\.id)
    }

    func assign(
        _ quantity: Int, to subject: String, provider: PoolProvider = poolProvider()
    ) async throws -> [Int] {
        let user = try jsonValue(#"{"user_id":"\#(subject)","quantity":\#(quantity)}"#)
        return try await assignPoolKeys(try PoolAssignment(user), of: provider).map(\.key.id)
    }

    func report(
        _ id: Int, _ status: String = "active", _ balance: String = "1000",
        error: String = "null", provider: PoolProvider = poolProvider(), by holder: String? = nil
    ) async throws -> Bool? {
        let text =
            #"{"key_id":\#(id),"status":"\#(status)","credit_balance":\#(balance),"#
            + #""error_message":\#(error)}"#
        return try await reportPoolKey(
            try PoolReport(try jsonValue(text)), of: provider, by: holder.map(subjectID))
    }

    func edit(
        _ id: Int, _ text: String, provider: PoolProvider = poolProvider()
    ) async throws -> PoolKey? {
        try await editPoolKey(id, of: provider, try PoolKeyChange(try jsonValue(text)))?.key
    }

    func unassign(
        _ id: Int, provider: PoolProvider = poolProvider()
    ) async throws -> PoolKey? {
        try await editPoolKey(id, of: provider, .unassigned)?.key
    }

    func holder(_ subject: String) async throws -> PoolHolder? {
        try await poolHolders([subjectID(subject)])[0]
    }
}

extension PoolImportOutcome {
    var id: Int? { if case .imported(let id) = self { id } else { nil } }
}
