// SPDX-License-Identifier: Apache-2.0

internal import CLibevent

/// An event of libevent. It holds its loop until it has ended, for it refers to the loop's base, and
/// it is freed where nobody else uses the base, whoever ends it: only that may be on another thread.
final class LoopEvent: Sendable {
    private nonisolated(unsafe) var handler: ((Int16) -> Void)?
    private nonisolated(unsafe) var pointer: OpaquePointer?
    private let loop: EventLoop

    /// - Parameter descriptor: -1 for an event of time alone.
    init(
        _ descriptor: Int32, _ flags: Int16, on loop: EventLoop, handler: @escaping (Int16) -> Void
    ) {
        self.handler = handler
        self.loop = loop
        pointer = event_new(
            loop.base, descriptor, flags,
            { _, ready, context in
                guard let context else { return }
                // Retained for the call: the handler may drop the last reference to the event.
                let event = Unmanaged<LoopEvent>.fromOpaque(context).takeUnretainedValue()
                event.handler?(ready)
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    /// Lets it happen, after a delay if there is one.
    func add(after delay: Duration? = nil) {
        guard let pointer else { return }
        guard let delay else {
            event_add(pointer, nil)
            return
        }
        var interval = timeval(delay)
        event_add(pointer, &interval)
    }

    /// It does not happen until it is added again.
    func remove() {
        if let pointer { event_del(pointer) }
    }

    /// Ends it for good. Called once, before the last reference goes.
    func end() { loop.end(self) }

    /// To be called where nobody else uses the base.
    func free() {
        if let pointer { event_free(pointer) }
        pointer = nil
    }

    /// Lets go of what the handler holds, on the loop's thread and freed: whoever ended the event may have
    /// the last reference to it, on another one.
    func dropHandler() { handler = nil }
}

extension timeval {
    init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        self.init(tv_sec: Int(seconds), tv_usec: Int(attoseconds / 1_000_000_000_000))
    }
}
