// SPDX-License-Identifier: Apache-2.0

internal import CLibevent

/// A timer on a loop (monotonic clock). Made and used on the loop's thread.
///
/// It ends with `cancel` or with the object, and holds the loop until then. Its resolution is that of
/// the loop: a millisecond.
public final class LoopTimer {
    private var event: LoopEvent?

    /// A timer that does not run yet. `isRepeating` lets it fire at every interval.
    public init(on loop: EventLoop, isRepeating: Bool = false, handler: @escaping () -> Void) {
        event = LoopEvent(-1, isRepeating ? Int16(EV_PERSIST) : 0, on: loop) { _ in handler() }
    }

    /// Fires after a delay; a timer that was already started starts afresh.
    public func start(after delay: Duration) { event?.add(after: delay) }

    /// Does not fire until it is started again.
    public func stop() { event?.remove() }

    /// Ends the timer for good.
    public func cancel() {
        event?.end()
        event = nil
    }

    deinit { cancel() }
}

extension EventLoop {
    /// Suspends the calling task without holding the loop. It sleeps in full even when the task is
    /// cancelled. On the loop's thread only.
    public func sleep(for delay: Duration) async {
        await withCheckedContinuation { continuation in
            let box = TimerBox()
            box.timer = LoopTimer(on: self) {
                box.timer = nil
                continuation.resume()
            }
            box.timer?.start(after: delay)
        }
    }
}

/// Keeps a timer alive until it fired.
private final class TimerBox {
    var timer: LoopTimer?
}
