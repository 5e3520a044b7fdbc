// SPDX-License-Identifier: Apache-2.0

public import Redis

/// Tally's scripts: the files of `lua/`, embedded in the binary, with their includes put in.
public enum ScriptLibrary {
    /// Counts a batch of events.
    public static let recordEvents = script("record_events", PackageResources.record_events_lua)
    /// The subjects that used most of a meter ever.
    public static let readLifetimeLeaders = script(
        "read_lifetime_leaders", PackageResources.read_lifetime_leaders_lua)
    /// Moves what was counted on days that have ended to these days.
    public static let closeDays = script("close_days", PackageResources.close_days_lua)

    /// All of them, for a client to load when it connects.
    public static let all = [recordEvents, readLifetimeLeaders, closeDays]

    private static let includes: [String: [UInt8]] = [
        "add_late": PackageResources.add_late_lua,
        "add_to_cells": PackageResources.add_to_cells_lua,
        "add_to_subject": PackageResources.add_to_subject_lua,
        "constants": PackageResources.constants_lua,
        "exclude_events": PackageResources.exclude_events_lua,
        "leave_day": PackageResources.leave_day_lua,
        "name_keys": PackageResources.name_keys_lua,
        "new_batch": PackageResources.new_batch_lua,
        "size_keys": PackageResources.size_keys_lua,
        "write_days": PackageResources.write_days_lua,
        "write_ids": PackageResources.write_ids_lua,
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
