// SPDX-License-Identifier: Apache-2.0
//
// The C library's resolver blocks, for many seconds where a name server does not answer. So it has a
// few threads of its own, and nobody waits for it to the end.

internal import CCurl
internal import Glibc
internal import Synchronization

/// An address that a host has.
struct HostAddress: Sendable, Equatable {
    /// As libcurl reads it.
    let text: String
    let isPublic: Bool
}

/// Looks up the addresses of hosts. From any thread.
final class HostLookups: Sendable {
    enum Answer: Sendable, Equatable {
        case found([HostAddress])
        /// There is no such name, or it has no address.
        case missing
        /// The name server did not answer in time.
        case silent
        /// It was not asked: too many others wait.
        case unasked
    }

    /// How the C library, or a test, looks up a name. It may block.
    typealias Resolver = @Sendable (_ host: String) -> Answer

    /// Those who wait for a name.
    private struct Lookup {
        var waiters: [Int: CheckedContinuation<Answer, Never>] = [:]
        /// On whose behalf: the first of them who has a turn has it for all.
        var senders: Set<String> = []
        var isRunning = false
    }

    private struct Place: Turn {
        let sender: String
        let host: String
    }

    private struct State {
        /// By host: each is looked up once at a time, whoever wants it.
        var lookups: [String: Lookup] = [:]
        var turns = Turns<Place>(countMax: 12, ofSenderMax: 4, ofHostMax: 1)
        var lastWaiter = 0
    }

    private let state = Mutex(State())
    private let resolve: Resolver
    private let patience: Duration

    /// - Parameter patience: how long anybody waits.
    init(patience: Duration = .seconds(3), resolve: @escaping Resolver = HostLookups.system) {
        self.patience = patience
        self.resolve = resolve
    }

    /// Looks up a host; numbers are not names, and are answered at once.
    ///
    /// - Parameter sender: on whose behalf.
    func addresses(of host: String, for sender: String) async -> Answer {
        let waiter = state.withLock { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
        var timer: Task<Void, any Error>?
        defer { timer?.cancel() }
        return await withCheckedContinuation { continuation in
            let place = state.withLock { state -> Place? in
                var lookup = state.lookups[host] ?? Lookup()
                lookup.waiters[waiter] = continuation
                let isNew = lookup.senders.insert(sender).inserted && !lookup.isRunning
                state.lookups[host] = lookup
                if isNew { state.turns.add(Place(sender: sender, host: host)) }
                return Self.next(&state)
            }
            timer = Task {
                try await Task.sleep(for: patience)
                giveUp(host, waiter)
            }
            if let place { start(place) }
        }
    }

    private static func next(_ state: inout State) -> Place? {
        let place = state.turns.next()
        if let place { state.lookups[place.host]?.isRunning = true }
        return place
    }

    private func start(_ place: Place) {
        let isStarted = startThread {
            tally_hurry_lookups()
            var next: Place? = place
            while let place = next { next = self.finish(place, self.resolve(place.host)) }
        }
        var next: Place? = isStarted ? nil : place
        while let place = next { next = finish(place, .unasked) }
    }

    /// Tells those who wait still; returns what the thread looks up next.
    private func finish(_ place: Place, _ answer: Answer) -> Place? {
        let (waiters, next) = state.withLock { state in
            state.turns.end(place)
            _ = state.turns.remove { $0.host == place.host }
            let lookup = state.lookups.removeValue(forKey: place.host)
            return (lookup?.waiters ?? [:], Self.next(&state))
        }
        for waiter in waiters.values { waiter.resume(returning: answer) }
        return next
    }

    private func giveUp(_ host: String, _ waiter: Int) {
        let (continuation, wasAsked) = state.withLock { state in
            guard let continuation = state.lookups[host]?.waiters.removeValue(forKey: waiter)
            else { return (nil as CheckedContinuation<Answer, Never>?, false) }
            let wasAsked = state.lookups[host]?.isRunning == true
            // What nobody waits for is not begun.
            if !wasAsked, state.lookups[host]?.waiters.isEmpty == true {
                state.lookups[host] = nil
                _ = state.turns.remove { $0.host == host }
            }
            return (continuation, wasAsked)
        }
        continuation?.resume(returning: wasAsked ? .silent : .unasked)
    }

    /// Asks the C library.
    static func system(_ host: String) -> Answer {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, nil, &hints, &list)
        guard status == 0 else { return status == EAI_AGAIN ? .silent : .missing }
        defer { if let list { freeaddrinfo(list) } }
        var found: [HostAddress] = []
        var next = list
        while let info = next {
            next = info.pointee.ai_next
            var text = [CChar](repeating: 0, count: 64)
            let length = socklen_t(text.count)
            guard
                getnameinfo(
                    info.pointee.ai_addr, info.pointee.ai_addrlen, &text, length, nil, 0,
                    NI_NUMERICHOST) == 0
            else { continue }
            let address = UnsafeRawBufferPointer(
                start: info.pointee.ai_addr, count: Int(info.pointee.ai_addrlen))
            let name = String(
                decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            // libcurl takes no zone with an address of a link.
            if name.contains("%") { continue }
            found.append(HostAddress(text: name, isPublic: Destination.isPublic(address)))
        }
        return found.isEmpty ? .missing : .found(found)
    }
}

/// Runs something on a thread of its own that takes no signals; false when there is none left.
func startThread(_ body: @escaping @Sendable () -> Void) -> Bool {
    final class Job: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    let reference = Unmanaged.passRetained(Job(body))
    var thread = pthread_t()
    let code = pthread_create(
        &thread, nil,
        { context in
            guard let context else { return nil }
            var all = sigset_t()
            sigfillset(&all)
            pthread_sigmask(SIG_BLOCK, &all, nil)
            Unmanaged<Job>.fromOpaque(context).takeRetainedValue().body()
            return nil
        }, reference.toOpaque())
    guard code == 0 else {
        reference.release()
        return false
    }
    pthread_detach(thread)
    return true
}
