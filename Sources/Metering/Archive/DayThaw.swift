// SPDX-License-Identifier: Apache-2.0

internal import Observability
internal import Redis

/// Brings one day back into Redis from its file.
///
/// Others may do the same at the same time: what is written is what the file says, and each call
/// looks whether the day is still away. The mark that says so goes last, when all is there.
final class DayThaw {
    /// How often it is begun anew when the day came and went meanwhile.
    private static let tries = 3
    /// Per call, so that none takes more than about a millisecond of Redis.
    private static let subjectsPerCall = 100
    private static let cellsPerCall = 100

    private let day: CivilDay
    private let archive: Archive
    private let client: RedisClient
    private let keys: Keyspace
    private let ranked: [Meter]
    private let packer = MessagePackWriter()
    private var revision = 0
    /// Subjects on each board.
    private var rankedCounts: [Int]
    private var subjectCount = 0

    init(
        _ day: CivilDay, _ archive: Archive, _ client: RedisClient, _ settings: WorkspaceSettings
    ) {
        self.day = day
        self.archive = archive
        self.client = client
        ranked = settings.rankedMeters
        rankedCounts = ranked.map { _ in 0 }
        keys = Keyspace(settings)
    }

    /// Returns when the day is in Redis, as all of it.
    func run() async throws {
        for _ in 0..<Self.tries {
            guard let revision = try await archive.revision(ofCold: day) else { return }
            self.revision = revision
            if try await attempt() { return }
        }
        throw MeteringError.damaged(what: "the keys of \(day)")
    }

    /// Whether the day is back.
    private func attempt() async throws -> Bool {
        let head = try await archive.head(day)
        subjectCount = 0
        for index in rankedCounts.indices { rankedCounts[index] = 0 }
        var isAway = true
        try await archive.eachSubject(of: day) { subjects in
            count(subjects)
            for start in stride(from: 0, to: subjects.count, by: Self.subjectsPerCall) where isAway
            {
                let slice = subjects[start..<min(start + Self.subjectsPerCall, subjects.count)]
                isAway = try await send { writeSubjects(slice) } == 1
            }
        }
        let whole = Self.sums(
            head.cells.map { cell in
                var cell = cell
                cell.hour = nil
                return cell
            })
        for (cells, isHourly) in [(head.cells, true), (whole, false)] {
            for start in stride(from: 0, to: cells.count, by: Self.cellsPerCall) where isAway {
                let slice = cells[start..<min(start + Self.cellsPerCall, cells.count)]
                isAway = try await send { writeCells(slice, isHourly: isHourly) } == 1
            }
        }
        // Another one was done first.
        guard isAway else { return try await archive.revision(ofCold: day) == nil }
        guard subjectCount == head.subjectCount else {
            throw ArchiveError.damaged(file: archive.name(day), reason: "its number of subjects")
        }
        packer.integers([subjectCount, head.cells.count, whole.count] + rankedCounts)
        let counts = packer.take()
        let reply = try await send(last: counts) { writeNothing() }
        if reply == 0 { return try await archive.revision(ofCold: day) == nil }
        return reply == 1
    }

    private func count(_ subjects: [ArchivedSubject]) {
        subjectCount += subjects.count
        for subject in subjects {
            for (index, meter) in ranked.enumerated() where subject.sums.amount(of: meter) > 0 {
                rankedCounts[index] += 1
            }
        }
    }

    /// Sums by action and model.
    private static func sums(_ cells: [ArchivedDay.Cell]) -> [ArchivedDay.Cell] {
        var sums: [RollupField: [Meter: Int]] = [:]
        var events: [RollupField: Int] = [:]
        for cell in cells {
            let field = RollupField(hour: nil, action: cell.action, model: cell.model)
            events[field, default: 0] &+= cell.sums.events
            for (meter, amount) in cell.sums.amounts {
                sums[field, default: [:]][meter, default: 0] &+= amount
            }
        }
        return events.sorted { $0.key < $1.key }.map { field, count in
            let amounts = (sums[field] ?? [:]).sorted { Meter.precedes($0.key, $1.key) }
            return ArchivedDay.Cell(
                hour: nil, action: field.action, model: field.model,
                sums: ArchivedSums(
                    events: count, amounts: amounts.map { (meter: $0.key, amount: $0.value) }))
        }
    }

    // MARK: Calls

    private func send(last: [UInt8]? = nil, _ write: () -> Void) async throws -> Int {
        packer.array(3)
        packer.integer(day.number)
        packer.integer(revision)
        packer.array(ranked.count)
        for meter in ranked { packer.meter(meter) }
        let ask = packer.take()
        write()
        let names = [keys.cold] + keys.ofDay(day, ranked)
        let reply: RedisValue
        do {
            reply = try await client.run(
                ScriptLibrary.thawDay, keys: names,
                arguments: [ask, packer.take()] + (last.map { [$0] } ?? []))
        } catch {
            throw MeteringError.unavailable(error)
        }
        guard let answer = reply.integer else {
            throw MeteringError.unavailable(.unexpectedReply("thaw_day"))
        }
        return answer
    }

    private func writeNothing() {
        packer.array(3)
        for _ in 0..<3 { packer.array(0) }
    }

    private func writeSubjects(_ subjects: ArraySlice<ArchivedSubject>) {
        packer.array(3)
        packer.array(subjects.count)
        let midnight = day.number * 86_400_000
        for subject in subjects {
            packer.array(4 + 2 * subject.sums.amounts.count)
            packer.string(subject.subject.bytes)
            packer.integer(subject.sums.events)
            packer.integer((subject.first?.milliseconds).map { $0 - midnight } ?? Self.noFirst)
            packer.integer((subject.last?.milliseconds).map { $0 - midnight } ?? Self.noLast)
            write(subject.sums)
        }
        packer.array(0)
        packer.array(0)
    }

    private func writeCells(_ cells: ArraySlice<ArchivedDay.Cell>, isHourly: Bool) {
        packer.array(3)
        packer.array(0)
        if !isHourly { packer.array(0) }
        packer.array(cells.count)
        for cell in cells {
            packer.array(2 + 2 * cell.sums.amounts.count)
            packer.string(
                RollupField(hour: cell.hour, action: cell.action, model: cell.model).bytes)
            packer.integer(cell.sums.events)
            write(cell.sums)
        }
        if isHourly { packer.array(0) }
    }

    private func write(_ sums: ArchivedSums) {
        for (meter, amount) in sums.amounts {
            packer.meter(meter)
            packer.integer(amount)
        }
    }

    /// As in lua/include/constants.lua.
    private static let noFirst = 2_147_483_647
    private static let noLast = -2_147_483_648
}

extension Keyspace {
    /// All keys of a day, as the scripts of cold days have them.
    func ofDay(_ day: CivilDay, _ meters: [Meter]) -> [[UInt8]] {
        [use(day), hours(day), self.day(day)] + meters.map { board(day, $0) }
    }
}
