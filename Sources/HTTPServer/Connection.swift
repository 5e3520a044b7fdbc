// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Glibc
internal import Observability

/// One client. Lives on the loop's thread; entered from its watches, from replies and the sweep.
final class Connection {
    enum Phase {
        case open
        /// Reads no further request; the last answer is on its way.
        case closing
        /// All is sent; waits for the peer to close, so that no reset destroys the answer.
        case draining
        case closed
    }

    let id: Int
    let core: ServerCore
    var phase = Phase.open
    let descriptor: Int32
    let reader: RequestReader
    private var readWatch: DescriptorWatch?
    var writeWatch: DescriptorWatch?

    // Requests are numbered, and answered in the order of their numbers.
    private var nextSequence = 0
    var nextToAnswer = 0
    /// Answers that came before their turn, or while much is unsent: here a body is still the
    /// responder's own memory, which the answers of many connections share.
    private var early: [Int: (reply: HTTPReply, response: HTTPResponse)] = [:]
    private(set) var earlyBytes = 0
    /// What `core.load` knows that is unsent here.
    var countedUnsent = 0
    /// Replies that async code answers.
    private var asyncReplies: [Int: HTTPReply] = [:]

    let output = OutputBuffer()
    var isFlushScheduled = false
    var stream: OutgoingStream?
    private var isResetAtEnd = false

    /// Received behind a pause, not parsed yet.
    private var backlog: [UInt8] = []
    private var isPaused = false
    private var isResumeScheduled = false
    private(set) var isHandling = false
    var peerEnded = false
    private var drained = 0

    private var lastActivity: UInt64
    var lastProgress: UInt64
    /// Since when the peer has not taken the answer that is going out; nil when nothing is unsent.
    var blockedSince: UInt64?
    private var stageSince: UInt64
    private var stageSeen = 0

    var outstanding: Int { nextSequence - nextToAnswer }

    /// Takes the descriptor over.
    init(_ id: Int, _ descriptor: Int32, core: ServerCore, remoteAddress: String) {
        self.id = id
        self.descriptor = descriptor
        self.core = core
        reader = RequestReader(core.configuration, load: core.load, remoteAddress: remoteAddress)
        lastActivity = core.now
        lastProgress = lastActivity
        stageSince = lastActivity
        readWatch = DescriptorWatch(descriptor, for: .readable, on: core.loop) {
            [unowned self] _ in
            read()
        }
    }

    // MARK: Reading

    private func read() {
        guard phase != .closed else { return }
        let count = recv(descriptor, core.input.baseAddress, core.input.count, 0)
        if count > 0 {
            core.metrics.received.add(count)
            if phase == .draining {
                drained += count
                if drained > HTTPServerConfiguration.maxDrained + reader.bodyDue { close() }
                return
            }
            handle(UnsafeRawBufferPointer(rebasing: core.input[..<count]))
        } else if count == 0 {
            end()
        } else if errno != EAGAIN && errno != EINTR {
            close()
        }
    }

    /// The peer sends no more. What it asked before is still answered.
    private func end() {
        peerEnded = true
        pauseReading()
        settle()
    }

    private func handle(_ bytes: UnsafeRawBufferPointer) {
        isHandling = true
        lastActivity = core.now
        consume(bytes)
        if reader.stageChanges != stageSeen {
            stageSeen = reader.stageChanges
            stageSince = lastActivity
        }
        isHandling = false
        flush()
    }

    private func consume(_ bytes: UnsafeRawBufferPointer) {
        var position = 0
        while position < bytes.count, phase == .open {
            if reader.stage == .start, !mayStart {
                backlog.append(contentsOf: bytes[position...])
                isPaused = true
                pauseReading()
                return
            }
            switch reader.next(bytes, &position) {
            case .more: break
            case .request(let request, let manner): dispatch(request, manner)
            case .refused(let problem): refuse(problem)
            }
            if reader.owesContinue { sendContinue() }
        }
    }

    private var mayStart: Bool {
        outstanding < core.configuration.maxPipelined && hasRoom
    }

    /// Whether a further answer may begin to go out.
    private var hasRoom: Bool { output.count <= HTTPServerConfiguration.maxUnsent }

