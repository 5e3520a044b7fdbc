// SPDX-License-Identifier: Apache-2.0

/// Hands on what an actor of another loop has answered: `try await back(queries.page(...))`.
///
/// It does nothing, and is there for what has to happen before it: the task has to return to the loop
/// that it came from. Swift 6.3 leaves that out when nothing but the call of another
/// `nonisolated(nonsending)` function follows, which then runs on the wrong thread until its end
/// (OptimizeHopToExecutor takes such a call for a suspension point, where executors are changed anyway).
/// The call of a function that is not async, and that the optimizer cannot look into, needs the executor.
/// Whoever is not an actor itself awaits actors in this way only.
@inline(never) public func back<Value>(_ value: Value) -> Value { value }
