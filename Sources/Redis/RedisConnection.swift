// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Glibc
internal import Observability

/// One socket to Redis: commands go out in the order they are sent, and replies come back in it.
///
/// Redis numbers nothing, a reply belongs to a command by its place alone. So whatever goes wrong
/// (a late reply, bytes that make no sense, a write that fails) ends the connection, with all that
/// waits on it; it is never used again, and no reply can be taken for that of another command.
final class RedisConnection {
    typealias Completion = (Result<RedisValue, RedisError>) -> Void

    private struct Outstanding {
        let completion: Completion
        var sentAt: UInt64
        /// Where the command ends in the stream of all bytes of this connection.
        let end: Int
    }

    private static let readBytes = 64 * 1024
    private static let readsPerTurnMax = 8
    /// How many times its time a reply may take, whatever comes before it.
    private static let patienceMax: UInt64 = 10
    /// When a turn of the loop took so long, the time of what it sent begins when it is written.
    private static let longTurnNanoseconds: UInt64 = 20_000_000
    /// After these the server will not do for any other command either.
    private static let fatalCodes: Set<String> = ["READONLY", "LOADING", "MASTERDOWN", "NOAUTH"]

    private let loop: EventLoop
    private let configuration: RedisConfiguration
    private let metrics: RedisMetrics
    private let descriptor: Int32
    private let reader: ReplyReader
    private let timeoutNanoseconds: UInt64
    private var readWatch: DescriptorWatch?
    private var writeWatch: DescriptorWatch?
    private var timer: LoopTimer?
    private var isTimerRunning = false
    private var outstanding = Queue<Outstanding>()
    private var lastReceivedAt: UInt64 = 0
    private var input = [UInt8](repeating: 0, count: readBytes)
    private var output: [UInt8] = []
    private var outputStart = 0
    private var queuedBytes = 0
    private var writtenBytes = 0
    /// When the first command was queued that waits for the end of the turn; nil when none does.
    private var flushQueuedAt: UInt64?
    private var isWaitingToWrite = false
    private var isLost = false

    /// Called once, when the connection ends by itself, before its commands fail.
    var onLoss: ((_ reason: String) -> Void)?

    /// Takes over a connected, non-blocking socket. Nil without memory; the socket is closed then.
    init?(
        descriptor: Int32, on loop: EventLoop, configuration: RedisConfiguration,
        metrics: RedisMetrics
    ) {
        guard let reader = ReplyReader(bufferedBytesMax: configuration.replyBytesMax) else {
            Glibc.close(descriptor)
            return nil
        }
        self.loop = loop
        self.configuration = configuration
        self.metrics = metrics
        self.descriptor = descriptor
        self.reader = reader
        timeoutNanoseconds = configuration.commandTimeout.nanoseconds
        readWatch = DescriptorWatch(descriptor, for: .readable, on: loop) { [weak self] _ in
            self?.readReplies()
        }
        timer = LoopTimer(on: loop) { [weak self] in self?.checkDeadline() }
    }

    deinit { lose("released", isExpected: true) }

    /// Sends a command; what a turn sends is written at its end, in one system call.
    func send(
        _ head: RedisArguments, _ tail: RedisArguments? = nil,
        completion: @escaping Completion
    ) {
        guard !isLost else {
            return fail(completion, .disconnected(reason: "the connection was lost"))
        }
        guard outstanding.count < configuration.outstandingMax else {
            return fail(completion, .overloaded)
        }
        let before = output.count
        guard RedisArguments.encode(head, tail, into: &output) else {
            return fail(completion, .overloaded)
        }
        queuedBytes += output.count - before
        outstanding.append(
            Outstanding(completion: completion, sentAt: Self.now, end: queuedBytes))
        metrics.outstanding.add(1)
        if !isTimerRunning { check(after: configuration.commandTimeout) }
        guard flushQueuedAt == nil, !isWaitingToWrite else { return }
        flushQueuedAt = Self.now
        loop.deferToTurnEnd { [weak self] in self?.flushTurn() }
    }

    /// Ends the connection; commands that wait fail.
    func close(_ reason: String) { lose(reason, isExpected: true) }

    private func fail(_ completion: Completion, _ error: RedisError) {
        metrics.count(error)
        completion(.failure(error))
    }

    // MARK: Writing

    /// Writes what a turn has queued. A turn that took long is not Redis's time.
    private func flushTurn() {
        guard let queuedAt = flushQueuedAt else { return }
        flushQueuedAt = nil
        let now = Self.now
        if now &- queuedAt > Self.longTurnNanoseconds {
            let written = writtenBytes
            outstanding.updateLast(while: { $0.end > written }) { $0.sentAt = now }
        }
        flush()
    }

