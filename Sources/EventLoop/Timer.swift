// SPDX-License-Identifier: Apache-2.0

internal import CLibevent
internal import Glibc

/// A timer on a loop (monotonic clock). Made, used and cancelled on the loop's thread.
///
/// It ends with `cancel` or with the object. Its resolution is that of the loop: a millisecond.
public final class LoopTimer {
    private let handler: () -> Void
    private var event: OpaquePointer?

    /// A timer that does not run yet. `isRepeating` lets it fire at every interval.
    public init(on loop: EventLoop, isRepeating: Bool = false, handler: @escaping () -> Void) {
        self.handler = handler
        event = event_new(
            loop.base, -1, isRepeating ? Int16(EV_PERSIST) : 0,
            { _, _, context in
                guard let context else { return }
                Unmanaged<LoopTimer>.fromOpaque(context).takeUnretainedValue().handler()
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    /// Fires after a delay; a timer that was already started starts afresh.
    public func start(after delay: Duration) {
        guard let event else { return }
        var interval = timeval(delay)
        event_add(event, &interval)
    }

    /// Does not fire until it is started again.
    public func stop() {
        if let event { event_del(event) }
    }

    /// Ends the timer for good.
    public func cancel() {
        guard let event else { return }
        self.event = nil
        event_free(event)
    }

    deinit { cancel() }
}

extension timeval {
    init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        self.init(tv_sec: Int(seconds), tv_usec: Int(attoseconds / 1_000_000_000_000))
    }
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
