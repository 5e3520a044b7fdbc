// SPDX-License-Identifier: Apache-2.0

public import JSON

/// How the credits of a workspace's subjects behave. Amounts are micro-credits.
public struct CreditPolicy: Hashable, Sendable {
    public enum MonthReset: String, Sendable {
        /// On the day of the month of the subject's first balance, or the month's last day.
        case anniversary
        /// On the 1st.
        case calendar
    }

    public var monthReset = MonthReset.anniversary
    /// What a subject gets each month that was given no allowance of its own.
    public var defaultAllowance = 0
    /// The most of what is left of an allowance that a reset keeps.
    public var rolloverMax = 0
    /// How far below zero checks, holds and enforced events may bring a balance.
    public var overdraft = 0

    /// Far from 2^53, so that what is judged against the floor is exact.
    private static let overdraftMax = 1_000_000_000_000_000

    public init() {}

    /// Reads `{"month_reset", "default_allowance", "rollover_max", "overdraft"}`, all optional.
    public init(_ value: JSONValue) throws(EventRejection) {
        guard value.kind == .object else { throw .wrongType("", "an object") }
        for (key, member) in value.members {
            if key == "month_reset" {
                guard let text = member.text else { throw .wrongType("month_reset", "a string") }
                guard let reset = MonthReset(rawValue: text) else {
                    throw EventRejection(
                        code: "invalid_value", field: "month_reset",
                        detail: "anniversary or calendar")
                }
                monthReset = reset
            } else if key == "default_allowance" {
                defaultAllowance = try MicroDecimal.micros(member, "default_allowance")
            } else if key == "rollover_max" {
                rolloverMax = try MicroDecimal.micros(member, "rollover_max")
            } else if key == "overdraft" {
                overdraft = try MicroDecimal.micros(member, "overdraft")
                guard overdraft <= Self.overdraftMax else {
                    throw EventRejection(
                        code: "out_of_range", field: "overdraft",
                        detail: "at most \(MicroDecimal.text(Self.overdraftMax)) credits")
                }
            } else {
                throw .unknownField(
                    key,
                    detail: "a policy has month_reset, default_allowance, rollover_max, overdraft")
            }
        }
    }

    public func write(_ writer: inout JSONWriter) {
        writer.beginObject()
        writer.key("month_reset")
        writer.string(monthReset.rawValue)
        writer.key("default_allowance")
        writer.string(MicroDecimal.text(defaultAllowance))
        writer.key("rollover_max")
        writer.string(MicroDecimal.text(rolloverMax))
        writer.key("overdraft")
        writer.string(MicroDecimal.text(overdraft))
        writer.endObject()
    }
}
