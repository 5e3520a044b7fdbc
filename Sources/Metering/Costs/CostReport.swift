// SPDX-License-Identifier: Apache-2.0

/// What was charged, and for how many messages.
public struct CostSums: Sendable, Equatable {
    /// Millionths of the workspace's currency.
    public internal(set) var cost = 0
    public internal(set) var messages = 0

    public init(cost: Int = 0, messages: Int = 0) {
        self.cost = cost
        self.messages = messages
    }

    /// - Throws: 422 `counter_overflow` when a sum passes 2^53 − 1.
    mutating func add(_ other: CostSums) throws(EventRejection) {
        let (cost, first) = cost.addingReportingOverflow(other.cost)
        let (messages, second) = messages.addingReportingOverflow(other.messages)
        guard !first, !second, cost.magnitude <= EventBatch.exactIntegerMax,
            messages.magnitude <= EventBatch.exactIntegerMax
        else { throw .sumOverflow }
        self = CostSums(cost: cost, messages: messages)
    }

    /// More messages are busier; with as many, more cost is.
    func isBusier(than other: CostSums) -> Bool {
        (messages, cost) > (other.messages, other.cost)
    }
}

/// Whom most was charged to.
public struct CostClient: Sendable {
    public let subject: SubjectID
    public let sums: CostSums
    /// Nil when nothing is known of it.
    public let profile: Profile?
}

/// What a workspace was charged over some days. All parts are made of one reading of the days, so
/// that they add up to each other.
public struct CostReport: Sendable {
    /// Every day of the range that the zone has, those without events too.
    public internal(set) var days: [(day: CivilDay, sums: CostSums)] = []
    /// Over the whole range, by the hour of the zone's clock: 24 of them.
    public internal(set) var hours = Array(repeating: CostSums(), count: 24)
    /// Most cost first, equal ones by id as bytes.
    public internal(set) var clients: [CostClient] = []
    /// Calendar months by their first days, the last of them that of today.
    public internal(set) var months: [(first: CivilDay, sums: CostSums)] = []
    public internal(set) var total = CostSums()
    /// What could not be read, and is in no sum.
    public internal(set) var warnings: [String] = []

    /// The day with most messages, the first of equal ones; nil when the range has no day.
    public var busiestDay: (day: CivilDay, sums: CostSums)? {
        days.reduce(nil) { busiest, next in
            guard let busiest else { return next }
            return next.sums.isBusier(than: busiest.sums) ? next : busiest
        }
    }

    /// The hour (0 to 23) with most messages, the first of equal ones.
    public var peakHour: (hour: Int, sums: CostSums) {
        hours.enumerated().reduce((0, hours[0])) { peak, next in
            next.element.isBusier(than: peak.1) ? (next.offset, next.element) : peak
        }
    }
}

/// What a report is asked for.
public struct CostQuery: Sendable {
    /// The longest range: ten years.
    public static let dayCountMax = LeaderboardWindow.dayCountMax

    public var days: ClosedRange<CivilDay>
    /// How many calendar months are told, 1 to 12.
    public var monthCount: Int
    /// How many clients are told, 0 to 1000; 0 asks for no leaderboard.
    public var clientCount: Int

    var dayCount: Int { days.upperBound.number - days.lowerBound.number + 1 }

    public init(_ days: ClosedRange<CivilDay>, monthCount: Int = 2, clientCount: Int = 10) {
        self.days = days
        self.monthCount = monthCount
        self.clientCount = clientCount
    }
}
