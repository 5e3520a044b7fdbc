// SPDX-License-Identifier: Apache-2.0

internal import CLibevent

/// Watches one file descriptor on a loop. Made and used on the loop's thread.
///
/// The watch ends with `cancel` or with the object, and holds the loop until then; what other threads
/// end, the loop ends in its next turn. The descriptor stays the owner's to close (after the watch
/// ended), with `EventLoop.close` where that may be on another thread.
public final class DescriptorWatch {
    /// What a descriptor can be ready for.
    public struct Readiness: OptionSet, Sendable {
        public let rawValue: Int16
        public init(rawValue: Int16) { self.rawValue = rawValue }
        public static let readable = Readiness(rawValue: Int16(EV_READ))
        public static let writable = Readiness(rawValue: Int16(EV_WRITE))
    }

    private var event: LoopEvent?

    /// Starts to watch. The handler runs on the loop each time the descriptor is ready, as long
    /// as it stays so (level-triggered), until the watch is cancelled.
    public init(
        _ descriptor: Int32, for readiness: Readiness, on loop: EventLoop,
        handler: @escaping (Readiness) -> Void
    ) {
        event = LoopEvent(descriptor, readiness.rawValue | Int16(EV_PERSIST), on: loop) {
            handler(Readiness(rawValue: $0))
        }
        event?.add()
    }

    /// Stops for now, without giving the watch up.
    public func pause() { event?.remove() }

    /// Goes on after `pause`.
    public func resume() { event?.add() }

    /// Ends the watch: the handler is not called again.
    public func cancel() {
        event?.end()
        event = nil
    }

    deinit { cancel() }
}
