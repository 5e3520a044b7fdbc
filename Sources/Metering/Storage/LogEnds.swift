// SPDX-License-Identifier: Apache-2.0

/// Where the logs end, or how far they were read: the number of an entry per day of arrival.
///
/// Days before `floor` were read to their ends; of days behind the last one nothing was read.
struct LogEnds: Equatable {
    private(set) var floor: Int
    private(set) var numbers: [Int]

    /// - Parameter numbers: of `floor` and the days behind it.
    init(floor: Int, numbers: [Int]) {
        self.floor = floor
        self.numbers = numbers
    }

    /// The number of the last entry of a day (since 1970, UTC).
    subscript(day: Int) -> Int {
        get {
            if day < floor { return .max }
            return day - floor < numbers.count ? numbers[day - floor] : 0
        }
        set {
            guard day >= floor, day - floor < 10_000 else { return }
            while numbers.count <= day - floor { numbers.append(0) }
            numbers[day - floor] = newValue
        }
    }

    var days: Range<Int> { floor..<floor + numbers.count }

    /// Whether all that the others hold was read, also of days before their floor.
    func reaches(_ other: LogEnds) -> Bool {
        floor >= other.floor && other.days.allSatisfy { self[$0] >= other[$0] }
    }

    /// Whether the logs ended there before they ended at the others: they only grow.
    func precedes(_ other: LogEnds) -> Bool {
        let first = max(floor, other.floor)
        for day in first..<max(first, days.upperBound, other.days.upperBound)
        where self[day] != other[day] {
            return self[day] < other[day]
        }
        return floor < other.floor
    }

    /// Forgets the days before one: they were read to their ends.
    mutating func raiseFloor(to day: Int) {
        numbers.removeFirst(min(max(0, day - floor), numbers.count))
        floor = max(floor, day)
    }
}
