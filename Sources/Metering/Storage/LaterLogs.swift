// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// Finds the logs of days to come, which a clock that was ahead has left. On its loop's thread only.
final class LaterLogs {
    /// How far ahead they are looked for.
    private static let daysMax = 400
    /// How often they are looked for: another process's clock may have been ahead.
    private static let lookMS = 10_000

    private let client: RedisClient
    private let keys: Keyspace
    private let clock: any Clock
    private var found: (today: Int, last: Int, atMS: Int)?

    init(_ client: RedisClient, _ keys: Keyspace, _ clock: any Clock) {
        self.client = client
        self.keys = keys
        self.clock = clock
    }

    /// Has Redis asked again: it may have other data.
    func forget() { found = nil }

    /// The last day that has a log (UTC); today if none of those behind it has. Redis is asked when the day
    /// is another one, as when the clock was set back, and every ten seconds.
    func last() async throws(MeteringError) -> Int {
        let today = clock.now.milliseconds.flooredQuotient(86_400_000)
        let now = clock.monotonicMS
        if let found, found.today == today, now - found.atMS < Self.lookMS { return found.last }
        let first = today + 1
        let names = (0..<Self.daysMax).map { keys.log(arrival: CivilDay(number: first + $0)) }
        var last = today
        // Mostly there is none, which costs one command.
        if try await send([names]).first?.integer != 0 {
            let isThere = try await send(names.map { [$0] })
            last = isThere.lastIndex { $0.integer == 1 }.map { first + $0 } ?? today
        }
        found = (today, last, now)
        return last
    }

    /// Asks how many of each list of logs there are.
    private func send(_ lists: [[[UInt8]]]) async throws(MeteringError) -> [RedisValue] {
        do {
            return try await client.send(lists.map { RedisCommand("EXISTS", $0) })
        } catch {
            throw .unavailable(error)
        }
    }
}
