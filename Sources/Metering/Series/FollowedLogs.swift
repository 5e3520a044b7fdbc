// SPDX-License-Identifier: Apache-2.0

/// How far the logs were followed for minutes, subjects and activity: the number of an entry per day of
/// arrival (since 1970, UTC). What was added cannot be taken back and added anew, so the numbers of days
/// that were passed are kept: their logs go on when the clock was ahead and is set back.
struct FollowedLogs: Equatable {
    /// As many as there are logs by default.
    private static let passedCountMax = 40

    /// The first day that may have more.
    private(set) var floor: Int
    /// Of days of which something was followed.
    private(set) var numbers: [Int: Int] = [:]

    init(floor: Int) { self.floor = floor }

    /// Reads what `packed` wrote, or the numbers of `floor` and the days behind it, as older versions did.
    init?(_ bytes: [UInt8]) {
        guard let values = MessagePackValue(bytes)?.array, let floor = values.first?.integer else {
            return nil
        }
        self.floor = floor
        if values.count == 2, let pairs = values[1].integers {
            for index in stride(from: 0, to: pairs.count - 1, by: 2) {
                numbers[pairs[index]] = pairs[index + 1]
            }
        } else {
            for (place, value) in values.dropFirst().enumerated() {
                guard let number = value.integer else { return nil }
                numbers[floor + place] = number
            }
        }
    }

    func packed(_ writer: MessagePackWriter) -> [UInt8] {
        writer.array(2)
        writer.integer(floor)
        writer.integers(numbers.sorted { $0.key < $1.key }.flatMap { [$0.key, $0.value] })
        return writer.take()
    }

    /// The number of the last entry that was followed.
    subscript(day: Int) -> Int {
        get { numbers[day] ?? 0 }
        set { numbers[day] = newValue }
    }

    /// Days before one have no more.
    mutating func raiseFloor(to day: Int) {
        floor = max(floor, day)
        let passed = numbers.keys.filter { $0 < floor }
        guard passed.count > Self.passedCountMax else { return }
        for day in passed.sorted().dropLast(Self.passedCountMax) { numbers[day] = nil }
    }

    /// One day and those behind it may have more: they were passed by a clock that was ahead.
    mutating func lowerFloor(to day: Int) { floor = min(floor, day) }
}
