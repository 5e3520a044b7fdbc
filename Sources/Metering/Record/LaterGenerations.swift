// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// The days behind today that ids were remembered on: there are some where the clock went back, and an
/// id that came before it did is looked for on them, too. Otherwise this costs a comparison.
struct LaterGenerations {
    /// How far ahead is looked for ids of those that counted before. None is remembered for longer.
    static let daysMax = 36

    /// Whether Redis was asked for those that others counted, or this process before it was started anew.
    var isComplete = false
    private var current = Int.min
    private var latest = Int.min
    private var days: Set<Int> = []

    /// Takes notice of what the clock says.
    mutating func see(_ now: Timestamp) {
        let day = now.idGeneration
        guard day != current else { return }
        current = day
        add(day)
    }

    mutating func add(_ day: Int) {
        days = days.filter { $0 > day - Self.daysMax }
        days.insert(day)
        latest = max(latest, day)
    }

    /// Those that are not among the ones that the window reaches, the first of which is today's.
    func others(than known: [Int]) -> [Int] {
        guard let today = known.max(), latest > today else { return [] }
        return days.filter { $0 > today }.sorted()
    }
}

extension EventBatcher {
    /// Asks Redis which days behind today have ids, once, and goes on.
    func lookAhead() {
        guard !isLookingAhead else { return }
        isLookingAhead = true
        let today = clock.now.idGeneration
        var left = LaterGenerations.daysMax
        for day in today + 1...today + LaterGenerations.daysMax {
            let command = RedisCommand("EXISTS", [keys.ids(generation: day)])
            client.send(command) { [self] result in
                if case .success(let reply) = result, reply.integer == 1 { later.add(day) }
                left -= 1
                guard left == 0 else { return }
                isLookingAhead = false
                // Without a connection it asks again when there is one.
                if case .failure(.disconnected) = result { return }
                if case .failure(.timedOut) = result { return }
                later.isComplete = true
                scheduleFlush()
            }
        }
    }
}
