// SPDX-License-Identifier: Apache-2.0

internal import CHiredis
internal import Glibc
public import Observability
internal import Synchronization

/// A private Redis: a child process on a data folder, reachable through a unix socket only.
///
/// It is started again, with its data, when it dies, and it ends when this process ends, however
/// that happens. May be used from any thread.
public final class RedisServerProcess: Sendable {
    /// What the callers share with the thread that minds the child.
    final class Shared: Sendable {
        struct State {
            var processID: Int32?
            var problem: String?
            var isStopping = false
            var isFinished = false
            var isUnwritten = false
            var waiting: [CheckedContinuation<Void, Never>] = []
        }
        let state = Mutex(State())
        let wake: Int32

        init() throws(RedisServerError) {
            wake = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
            guard wake >= 0 else { throw .system(call: "eventfd", errno: errno) }
        }

        deinit { close(wake) }

        var isStopping: Bool { state.withLock { $0.isStopping } }

        func requestStop() {
            state.withLock { $0.isStopping = true }
            var one: UInt64 = 1
            _ = Glibc.write(wake, &one, 8)
        }

        func finish() {
            let waiting = state.withLock { state in
                state.isFinished = true
                state.processID = nil
                return state.waiting
            }
            for continuation in waiting { continuation.resume() }
        }
    }

    /// Where clients connect to.
    public let address: RedisConfiguration.Address
    private let shared: Shared

    private init(address: RedisConfiguration.Address, shared: Shared) {
        self.address = address
        self.shared = shared
    }

    /// The child's process id, while one runs.
    public var processID: Int32? { shared.state.withLock { $0.processID } }

    /// Why the child does not run, or would not find its data again, in words for anybody; nil while all is well, or
    /// when nothing more is known than that nobody can connect.
    public var problem: String? { shared.state.withLock { $0.problem } }

    /// Locks the data folder, starts Redis, and waits until it has loaded its data and answers.
    ///
    /// - Throws: `locked` when another process has the folder, `notInstalled` without Redis,
    ///   `exited` with Redis' own words when it does not come up, `stopped` when the task was cancelled and
    ///   Redis has ended.
    public static func start(
        _ configuration: RedisServerConfiguration, metrics: MetricsRegistry, logger: Logger
    ) async throws(RedisServerError) -> RedisServerProcess {
        let shared = try Shared()
        let restarts = metrics.counter(
            "tally_redis_child_restarts_total", help: "Times the private Redis was started again.")
        let cutBytes = metrics.counter(
            "tally_redis_log_cut_bytes_total",
            help: "Bytes of unfinished writes that were cut off the end of the private Redis's log."
        )
        let outcome: Result<String, RedisServerError> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                // One thread for all of the child's life: see ChildProcess.
                let job = ThreadJob {
                    let supervisor: RedisSupervisor
                    do throws(RedisServerError) {
                        supervisor = try RedisSupervisor(
                            configuration, shared, restarts, cutBytes, logger)
                    } catch {
                        return continuation.resume(returning: .failure(error))
                    }
                    continuation.resume(returning: .success(supervisor.socketPath))
                    supervisor.run()
                }
                if let code = job.start() {
                    continuation.resume(
                        returning: .failure(.system(call: "pthread_create", errno: code)))
                }
            }
        } onCancel: {
            shared.requestStop()
        }
        return RedisServerProcess(address: .unix(try outcome.get()), shared: shared)
    }

    /// Ends Redis and waits for it: politely at first, after ten seconds by force. Returns when
    /// the folder is free again. May be called more than once.
    ///
    /// - Returns: false when it ended with changes that it had acknowledged and could not write,
    ///   which only `everysec` allows.
    @discardableResult
    public func stop() async -> Bool {
        shared.requestStop()
        await withCheckedContinuation { continuation in
            let isFinished = shared.state.withLock { state in
                if !state.isFinished { state.waiting.append(continuation) }
                return state.isFinished
            }
            if isFinished { continuation.resume() }
        }
        return !shared.state.withLock { $0.isUnwritten }
    }
}
