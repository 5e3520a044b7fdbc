// SPDX-License-Identifier: Apache-2.0
//
// Each batch that changes a day is counted in `changes` in the step in which its entry comes into the log, and
// nothing else lowers or raises that count but restores, erasures and files of later revisions, which raise it. So a
// day of which the log has as many entries as `changes` says has all of them in the log, whatever was lost, has expired
// or came otherwise: its events are its totals. Of a day with fewer entries nothing is said.

internal import JSON
internal import Redis

/// Verifies that the log has no gap, and that its events add up to the totals of their days.
final class LogVerifier {
    /// How often it is looked at in which something differs. What the last look shows is told.
    private static let lookCount = 3
    private static let entriesPerReadMax = 500
    private static let bytesPerRead = 262_144

    /// What the log has of a day, up to the day's cut.
    private struct LoggedDay {
        let cut: DayCut?
        var batchCount = 0
        var sums = DaySums()
        /// The entry that was counted last.
        var entry = 0
    }

    private let days: VerifiedDays
    private let context: VerifyContext
    private let calendar: CachedCalendar
    private let table = MeterTable()
    private var logged: [CivilDay: LoggedDay] = [:]
    private var found: [Difference] = []
    private var entryCount = 0
    private var entriesPerRead = 20

    init(_ days: VerifiedDays, _ context: VerifyContext) {
        (self.days, self.context) = (days, context)
        calendar = CachedCalendar(context.settings.calendar)
    }

    /// O(events that the log holds); keeps the sums of each day.
    ///
    /// - Parameter progress: called with what is looked at.
    func run(progress: (String) -> Void) async throws {
        for look in 1...Self.lookCount {
            if look > 1 { await context.settle() }
            try await self.look(progress)
            if found.isEmpty { return }
        }
        found.forEach(context.report)
    }

    private func look(_ progress: (String) -> Void) async throws {
        (logged, found, entryCount) = ([:], [], 0)
        let kept = try await days.kept()
        var skipped: Set<CivilDay> = []
        for day in kept.hot.union(kept.cold.keys) {
            if let cut = try await cut(day, kept) {
                logged[day] = LoggedDay(cut: cut)
            } else {
                skipped.insert(day)
            }
        }
        let restored = try await context.restoredAt()?.milliseconds.flooredQuotient(86_400_000)
        for arrival in try await arrivals() {
            progress("log of \(arrival)")
            try await read(arrival, mayBegin: arrival.number <= restored ?? .min)
        }
        // Days that have come, left Redis or come back were not looked at as they are.
        let after = try await days.kept()
        for (day, logged) in logged.sorted(by: { $0.key < $1.key })
        where !skipped.contains(day) && kept.hot.contains(day) == after.hot.contains(day)
            && kept.cold[day] == after.cold[day]
        {
            compare(day, logged)
        }
    }

    // MARK: Days

    /// What is known of a day; nil when nothing is, as was told before.
    private func cut(_ day: CivilDay, _ kept: VerifiedDays.Kept) async throws -> DayCut? {
        if let revision = kept.cold[day] {
            return try days.files[day].flatMap { try DayCut(ofFile: $0.path, revision: revision) }
        }
        do {
            return try await DaySnapshot(of: day, isFinal: false, context.flushContext(ranked: []))
                .totals()
        } catch {
            switch error {
            case .redis(.server), .redis(.unexpectedReply), .damaged: return nil
            default: throw error
            }
        }
    }

    private func compare(_ day: CivilDay, _ logged: LoggedDay) {
        let revision = logged.cut?.revision ?? 0
        guard logged.batchCount > 0, logged.batchCount >= revision else { return }
        let place = "day \(day)"
        if logged.batchCount > revision {
            found.append(
                Difference(
                    place, "batches in the log", expected: revision, found: logged.batchCount))
        }
        let totals = logged.cut?.used ?? UsedAmounts()
        for difference in totals.differences(from: table.used(logged.sums)) {
            found.append(
                Difference(
                    place, "\(difference.name) in the log", expected: difference.mine,
                    found: difference.other))
        }
    }

    // MARK: The log

    /// The days of arrival whose logs are there.
    private func arrivals() async throws -> [CivilDay] {
        let prefix = context.keys.logPattern.dropLast()
        var days: Set<CivilDay> = []
        try await context.eachKey(matching: context.keys.logPattern) { name in
            let date = String(decoding: name.dropFirst(prefix.count), as: UTF8.self)
            if let day = CivilDay(date) { days.insert(day) }
        }
        return days.sorted()
    }

