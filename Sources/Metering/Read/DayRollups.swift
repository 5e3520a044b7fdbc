// SPDX-License-Identifier: Apache-2.0
//
// Redis counts how often a day has changed, in the step that changes it. So the sums of a day that
// were read once hold as long as that number stays, and a year is told by the days that changed.

internal import Redis

/// Reads what days add up to in Redis, and keeps it in memory. On its loop's thread only.
final class DayRollups {
    /// Sums of an action and a model, on a day or in one of its hours.
    struct Rollup {
        let field: RollupField
        let eventCount: Int
        let amounts: [(meter: Meter, amount: Int)]

        func amount(of meter: Meter) -> Int { amounts.first { $0.meter == meter }?.amount ?? 0 }
    }

    struct Day {
        let rollups: [Rollup]
        /// How many subjects have used something on the day; nil while some have not left it.
        let subjectCount: Int?
        /// Of all actions and models together; past what is exact where it is more than that.
        private(set) var eventCount = 0
        private var amounts: [Meter: Int] = [:]

        init(rollups: [Rollup], subjectCount: Int?) {
            self.rollups = rollups
            self.subjectCount = subjectCount
            for rollup in rollups {
                eventCount = Self.sum(eventCount, rollup.eventCount)
                for (meter, amount) in rollup.amounts {
                    amounts[meter] = Self.sum(amounts[meter] ?? 0, amount)
                }
            }
        }

        /// As `eventCount`.
        func amount(of meter: Meter) -> Int { amounts[meter] ?? 0 }

        private static func sum(_ left: Int, _ right: Int) -> Int {
            let (sum, overflows) = left.addingReportingOverflow(right)
            return overflows ? .max : sum
        }
    }

    /// Days on which something was counted, as they were at a moment after the call.
    struct Reading {
        fileprivate(set) var days: [CivilDay: Day] = [:]
        fileprivate var revisions: [CivilDay: Int] = [:]
        fileprivate let isHourly: Bool
        fileprivate let generation: Int

        /// Whether all days before one were known already: how often each had changed was told with
        /// them, and neither leaving Redis nor coming back changes a day.
        func isKnown(before day: CivilDay) -> Bool { revisions.keys.allSatisfy { $0 >= day } }
    }

    private struct Place: Hashable {
        let day: CivilDay
        let isHourly: Bool
    }

    private struct Kept {
        let day: Day
        let revision: Int
        var use: Int
    }

    /// Hashes that are asked for in one go.
    private static let daysPerTurn = 60
    /// Some megabytes.
    private static let rollupCountMax = 20_000

    private let client: RedisClient
    private let keys: Keyspace
    private var kept: [Place: Kept] = [:]
    private var rollupCount = 0
    private var uses = 0
    private var generation = 0
    /// The name of the data that `kept` is of.
    private var dataset: [UInt8]?

    init(client: RedisClient, keys: Keyspace) {
        self.client = client
        self.keys = keys
    }

    /// Forgets all: another connection may lead to other data.
    func forget() {
        kept = [:]
        rollupCount = 0
        generation += 1
    }

