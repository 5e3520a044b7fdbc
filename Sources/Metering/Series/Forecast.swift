// SPDX-License-Identifier: Apache-2.0

internal import Foundation

/// What is to be expected of the days to come, by those that were.
///
/// With 14 days or more, a day is expected to be like the mean of its weekday (`seasonal_weekday`);
/// with fewer, to lie on the line of least squares through all days (`linear`). Deviations are
/// those of a sum of days, with the uncertainty of the means or of the line: Hyndman,
/// Athanasopoulos: Forecasting: Principles and Practice (2021), 5.2 and 7.6. They take the days'
/// residuals as independent and normal, and intervals take into account that their deviation is
/// estimated (Student's t).
public struct Forecast: Sendable {
    public enum Method: String, Sendable {
        case seasonalWeekday = "seasonal_weekday"
        case linear
    }

    /// A sum of days to come.
    public struct Expectation: Sendable {
        public let value: Double
        /// Standard deviation; nil when there are too few days to tell.
        public let deviation: Double?
        /// How far from the value 10 % lie on each side, if days go on as they did; nil as the deviation.
        public let margin: Double?
    }

    /// How many days back are looked at: eight weeks.
    static let dayCountMax = 56
    public let method: Method
    /// Of days that it rests on.
    public let dayCount: Int
    private let first: CivilDay
    /// Mean and count by weekday.
    private let weekdays: [(mean: Double, count: Int)]
    private let intercept: Double
    private let slope: Double
    private let meanDay: Double
    /// Sum of squares of the days' distances from their mean.
    private let spread: Double
    /// Of a single day; nil when there are too few.
    private let residual: Double?
    /// The quantile that leaves 10 % on each side.
    private let quantile: Double

    /// Nil without any day.
    ///
    /// - Parameter values: of consecutive days, the last of which is the day before the first to be
    ///   forecast. The last `dayCountMax` are used.
    public init?(_ values: [Int], from day: CivilDay) {
        guard !values.isEmpty else { return nil }
        let used = values.suffix(Self.dayCountMax).map(Double.init)
        first = CivilDay(number: day.number + values.count - used.count)
        dayCount = used.count
        method = used.count >= 14 ? .seasonalWeekday : .linear
        var sums = Array(repeating: (sum: 0.0, count: 0), count: 7)
        for (index, value) in used.enumerated() {
            let weekday = Self.weekday(first.number + index)
            sums[weekday] = (sums[weekday].sum + value, sums[weekday].count + 1)
        }
        let weekdays = sums.map { (mean: $0.count == 0 ? 0 : $0.sum / Double($0.count), $0.count) }
        self.weekdays = weekdays
        let count = Double(used.count)
        let middle = (count - 1) / 2
        let mean = used.reduce(0, +) / count
        let spread = used.indices.reduce(0.0) { $0 + (Double($1) - middle) * (Double($1) - middle) }
        let covariance = used.enumerated().reduce(0.0) {
            $0 + (Double($1.offset) - middle) * ($1.element - mean)
        }
        let slope = spread > 0 ? covariance / spread : 0
        let intercept = mean - slope * middle
        (self.slope, self.intercept, self.spread, meanDay) = (slope, intercept, spread, middle)
        let firstNumber = first.number
        let isSeasonal = method == .seasonalWeekday
        let squares = used.enumerated().reduce(0.0) { sum, item in
            let expected =
                isSeasonal
                ? weekdays[Self.weekday(firstNumber + item.offset)].mean
                : intercept + slope * Double(item.offset)
            return sum + (item.element - expected) * (item.element - expected)
        }
        let freedom = used.count - (isSeasonal ? 7 : 2)
        residual = freedom > 0 ? (squares / Double(freedom)).squareRoot() : nil
        quantile = Self.quantile(freedom: max(1, freedom))
    }

    /// The 90th percentile of Student's t: exact for one and two degrees of freedom, else the expansion
    /// around the normal distribution's (Abramowitz, Stegun: Handbook of Mathematical Functions, 26.7.5),
    /// within 0.001.
    static func quantile(freedom: Int) -> Double {
        switch freedom {
        case ...1: return 3.077_683_537
        case 2: return 1.885_618_083
        default:
            let (z, n) = (1.281_551_565_545, Double(freedom))
            let (z3, z5, z7) = (z * z * z, z * z * z * z * z, z * z * z * z * z * z * z)
            let first = (z3 + z) / 4
            let second = (5 * z5 + 16 * z3 + 3 * z) / 96
            let third = (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / 384
            return z + first / n + second / (n * n) + third / (n * n * n)
        }
    }

    /// What one day is expected to bring, at least 0.
    public func value(of day: CivilDay) -> Double {
        switch method {
        case .seasonalWeekday: weekdays[Self.weekday(day.number)].mean
        case .linear: max(0, intercept + slope * Double(day.number - first.number))
        }
    }

    /// What is still to come from now until the end of a day. What today has brought already is not to
    /// come any more; what it has brought beyond its expectation is nothing that the days behind it
    /// will not bring. O(days).
    ///
    /// - Parameters:
    ///   - spent: of today.
    ///   - last: today, or later.
    public func rest(of today: CivilDay, spent: Double, until last: CivilDay) -> Expectation {
        let expected = value(of: today)
        let whole = sum(today...last)
        let value = whole.value - min(spent, expected)
        guard spent >= expected, today < last else {
            return expectation(value, whole.deviation)
        }
        let days = sum(CivilDay(number: today.number + 1)...last)
        return expectation(value, days.deviation)
    }

    /// What some days are expected to bring together. O(days).
    public func sum(_ days: ClosedRange<CivilDay>) -> Expectation {
        let numbers = days.lowerBound.number...days.upperBound.number
        let value = numbers.reduce(0.0) { $0 + self.value(of: CivilDay(number: $1)) }
        guard let residual else { return expectation(value, nil) }
        let count = Double(numbers.count)
        var factor = count
        switch method {
        case .seasonalWeekday:
            var counts = Array(repeating: 0.0, count: 7)
            for number in numbers { counts[Self.weekday(number)] += 1 }
            for (weekday, count) in counts.enumerated() where count > 0 {
                factor += count * count / Double(max(1, weekdays[weekday].count))
            }
        case .linear:
            let distance = numbers.reduce(0.0) { $0 + Double($1 - first.number) - meanDay }
            factor += count * count / Double(dayCount)
            if spread > 0 { factor += distance * distance / spread }
        }
        return expectation(value, residual * factor.squareRoot())
    }

    private func expectation(_ value: Double, _ deviation: Double?) -> Expectation {
        Expectation(value: value, deviation: deviation, margin: deviation.map { quantile * $0 })
    }

    /// 0 for Thursday, which 1970-01-01 was.
    private static func weekday(_ number: Int) -> Int {
        number - number.flooredQuotient(7) * 7
    }
}

extension Forecast.Expectation {
    /// Where the sum is with a probability of 80 %, if days go on as they did; at least 0.
    public var interval: ClosedRange<Double>? {
        margin.map { max(0, value - $0)...max(0, value + $0) }
    }
}
