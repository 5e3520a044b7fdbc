// SPDX-License-Identifier: Apache-2.0
//
// The exact cut. A snapshot is read in many small calls while events keep coming. Each call tells,
// in the same instant, whether the day has changed and where the logs end; what the log holds from
// the cut to there is what the values of this call have too much. That is read, added up here, and
// taken off: what is left is what was counted at the cut.

internal import Redis

/// What was counted on a day since its snapshot was begun.
final class DayTail {
    private static let entriesPerRead = 20

    let table = MeterTable()
    /// How many batches had changed the day at the last look.
    private(set) var changes: Int
    /// By the fields of `hours`, until `dropCells`.
    private(set) var cells: [RollupField: DaySums]? = [:]
    private(set) var subjects: [ByteString: DaySums] = [:]
    /// Subjects below it are not asked for any more.
    private var floor = ByteString.empty
    private var keptCount = 0

    private let client: RedisClient
    private let day: CivilDay
    private let calendar: CachedCalendar
    /// Days of arrival whose logs may grow, and how far each of them was read.
    private let arrivals: [CivilDay]
    private let logs: [[UInt8]]
    private(set) var ends: [Int]

    /// - Parameter ends: as lua/cut_day.lua gives them.
    init(
        of day: CivilDay, changes: Int, ends: [Int], arrivals: [CivilDay], _ client: RedisClient,
        _ settings: WorkspaceSettings
    ) {
        self.day = day
        self.changes = changes
        self.ends = ends
        self.arrivals = arrivals
        self.client = client
        let keys = Keyspace(settings)
        logs = arrivals.map { keys.log(arrival: $0) }
        calendar = CachedCalendar(settings.calendar)
    }

    /// Forgets the sums by hour, which were all read.
    func dropCells() { cells = nil }

    /// Forgets the subjects below one.
    func drop(before subject: [UInt8]) {
        floor = ByteString(bytes: subject)
        // Seldom, so that it costs little for each subject that came.
        guard subjects.count > 2 * keptCount + 1000 else { return }
        subjects = subjects.filter { $0.key >= floor }
        keptCount = subjects.count
    }

    /// Reads the logs up to where they ended at a call.
    ///
    /// - Parameter reply: the call's first two values, of lua/include/log_ends.lua.
    func follow(_ reply: some Collection<RedisValue>) async throws(FlushError) {
        var values = reply.makeIterator()
        guard let changes = values.next()?.integer, let packed = values.next()?.bytes else {
            throw .redis(.unexpectedReply("log_ends"))
        }
        if packed.isEmpty { return }
        guard let ends = MessagePackValue(packed)?.integers, ends.count == logs.count else {
            throw .damaged("the ends of the logs")
        }
        for index in logs.indices {
            while self.ends[index] < ends[index] { try await read(index, to: ends[index]) }
        }
        self.changes = changes
    }

    private func read(_ index: Int, to end: Int) async throws(FlushError) {
        let reply: RedisValue
        do {
            reply = try await client.send(
                RedisCommand(
                    "XRANGE",
                    [
                        logs[index], Array("(0-\(ends[index])".utf8), Array("0-\(end)".utf8),
                        Array("COUNT".utf8), Array("\(Self.entriesPerRead)".utf8),
                    ]))
        } catch {
            throw .redis(error)
        }
        guard let elements = reply.elements, !elements.isEmpty else {
            throw .damaged("the log of \(arrivals[index]) has a gap")
        }
        for element in elements {
            guard let entry = LogEntry(element, arrival: arrivals[index]) else {
                throw .damaged("an entry of the log of \(arrivals[index])")
            }
            ends[index] = entry.position.number
            add(entry)
        }
    }

    private func add(_ entry: LogEntry) {
        for logged in entry.events where !entry.excluded.contains(logged.place) {
            let (day, hour) = calendar.place(logged.time)
            guard day == self.day else { continue }
            var sums = DaySums()
            sums.events = logged.count
            for (meter, amount) in logged.event.amounts { sums.add(amount, at: table.place(meter)) }
            if cells != nil {
                let field = RollupField(
                    hour: hour, action: logged.event.action, model: logged.event.model)
                cells?[field, default: DaySums()].add(sums)
            }
            let subject = entry.subjects[logged.subject]
            if subject >= floor { subjects[subject, default: DaySums()].add(sums) }
        }
    }
}