    /// - Parameter mayBegin: whether a restore may have begun the log, at any number, and left some out.
    private func read(_ arrival: CivilDay, mayBegin: Bool) async throws {
        guard let last = try await lastNumber(arrival) else { return }
        var next = mayBegin ? nil : 1
        var start = Array("-".utf8)
        while true {
            let count = entriesPerRead
            let elements = try await entries(arrival, from: start, count)
            for element in elements {
                let id = element.elements?.first?.bytes ?? []
                start = Array("(".utf8) + id
                let entry = LogEntry(element, arrival: arrival)
                guard let number = Self.number(id), let entry else {
                    found.append(
                        Difference(
                            "log of \(arrival)", "entry \(ByteString(bytes: id).text)",
                            expected: "to be readable", found: "something else"))
                    next = Self.number(id).map { $0 + 1 }
                    continue
                }
                if let next, number > next, !mayBegin || !entry.events.isEmpty {
                    tellGap(arrival, next..<number)
                }
                next = number + 1
                add(entry)
            }
            if elements.count < count { break }
        }
        // It may have expired meanwhile.
        guard let next, next <= last, try await lastNumber(arrival) != nil else { return }
        tellGap(arrival, next..<last + 1)
    }

    private func tellGap(_ arrival: CivilDay, _ numbers: Range<Int>) {
        let (first, last) = (numbers.lowerBound, numbers.upperBound - 1)
        found.append(
            Difference(
                "log of \(arrival)",
                first == last ? "entry 0-\(first)" : "entries 0-\(first) to 0-\(last)",
                expected: "\(numbers.count)", found: "0"))
    }

    private func add(_ entry: LogEntry) {
        entryCount += 1
        let (arrival, number) = (entry.position.day.number, entry.position.number)
        for event in entry.events where !entry.excluded.contains(event.place) {
            let day = calendar.place(event.time).day
            update(&logged[day, default: LoggedDay(cut: nil)]) { logged in
                // What came behind the cut is not in the totals.
                if let end = logged.cut?.ends[arrival], number > end { return }
                if logged.entry != entryCount {
                    logged.batchCount += 1
                    logged.entry = entryCount
                }
                logged.sums.events &+= event.count
                for (meter, amount) in event.event.amounts where amount != 0 {
                    logged.sums.add(amount, at: table.place(meter))
                }
            }
        }
    }

    private func update(_ day: inout LoggedDay, _ body: (inout LoggedDay) -> Void) { body(&day) }

    /// The number of the last entry that ever came into a log, also when it was taken out; nil when there is no log.
    private func lastNumber(_ arrival: CivilDay) async throws -> Int? {
        let key = context.keys.log(arrival: arrival)
        guard try await context.send(RedisCommand("EXISTS", [key])).integer == 1 else { return nil }
        let reply: RedisValue
        do {
            reply = try await context.send(RedisCommand("XINFO", [Array("STREAM".utf8), key]))
        } catch RedisError.server(_, let message) where message.contains("no such key") {
            return nil
        } catch RedisError.server("NOPERM", _) {
            // A right that only this needs: without it, what was taken off the end is not told.
            let last = [
                key, Array("+".utf8), Array("-".utf8), Array("COUNT".utf8), Array("1".utf8),
            ]
            let entries = try await context.send(RedisCommand("XREVRANGE", last)).elements ?? []
            return entries.first?.elements?.first?.bytes.flatMap { Self.number($0) }
        }
        let fields = reply.elements ?? []
        for index in stride(from: 0, to: fields.count - 1, by: 2)
        where fields[index].text == "last-generated-id" {
            return fields[index + 1].bytes.flatMap { Self.number($0) }
        }
        throw RedisError.unexpectedReply("XINFO")
    }

    private func entries(
        _ arrival: CivilDay, from start: [UInt8], _ count: Int
    ) async throws -> [RedisValue] {
        let reply = try await context.send(
            RedisCommand(
                "XRANGE",
                [
                    context.keys.log(arrival: arrival), start, Array("+".utf8),
                    Array("COUNT".utf8), Array("\(count)".utf8),
                ]))
        guard let elements = reply.elements else { throw RedisError.unexpectedReply("XRANGE") }
        let bytes = elements.reduce(0) { sum, element in
            sum + (element.elements?.last?.elements?.reduce(0) { $0 + ($1.bytes?.count ?? 0) } ?? 0)
        }
        if !elements.isEmpty {
            entriesPerRead = max(
                1, min(Self.entriesPerReadMax, Self.bytesPerRead / max(1, bytes / elements.count)))
        }
        return elements
    }

    /// Of an entry's id, `0-NUMBER`.
    private static func number(_ id: [UInt8]) -> Int? {
        id.starts(with: Array("0-".utf8))
            ? Int(String(decoding: id.dropFirst(2), as: UTF8.self)) : nil
    }
}

/// What was counted on a day up to an instant.
struct DayCut {
    /// How many batches had changed the day.
    let revision: Int
    /// The number of the last entry of each log that may grow, by its day of arrival (since 1970).
    var ends: [Int: Int] = [:]
    let used: UsedAmounts
}

extension DayCut {
    /// Of a day that is in its file only; nil when the file is of another revision.
    init?(ofFile path: String, revision: Int) throws {
        guard try SnapshotTitle(path: path).revision == revision else { return nil }
        let pieces = try SnapshotPieces(path)
        while let piece = try pieces.next() {
            guard case .members(let value) = piece else { break }
            guard value["events"] != nil, let used = UsedAmounts(value) else { continue }
            self.init(revision: revision, used: used)
            return
        }
        return nil
    }
}
