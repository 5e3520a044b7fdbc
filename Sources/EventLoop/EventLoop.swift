// SPDX-License-Identifier: Apache-2.0
//
// One libevent base, one thread. Everything that a loop owns (sockets, timers, connections,
// batches) lives on that thread and is never shared: it is made there, by a closure given to
// `execute`, and its callbacks run there. The types that do so are plain classes and deliberately
// not `Sendable`; only the loop itself may be named from other threads.
//
// The loop is also a serial and a task executor, so that an actor that returns it from
// `unownedExecutor` runs on the loop's thread: async code costs no thread hop.

internal import CLibevent
internal import Glibc
internal import Synchronization

/// An event loop: file descriptors, timers and jobs, all on one thread.
public final class EventLoop: SerialExecutor, TaskExecutor {
    /// Why a loop, or something on it, could not be made.
    public enum Failure: Error, Sendable {
        case system(call: String, errno: Int32)
        /// A name has no address, in the resolver's words.
        case unresolved(reason: String)
    }

    private struct Inbox {
        var jobs: [UnownedJob] = []
        var closures: [@Sendable () -> Void] = []
        /// What other threads have ended, in their order.
        var ended: [Ended] = []
        var isStopped = false
        /// From the start until the thread uses the base no more.
        var isRunning = false
        var hasRun = false
    }

    /// What is ended where nobody else uses the base.
    private enum Ended {
        case event(LoopEvent)
        case descriptor(Int32)

        func finish() {
            switch self {
            case .event(let event): event.free()
            case .descriptor(let descriptor): Glibc.close(descriptor)
            }
        }
    }

    /// What only the loop's own thread touches.
    final class Local {
        var jobs: [UnownedJob] = []
        var deferred: [() -> Void] = []
        var wake: OpaquePointer?
    }

    nonisolated(unsafe) let base: OpaquePointer
    nonisolated(unsafe) let local = Local()
    private let inbox = Mutex(Inbox())
    private let wakeDescriptor: Int32
    private let thread = Atomic<UInt>(0)

    /// Makes a loop that is not running yet.
    ///
    /// - Throws: `Failure.system` when the process is out of descriptors or memory.
    public init() throws(Failure) {
        guard let base = event_base_new() else {
            throw .system(call: "event_base_new", errno: errno)
        }
        let descriptor = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
        guard descriptor >= 0 else {
            let code = errno
            event_base_free(base)
            throw .system(call: "eventfd", errno: code)
        }
        self.base = base
        self.wakeDescriptor = descriptor
        local.wake = event_new(
            base, descriptor, Int16(EV_READ | EV_PERSIST),
            { descriptor, _, _ in
                var count: UInt64 = 0
                _ = Glibc.read(descriptor, &count, 8)
            }, nil)
        event_add(local.wake, nil)
    }

    deinit {
        if let wake = local.wake { event_free(wake) }
        event_base_free(base)
        Glibc.close(wakeDescriptor)
    }

    /// Whether the caller is on this loop's thread.
    public var isCurrent: Bool { thread.load(ordering: .relaxed) == UInt(pthread_self()) }

    /// Runs the loop on the calling thread until `stop` is called.
    ///
    /// Each turn handles all events that are ready, then the jobs and deferred closures which they
    /// left behind; what those leave behind waits for the next turn, so I/O is never starved.
    ///
    /// What is left when it ends is never run. Closures are let go: they may hold what holds the loop; the tasks of
    /// jobs stay in memory.
    public func run() {
        inbox.withLock { $0.isRunning = true }
        thread.store(UInt(pthread_self()), ordering: .relaxed)
        while drain() {
            let isIdle = local.jobs.isEmpty && local.deferred.isEmpty
            event_base_loop(base, isIdle ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK)
        }
        local.deferred = []
        thread.store(0, ordering: .relaxed)
        // Let go behind the lock only: what the closures hold may end events in its turn.
        _ = inbox.withLock { inbox in
            inbox.isRunning = false
            inbox.hasRun = true
            for ended in inbox.ended { ended.finish() }
            defer { (inbox.ended, inbox.closures) = ([], []) }
            return (inbox.ended, inbox.closures)
        }
    }

