// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Glibc
internal import Observability

extension Connection {
    /// Sends what is due, as far as the socket takes it.
    func flush() {
        guard phase != .closed else { return }
        if output.count > 0 {
            let count = send(
                descriptor, output.bytes.baseAddress, output.count, Int32(MSG_NOSIGNAL))
            if count > 0 {
                core.metrics.sent.add(count)
                // Each answer has a time of its own, whatever was to be sent before it.
                if output.removeFirst(count) || output.count == 0 { blockedSince = nil }
                lastProgress = core.now
            } else if errno != EAGAIN && errno != EINTR {
                close()
                return
            }
            emitHeld()
            if output.count == 0 {
                blockedSince = nil
                writeWatch?.pause()
            } else {
                waitForSpace()
            }
        }
        countUnsent()
        if output.count <= HTTPServerConfiguration.maxUnsent { stream?.resume(isGone: false) }
        settle()
    }

    /// Has what the peer has not taken counted with that of all others. Who comes to owe much while all
    /// owe too much is closed: what it would be sent is kept until it reads.
    func countUnsent() {
        let unsent = output.count + earlyBytes
        let counted = unsent > HTTPServerConfiguration.freeUnsent ? unsent : 0
        let change = counted - countedUnsent
        guard change != 0 else { return }
        countedUnsent = counted
        let all = core.load.changeUnsent(by: change)
        guard change > 0, all > core.configuration.maxUnsentOfAll else { return }
        core.metrics.cut.add()
        close()
    }

    /// One write at the end of the turn, for several answers on one connection.
    func scheduleFlush() {
        guard !isFlushScheduled else { return }
        isFlushScheduled = true
        core.loop.deferToTurnEnd { [weak self] in
            self?.isFlushScheduled = false
            self?.flush()
        }
    }

    private func waitForSpace() {
        blockedSince = blockedSince ?? core.now
        guard let writeWatch else {
            lastProgress = core.now
            self.writeWatch = DescriptorWatch(descriptor, for: .writable, on: core.loop) {
                [unowned self] _ in
                flush()
            }
            return
        }
        writeWatch.resume()
    }
}

/// A body that is sent while it is made.
final class OutgoingStream {
    let produce: @Sendable (HTTPBodyWriter) async throws -> Void
    let isChunked: Bool
    /// The producer, while it waits for the peer to read.
    private var waiting: CheckedContinuation<Bool, Never>?

    init(produce: @escaping @Sendable (HTTPBodyWriter) async throws -> Void, isChunked: Bool) {
        self.produce = produce
        self.isChunked = isChunked
    }

    /// Returns when `resume` is called; false when the peer is gone.
    ///
    /// - Parameter known: what is to be returned at once, if anything: others may have run on the way here, and
    ///   have resumed nobody.
    func wait(unless known: () -> Bool?) async -> Bool {
        await withCheckedContinuation { continuation in
            if let known = known() {
                continuation.resume(returning: known)
            } else {
                waiting = continuation
            }
        }
    }

    func resume(isGone: Bool) {
        let continuation = waiting
        waiting = nil
        continuation?.resume(returning: !isGone)
    }
}

/// Thrown by `HTTPBodyWriter.write` when nobody is left to read.
public struct HTTPPeerGone: Error {}

/// Takes the parts of a streamed body. Used on the loop, only within its `stream` closure.
public final class HTTPBodyWriter {
    private let connection: Connection
    private let stream: OutgoingStream

    init(_ connection: Connection, _ stream: OutgoingStream) {
        self.connection = connection
        self.stream = stream
    }

    /// Sends a part. Suspends while more than 256 KiB are unsent.
    ///
    /// - Throws: `HTTPPeerGone` when the connection has ended.
    public func write(_ bytes: [UInt8]) async throws {
        guard connection.stream === stream else { throw HTTPPeerGone() }
        // An empty chunk would end the body.
        guard !bytes.isEmpty else { return }
        if stream.isChunked {
            connection.output.append(Array(String(bytes.count, radix: 16).utf8))
            connection.output.append("\r\n")
        }
        connection.output.append(bytes)
        if stream.isChunked { connection.output.append("\r\n") }
        connection.flush()
        guard connection.stream === stream else { throw HTTPPeerGone() }
        guard connection.output.count > HTTPServerConfiguration.maxUnsent else { return }
        let isThere = await stream.wait {
            guard connection.stream === stream else { return false }
            return connection.output.count > HTTPServerConfiguration.maxUnsent ? nil : true
        }
        guard isThere else { throw HTTPPeerGone() }
    }

    /// Whether the server stops: a body that would go on for ever ends then.
    public var isEnding: Bool { connection.core.isShuttingDown }

    func finish() {
        guard connection.stream === stream else { return }
        if stream.isChunked { connection.output.append("0\r\n\r\n") }
        connection.endStream()
    }
}
