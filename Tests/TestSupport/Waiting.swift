// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import Glibc

/// What a test waited for did not happen.
public struct WaitedInVain: Error, CustomStringConvertible {
    public let description: String
}

/// Returns when the condition holds; throws when that takes forever.
public func waitUntil(_ what: String, _ condition: () -> Bool) throws {
    for _ in 0..<15_000 {
        if condition() { return }
        usleep(1_000)
    }
    throw WaitedInVain(description: "waited in vain for \(what)")
}

/// Runs what blocks on a thread of its own.
public func blocking<Value: Sendable>(
    _ body: @escaping @Sendable () throws -> Value
) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Result { try body() }) }
    }
}
