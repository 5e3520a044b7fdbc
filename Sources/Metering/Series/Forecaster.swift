// SPDX-License-Identifier: Apache-2.0

/// What is to be expected of a meter this month.
public struct MonthForecast: Sendable {
    /// The first and the last day of the month.
    public let first: CivilDay
    public let last: CivilDay
    /// Used from the first until now.
    public let soFar: Int
    /// Expected until the end of the last day, rounded; nil before there was a whole day of use.
    public let value: Int?
    /// With a probability of 80 %; nil when there are too few days.
    public let interval: ClosedRange<Int>?
    public let method: Forecast.Method?
    /// Whole days that it rests on.
    public let dayCount: Int
    public let warnings: [String]
}

/// When a subject's credits run out.
public struct BalanceForecast: Sendable {
    public let account: Account
    /// Nil before there was a whole day of charges.
    public let depletion: Depletion?
    /// Micro-credits that a coming day takes, on average over the next 7.
    public let perDay: Int?
    public let method: Forecast.Method?
    public let dayCount: Int
    public let warnings: [String]
}

extension QueryEngine {
    private var today: CivilDay {
        settings.calendar.day(at: clock.now.milliseconds.flooredQuotient(1000))
    }

    /// Forecasts the month's end of a meter, for the workspace or one subject.
    public func monthForecast(
        of meter: Meter, subject: SubjectID?
    ) async throws -> MonthForecast {
        let today = today
        let first = today.firstOfMonth
        let last = CivilDay(number: first.adding(months: 1).number - 1)
        let from = min(first, CivilDay(number: today.number - Forecast.dayCountMax))
        let (days, warnings) = try await days(of: meter, subject, from...today)
        let ofMonth = days.suffix(today.number - first.number + 1)
        let soFar = ofMonth.reduce(0) { $0 + $1.value }
        guard soFar <= EventBatch.exactIntegerMax else { throw EventRejection.sumOverflow }
        let forecast = Forecast(of: days.dropLast(), until: today)
        // What the month came to is not known while a day of it cannot be read.
        let isWhole = !ofMonth.contains { $0.isLacking }
        guard isWhole, let forecast, let ofToday = days.last?.value else {
            return MonthForecast(
                first: first, last: last, soFar: soFar, value: nil, interval: nil, method: nil,
                dayCount: 0, warnings: warnings)
        }
        let rest = forecast.rest(of: today, spent: Double(ofToday), until: last)
        func total(_ coming: Double) -> Int { Self.rounded(Double(soFar) + coming) }
        return MonthForecast(
            first: first, last: last, soFar: soFar, value: total(rest.value),
            interval: rest.interval.map { total($0.lowerBound)...total($0.upperBound) },
            method: forecast.method, dayCount: forecast.dayCount, warnings: warnings)
    }

    /// Forecasts when a subject's credits run out.
    ///
    /// - Parameter account: as it is now.
    public func balanceForecast(
        of account: Account, subject: SubjectID, policy: CreditPolicy
    ) async throws -> BalanceForecast {
        let today = today
        let from = CivilDay(number: today.number - Forecast.dayCountMax)
        let (days, warnings) = try await days(of: .creditsMicro, subject, from...today)
        guard let forecast = Forecast(of: days.dropLast(), until: today) else {
            return BalanceForecast(
                account: account, depletion: nil, perDay: nil, method: nil, dayCount: 0,
                warnings: warnings)
        }
        let grants = account.grants.map { grant in
            Depletion.Part(
                left: Double(grant.left),
                ends: grant.expires.map {
                    settings.calendar.day(at: $0.milliseconds.flooredQuotient(1000))
                })
        }
        let month = Double(account.balance) - grants.reduce(0) { $0 + $1.left }
        let depletion = Depletion(
            of: grants, month: month, allowance: Double(account.monthlyAllowance),
            rolloverMax: Double(policy.rolloverMax), resets: resets(of: account, policy),
            by: forecast, from: today, spentToday: Double(days.last?.value ?? 0))
        let week = forecast.sum(
            CivilDay(number: today.number + 1)...CivilDay(number: today.number + 7))
        return BalanceForecast(
            account: account, depletion: depletion, perDay: Self.rounded(week.value / 7),
            method: forecast.method, dayCount: forecast.dayCount, warnings: warnings)
    }

    /// The days of an account's resets within a year.
    private func resets(of account: Account, _ policy: CreditPolicy) -> [CivilDay] {
        guard let next = account.nextReset, let opened = account.anchorDay else { return [] }
        let anchor = policy.monthReset == .calendar ? 1 : opened
        let day = settings.calendar.day(at: next.milliseconds.flooredQuotient(1000))
        return (0...12).map { day.firstOfMonth.adding(months: $0, anchor: anchor) }
    }

    private func days(
        of meter: Meter, _ subject: SubjectID?, _ days: ClosedRange<CivilDay>
    ) async throws -> (days: [SeriesBucket], warnings: [String]) {
        let end = CivilDay(number: days.upperBound.number + 1)
        let range =
            settings.calendar.start(of: days.lowerBound) * 1000..<settings.calendar.start(of: end)
            * 1000
        var query = SeriesQuery(meter, .day, range)
        query.subject = subject
        let series = try await series(query, countsSubjects: false)
        return (series.buckets, series.warnings)
    }

    private static func rounded(_ value: Double) -> Int {
        Int(min(value.rounded(), Double(EventBatch.exactIntegerMax)))
    }
}

extension Forecast {
    /// Days before the first use say nothing: the subject may not have been there. Neither do those up to the
    /// last one that cannot be read, which is not one of nothing.
    fileprivate init?(of days: ArraySlice<SeriesBucket>, until today: CivilDay) {
        let known = days.suffix(
            from: days.lastIndex { $0.isLacking }.map { $0 + 1 } ?? days.startIndex)
        let used = known.map(\.value).drop { $0 == 0 }
        self.init(Array(used), from: CivilDay(number: today.number - used.count))
    }
}
