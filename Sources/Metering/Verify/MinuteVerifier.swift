// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// Verifies that the minutes of the last hours add up to these hours.
struct MinuteVerifier {
    /// Of what came later than this minutes do not know all; clocks of others may be ahead.
    private static let span = (UsageFollower.minuteCountMax - 20) * 60
    /// How far ahead of now an event may be, in seconds.
    private static let ahead = 900
    private static let fieldsPerCall = 200

    private let context: VerifyContext
    private let table = MeterTable()

    init(_ context: VerifyContext) { self.context = context }

    /// O(sums by hour of a day or two, sums by minute).
    func run() async throws {
        try await context.settled { try await self.differences() }
    }

    private func differences() async throws -> [Difference] {
        let now = context.clock.now.milliseconds.flooredQuotient(1000)
        // What was counted before a restore is in no minute.
        let restored = try await context.restoredAt()?.milliseconds ?? .min
        let floor = max(now - Self.span, restored.flooredQuotient(1000) + 1)
        guard floor <= now, try await !wasAhead() else { return [] }
        let calendar = CachedCalendar(context.settings.calendar)
        func hour(of seconds: Int) -> Int {
            calendar.place(Timestamp(milliseconds: seconds * 1000)).hour
        }
        var hours: [RollupField: UsedAmounts] = [:]
        let days = [floor, now + Self.ahead].map { context.settings.calendar.day(at: $0) }
        for day in Set(days) {
            try await add(context.keys.hours(day), to: &hours) { $0 >= floor ? $0 : nil }
        }
        // A clock that was ahead has counted what was too old for minutes then.
        if hours.keys.contains(where: { $0.hour ?? 0 > now + Self.ahead }) { return [] }
        // Minutes follow the log: what was read is in them then.
        guard try await context.followUsage() else { return [] }
        var minutes: [RollupField: UsedAmounts] = [:]
        for number in floor / 3600...(now + Self.ahead) / 3600 {
            try await add(context.keys.minutes(hour: number), to: &minutes) {
                let hour = hour(of: $0)
                return hour >= floor ? hour : nil
            }
        }
        return Set(hours.keys).union(minutes.keys).flatMap { field in
            let start = Timestamp(milliseconds: (field.hour ?? 0) * 1000).text
            return (hours[field] ?? UsedAmounts()).differences(
                from: minutes[field] ?? UsedAmounts()
            ).map {
                Difference(
                    "minutes of \(start)", "\($0.name) of \(field.action.text) \(field.model.text)",
                    expected: $0.mine, found: $0.other)
            }
        }
    }

    /// Whether something has come on days to come.
    private func wasAhead() async throws -> Bool {
        let today = context.clock.now.milliseconds.flooredQuotient(86_400_000)
        return try await LaterLogs(context.client, context.keys, context.clock).last() > today
    }

    /// Adds what a hash of sums has.
    ///
    /// - Parameter hour: the hour that a start belongs to; nil for one that is not looked at.
    private func add(
        _ key: [UInt8], to sums: inout [RollupField: UsedAmounts], hour: (Int) -> Int?
    ) async throws {
        var added = sums
        try await context.each(key, by: Self.fieldsPerCall) { names in
            let values = try await self.context.hash.values(key, of: names)
            for (name, value) in zip(names, values) {
                guard let value else { continue }
                var entry = DaySums()
                guard let field = RollupField(name, isHourly: true), let start = field.hour,
                    PackedCursor.addEntry(value, to: &entry, self.table)
                else { throw MeteringError.damaged(what: "a sum by hour or minute") }
                guard let hour = hour(start) else { continue }
                let place = RollupField(hour: hour, action: field.action, model: field.model)
                added[place, default: UsedAmounts()].add(self.table.used(entry))
            }
        }
        sums = added
    }
}
