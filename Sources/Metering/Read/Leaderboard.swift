// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// A subject on a leaderboard.
public struct LeaderboardEntry: Sendable, Equatable {
    public let subject: ByteString
    public let value: Int

    public init(subject: ByteString, value: Int) {
        self.subject = subject
        self.value = value
    }

    /// Reads `[subject, negated value, …]`: boards keep negated values, so that their own order
    /// is most first and equal values by id.
    static func entries(_ reply: RedisValue) throws(MeteringError) -> [LeaderboardEntry] {
        let elements = reply.elements ?? []
        var entries: [LeaderboardEntry] = []
        for index in stride(from: 0, to: elements.count - 1, by: 2) {
            guard let subject = elements[index].bytes, let score = elements[index + 1].bytes,
                let value = Double(String(decoding: score, as: UTF8.self)).flatMap({
                    Int(exactly: $0)
                })
            else { throw .damaged(what: "a leaderboard") }
            entries.append(LeaderboardEntry(subject: ByteString(bytes: subject), value: -value))
        }
        return entries
    }
}

/// Sums of one hour, action and model.
public struct HourlyUsage: Sendable {
    /// Start of the hour, seconds since 1970.
    public let hour: Int
    public let action: ByteString
    public let model: ByteString
    public let eventCount: Int
    public let sums: [(meter: Meter, total: Int)]

    /// Nil when the cell is none of an hour.
    init?(_ cell: ArchivedDay.Cell) {
        guard let hour = cell.hour else { return nil }
        self.hour = hour
        action = cell.action
        model = cell.model
        eventCount = cell.sums.events
        sums = cell.sums.amounts.map { ($0.meter, $0.amount) }
    }

    init?(_ field: RollupField, _ cell: [MessagePackValue]) {
        guard let hour = field.hour, cell.count % 2 == 1, let count = cell[0].integer else {
            return nil
        }
        self.hour = hour
        action = field.action
        model = field.model
        eventCount = count
        sums = stride(from: 1, to: cell.count, by: 2).compactMap { index in
            // As in a file: what adds up to nothing is not told.
            guard let meter = Meter(cell[index]), let total = cell[index + 1].integer, total != 0
            else { return nil }
            return (meter, total)
        }
    }
}
