// SPDX-License-Identifier: Apache-2.0

/// What the log holds since a board was begun to be built: what values that are read later have too
/// much.
final class BoardTail {
    private let follower: LogFollower
    private let meter: Int
    /// The days that are read by subject; nil for all there are. What else the log holds is not in
    /// the values.
    private let days: Set<Int>?
    private var ends: LogEnds
    private(set) var sums: [ByteString: Int] = [:]
    /// Of days that are read for themselves.
    private(set) var apart: [Int: [ByteString: Int]]

    init(
        _ follower: LogFollower, meter: Int, days: Set<Int>?, apart: [Int], from ends: LogEnds
    ) {
        self.apart = Dictionary(uniqueKeysWithValues: apart.map { ($0, [:]) })
        self.follower = follower
        self.meter = meter
        self.days = days
        self.ends = ends
    }

    /// Reads on to where the logs ended at some call.
    ///
    /// - Parameter numbers: as lua/include/ends_of.lua gives them.
    func follow(to numbers: [Int]) async throws(MeteringError) {
        guard numbers.count == ends.numbers.count else { throw .damaged(what: "ends of the logs") }
        for (day, number) in zip(ends.days, numbers) {
            while ends[day] < number {
                let entries = try await follower.read(day, after: ends[day], through: number)
                guard !entries.isEmpty else { throw .damaged(what: "the log has a gap") }
                for entry in entries { add(entry) }
                ends[day] = entries.last?.number ?? number
            }
        }
    }

    private func add(_ entry: LogItems) {
        for item in entry.items where item.meter == meter {
            let day = item.day.number
            if apart[day] != nil {
                apart[day]?[item.subject, default: 0] += item.amount
            } else if days?.contains(day) ?? true {
                sums[item.subject, default: 0] += item.amount
            }
        }
    }
}
