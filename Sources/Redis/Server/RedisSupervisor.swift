// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Observability
internal import Synchronization

/// Minds a private Redis, on a thread that does nothing else: starts it, waits for its end, starts
/// it again. Only this thread signals and reaps the child, so no signal can hit a stranger that
/// got the child's number.
final class RedisSupervisor {
    private static let stopMillisecondsMax: Int32 = 10_000
    /// How often one looks whether folder, log and socket are still there.
    private static let lookMilliseconds: Int32 = 1_000
    /// Less is a full disk: Redis takes what it could not write as a whole off again, and so leaves some room.
    private static let bytesFreeMin = 1 << 20
    /// What Redis says of a log whose last write was cut.
    private static let isCut = "Unexpected end of file reading the append only file"

    private let configuration: RedisServerConfiguration
    private let shared: RedisServerProcess.Shared
    private let restarts: Counter
    private let cutBytes: Counter
    private let logger: Logger
    private let program: String
    private let launcher: String
    private let folder: DataFolder
    private var child: ChildProcess?
    /// The socket that a child listens on, or did; nil while none has answered yet.
    private var socketFile: FileIdentity?
    /// Whether Redis runs and its data are not where they were.
    private var isAstray = false

    var socketPath: String { folder.socketPath }

    /// Locks the folder, starts Redis and waits until it answers.
    init(
        _ configuration: RedisServerConfiguration, _ shared: RedisServerProcess.Shared,
        _ restarts: Counter, _ cutBytes: Counter, _ logger: Logger
    ) throws(RedisServerError) {
        let name = configuration.executable ?? "redis-server"
        guard let program = ChildProcess.find(name) else {
            throw .notInstalled(program: name, package: "redis-server")
        }
        guard let launcher = ChildProcess.find("setpriv") else {
            throw .notInstalled(program: "setpriv", package: "util-linux")
        }
        self.configuration = configuration
        self.shared = shared
        self.restarts = restarts
        self.cutBytes = cutBytes
        self.logger = logger
        self.program = program
        self.launcher = launcher
        folder = try DataFolder(configuration.folder)
        if try start() { return }
        guard !shared.isStopping else {
            stopChild()
            folder.release()
            throw .stopped
        }
        throw whyEnded()
    }

    /// Watches Redis until it is told to stop, and stops it.
    func run() {
        var backoff = Backoff(first: .milliseconds(50), max: .seconds(5))
        var startedAt = ContinuousClock.now
        while !shared.isStopping {
            if let child {
                child.wait(orFor: shared.wake, milliseconds: Self.lookMilliseconds)
                guard !shared.isStopping else { break }
                if child.hasExited {
                    setProcessID(nil)
                    logger.error(
                        "the private Redis died; starting it again",
                        ["ending": child.ending, "log": folder.logTail()])
                    let reason = whyEnded()
                    setProblem(reason)
                    if case .storageFull = reason {
                        logger.error("the private Redis has no room", ["reason": "\(reason)"])
                    }
                } else if isWhole(), hasLostSocket {
                    logger.error(
                        "the socket of the private Redis was taken away; starting it again",
                        ["path": folder.socketPath])
                    stopChild()
                } else {
                    continue
                }
            }
            if startedAt.duration(to: .now) > .seconds(10) { backoff.reset() }
            pause(backoff.delay())
            guard !shared.isStopping else { break }
            restarts.add()
            startedAt = .now
            do throws(RedisServerError) {
                if try start() { logger.notice("the private Redis runs again") }
            } catch {
                setProblem(error)
                logger.error("the private Redis does not start", ["reason": "\(error)"])
            }
        }
        stopChild()
        folder.release()
        shared.finish()
    }

    /// Why Redis ended. It says itself that its disk is full, but where it says so is on that disk.
    private func whyEnded() -> RedisServerError {
        if let bytes = folder.bytesFree, bytes < Self.bytesFreeMin {
            return .storageFull(folder: folder.path, bytesFree: bytes)
        }
        return .exited(status: child?.ending ?? "", log: folder.logTail())
    }

