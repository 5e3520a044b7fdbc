// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Observability
import Redis
import TestSupport

let silent = Logger(level: .error, descriptor: 2)

/// A client whose changes of state a test can wait for.
final class WatchedClient {
    let client: RedisClient
    private let loop: EventLoop
    private(set) var readyCount = 0
    private(set) var lostCount = 0

    init(
        _ configuration: RedisConfiguration, scripts: [RedisScript] = [], on loop: EventLoop,
        metrics: MetricsRegistry = MetricsRegistry()
    ) {
        self.loop = loop
        client = RedisClient(
            on: loop, configuration: configuration, scripts: scripts, metrics: metrics,
            logger: silent)
        client.whenReady { [unowned self] in readyCount += 1 }
        client.onLost = { [unowned self] in lostCount += 1 }
        client.connect()
    }

    /// Returns once the client was ready for the given time. The suite's time limit bounds it.
    func ready(times: Int = 1) async {
        while readyCount < times || !client.isReady { await loop.sleep(for: .milliseconds(1)) }
    }

    /// Returns once the client lost its connection the given number of times.
    func lost(times: Int = 1) async {
        while lostCount < times { await loop.sleep(for: .milliseconds(1)) }
    }
}

extension RedisConfiguration {
    /// The configuration for a test's server. Its time limits are generous: tests wait for what
    /// happens, never for time to pass.
    static func test(_ path: String, timeout: Duration = .seconds(20)) -> RedisConfiguration {
        var configuration = RedisConfiguration(address: .unix(path))
        configuration.commandTimeout = timeout
        configuration.connectTimeout = .seconds(20)
        return configuration
    }
}

/// Runs a test's body with a client that reaches a Redis of its own through a proxy.
func withProxy(
    _ body: @Sendable (isolated LoopHost, FaultProxy, WatchedClient) async throws -> Void
) async throws {
    try await withRedis { server in
        let proxy = try FaultProxy(to: server.socketPath)
        defer { proxy.stop() }
        try await onLoop { host in
            let watched = WatchedClient(.test(proxy.path), on: host.loop)
            await watched.ready()
            try await body(host, proxy, watched)
        }
    }
}

func command(_ name: StaticString, _ arguments: String...) -> RedisCommand {
    var command = RedisCommand(name)
    for argument in arguments { command.append(argument) }
    return command
}

extension Result where Success == RedisValue, Failure == RedisError {
    var error: RedisError? { if case .failure(let error) = self { error } else { nil } }
}
