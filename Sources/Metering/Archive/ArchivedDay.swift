// SPDX-License-Identifier: Apache-2.0

/// How many events, and what they add up to, in the order of the meters' names.
struct ArchivedSums {
    var events = 0
    var amounts: [(meter: Meter, amount: Int)] = []

    /// 0 for a meter of which nothing was counted.
    func amount(of meter: Meter) -> Int {
        for entry in amounts where entry.meter == meter { return entry.amount }
        return 0
    }
}

/// What a subject used on a day.
struct ArchivedSubject {
    var subject = ByteString.empty
    var sums = ArchivedSums()
    /// Its first and last event of the day; nil in files that do not tell.
    var first: Timestamp?
    var last: Timestamp?
    /// The hours of the day in which it had an event, 2^n for the day's hour n; 0 if not told.
    var hours = 0
}

/// What a snapshot says of its day, but for the single subjects.
struct ArchivedDay {
    /// Sums of an hour, action and model; of one or two of them the others are nil or empty.
    struct Cell {
        /// Start of the hour, seconds since 1970.
        var hour: Int?
        var action = ByteString.empty
        var model = ByteString.empty
        var sums = ArchivedSums()
    }

    let day: CivilDay
    let zone: String
    /// How many batches had changed the day.
    let revision: Int
    let isFinal: Bool
    /// The name of the data that it was made of.
    let dataset: String
    /// When the snapshot of this revision was begun first.
    let writtenAt: Timestamp
    var totals = ArchivedSums()
    var hours: [Cell] = []
    var actions: [Cell] = []
    var models: [Cell] = []
    /// By all three, in this order.
    var cells: [Cell] = []
    var subjectCount = 0
    /// Subjects of each hour of the day; empty in files that do not tell.
    var hourSubjects: [Int] = []
    /// Who used most of each meter with leaderboards, at most 100, ties by id.
    var ranks: [(meter: Meter, entries: [LeaderboardEntry])] = []
}
