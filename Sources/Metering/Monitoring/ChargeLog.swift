// SPDX-License-Identifier: Apache-2.0
//
// Whether charges fit costs is a question about single events: of an action some may bring the cost of
// the API and others not, and rollups have no sum of those alone. The log tells it. What arrived on
// a day never changes, so each entry is read once in a process, and only its sums are kept.

internal import Redis

/// What the events of an action took, and what they should have taken by their cost.
public struct ActionCharge: Sendable, Equatable {
    public let action: ByteString
    /// Those with a cost of the API; one that was undone is none.
    public let eventCount: Int
    /// Micro-credits that they took.
    public let charged: Int
    /// Micro-credits: their cost at the credit rate that is in force, rounded once, half away from
    /// zero.
    public let expected: Int

    public var difference: Int { charged - expected }
}

/// Adds up charges and costs along the log. On its loop's thread only.
final class ChargeLog {
    private static let entriesPerRead = 20

    struct Sums: Equatable {
        var eventCount = 0
        var charged: Int128 = 0
        var cost: Int128 = 0

        /// Only events with a cost: one of 0 is told by those who know none.
        mutating func add(_ amounts: [(Meter, Int)], sign: Int) {
            guard let cost = amounts.amount(of: .costMicro), cost != 0 else { return }
            // What undoes an event has amounts below zero.
            eventCount += cost < 0 ? -sign : sign
            charged += Int128(sign) * Int128(amounts.amount(of: .creditsMicro) ?? 0)
            self.cost += Int128(sign) * Int128(cost)
        }
    }

    private struct Arrival {
        /// Number of the last entry that was read.
        var end = 0
        var days: [CivilDay: [ByteString: Sums]] = [:]
    }

    private let client: RedisClient
    private let keys: Keyspace
    private let settings: WorkspaceSettings
    private let clock: any Clock
    private let calendar: CachedCalendar
    private let laterLogs: LaterLogs
    /// By the day (UTC) on which events came.
    private var arrivals: [Int: Arrival] = [:]
    private var generation = 0
    private let name: DatasetName

    init(
        _ client: RedisClient, _ settings: WorkspaceSettings, _ clock: any Clock,
        _ laterLogs: LaterLogs
    ) {
        self.client = client
        self.settings = settings
        self.clock = clock
        self.laterLogs = laterLogs
        keys = Keyspace(settings)
        name = DatasetName(client, keys)
        calendar = CachedCalendar(settings.calendar)
    }

    /// Forgets all: another connection may lead to other data.
    func reset() {
        arrivals = [:]
        generation += 1
    }

    private var oldest: Int {
        clock.now.milliseconds.flooredQuotient(86_400_000) - settings.eventsDays
    }

    /// Goes along the log until a moment after the call. O(events that came since the last call).
    ///
    /// - Parameter deadlineMS: of the monotonic clock. What was read by then stays read.
    /// - Throws: `MeteringError.building` when the end was not reached by then.
    func catchUp(deadlineMS: Int) async throws(MeteringError) {
        // Redis may have been emptied.
        if try await !name.isKnown() { reset() }
        let oldest = oldest
        arrivals = arrivals.filter { $0.key >= oldest }
        // Clocks of other processes may be ahead by some minutes.
        let last = max(oldest + settings.eventsDays + 1, try await laterLogs.last())
        for day in oldest...last {
            while try await readOn(day) {
                guard clock.monotonicMS <= deadlineMS else {
                    throw .building(what: "the comparison of charges with costs")
                }
            }
        }
    }

    /// Reads some entries; false when there are none.
    private func readOn(_ day: Int) async throws(MeteringError) -> Bool {
        let end = arrivals[day]?.end ?? 0
        let began = generation
        let command = RedisCommand(
            "XRANGE",
            [
                keys.log(arrival: CivilDay(number: day)), Array("(0-\(end)".utf8),
                Array("+".utf8), Array("COUNT".utf8), Array("\(Self.entriesPerRead)".utf8),
            ])
        let elements: [RedisValue]
        do {
            elements = try await client.send(command).elements ?? []
        } catch {
            throw .unavailable(error)
        }
        // Another question has read them meanwhile.
        guard arrivals[day]?.end ?? 0 == end, generation == began else { return true }
        guard !elements.isEmpty else { return false }
        var arrival = arrivals[day] ?? Arrival()
        for element in elements {
            guard let entry = LogEntry(element, arrival: CivilDay(number: day)) else {
                throw .damaged(what: "an entry of the log")
            }
            for logged in entry.events
            where !logged.isMove && !entry.excluded.contains(logged.place) {
                let (day, _) = calendar.place(logged.time)
                arrival.days[day, default: [:]][logged.event.action, default: Sums()].add(
                    logged.event.amounts, sign: 1)
            }
            arrival.end = entry.position.number
        }
        arrivals[day] = arrival
        return true
    }

    /// The sums of a window's events, by action, as far as the log was read.
    func sums(_ window: CreditWindow) -> [ByteString: Sums] {
        var sums: [ByteString: Sums] = [:]
        let last = settings.calendar.day(at: (window.range.upperBound - 1).flooredQuotient(1000))
        for arrival in arrivals.values {
            for (day, actions) in arrival.days where day >= window.first && day <= last {
                for (action, its) in actions where its != Sums() {
                    sums[action, default: Sums()].eventCount += its.eventCount
                    sums[action, default: Sums()].charged += its.charged
                    sums[action, default: Sums()].cost += its.cost
                }
            }
        }
        return sums
    }

    /// What the window's events were charged and should have been, most charged first.
    ///
    /// - Parameter rate: micro-credits for a unit of currency.
    /// - Throws: `EventRejection` when a sum is past 2^53 − 1.
    static func charges(
        _ sums: [ByteString: Sums], rate: Int
    ) throws(EventRejection) -> [ActionCharge] {
        var charges: [ActionCharge] = []
        for (action, its) in sums where its != Sums() {
            let bound = Int128(EventBatch.exactIntegerMax)
            guard its.cost.magnitude <= bound.magnitude else { throw .sumOverflow }
            let product = its.cost * Int128(rate)
            let rounded = Int128((product.magnitude + 500_000) / 1_000_000)
            guard rounded <= bound, its.charged.magnitude <= bound.magnitude else {
                throw .sumOverflow
            }
            charges.append(
                ActionCharge(
                    action: action, eventCount: its.eventCount, charged: Int(its.charged),
                    expected: Int(product < 0 ? -rounded : rounded)))
        }
        return charges.sorted { ($1.charged, $0.action) < ($0.charged, $1.action) }
    }
}
