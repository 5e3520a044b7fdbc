// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Where time comes from. There is one per process; tests bring their own and move it.
public protocol Clock: Sendable {
    /// The time of day.
    var now: Timestamp { get }
    /// Milliseconds since some fixed moment, never going back.
    var monotonicMS: Int { get }
}

/// The machine's clocks.
public struct SystemClock: Clock {
    public init() {}

    public var now: Timestamp { Timestamp(milliseconds: Self.milliseconds(CLOCK_REALTIME)) }
    public var monotonicMS: Int { Self.milliseconds(CLOCK_MONOTONIC) }

    private static func milliseconds(_ clock: clockid_t) -> Int {
        var time = timespec()
        clock_gettime(clock, &time)
        return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
    }
}