    /// What some days add up to. O(days + actions and models of those that changed since they were read).
    ///
    /// - Parameters:
    ///   - days: that have not left Redis; whoever cannot know looks afterwards whether one did.
    ///   - isHourly: whether to tell hours apart. Subjects are counted for whole days only.
    func read(_ days: [CivilDay], isHourly: Bool) async throws(MeteringError) -> Reading {
        var reading = Reading(isHourly: isHourly, generation: generation)
        guard !days.isEmpty else { return reading }
        let fields = days.map { Array("\($0.number)".utf8) }
        let state = try await send([
            RedisCommand("HMGET", [keys.changes] + fields),
            RedisCommand(
                "HMGET", [keys.meta] + ["closed_before", "dataset"].map { Array($0.utf8) }),
        ])
        guard state.count == 2, let revisions = state[0].elements, revisions.count == days.count,
            let meta = state[1].elements, meta.count == 2
        else { throw .damaged(what: "the counts of changes") }
        let open = meta[0].decimal ?? .min
        // Redis was emptied meanwhile: days begin anew, and with them their numbers.
        if meta[1].bytes != dataset {
            if dataset != nil { forget() }
            dataset = meta[1].bytes
        }
        uses += 1
        var changed: [CivilDay] = []
        for (day, reply) in zip(days, revisions) {
            // Of others nothing was ever counted.
            guard let revision = reply.decimal else { continue }
            let place = Place(day: day, isHourly: isHourly)
            if let known = kept[place], known.revision == revision,
                isHourly || day.number >= open || known.day.subjectCount != nil
            {
                reading.days[day] = known.day
                kept[place]?.use = uses
            } else {
                reading.revisions[day] = revision
                changed.append(day)
            }
        }
        for from in stride(from: 0, to: changed.count, by: Self.daysPerTurn) {
            let turn = changed[from..<min(from + Self.daysPerTurn, changed.count)]
            try await read(turn, open: open, into: &reading)
        }
        return reading
    }

    /// Keeps what was read, once its reader knows that no day left, or came back, meanwhile.
    func keep(_ reading: Reading) {
        guard reading.generation == generation else { return }
        for (day, revision) in reading.revisions {
            guard let read = reading.days[day] else { continue }
            let place = Place(day: day, isHourly: reading.isHourly)
            if let old = kept[place] {
                guard old.revision <= revision else { continue }
                rollupCount -= old.day.rollups.count
            }
            kept[place] = Kept(day: read, revision: revision, use: uses)
            rollupCount += read.rollups.count
        }
        guard rollupCount > Self.rollupCountMax else { return }
        for (place, old) in kept.sorted(by: { $0.value.use < $1.value.use }) {
            kept[place] = nil
            rollupCount -= old.day.rollups.count
            if rollupCount <= Self.rollupCountMax { return }
        }
    }

    private func read(
        _ days: ArraySlice<CivilDay>, open: Int, into reading: inout Reading
    ) async throws(MeteringError) {
        let isHourly = reading.isHourly
        let replies = try await send(
            days.flatMap {
                [
                    RedisCommand("HGETALL", [isHourly ? keys.hours($0) : keys.day($0)]),
                    RedisCommand("HLEN", [keys.use($0)]),
                ]
            })
        guard replies.count == 2 * days.count else { throw .damaged(what: "the rollups") }
        for (index, day) in days.enumerated() {
            let pairs = replies[2 * index].elements ?? []
            let rollups = try stride(from: 0, to: pairs.count - 1, by: 2).map {
                place throws(MeteringError) in
                try Self.rollup(pairs[place], pairs[place + 1], isHourly: isHourly)
            }
            reading.days[day] = Day(
                rollups: rollups,
                subjectCount: isHourly || day.number >= open ? nil : replies[2 * index + 1].integer)
        }
    }

    private static func rollup(
        _ name: RedisValue, _ entry: RedisValue, isHourly: Bool
    ) throws(MeteringError) -> Rollup {
        guard let field = name.bytes.flatMap({ RollupField($0, isHourly: isHourly) }),
            let values = entry.bytes.flatMap({ MessagePackValue($0) })?.array,
            let count = values.first?.integer
        else { throw .damaged(what: "a rollup") }
        let amounts = stride(from: 1, to: values.count - 1, by: 2).compactMap { place in
            Meter(values[place]).map { (meter: $0, amount: values[place + 1].integer ?? 0) }
        }
        return Rollup(field: field, eventCount: count, amounts: amounts)
    }

    private func send(_ commands: [RedisCommand]) async throws(MeteringError) -> [RedisValue] {
        do {
            return try await client.send(commands)
        } catch {
            throw .unavailable(error)
        }
    }
}
