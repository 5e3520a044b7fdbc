// SPDX-License-Identifier: Apache-2.0
//
// What a workspace costs stands in its days, which stay and are added up here now and then: so nothing
// is missed when nobody looks for a while, and the one script that tells decides what is new.

internal import Redis

/// Looks at what a month costs, and tells budgets. On its loop's thread only.
final class BudgetWatch {
    /// Into how many days of a month the one before it is looked at, too: events come late.
    private static let lateDayCount = 8

    private let client: RedisClient
    private let keys: Keyspace
    private let calendar: WorkspaceCalendar
    /// When it was looked last; the same again says the same.
    private var seen: [RedisValue] = []
    private let writer = MessagePackWriter()

    init(client: RedisClient, settings: WorkspaceSettings) {
        self.client = client
        calendar = settings.calendar
        keys = Keyspace(settings)
    }

    /// A month of the workspace's zone.
    private struct Month {
        let days: [CivilDay]
        /// Milliseconds since 1970.
        let range: Range<Int>
        let isPast: Bool
    }

    /// Tells what was reached. O(days of the month) when something was counted on one of them.
    ///
    /// - Parameter cost: of a range of time (milliseconds since 1970), in micro-currency.
    /// - Returns: how many notices are new.
    func tell(
        _ rules: Rules, now: Timestamp, cost: (Range<Int>) async throws -> Int
    ) async throws -> Int {
        let budgets = rules.alerts.alerts.compactMap { alert -> (Alert, Int)? in
            guard case .budget(let most) = alert.watched else { return nil }
            return (alert, most)
        }
        guard !budgets.isEmpty else { return 0 }
        let months = months(at: now)
        // How often each day was changed is read before the days are.
        let fields = months.flatMap(\.days).map { Array("\($0.number)".utf8) }
        let changes = try await send(RedisCommand("HMGET", [keys.changes] + fields))
        let state = [.bulk(rules.version), .integer(months[0].range.lowerBound), changes]
        if state == seen { return 0 }
        // What was read before somebody else told what he read later is not taken.
        let time = try await send(RedisCommand("TIME", []))
        guard let parts = time.elements, parts.count == 2, let seconds = parts[0].bytes,
            let microseconds = parts[1].bytes
        else { throw MeteringError.damaged(what: "the time of Redis") }
        let began = Self.number(seconds) * 1_000_000 + Self.number(microseconds)
        // All of it is known before any is written: of what is begun and not sent nothing may be left.
        var costs: [Int] = []
        for month in months { costs.append(try await cost(month.range)) }
        var items = 0
        for (month, used) in zip(months, costs) {
            for (alert, most) in budgets {
                writer.alert(alert, limit: 0)
                writer.integer(used)
                writer.integer(most)
                writer.integer(month.range.upperBound)
                writer.integer(month.isPast ? 1 : 0)
                items += 5
            }
        }
        let packed = writer.take()
        writer.array(items)
        let head = writer.take()
        let reply: RedisValue
        do {
            reply = try await client.run(
                ScriptLibrary.tellBudgets,
                keys: [
                    keys.rules, keys.alertsTold, keys.lastNotice, keys.notices, keys.dueNotices,
                    keys.changes,
                ],
                arguments: [
                    rules.version, Array("\(now.milliseconds)".utf8), head + packed,
                    Array("\(began)".utf8),
                ])
        } catch {
            throw MeteringError.unavailable(error)
        }
        guard let count = reply.integer else {
            throw MeteringError.damaged(what: "notices of alerts")
        }
        // Other rules are in force by now, or more was told: it is looked again.
        if count >= 0 { seen = state }
        return max(0, count)
    }

    private static func number(_ digits: [UInt8]) -> Int {
        Int(String(decoding: digits, as: UTF8.self)) ?? 0
    }

    private func months(at now: Timestamp) -> [Month] {
        let today = calendar.day(at: now.milliseconds.flooredQuotient(1000))
        let first = today.firstOfMonth
        var firsts = [first]
        if today.date.day <= Self.lateDayCount { firsts.insert(first.adding(months: -1), at: 0) }
        return firsts.map { start in
            let end = start.adding(months: 1)
            return Month(
                days: (start.number..<max(end.number, start.number + 1)).map {
                    CivilDay(number: $0)
                },
                range: calendar.start(of: start) * 1000..<calendar.start(of: end) * 1000,
                isPast: start != first)
        }
    }

    private func send(_ command: RedisCommand) async throws(MeteringError) -> RedisValue {
        do {
            return try await client.send(command)
        } catch {
            throw .unavailable(error)
        }
    }
}
