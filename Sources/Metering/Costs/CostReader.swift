// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// Reads what days cost, hour by hour, and what single subjects did. On its loop's thread only.
final class CostReader {
    private static let daysPerTurn = 31

    /// By what it can be told whether anything was counted meanwhile, or days have come or gone.
    struct Mark: Equatable {
        let cold: Set<CivilDay>
        /// For each day, how many batches have changed it.
        let changes: [RedisValue]
    }

    private let client: RedisClient
    private let keys: Keyspace
    private let calendar: WorkspaceCalendar
    private let archive: Archive
    private let rollups: DayRollups
    /// By the starts of hours.
    private var clockHours: [Int: Int] = [:]
    private(set) var warnings: [String] = []

    init(
        client: RedisClient, settings: WorkspaceSettings, archive: Archive, rollups: DayRollups
    ) {
        self.client = client
        keys = Keyspace(settings)
        calendar = settings.calendar
        self.archive = archive
        self.rollups = rollups
    }

    func mark(_ days: [CivilDay]) async throws(MeteringError) -> Mark {
        let cold = try await archive.coldDays().intersection(days)
        var changes: [RedisValue] = []
        if !days.isEmpty {
            let fields = days.map { Array("\($0.number)".utf8) }
            changes = try await send([RedisCommand("HMGET", [keys.changes] + fields)])
        }
        return Mark(cold: cold, changes: changes)
    }

    // MARK: Days

    /// The days that have not left Redis, by hour.
    func read(_ days: [CivilDay]) async throws(MeteringError) -> DayRollups.Reading {
        try await rollups.read(days, isHourly: true)
    }

    /// Keeps them for the next question; see `DayRollups.keep`.
    func keep(_ reading: DayRollups.Reading) { rollups.keep(reading) }

    /// What each of some days cost, by hour of the clock. O(days * their hours, actions and models).
    func hours(
        of days: [CivilDay], _ reading: DayRollups.Reading, cold: Set<CivilDay>
    ) async throws -> [CivilDay: [Int: CostSums]] {
        var hours: [CivilDay: [Int: CostSums]] = [:]
        for (day, read) in reading.days {
            var sums: [Int: CostSums] = [:]
            for rollup in read.rollups {
                guard let start = rollup.field.hour else { continue }
                try sums[clockHour(start), default: CostSums()].add(CostSums(rollup))
            }
            hours[day] = sums
        }
        for day in days where cold.contains(day) {
            let head: ArchivedDay
            do throws(ArchiveError) {
                head = try await archive.head(day)
            } catch {
                warn("\(error)")
                continue
            }
            var sums: [Int: CostSums] = [:]
            for cell in head.cells {
                guard let start = cell.hour else { continue }
                try sums[clockHour(start), default: CostSums()].add(CostSums(cell.sums))
            }
            hours[day] = sums
        }
        return hours
    }

    /// The hour that the zone's clock shows at the start of one.
    private func clockHour(_ start: Int) -> Int {
        if let hour = clockHours[start] { return hour }
        let begin = calendar.start(ofHour: start)
        let hour = ((begin + calendar.offset(at: begin)).flooredQuotient(3600) % 24 + 24) % 24
        clockHours[start] = hour
        return hour
    }

    // MARK: Subjects

    /// What each of some subjects cost over days. O(subjects * days).
    func sums(
        of subjects: [SubjectID], on days: [CivilDay], cold: Set<CivilDay>
    ) async throws -> [CostSums] {
        guard !subjects.isEmpty else { return [] }
        let ids = subjects.map(\.id.bytes)
        // A subject leaves its record for `use`, and never the other way: records are read first.
        let first = try await send([RedisCommand("HMGET", [keys.subjects] + ids)])
        let records = try (first.first?.elements ?? []).map { value in
            try value.bytes.map { bytes in
                guard let record = SubjectRecord(bytes) else {
                    throw MeteringError.damaged(what: "a subject's record")
                }
                return record
            }
        }
        guard records.count == ids.count else {
            throw MeteringError.damaged(what: "the subjects")
        }
        var sums = Array(repeating: CostSums(), count: ids.count)
        let hot = days.filter { !cold.contains($0) }
        for from in stride(from: 0, to: hot.count, by: Self.daysPerTurn) {
            let turn = hot[from..<min(from + Self.daysPerTurn, hot.count)]
            let replies = try await send(turn.map { RedisCommand("HMGET", [keys.use($0)] + ids) })
            for (day, reply) in zip(turn, replies) {
                let entries = reply.elements ?? []
                for index in ids.indices where index < entries.count {
                    if let bytes = entries[index].bytes {
                        guard let values = MessagePackValue(bytes)?.array else {
                            throw MeteringError.damaged(what: "what a subject used on a day")
                        }
                        try sums[index].add(CostSums(values, from: 3))
                    } else if let record = records[index], record.day == day {
                        try sums[index].add(CostSums(record))
                    }
                }
            }
        }
        for day in days where cold.contains(day) {
            for index in ids.indices {
                let use: ArchivedSubject?
                do throws(ArchiveError) {
                    use = try await archive.use(of: subjects[index], on: day)
                } catch {
                    warn("\(error)")
                    break
                }
                if let use { try sums[index].add(CostSums(use.sums)) }
            }
        }
        return sums
    }

    private func warn(_ text: String) {
        if !warnings.contains(text) { warnings.append(text) }
    }

    private func send(_ commands: [RedisCommand]) async throws(MeteringError) -> [RedisValue] {
        do {
            return try await client.send(commands)
        } catch {
            throw .unavailable(error)
        }
    }
}

extension CostSums {
    fileprivate init(_ sums: ArchivedSums) {
        self.init(cost: sums.amount(of: .costMicro), messages: sums.amount(of: .messages))
    }

    fileprivate init(_ record: SubjectRecord) {
        self.init()
        for (meter, _, ofDay) in record.meters {
            if meter == .costMicro { cost = ofDay }
            if meter == .messages { messages = ofDay }
        }
    }

    fileprivate init(_ rollup: DayRollups.Rollup) {
        self.init(cost: rollup.amount(of: .costMicro), messages: rollup.amount(of: .messages))
    }

    /// Reads meters and amounts as scripts keep them, behind some other values.
    fileprivate init(_ values: [MessagePackValue], from start: Int) {
        self.init()
        for place in stride(from: start, to: values.count - 1, by: 2) {
            let meter = Meter(values[place])
            if meter == .costMicro { cost = values[place + 1].integer ?? 0 }
            if meter == .messages { messages = values[place + 1].integer ?? 0 }
        }
    }
}
