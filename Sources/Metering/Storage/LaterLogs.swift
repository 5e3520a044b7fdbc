// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// Finds the logs of days to come, which a clock that was ahead has left. On its loop's thread only.
final class LaterLogs {
    /// How far ahead they are looked for.
    private static let daysMax = 400

    private let client: RedisClient
    private let keys: Keyspace
    private var found: (today: Int, last: Int)?

    init(_ client: RedisClient, _ keys: Keyspace) {
        self.client = client
        self.keys = keys
    }

    /// Has Redis asked again: it may have other data.
    func forget() { found = nil }

    /// The last day of arrival whose log may hold something: clocks of other processes may be ahead by
    /// some minutes, so it is tomorrow at least. Redis is asked when the day is another one, for
    /// that is what a clock that is set back makes of it.
    ///
    /// - Parameter today: by the clock (UTC).
    func last(on today: Int) async throws(MeteringError) -> Int {
        if let found, found.today == today { return found.last }
        let first = today + 2
        let names = (0..<Self.daysMax).map { keys.log(arrival: CivilDay(number: first + $0)) }
        var last = today + 1
        // Mostly there is none, which costs one command.
        if try await send("EXISTS", names) != 0 {
            for (place, name) in names.enumerated() where try await send("EXISTS", [name]) == 1 {
                last = first + place
            }
        }
        found = (today, last)
        return last
    }

    private func send(
        _ name: StaticString, _ names: [[UInt8]]
    ) async throws(MeteringError) -> Int? {
        do {
            return try await client.send(RedisCommand(name, names)).integer
        } catch {
            throw .unavailable(error)
        }
    }
}