    /// Starts a thread of its own that runs the loop.
    public func start() {
        let reference = Unmanaged.passRetained(self)
        // Not only when the thread has begun: another one may end events until then.
        inbox.withLock { $0.isRunning = true }
        var id = pthread_t()
        let status = pthread_create(
            &id, nil,
            { context in
                guard let context else { return nil }
                let loop = Unmanaged<EventLoop>.fromOpaque(context).takeRetainedValue()
                EventLoop.blockSignals()
                loop.run()
                return nil
            }, reference.toOpaque())
        precondition(status == 0, "pthread_create: \(status)")
        pthread_detach(id)
    }

    /// Ends `run` after the current turn. May be called from any thread, more than once.
    public func stop() {
        inbox.withLock { $0.isStopped = true }
        wake()
    }

    /// Runs a closure on the loop, in the order of calls. May be called from any thread.
    public func execute(_ closure: @escaping @Sendable () -> Void) {
        let isFirst = inbox.withLock { inbox in
            guard !inbox.hasRun else { return false }
            inbox.closures.append(closure)
            return inbox.closures.count == 1 && inbox.jobs.isEmpty
        }
        if isFirst, !isCurrent { wake() } else if isFirst { deferToTurnEnd {} }
    }

    /// Runs a closure at the end of this turn, when all events now ready have been handled: the
    /// moment to send what they gathered. On the loop's thread only.
    public func deferToTurnEnd(_ closure: @escaping () -> Void) {
        local.deferred.append(closure)
    }

    /// Closes a descriptor that was watched, behind the ends of its watches. May be called from any
    /// thread.
    ///
    /// A number that is used anew while libevent still has the old watch of it would not be watched.
    public func close(_ descriptor: Int32) { end(.descriptor(descriptor)) }

    /// Ends an event: at once, or in the next turn of the loop if another thread ends it.
    func end(_ event: LoopEvent) { end(.event(event)) }

    private func end(_ ended: Ended) {
        guard !isCurrent else { return ended.finish() }
        let isFirst = inbox.withLock { inbox in
            guard inbox.isRunning else {
                // Under the lock: several threads may let go of what an ended loop had.
                ended.finish()
                return false
            }
            inbox.ended.append(ended)
            return inbox.ended.count == 1
        }
        if isFirst { wake() }
    }

    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        guard !isCurrent else {
            local.jobs.append(job)
            return
        }
        inbox.withLock { inbox in
            inbox.jobs.append(job)
            // Under the lock: nobody but the job may hold the loop, which may be gone when it has run.
            if inbox.jobs.count == 1 && inbox.closures.isEmpty { wake() }
        }
    }

    public func checkIsolated() {
        precondition(isCurrent, "called off the thread of its event loop")
    }

    public func isIsolatingCurrentContext() -> Bool? { isCurrent }

    /// Runs what waits; false once the loop was stopped.
    private func drain() -> Bool {
        let waiting = inbox.withLock { inbox in
            defer {
                inbox.jobs.removeAll(keepingCapacity: true)
                inbox.closures.removeAll(keepingCapacity: true)
                inbox.ended.removeAll()
            }
            return inbox
        }
        for ended in waiting.ended {
            ended.finish()
            if case .event(let event) = ended { event.dropHandler() }
        }
        for job in waiting.jobs {
            job.runSynchronously(
                isolatedTo: asUnownedSerialExecutor(), taskExecutor: asUnownedTaskExecutor())
        }
        for closure in waiting.closures { closure() }
        runLocal()
        return !waiting.isStopped
    }

    private func runLocal() {
        if !local.jobs.isEmpty {
            let jobs = local.jobs
            local.jobs = []
            for job in jobs {
                job.runSynchronously(
                    isolatedTo: asUnownedSerialExecutor(), taskExecutor: asUnownedTaskExecutor())
            }
        }
        if !local.deferred.isEmpty {
            let closures = local.deferred
            local.deferred = []
            for closure in closures { closure() }
        }
    }

    private func wake() {
        var one: UInt64 = 1
        _ = Glibc.write(wakeDescriptor, &one, 8)
    }

    /// Signals are for the main thread: a loop's system calls are not to be interrupted by them.
    private static func blockSignals() {
        var all = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_BLOCK, &all, nil)
    }
}
