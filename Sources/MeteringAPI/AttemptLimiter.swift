// SPDX-License-Identifier: Apache-2.0

internal import Identity
internal import Synchronization

/// Slows the guessing of keys: an address (of IPv6: a network) from which many unknown keys came within
/// a minute is answered without a look at what it sends, but for keys that were right before, so that
/// those who share its address go on. Of what has the form of a key one is looked at now and then: who was
/// not known yet gets in, and guesses are too few to matter. Shared by the loops.
public final class AttemptLimiter: Sendable {
    private static let failureCountMax = 100
    private static let windowUS = 60_000_000
    private static let addressCountMax = 10_000
    private static let secretCountMax = 10_000
    /// Between two looks at what an address sends that is slowed.
    private static let lookUS = 20_000

    private struct Failures {
        var count = 0
        var since: Int
        var lookedAt = 0
    }

    private struct State {
        var failures: [String: Failures] = [:]
        /// Hashes with this process's own seed; none of them can be turned back.
        var known: Set<Int> = []
        /// The operator's: never forgotten for others.
        var operatorKey: Int?
    }

    private let state = Mutex(State())
    private let slowedCount = Atomic(0)

    public init() {}

    /// Whether what this address sends is not looked at for now.
    func isSlowed(_ address: String, _ secret: @autoclosure () -> [UInt8]) -> Bool {
        // Nobody guesses nearly always.
        guard slowedCount.load(ordering: .relaxed) > 0 else { return false }
        let secret = secret()
        let hash = secret.hashValue
        let address = GuestLimiter.network(of: address)
        return state.withLock { state in
            guard let failures = state.failures[address], failures.count >= Self.failureCountMax
            else { return false }
            let now = monotonicMicroseconds()
            if now - failures.since > Self.windowUS {
                state.failures[address] = nil
                slowedCount.subtract(1, ordering: .relaxed)
                return false
            }
            if state.operatorKey == hash || state.known.contains(hash) { return false }
            return now - failures.lookedAt < Self.lookUS || !APIKey.isWellFormed(secret)
        }
    }

    /// Whether Redis may be asked about what an address sends; of one that is slowed now and then, but for
    /// keys that were right before: what is known of them is forgotten with each change of a key.
    func mayLook(_ address: String, _ secret: [UInt8]) -> Bool {
        guard slowedCount.load(ordering: .relaxed) > 0 else { return true }
        let hash = secret.hashValue
        let address = GuestLimiter.network(of: address)
        let now = monotonicMicroseconds()
        return state.withLock { state in
            guard let failures = state.failures[address], failures.count >= Self.failureCountMax
            else { return true }
            if state.known.contains(hash) { return true }
            guard now - failures.lookedAt >= Self.lookUS else { return false }
            state.failures[address]?.lookedAt = now
            return true
        }
    }

    /// Counts a wrong secret, and takes it for no right one any more.
    func fail(_ address: String, _ secret: [UInt8]? = nil) {
        let now = monotonicMicroseconds()
        let address = GuestLimiter.network(of: address)
        let hash = secret?.hashValue
        state.withLock { state in
            if let hash { state.known.remove(hash) }
            if state.failures.count >= Self.addressCountMax { forget(&state, now) }
            var failures = state.failures[address] ?? Failures(since: now)
            if now - failures.since > Self.windowUS {
                if failures.count >= Self.failureCountMax {
                    slowedCount.subtract(1, ordering: .relaxed)
                }
                failures = Failures(since: now)
            }
            failures.count += 1
            failures.lookedAt = now
            if failures.count == Self.failureCountMax { slowedCount.add(1, ordering: .relaxed) }
            state.failures[address] = failures
        }
    }

    /// Remembers a key that was right.
    func succeed(_ secret: [UInt8], isOperator: Bool = false) {
        state.withLock { state in
            guard !isOperator else { return state.operatorKey = secret.hashValue }
            if state.known.count >= Self.secretCountMax { state.known.removeAll() }
            state.known.insert(secret.hashValue)
        }
    }

    private func forget(_ state: inout State, _ now: Int) {
        state.failures = state.failures.filter { now - $0.value.since <= Self.windowUS }
        // All of them at once: an attack from many addresses; the oldest matter least.
        if state.failures.count >= Self.addressCountMax { state.failures.removeAll() }
        slowedCount.store(
            state.failures.values.count { $0.count >= Self.failureCountMax }, ordering: .relaxed)
    }
}
