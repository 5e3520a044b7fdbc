// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// Reads what subjects did with files and calls. On its loop's thread only.
final class ActivityReader {
    private static let triesMax = 5
    private static let scanCount = Array("400".utf8)

    /// Subjects of whom something was counted.
    struct People {
        let all: Int
        let guests: Int
        /// Those of the guests who are users by now.
        let merged: Int
    }

    /// Sums of days that have left Redis, by the revision of their files.
    typealias ColdSums = [CivilDay: (revision: Int, sums: [Meter: Int])]

    private let client: RedisClient
    private let keys: Keyspace
    private let archive: Archive
    private let rollups: DayRollups
    private(set) var coldSums: ColdSums

    init(
        client: RedisClient, keys: Keyspace, archive: Archive, rollups: DayRollups,
        coldSums: ColdSums
    ) {
        self.client = client
        self.keys = keys
        self.archive = archive
        self.rollups = rollups
        self.coldSums = coldSums
    }

    /// One subject's; zeros when it was never seen.
    func activity(of subject: SubjectID) async throws(MeteringError) -> SubjectActivity {
        let id = subject.id.bytes
        let replies = try await send([
            RedisCommand("HGET", [keys.subjects, id]), RedisCommand("HGET", [keys.activity, id]),
        ])
        guard replies.count == 2, let bytes = replies[0].bytes else { return SubjectActivity() }
        guard let record = SubjectRecord(bytes) else { throw .damaged(what: "a subject's record") }
        var activity = SubjectActivity(totals: record.meters.map { ($0.meter, $0.total) })
        if let bytes = replies[1].bytes {
            guard let times = ActivityTimes(bytes) else {
                throw .damaged(what: "the times of a subject")
            }
            activity.times = times
        }
        return activity
    }

    /// How many subjects there are, how many of them are known to be guests, and how many of these were
    /// merged into users. O(merged guests), in slices.
    func people() async throws(MeteringError) -> People {
        var merged = 0
        var cursor = Array("0".utf8)
        repeat {
            let reply = try await send([
                RedisCommand("HSCAN", [keys.merged, cursor, Array("COUNT".utf8), Self.scanCount])
            ]).first
            guard let parts = reply?.elements, parts.count == 2, let next = parts[0].bytes,
                let pairs = parts[1].elements?.compactMap(\.bytes)
            else { throw .damaged(what: "the merged guests") }
            let guests = stride(from: 0, to: pairs.count, by: 2).map { pairs[$0] }
            if !guests.isEmpty {
                // Who never used anything is no subject that was counted.
                let known = try await send([RedisCommand("SMISMEMBER", [keys.guests] + guests)])
                merged += (known.first?.elements ?? []).count { $0.integer == 1 }
            }
            cursor = next
        } while cursor != Array("0".utf8)
        let counts = try await send([
            RedisCommand("HLEN", [keys.subjects]), RedisCommand("SCARD", [keys.guests]),
        ]).compactMap(\.integer)
        guard counts.count == 2 else { throw .damaged(what: "the subjects") }
        return People(all: counts[0], guests: counts[1], merged: merged)
    }

    /// Everybody's. O(days * their actions and models), of days that have left O(days).
    func activity(_ people: People) async throws -> WorkspaceActivity {
        for _ in 0..<Self.triesMax {
            let cold = try await archive.coldDays()
            var sums: [Meter: Int] = [:]
            var warnings: [String] = []
            let days = try await self.days()
            let reading = try await rollups.read(
                days.filter { !cold.contains($0) }, isHourly: false)
            for rollup in reading.days.values.flatMap(\.rollups) {
                for (meter, amount) in rollup.amounts { Self.add(amount, of: meter, to: &sums) }
            }
            for day in cold.sorted() {
                do throws(ArchiveError) {
                    try await add(archived: day, to: &sums)
                } catch {
                    warnings.append("\(error)")
                }
            }
            guard try await archive.coldDays() == cold else { continue }
            rollups.keep(reading)
            guard sums.values.allSatisfy({ $0 <= EventBatch.exactIntegerMax }) else {
                throw EventRejection.sumOverflow
            }
            return WorkspaceActivity(
                userCount: max(0, people.all - people.guests),
                guestCount: max(0, people.guests - people.merged),
                sums: SubjectActivity(totals: sums.map { ($0.key, $0.value) }), warnings: warnings)
        }
        throw MeteringError.postponed(reason: "days are leaving Redis for their files")
    }

    /// The days on which anything was ever counted.
    private func days() async throws(MeteringError) -> [CivilDay] {
        let names = try await send([RedisCommand("HKEYS", [keys.changes])]).first?.elements ?? []
        return names.compactMap(\.decimal).sorted().map { CivilDay(number: $0) }
    }

    private func add(
        archived day: CivilDay, to sums: inout [Meter: Int]
    ) async throws(ArchiveError) {
        let revision = archive.revisions[day] ?? -1
        if coldSums[day]?.revision != revision {
            let totals = try await archive.head(day).totals
            coldSums[day] = (
                revision,
                Dictionary(totals.amounts.map { ($0.meter, $0.amount) }) { first, _ in first }
            )
        }
        for (meter, amount) in coldSums[day]?.sums ?? [:] {
            Self.add(amount, of: meter, to: &sums)
        }
    }

    /// Only what is told is added up. Past what is exact a sum stays there, and is refused.
    private static func add(_ amount: Int, of meter: Meter, to sums: inout [Meter: Int]) {
        switch meter {
        case .filesProcessed, .inputBytes, .processingMS: break
        default: guard meter.processingType != nil else { return }
        }
        let (sum, overflows) = sums[meter, default: 0].addingReportingOverflow(amount)
        sums[meter] = overflows ? .max : sum
    }

    private func send(_ commands: [RedisCommand]) async throws(MeteringError) -> [RedisValue] {
        do {
            return try await client.send(commands)
        } catch {
            throw .unavailable(error)
        }
    }
}
