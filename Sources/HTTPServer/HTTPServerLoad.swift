// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// What the servers of one process hold together: they have bounds in common, however the system
/// spreads connections among them.
public final class HTTPServerLoad: Sendable {
    private let connections = Atomic<Int>(0)
    private let bodyBytes = Atomic<Int>(0)
    private let unsentBytes = Atomic<Int>(0)

    public init() {}

    /// Counts a connection.
    ///
    /// - Returns: how many there were before it.
    func addConnection() -> Int { connections.add(1, ordering: .relaxed).oldValue }

    var connectionCount: Int { connections.load(ordering: .relaxed) }

    func removeConnection() { connections.subtract(1, ordering: .relaxed) }

    /// Counts more, or less, that peers have not taken.
    ///
    /// - Returns: how much it is in all.
    func changeUnsent(by count: Int) -> Int {
        unsentBytes.add(count, ordering: .relaxed).newValue
    }

    /// Whether so much more of bodies may be held; if so, it is counted.
    fileprivate func takeForBodies(_ count: Int, max: Int) -> Bool {
        let (_, held) = bodyBytes.add(count, ordering: .relaxed)
        if held <= max { return true }
        giveBack(count)
        return false
    }

    fileprivate func giveBack(_ count: Int) { bodyBytes.subtract(count, ordering: .relaxed) }
}

/// What one body takes of the memory for bodies. It goes with the request, and is given back when
/// nobody has that any more.
final class BodyShare: Sendable {
    private let load: HTTPServerLoad
    private let taken = Atomic<Int>(0)

    init(of load: HTTPServerLoad) { self.load = load }

    deinit { load.giveBack(taken.load(ordering: .relaxed)) }

    /// Whether the body may grow to so much.
    func grow(to size: Int, max: Int) -> Bool {
        let added = size - taken.load(ordering: .relaxed)
        guard load.takeForBodies(added, max: max) else { return false }
        taken.add(added, ordering: .relaxed)
        return true
    }
}