    /// Starts Redis; false when it ended before it answered.
    private func start() throws(RedisServerError) -> Bool {
        try launch()
        if waitUntilReady() { return true }
        guard !shared.isStopping, folder.logTail().contains(Self.isCut) else { return false }
        try mendLog()
        try launch()
        return waitUntilReady()
    }

    /// Takes what was being written when Redis was killed off the end of its log, the transaction as a whole:
    /// nobody was told that it was done. Redis 7.0 would cut it at the last whole command (`aof-load-truncated`),
    /// and carry out its beginning together with the next transaction when it is started once more.
    private func mendLog() throws(RedisServerError) {
        guard let program = ChildProcess.find("redis-check-aof") else {
            throw .notInstalled(program: "redis-check-aof", package: "redis-tools")
        }
        let before = bytesOfLog()
        let answer = try Self.pipe(holding: "y\n")
        let log = folder.openLog()
        defer { for descriptor in [answer, log] { close(descriptor) } }
        let mending = try ChildProcess(
            program, ["redis-check-aof", "--fix", folder.manifest], input: answer, output: log,
            inherited: folder.lock.descriptors)
        while !mending.hasExited { mending.wait(orFor: -1, milliseconds: 100) }
        let cut = max(0, before - bytesOfLog())
        cutBytes.add(cut)
        logger.warning(
            "the private Redis was killed while it wrote; redis-check-aof cuts the unfinished end off",
            ["ending": mending.ending, "cut_bytes": "\(cut)"])
    }

    /// How long the files of Redis's log are together.
    private func bytesOfLog() -> Int {
        guard let end = folder.manifest.lastIndex(of: "/") else { return 0 }
        let path = folder.manifest[..<end]
        var bytes = 0
        for name in DataFolder.names(in: String(path)) {
            var facts = stat()
            let isFile = lstat("\(path)/\(name)", &facts) == 0 && facts.st_mode & S_IFMT == S_IFREG
            if isFile { bytes += Int(facts.st_size) }
        }
        return bytes
    }

