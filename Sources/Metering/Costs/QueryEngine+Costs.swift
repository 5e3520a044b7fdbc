// SPDX-License-Identifier: Apache-2.0

internal import Redis

extension QueryEngine {
    /// How often it reads again to have all parts of one moment; then it takes what it has.
    private static let momentTriesMax = 3
    private static let triesMax = 6

    /// What the workspace was charged over some days, from Redis and from days' files.
    ///
    /// All sums of days, hours and months come from one reading of each day. Clients are read before
    /// it, and again with it when something was counted in between; where events never pause, they
    /// may be behind the sums by what came in some milliseconds, or ahead by what was reversed in them.
    ///
    /// - Throws: `EventRejection` when the range has more than `CostQuery.dayCountMax` days
    ///   (`range_too_wide`) or a sum passes 2^53 − 1; `MeteringError`, `.building` when the leaderboard
    ///   of the clients is not ready within five seconds.
    /// - Complexity: O(days * their actions and models) and O(clients * days).
    public func costs(_ query: CostQuery) async throws -> CostReport {
        guard query.dayCount <= CostQuery.dayCountMax else {
            throw EventRejection(
                code: "range_too_wide", field: "", detail: "at most \(CostQuery.dayCountMax) days")
        }
        let archive = try archive
        let today = calendar.day(at: clock.now.milliseconds.flooredQuotient(1000))
        let first = today.firstOfMonth.adding(months: 1 - max(1, query.monthCount))
        // Events may be a few minutes ahead of the clock, and nothing comes later than that.
        let end = CivilDay(number: today.number + 1)
        let asked = query.days.lowerBound.number...query.days.upperBound.number
        let days = Set(asked).union(first.number...end.number).sorted().map { CivilDay(number: $0) }
            .filter { $0 <= end }
        var latest: CostReport?
        for round in 1...Self.triesMax {
            let reader = CostReader(
                client: try client, settings: settings, archive: archive, rollups: try rollups)
            let before = try await reader.mark(days)
            let clients = try await clients(query, days, before.cold, reader)
            let reading = try await reader.read(days.filter { !before.cold.contains($0) })
            let hours = try await reader.hours(of: days, reading, cold: before.cold)
            let after = try await reader.mark(days)
            guard before.cold == after.cold else { continue }
            reader.keep(reading)
            latest = try report(query, from: first, to: today, hours, clients, reader)
            if before == after || round >= Self.momentTriesMax { break }
        }
        guard let latest else {
            throw MeteringError.postponed(reason: "days are leaving Redis for their files")
        }
        return latest
    }

    /// Days that a range has: a zone may skip one.
    private func told(_ days: ClosedRange<CivilDay>) -> [CivilDay] {
        (days.lowerBound.number...days.upperBound.number).map { CivilDay(number: $0) }
            .filter { calendar.day(at: calendar.start(of: $0)) == $0 }
    }

    private func clients(
        _ query: CostQuery, _ days: [CivilDay], _ cold: Set<CivilDay>, _ reader: CostReader
    ) async throws -> (clients: [CostClient], warnings: [String]) {
        guard query.clientCount > 0 else { return ([], []) }
        let today = calendar.day(at: clock.now.milliseconds.flooredQuotient(1000))
        // The days up to today are one board with those that others ask for.
        let window: LeaderboardWindow =
            query.days.upperBound == today ? .days(query.dayCount) : .span(query.days)
        let page = try await leaderboard(
            .costMicro, window, limit: query.clientCount, after: nil)
        let subjects = page.entries.map { SubjectID(stored: $0.subject) }
        let sums = try await reader.sums(
            of: subjects, on: days.filter { query.days.contains($0) }, cold: cold)
        let profiles = try await ProfileReader(client: try client, keys: keys).profiles(
            of: subjects)
        let clients = subjects.indices.map {
            CostClient(subject: subjects[$0], sums: sums[$0], profile: profiles[$0])
        }
        let order = clients.filter { $0.sums.cost > 0 }.sorted {
            ($1.sums.cost, $0.subject.id) < ($0.sums.cost, $1.subject.id)
        }
        return (order, page.warnings)
    }

    private func report(
        _ query: CostQuery, from first: CivilDay, to today: CivilDay,
        _ hours: [CivilDay: [Int: CostSums]],
        _ clients: (clients: [CostClient], warnings: [String]), _ reader: CostReader
    ) throws -> CostReport {
        var report = CostReport()
        report.clients = clients.clients
        var month = first
        while month <= today {
            report.months.append((month, CostSums()))
            month = month.adding(months: 1)
        }
        var ofDay: [CivilDay: CostSums] = [:]
        for (day, sums) in hours {
            for (hour, sums) in sums {
                try ofDay[day, default: CostSums()].add(sums)
                if query.days.contains(day) { try report.hours[hour].add(sums) }
            }
            let begins = day.firstOfMonth
            guard let place = report.months.firstIndex(where: { $0.first == begins }),
                let sums = ofDay[day]
            else { continue }
            try report.months[place].sums.add(sums)
        }
        report.days = told(query.days).map { ($0, ofDay[$0] ?? CostSums()) }
        for (_, sums) in report.days { try report.total.add(sums) }
        report.warnings =
            reader.warnings + clients.warnings.filter { !reader.warnings.contains($0) }
        return report
    }
}
