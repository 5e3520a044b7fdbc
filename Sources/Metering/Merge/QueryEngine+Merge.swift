// SPDX-License-Identifier: Apache-2.0

internal import Redis

extension QueryEngine {
    private static let mergeTriesMax = 5
    private static let mergeDaysPerTurn = 100

    /// The user that a guest was merged into; nil for none.
    public func user(ofGuest guest: SubjectID) async throws(MeteringError) -> SubjectID? {
        let reply = try await send(RedisCommand("HGET", [keys.merged, guest.id.bytes]))
        return reply.bytes.map { SubjectID(stored: ByteString(bytes: $0)) }
    }

    /// Those of some subjects who are guests and were merged into users. O(subjects).
    func merged(among subjects: [ByteString]) async throws(MeteringError) -> Set<ByteString> {
        let guests = subjects.filter { SubjectID(stored: $0).kind == .guest }
        guard !guests.isEmpty else { return [] }
        let reply = try await send(RedisCommand("HMGET", [keys.merged] + guests.map(\.bytes)))
        return Set(zip(guests, reply.elements ?? []).filter { $1.bytes != nil }.map { $0.0 })
    }

    /// What a guest has used by day, as it is now, or a part of it when its days are too many for one
    /// batch: then the rest is to be looked at when the part has moved. Days that have left Redis come back for
    /// it. O(days of the workspace).
    ///
    /// - Throws: `MeteringError`; `postponed` while the guest is being erased.
    public func mergePlan(of guest: SubjectID) async throws -> GuestMerge {
        if let erasure = try await openErasure(of: guest), !erasure.hasTakenOut {
            let waits = erasure.problem.map { "; that waits: \($0)" } ?? ""
            throw MeteringError.postponed(reason: EventBatcher.erasing + waits)
        }
        var hasThawed = false
        for _ in 0..<Self.mergeTriesMax {
            guard let record = try await record(of: guest) else {
                return GuestMerge(guest, LogPosition(0), eventCount: 0, days: [])
            }
            let days = try await used(by: guest, record)
            var isShort = days.reduce(0) { $0 + $1.eventCount } != record.eventCount
            // A day of which all was undone adds nothing, but has first and last times. Of a guest who has
            // become a user no day is left.
            if !isShort, !hasThawed, Self.lacksEnds(record, days) {
                isShort = try await user(ofGuest: guest) == nil
            }
            if isShort {
                try await thawDays(of: guest)
                hasThawed = true
                continue
            }
            return GuestMerge(
                guest, record.latest, eventCount: record.eventCount,
                days: days.filter { !$0.isZero || $0.hasTimes })
        }
        throw MeteringError.postponed(
            reason: "the guest is being counted, or a day does not come back")
    }

    /// Whether a subject was counted before or after all that stands on its days.
    private static func lacksEnds(_ record: SubjectRecord, _ days: [GuestMerge.Day]) -> Bool {
        let days = days.filter(\.hasTimes)
        return days.map(\.first).min() != record.first || days.map(\.last).max() != record.last
    }

    /// What Redis keeps of a subject; nil when nothing was ever counted for it.
    func record(of subject: SubjectID) async throws(MeteringError) -> SubjectRecord? {
        let reply = try await send(RedisCommand("HGET", [keys.subjects, subject.id.bytes]))
        guard let bytes = reply.bytes else { return nil }
        guard let record = SubjectRecord(bytes) else { throw .damaged(what: "a subject's record") }
        return record
    }

    /// The days in Redis on which a subject was counted; a day may come and go meanwhile.
    func used(
        by guest: SubjectID, _ record: SubjectRecord
    ) async throws(MeteringError) -> [GuestMerge.Day] {
        let known = try await send(RedisCommand("HKEYS", [keys.changes])).elements ?? []
        let days = known.compactMap(\.decimal).map { CivilDay(number: $0) }.sorted()
        var used: [GuestMerge.Day] = []
        for from in stride(from: 0, to: days.count, by: Self.mergeDaysPerTurn) {
            let turn = days[from..<min(from + Self.mergeDaysPerTurn, days.count)]
            let replies = try await sendAll(
                turn.map { RedisCommand("HGET", [keys.use($0), guest.id.bytes]) })
            for (day, reply) in zip(turn, replies) {
                if day != record.day, let entry = reply.bytes {
                    used.append(try Self.day(day, entry))
                }
            }
        }
        let amounts = Self.inOrder(record.meters.map { ($0.meter, $0.ofDay) })
        if record.dayEventCount != 0 || record.dayTimes != nil || !amounts.isEmpty {
            let noon = Self.noon(of: record.day)
            used.append(
                GuestMerge.Day(
                    day: record.day, first: record.dayTimes?.first ?? noon,
                    last: record.dayTimes?.last ?? noon, eventCount: record.dayEventCount,
                    amounts: amounts, hasTimes: record.dayTimes != nil))
        }
        return used
    }

    /// Reads an entry of `use`.
    private static func day(
        _ day: CivilDay, _ entry: [UInt8]
    ) throws(MeteringError) -> GuestMerge.Day {
        guard let values = MessagePackValue(entry)?.array, values.count >= 3,
            let count = values[0].integer, let first = values[1].integer,
            let last = values[2].integer
        else { throw .damaged(what: "what a subject used on a day") }
        let amounts = stride(from: 3, to: values.count - 1, by: 2).compactMap { place in
            Meter(values[place]).flatMap { meter in
                values[place + 1].integer.map { (meter, $0) }
            }
        }
        let noon = noon(of: day)
        let times = DayTimes(day, first: first, last: last)
        return GuestMerge.Day(
            day: day, first: times?.first ?? noon, last: times?.last ?? noon, eventCount: count,
            amounts: inOrder(amounts), hasTimes: times != nil)
    }

    private static func noon(of day: CivilDay) -> Timestamp {
        Timestamp(milliseconds: day.number * 86_400_000 + 43_200_000)
    }

    private static func inOrder(_ amounts: [(Meter, Int)]) -> [(Meter, Int)] {
        amounts.filter { $0.1 != 0 }.sorted { Meter.precedes($0.0, $1.0) }
    }

    private func sendAll(
        _ commands: [RedisCommand]
    ) async throws(MeteringError) -> [RedisValue] {
        let client = try client
        do {
            return try await client.send(commands)
        } catch {
            throw .unavailable(error)
        }
    }

    /// Brings the days back into Redis on which it was counted.
    private func thawDays(of guest: SubjectID) async throws {
        let archive = try archive
        for day in try await archive.coldDays() {
            do throws(ArchiveError) {
                guard try await archive.use(of: guest, on: day) != nil else { continue }
            } catch {
                throw MeteringError.postponed(reason: "\(error)")
            }
            if let problem = await thaw(day) { throw MeteringError.postponed(reason: problem) }
        }
    }
}