    private func pauseReading() { readWatch?.pause() }

    /// Takes up what a pause left behind, at the end of the turn: never from within an answer.
    private func scheduleResume() {
        guard !isResumeScheduled else { return }
        isResumeScheduled = true
        core.loop.deferToTurnEnd { [weak self] in self?.resume() }
    }

    private func resume() {
        isResumeScheduled = false
        guard isPaused, phase == .open else { return }
        isPaused = false
        let waiting = backlog
        backlog = []
        waiting.withUnsafeBytes { handle($0) }
        guard !isPaused, phase == .open else { return }
        if peerEnded { settle() } else { readWatch?.resume() }
    }

    /// In its turn: an interim answer before those of earlier requests would be taken for theirs.
    private func sendContinue() {
        guard phase == .open else { return }
        if outstanding == 0 {
            reader.owesContinue = false
            output.append("HTTP/1.1 100 Continue\r\n\r\n")
        } else if reader.stage == .start {
            reader.owesContinue = false
        }
    }

    // MARK: Answering

    private func dispatch(_ request: HTTPRequest, _ manner: RequestHead.Manner) {
        if reader.owesContinue { sendContinue() }
        core.metrics.requests.add()
        let reply = makeReply(
            isHead: manner.isHead, isHTTP10: manner.isHTTP10, closes: !manner.keepsAlive)
        if core.responder.respondNow(to: request, reply: reply) { return }
        let (id, sequence) = (id, reply.sequence)
        asyncReplies[sequence] = reply
        core.server?.assumeIsolated { $0.startResponding(to: request, sequence, on: id) }
    }

    private func makeReply(isHead: Bool, isHTTP10: Bool, closes: Bool) -> HTTPReply {
        let reply = HTTPReply(
            self, sequence: nextSequence, isHead: isHead, isHTTP10: isHTTP10, closes: closes)
        nextSequence += 1
        if closes {
            phase = .closing
            backlog = []
            pauseReading()
        }
        return reply
    }

    /// Hands over what async code answered.
    func answerAsync(_ sequence: Int, _ response: HTTPResponse) {
        asyncReplies.removeValue(forKey: sequence)?.send(response)
    }

    /// Answers with a problem, behind the answers that are due, and takes no further request.
    func refuse(_ problem: HTTPProblem) {
        guard phase == .open else { return }
        core.metrics.countRejected(problem.code)
        reader.owesContinue = false
        var problem = problem
        if problem.instance == nil { problem.instance = reader.path ?? "/" }
        reader.dropBody()
        makeReply(isHead: false, isHTTP10: false, closes: true).send(problem.response())
    }

    func answer(_ reply: HTTPReply, _ response: HTTPResponse) {
        guard phase != .closed else { return }
        guard reply.sequence == nextToAnswer, stream == nil, hasRoom else {
            early[reply.sequence] = (reply, response)
            earlyBytes += response.heldBytes
            return countUnsent()
        }
        emit(reply, response)
        emitEarly()
        guard !isHandling else { return }
        // Several answers due on one connection come one after the other: one write for all.
        if outstanding > 0, stream == nil { scheduleFlush() } else { flush() }
    }

    private func emit(_ reply: HTTPReply, _ response: HTTPResponse) {
        var closes =
            reply.closes
            || (core.isShuttingDown && reply.sequence == nextSequence - 1
                && reader.stage == .start && backlog.isEmpty)
        var body: OutgoingStream?
        if case .stream(let produce) = response.body, !reply.isHead {
            body = OutgoingStream(produce: produce, isChunked: !reply.isHTTP10)
            // Without chunks only the end of the connection tells where the body ends: any other end than
            // that in `beginDrain`, also that of the process, has to be a reset.
            closes = closes || reply.isHTTP10
            if reply.isHTTP10 { resetAtEnd(true) }
        }
        if closes, phase == .open {
            phase = .closing
            backlog = []
            pauseReading()
        }
        core.responseHead.append(
            response, to: output, isHead: reply.isHead, isHTTP10: reply.isHTTP10, closes: closes)
        guard let body else {
            output.endAnswer()
            nextToAnswer += 1
            return
        }
        stream = body
        let id = id
        core.server?.assumeIsolated { $0.startStream(on: id) }
    }

