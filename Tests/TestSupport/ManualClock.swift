// SPDX-License-Identifier: Apache-2.0

public import Metering
internal import Synchronization

/// A clock that tests move.
public final class ManualClock: Metering.Clock {
    private let time: Mutex<Int>
    private let system = SystemClock()

    /// - Parameter milliseconds: since 1970.
    public init(_ milliseconds: Int) { time = Mutex(milliseconds) }

    public var now: Timestamp { Timestamp(milliseconds: time.withLock { $0 }) }
    /// Deadlines are not what these tests move.
    public var monotonicMS: Int { system.monotonicMS }

    public func set(_ milliseconds: Int) { time.withLock { $0 = milliseconds } }
    public func advance(_ milliseconds: Int) { time.withLock { $0 += milliseconds } }
}