    /// The end to read from of a pipe that has some text. It is in the pipe before there is a reader, and
    /// far smaller than a pipe holds.
    private static func pipe(holding text: String) throws(RedisServerError) -> Int32 {
        var ends: [Int32] = [-1, -1]
        guard Glibc.pipe(&ends) == 0 else { throw .system(call: "pipe", errno: errno) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        _ = write(ends[1], text, text.utf8.count)
        close(ends[1])
        return ends[0]
    }

    private func launch() throws(RedisServerError) {
        // Of one that is not made nobody tells that it died.
        child = nil
        setProcessID(nil)
        try checkFolder()
        folder.removeLeftovers()
        try folder.prepareSocket()
        let text = try Self.pipe(
            holding: configuration.text(folder: folder.path, socketPath: folder.socketPath))
        let log = folder.openLog()
        defer { for descriptor in [text, log] { close(descriptor) } }
        guard log >= 0 else {
            throw .folder(folder.path, reason: "log: \(systemMessage(errno))")
        }
        // Without the signal at the parent's death a killed service would leave Redis behind. No
        // signal comes of a death before it was asked for: the shell looks whether we are there.
        let command = #"[ "$PPID" = "$0" ] && exec "$1" -"#
        child = try ChildProcess(
            launcher,
            ["setpriv", "--pdeathsig", "TERM", "--", "/bin/sh", "-c", command]
                + ["\(getpid())", program],
            environment: RedisServerConfiguration.environment, input: text, output: log,
            inherited: folder.lock.descriptors)
        setProcessID(child?.id)
    }

    /// Waits until Redis answers, however long its data takes to load; false when it ended.
    private func waitUntilReady() -> Bool {
        var attempts = 0
        while let child, !child.hasExited, !shared.isStopping {
            if isAnswering() {
                socketFile = FileIdentity(folder.socketPath)
                isAstray = false
                setProblem(nil)
                return true
            }
            attempts += 1
            child.wait(orFor: shared.wake, milliseconds: attempts < 500 ? 2 : 50)
        }
        return false
    }

    /// Refuses a folder in which Redis would begin without its data.
    private func checkFolder() throws(RedisServerError) {
        try folder.checkPlace()
        try folder.checkManifest(isNeeded: socketFile != nil)
    }

    /// Whether the next start would find what Redis has. If not, that is told as long as it lasts, and Redis goes on:
    /// it may have in its memory what is nowhere else.
    private func isWhole() -> Bool {
        do throws(RedisServerError) {
            try checkFolder()
            guard isAstray else { return true }
            isAstray = false
            setProblem(nil)
            logger.notice("the private Redis has its data folder again")
            return true
        } catch {
            if !isAstray {
                logger.error("the private Redis has lost its data folder", ["reason": "\(error)"])
            }
            isAstray = true
            setProblem(error)
            return false
        }
    }

    /// Whether nobody can connect any more.
    private var hasLostSocket: Bool {
        let file = FileIdentity(folder.socketPath)
        return file == nil || file != socketFile
    }

    private func isAnswering() -> Bool { ask("PING", until: "\r\n") == "+PONG\r\n" }

    /// What the child answers to an inline command, as far as `end` and what came with it; nil if it does not.
    private func ask(_ command: String, until end: String) -> String? {
        guard let address = SocketAddress(unixPath: folder.socketPath) else { return nil }
        let type = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue
        let descriptor = socket(AF_UNIX, Int32(type), 0)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var limit = timeval(tv_sec: 0, tv_usec: 200_000)
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
        let line = Array("\(command)\r\n".utf8)
        guard address.connect(descriptor) == 0,
            send(descriptor, line, line.count, Int32(MSG_NOSIGNAL)) == line.count
        else { return nil }
        var reply = ""
        var part = [UInt8](repeating: 0, count: 4096)
        while !reply.contains(end) {
            let count = recv(descriptor, &part, part.count, 0)
            guard count > 0 else { return nil }
            reply += String(decoding: part[..<count], as: UTF8.self)
        }
        return reply
    }

    /// Tells whether Redis ends with what it acknowledged and could not write: on a full disk it refuses all that comes
    /// later, and ends when it is told to. With `appendfsync always` it acknowledges nothing then.
    private func noteUnwritten() {
        guard let state = ask("INFO persistence", until: "aof_last_cow_size"),
            state.contains("aof_last_write_status:err")
        else { return }
        shared.state.withLock { $0.isUnwritten = true }
        logger.error(
            "the private Redis could not write the last changes that it acknowledged: they are lost",
            ["folder": configuration.folder])
    }

    private func stopChild() {
        guard let child else { return }
        noteUnwritten()
        child.signal(SIGTERM)
        let deadline = ContinuousClock.now + .milliseconds(Self.stopMillisecondsMax)
        while !child.hasExited {
            // The wake descriptor stays readable now, so it cannot be waited for.
            child.wait(orFor: -1, milliseconds: 100)
            if ContinuousClock.now > deadline { child.signal(SIGKILL) }
        }
        setProcessID(nil)
        logger.info("the private Redis has ended", ["ending": child.ending])
    }

    private func pause(_ delay: Duration) {
        var wake = pollfd(fd: shared.wake, events: Int16(POLLIN), revents: 0)
        poll(&wake, 1, Int32(delay.nanoseconds / 1_000_000))
    }

    private func setProcessID(_ id: Int32?) {
        shared.state.withLock { $0.processID = id }
    }

    private func setProblem(_ problem: RedisServerError?) {
        shared.state.withLock { $0.problem = problem?.publicReason }
    }
}