    private func flush() {
        while !isLost, outputStart < output.count {
            let count = output.withUnsafeBytes { bytes in
                let rest = UnsafeRawBufferPointer(rebasing: bytes[outputStart...])
                // Without MSG_NOSIGNAL a write to a dead peer would kill the process.
                return Glibc.send(
                    descriptor, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
            }
            if count >= 0 {
                outputStart += count
                writtenBytes += count
            } else if errno == EAGAIN {
                return waitToWrite()
            } else if errno != EINTR {
                return lose("write: \(systemMessage(errno))")
            }
        }
        // A burst's memory is given back, an ordinary turn's is kept.
        output.removeAll(keepingCapacity: output.capacity <= 1 << 20)
        outputStart = 0
        if isWaitingToWrite {
            isWaitingToWrite = false
            writeWatch?.pause()
        }
    }

    private func waitToWrite() {
        output.removeSubrange(..<outputStart)
        outputStart = 0
        guard !isWaitingToWrite else { return }
        isWaitingToWrite = true
        if let writeWatch { return writeWatch.resume() }
        writeWatch = DescriptorWatch(descriptor, for: .writable, on: loop) { [weak self] _ in
            self?.flush()
        }
    }

    // MARK: Reading

    private func readReplies() {
        for _ in 0..<Self.readsPerTurnMax where !isLost {
            let count = input.withUnsafeMutableBytes {
                recv(descriptor, $0.baseAddress, $0.count, 0)
            }
            if count == 0 { return lose("closed by Redis") }
            if count < 0 {
                if errno == EINTR { continue }
                return errno == EAGAIN ? () : lose("read: \(systemMessage(errno))")
            }
            lastReceivedAt = Self.now
            do throws(ReplyReader.ProtocolError) {
                try take(count)
                try deliver()
            } catch {
                metrics.countError("protocol")
                return lose("protocol error: \(error.reason)")
            }
            if count < Self.readBytes { return }
        }
    }

    private func take(_ count: Int) throws(ReplyReader.ProtocolError) {
        // The closure's typed error does not pass through withUnsafeBytes in every toolchain.
        let failure: ReplyReader.ProtocolError? = input.withUnsafeBytes { bytes in
            do throws(ReplyReader.ProtocolError) {
                try reader.feed(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
                return nil
            } catch { return error }
        }
        if let failure { throw failure }
    }

    private func deliver() throws(ReplyReader.ProtocolError) {
        let now = Self.now
        var fatal: String?
        while !isLost, let value = try reader.next() {
            // What is sent by a completion of this turn is not written yet: a reply too many is not its.
            guard let first = outstanding.first, first.end <= writtenBytes,
                let command = outstanding.popFirst()
            else {
                throw ReplyReader.ProtocolError(reason: "a reply that nothing asked for")
            }
            metrics.outstanding.add(-1)
            metrics.roundTrip.observe(Int(now &- command.sentAt) / 1000)
            guard case .error(let code, let message) = value else {
                command.completion(.success(value))
                continue
            }
            if Self.fatalCodes.contains(code) { fatal = "\(code) \(message)" }
            fail(command.completion, .server(code: code, message: message))
        }
        // Replies that came along with the fatal one are still good.
        if let fatal { lose(fatal) }
    }

    // MARK: Ending

    /// All commands have the same time, so the oldest is the first to be late: one timer does.
    private func checkDeadline() {
        isTimerRunning = false
        flushTurn()
        // A reply that lies in the socket already is not late; it is the loop that was busy.
        if let oldest = outstanding.first, Self.now &- oldest.sentAt >= timeoutNanoseconds {
            readReplies()
        }
        guard !isLost, let oldest = outstanding.first else { return }
        let age = Self.now &- oldest.sentAt
        guard age < timeoutNanoseconds else {
            let patience = timeoutNanoseconds / 2
            let isMoving = Self.now &- lastReceivedAt < patience
            guard isMoving, age < Self.patienceMax * timeoutNanoseconds else {
                return lose("no reply within \(configuration.commandTimeout)")
            }
            // What Redis could not send before those in front of it were read comes soon.
            return check(after: .nanoseconds(patience))
        }
        // One millisecond more, the loop's resolution: not to wake just before the time.
        check(after: .nanoseconds(timeoutNanoseconds - age) + .milliseconds(1))
    }

    private func check(after time: Duration) {
        isTimerRunning = true
        timer?.start(after: time)
    }

    private func lose(_ reason: String, isExpected: Bool = false) {
        guard !isLost else { return }
        isLost = true
        readWatch?.cancel()
        writeWatch?.cancel()
        timer?.cancel()
        loop.close(descriptor)
        var failed = outstanding
        outstanding = Queue()
        metrics.outstanding.add(-failed.count)
        let onLoss = self.onLoss
        self.onLoss = nil
        if !isExpected { onLoss?(reason) }
        let now = Self.now
        while let command = failed.popFirst() {
            let wasSent = command.end <= writtenBytes
            let isLate = now &- command.sentAt >= timeoutNanoseconds
            fail(
                command.completion,
                wasSent && isLate
                    ? .timedOut(after: configuration.commandTimeout)
                    : .disconnected(reason: reason, wasSent: wasSent))
        }
    }

    private static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

extension Duration {
    var nanoseconds: UInt64 {
        let (seconds, attoseconds) = components
        return UInt64(max(0, seconds)) * 1_000_000_000
            + UInt64(max(0, attoseconds) / 1_000_000_000)
    }
}

/// What the system says about an error number.
func systemMessage(_ code: Int32) -> String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { text in
        guard let start = text.baseAddress, strerror_r(code, start, text.count) == 0 else {
            return "error \(code)"
        }
        return String(cString: start)
    }
}
