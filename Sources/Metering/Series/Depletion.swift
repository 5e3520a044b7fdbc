// SPDX-License-Identifier: Apache-2.0

/// When a balance runs out, if charges go on as they are expected to.
///
/// Day by day: what the day is expected to cost is taken from the month's allowance and then from
/// the grants in their order; grants end when they expire, and the allowance comes anew at resets.
public struct Depletion: Sendable {
    /// How far it looks.
    public static let dayCountMax = 365

    /// The first day at whose end nothing is left; nil for none within a year.
    public let day: CivilDay?
    /// The same if charges come to the upper and to the lower end of their interval of 80 %.
    public let earliest: CivilDay?
    public let latest: CivilDay?

    /// What is left of something that can be spent until a day.
    struct Part {
        var left: Double
        /// The first day on which it is gone; nil for never.
        let ends: CivilDay?
    }

    /// - Parameters:
    ///   - grants: in the order in which they are spent.
    ///   - month: what is left of the allowance.
    ///   - resets: days on which the allowance comes anew, in order.
    ///   - today: what is already spent of it is not in the forecast's way: only the rest counts.
    init(
        of grants: [Part], month: Double, allowance: Double, rolloverMax: Double,
        resets: [CivilDay], by forecast: Forecast, from today: CivilDay, spentToday: Double
    ) {
        func walk(_ sign: Double) -> CivilDay? {
            var (grants, month, before) = (grants, month, 0.0)
            var resets = resets[...]
            for offset in 0..<Self.dayCountMax {
                let day = CivilDay(number: today.number + offset)
                grants.removeAll { part in part.ends.map { $0 <= day } ?? false }
                while let reset = resets.first, reset <= day {
                    if reset > today { month = allowance + max(0, min(month, rolloverMax)) }
                    resets.removeFirst()
                }
                let rest = forecast.rest(of: today, spent: spentToday, until: day)
                let bound = rest.value + sign * (rest.margin ?? 0)
                // Of a bound that falls a day costs nothing: what was spent stays spent.
                let total = max(before, bound)
                var cost = total - before
                before = total
                let part = min(cost, max(0, month))
                month -= part
                cost -= part
                for index in grants.indices {
                    let part = min(cost, grants[index].left)
                    grants[index].left -= part
                    cost -= part
                }
                month -= cost
                if month <= 0, grants.allSatisfy({ $0.left <= 0 }) { return day }
            }
            return nil
        }
        day = walk(0)
        earliest = walk(1)
        latest = walk(-1)
    }
}
