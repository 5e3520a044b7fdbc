// SPDX-License-Identifier: Apache-2.0

public import EventLoop

/// An actor on an event loop of its own: tests reach through it what belongs to a loop's thread.
public actor LoopHost {
    public nonisolated let loop: EventLoop
    public nonisolated var unownedExecutor: UnownedSerialExecutor {
        loop.asUnownedSerialExecutor()
    }

    init(_ loop: EventLoop) { self.loop = loop }

    fileprivate func run<Value: Sendable>(
        _ body: @Sendable (isolated LoopHost) async throws -> Value
    ) async throws -> Value {
        try await body(self)
    }
}

/// Runs a test's body on a loop, which ends with it. What the body makes stays on the loop.
public func onLoop<Value: Sendable>(
    _ body: @Sendable (isolated LoopHost) async throws -> Value
) async throws -> Value {
    let loop = try EventLoop()
    loop.start()
    defer { loop.stop() }
    return try await LoopHost(loop).run(body)
}
