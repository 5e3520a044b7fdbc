// SPDX-License-Identifier: Apache-2.0

public import Redis

/// Tally's scripts: the files of `lua/`, embedded in the binary, with their includes put in.
public enum ScriptLibrary {
    /// Decides about a batch, and counts its events.
    public static let recordEvents = script("record_events", PackageResources.record_events_lua)
    /// The subjects that used most of a meter ever.
    public static let readLifetimeLeaders = script(
        "read_lifetime_leaders", PackageResources.read_lifetime_leaders_lua)
    /// Moves what was counted on days that have ended to these days.
    public static let closeDays = script("close_days", PackageResources.close_days_lua)

    /// Puts a part of a workspace's rules in force.
    public static let putRules = script("put_rules", PackageResources.put_rules_lua)

    /// Forgets holds that were over long ago.
    public static let forgetHolds = script("forget_holds", PackageResources.forget_holds_lua)

    /// Takes, keeps and gives back the right to write snapshots.
    static let leaseFlush = script("lease_flush", PackageResources.lease_flush_lua)
    /// Begins a snapshot of a day.
    static let cutDay = script("cut_day", PackageResources.cut_day_lua)
    /// Reads some of a day's hourly sums.
    static let readHours = script("read_hours", PackageResources.read_hours_lua)
    /// Reads what some subjects used on a day.
    static let readSubjects = script("read_subjects", PackageResources.read_subjects_lua)

    /// What a client needs that serves requests, to be loaded when it connects.
    public static let all = [recordEvents, readLifetimeLeaders, closeDays, putRules, forgetHolds]
    /// What a client needs that writes snapshots.
    public static let forSnapshots = [leaseFlush, cutDay, readHours, readSubjects]

    private static let includes: [String: [UInt8]] = [
        "account_fields": PackageResources.account_fields_lua,
        "accounts": PackageResources.accounts_lua,
        "add_cells": PackageResources.add_cells_lua,
        "add_late": PackageResources.add_late_lua,
        "add_part": PackageResources.add_part_lua,
        "add_rows": PackageResources.add_rows_lua,
        "administer": PackageResources.administer_lua,
        "constants": PackageResources.constants_lua,
        "context": PackageResources.context_lua,
        "decide": PackageResources.decide_lua,
        "exclude_events": PackageResources.exclude_events_lua,
        "find_known": PackageResources.find_known_lua,
        "holds": PackageResources.holds_lua,
        "judge": PackageResources.judge_lua,
        "leave_day": PackageResources.leave_day_lua,
        "limits": PackageResources.limits_lua,
        "log_ends": PackageResources.log_ends_lua,
        "name_keys": PackageResources.name_keys_lua,
        "new_batch": PackageResources.new_batch_lua,
        "results_of": PackageResources.results_of_lua,
        "size_keys": PackageResources.size_keys_lua,
        "use_limit": PackageResources.use_limit_lua,
        "write_batch": PackageResources.write_batch_lua,
        "write_days": PackageResources.write_days_lua,
        "write_ids": PackageResources.write_ids_lua,
        "write_records": PackageResources.write_records_lua,
    ]

    /// Puts the files that `--@include NAME` names in its place. Includes do not include others.
    private static func script(_ name: String, _ source: [UInt8]) -> RedisScript {
        let directive = "--@include "
        let lines = String(decoding: source, as: UTF8.self).split(
            separator: "\n", omittingEmptySubsequences: false
        ).map { line in
            guard line.hasPrefix(directive) else { return String(line) }
            let include = includes[String(line.dropFirst(directive.count))]
            // A name that is no file fails every script test; it cannot happen at run time only.
            precondition(include != nil, "lua/include has no such file: \(line)")
            return String(decoding: include ?? [], as: UTF8.self)
        }
        return RedisScript(name: name, source: lines.joined(separator: "\n"))
    }
}
