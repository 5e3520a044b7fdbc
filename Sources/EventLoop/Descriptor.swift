// SPDX-License-Identifier: Apache-2.0

internal import CLibevent

/// Watches one file descriptor on a loop. Made, used and cancelled on the loop's thread.
///
/// The watch ends with `cancel` or with the object; the descriptor stays the owner's to close
/// (after the watch ended).
public final class DescriptorWatch {
    /// What a descriptor can be ready for.
    public struct Readiness: OptionSet, Sendable {
        public let rawValue: Int16
        public init(rawValue: Int16) { self.rawValue = rawValue }
        public static let readable = Readiness(rawValue: Int16(EV_READ))
        public static let writable = Readiness(rawValue: Int16(EV_WRITE))
    }

    private let handler: (Readiness) -> Void
    private var event: OpaquePointer?

    /// Starts to watch. The handler runs on the loop each time the descriptor is ready, as long
    /// as it stays so (level-triggered), until the watch is cancelled.
    public init(
        _ descriptor: Int32, for readiness: Readiness, on loop: EventLoop,
        handler: @escaping (Readiness) -> Void
    ) {
        self.handler = handler
        event = event_new(
            loop.base, descriptor, readiness.rawValue | Int16(EV_PERSIST),
            { _, ready, context in
                guard let context else { return }
                // Retained for the call: the handler may drop the last reference to the watch.
                let watch = Unmanaged<DescriptorWatch>.fromOpaque(context).takeUnretainedValue()
                watch.handler(Readiness(rawValue: ready))
            }, Unmanaged.passUnretained(self).toOpaque())
        event_add(event, nil)
    }

    /// Stops for now, without giving the watch up.
    public func pause() {
        if let event { event_del(event) }
    }

    /// Goes on after `pause`.
    public func resume() {
        if let event { event_add(event, nil) }
    }

    /// Ends the watch: the handler is not called again.
    public func cancel() {
        guard let event else { return }
        self.event = nil
        event_free(event)
    }

    deinit { cancel() }
}
