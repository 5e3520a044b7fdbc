// SPDX-License-Identifier: Apache-2.0

/// When allowances reset: for each day of the month that a subject may have, the reset before now
/// and the next. Scripts know no time zones, so each batch that decides brings them along.
final class MonthResets {
    private let calendar: WorkspaceCalendar
    private var today: CivilDay?
    private var packed: [UInt8] = []

    init(_ calendar: WorkspaceCalendar) { self.calendar = calendar }

    /// Per day 1 to 31, two integers of 6 bytes: milliseconds since 1970. A reset is at the start
    /// of its day in the workspace's zone; a month that has no such day resets on its last.
    func packed(on today: CivilDay) -> [UInt8] {
        if today == self.today { return packed }
        self.today = today
        packed = []
        packed.reserveCapacity(31 * 12)
        let month = today.firstOfMonth
        for anchor in 1...31 {
            let this = month.adding(months: 0, anchor: anchor)
            let last = this <= today ? this : month.adding(months: -1, anchor: anchor)
            let next = this <= today ? month.adding(months: 1, anchor: anchor) : this
            append(calendar.start(of: last))
            append(calendar.start(of: next))
        }
        return packed
    }

    private func append(_ seconds: Int) {
        let milliseconds = UInt64(max(0, seconds) * 1000)
        for shift in stride(from: 40, through: 0, by: -8) {
            packed.append(UInt8(truncatingIfNeeded: milliseconds >> UInt64(shift)))
        }
    }
}