    private func emitEarly() {
        if outstanding > 0 { emitWaiting() }
        if reader.owesContinue { sendContinue() }
    }

    /// Goes on with the answers that waited until more of those before them is sent.
    func emitHeld() {
        if !early.isEmpty, stream == nil, hasRoom { emitEarly() }
    }

    private func emitWaiting() {
        while !early.isEmpty, stream == nil, hasRoom, phase != .closed,
            let next = early.removeValue(forKey: nextToAnswer)
        {
            earlyBytes -= next.response.heldBytes
            emit(next.reply, next.response)
        }
    }

    /// The stream's body is complete.
    func endStream() {
        guard stream != nil, phase != .closed else { return }
        stream = nil
        output.endAnswer()
        // What is left of it is timed like the rest of a whole answer.
        if blockedSince != nil { blockedSince = core.now }
        nextToAnswer += 1
        emitEarly()
        if !isHandling { flush() }
    }

    // MARK: The end

    /// What follows when an answer or all output has gone.
    func settle() {
        guard phase != .closed, !isHandling, output.count == 0 else { return }
        if phase == .closing, outstanding == 0 {
            beginDrain()
        } else if phase == .draining, peerEnded {
            close()
        } else if peerEnded, outstanding == 0, !isPaused {
            close()
        } else if isPaused {
            if mayStart { scheduleResume() }
        } else if core.isShuttingDown, phase == .open, outstanding == 0, reader.stage == .start {
            // Its last answer was on its way before the server began to stop.
            phase = .closing
            beginDrain()
        }
    }

    /// Whether closing the connection resets it, and drops what the kernel has not sent yet.
    private func resetAtEnd(_ isReset: Bool) {
        guard isReset != isResetAtEnd else { return }
        isResetAtEnd = isReset
        var mode = linger(l_onoff: isReset ? 1 : 0, l_linger: 0)
        setsockopt(
            descriptor, SOL_SOCKET, SO_LINGER, &mode, socklen_t(MemoryLayout<linger>.size))
    }

    private func beginDrain() {
        resetAtEnd(false)
        guard !peerEnded else {
            close()
            return
        }
        phase = .draining
        stageSince = core.now
        shutdown(descriptor, Int32(SHUT_WR))
        readWatch?.resume()
    }

    /// A server that stops: closes what is idle. What has already arrived is still answered.
    func finishForShutdown() {
        if phase == .open, !isPaused, !peerEnded { read() }
        settle()
    }

    func checkDeadlines(_ now: UInt64) {
        let limits = core.configuration
        func isPast(_ start: UInt64, _ deadline: Duration) -> Bool {
            now > start && now - start > deadline.nanoseconds
        }
        if phase == .draining {
            if isPast(stageSince, limits.drainDeadline) { close() }
            return
        }
        // A stream may take as long as it moves, from when something was there to be taken; an
        // answer that is whole has a total of its own.
        let start = stream == nil ? blockedSince : blockedSince.map { max($0, lastProgress) }
        if let start, output.count > 0, isPast(start, limits.writeDeadline) { return close() }
        if phase == .open, !isPaused {
            switch reader.stage {
            case .head: if isPast(stageSince, limits.headerDeadline) { refuse(.requestTimeout) }
            case .body: if isPast(stageSince, limits.bodyDeadline) { refuse(.requestTimeout) }
            case .start:
                if outstanding == 0, isPast(max(lastActivity, lastProgress), limits.idleDeadline) {
                    close()
                }
            }
        }
    }

    /// Ends the connection at once, whatever is under way.
    func cut() { close() }

    func close() {
        guard phase != .closed else { return }
        phase = .closed
        readWatch?.cancel()
        writeWatch?.cancel()
        Glibc.close(descriptor)
        (early, earlyBytes) = ([:], 0)
        asyncReplies = [:]
        backlog = []
        // Replies that are still to come keep the reader.
        reader.dropBody()
        output.removeAll()
        countUnsent()
        stream?.resume(isGone: true)
        stream = nil
        core.remove(id)
    }
}
