// SPDX-License-Identifier: Apache-2.0

public import Redis

/// Tally's scripts: the files of `lua/`, embedded in the binary, with their includes and constants put in.
public enum ScriptLibrary {
    /// Decides about a batch, and counts its events.
    public static let recordEvents = script("record_events", PackageResources.record_events_lua)
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
    /// Lets a day leave Redis.
    static let coolDay = script("cool_day", PackageResources.cool_day_lua)
    /// Brings a day back.
    static let thawDay = script("thaw_day", PackageResources.thaw_day_lua)
    /// Reads some of a day's hourly sums, unless it has left.
    static let readDay = script("read_day", PackageResources.read_day_lua)

    /// Reads what some subjects may still use.
    static let readAccounts = script("read_accounts", PackageResources.read_accounts_lua)

    /// Takes the right to write what is restored.
    static let beginRestore = script("begin_restore", PackageResources.begin_restore_lua)
    /// Writes fields of a hash, or members of a sorted set.
    static let restoreValues = script("restore_values", PackageResources.restore_values_lua)
    /// Adds what subjects used on a day to their records.
    static let restoreSubjects = script("restore_subjects", PackageResources.restore_subjects_lua)
    /// Writes accounts, and opens their ledgers.
    static let restoreAccounts = script("restore_accounts", PackageResources.restore_accounts_lua)
    /// Notes which subjects a day and its month have seen.
    static let restoreSeen = script("restore_seen", PackageResources.restore_seen_lua)
    /// Marks what was restored as whole.
    static let finishRestore = script("finish_restore", PackageResources.finish_restore_lua)
    /// Reads what subjects used on a day, and where its boards have them.
    static let readRanks = script("read_ranks", PackageResources.read_ranks_lua)
    /// Reads records and places on a window's board.
    static let readStandings = script("read_standings", PackageResources.read_standings_lua)
    /// Reads records, and what subjects used on several days.
    static let readLifetimes = script("read_lifetimes", PackageResources.read_lifetimes_lua)

    /// Reads a part of a board.
    static let readBoard = script("read_board", PackageResources.read_board_lua)
    /// Brings a board further along the log.
    static let applyBoard = script("apply_board", PackageResources.apply_board_lua)
    /// Takes the right to build a board.
    static let beginBoard = script("begin_board", PackageResources.begin_board_lua)
    /// Reads what some subjects used on some days.
    static let readWindow = script("read_window", PackageResources.read_window_lua)
    /// Reads some of what subjects used on a day.
    static let scanUse = script("scan_use", PackageResources.scan_use_lua)
    /// Writes some values of a board that is being built.
    static let fillBoard = script("fill_board", PackageResources.fill_board_lua)
    /// Puts a board in its place.
    static let finishBoard = script("finish_board", PackageResources.finish_board_lua)
    /// Forgets a board.
    static let dropBoard = script("drop_board", PackageResources.drop_board_lua)

    /// Changes a workspace's or a key's entry.
    public static let changeDirectory = script(
        "change_directory", PackageResources.change_directory_lua)
    /// Puts the mark of a deletion in a workspace's place.
    public static let deleteWorkspace = script(
        "delete_workspace", PackageResources.delete_workspace_lua)
    /// Removes keys of a workspace that was deleted.
    public static let unlinkDoomed = script("unlink_doomed", PackageResources.unlink_doomed_lua)

    /// Notes by which zone days are cut.
    public static let keepZone = script("keep_zone", PackageResources.keep_zone_lua)

    /// Tells which commands the user of Redis may not run.
    public static let checkRights = script("check_rights", PackageResources.check_rights_lua)

    /// What a client needs that serves requests, to be loaded when it connects.
    public static let all = [
        recordEvents, closeDays, putRules, forgetHolds, readBoard, changeDirectory,
    ]
    /// What a client needs that writes snapshots.
    public static let forSnapshots = [
        leaseFlush, cutDay, readHours, readSubjects, coolDay, followUsage, trimAudit,
    ]

    /// Counts what the log holds by minutes, and subjects.
    static let followUsage = script("follow_usage", PackageResources.follow_usage_lua)
    /// How many subjects some keys hold.
    static let countSeen = script("count_seen", PackageResources.count_seen_lua)

    /// What a client needs that answers long questions; what is seldom asked is loaded when it is.
    public static let forQueries = [
        readDay, thawDay, followUsage, countSeen, readAccounts, listHolds, readLedger,
        beginRestore, restoreValues, restoreSubjects, restoreSeen, restoreAccounts, finishRestore,
        cutDay, readHours, readSubjects, readRanks, readStandings, readLifetimes, readBoard,
        applyBoard,
        beginBoard, readWindow, scanUse, fillBoard, finishBoard, dropBoard, writePeople,
        listPeople, reserveIDs, importKeys, assignKeys, changeKey, deleteKey, setThreshold,
        listKeys,
        listHeldKeys, readHolders, restorePool, restoreAudit, scanRecords, beginAct, endAct,
        putRules, tellBudgets,
        claimNotices, settleNotice, listNotices,
    ]

    /// Notes an administrative act.
    static let beginAct = script("begin_act", PackageResources.begin_act_lua)
    /// Notes how an administrative act went.
    static let endAct = script("end_act", PackageResources.end_act_lua)
    /// Forgets old administrative acts.
    static let trimAudit = script("trim_audit", PackageResources.trim_audit_lua)
    /// Writes administrative acts.
    static let restoreAudit = script("restore_audit", PackageResources.restore_audit_lua)
    /// Adds up what some subjects have used in all.
    static let scanRecords = script("scan_records", PackageResources.scan_records_lua)
    /// Tells which budgets have reached which percents.
    static let tellBudgets = script("tell_budgets", PackageResources.tell_budgets_lua)
    /// Takes notices that are due, to deliver them.
    static let claimNotices = script("claim_notices", PackageResources.claim_notices_lua)
    /// Writes down what became of a delivery.
    static let settleNotice = script("settle_notice", PackageResources.settle_notice_lua)
    /// Reads some notices, by time.
    static let listNotices = script("list_notices", PackageResources.list_notices_lua)

    /// Creates, changes and removes profiles.
    static let writePeople = script("write_people", PackageResources.write_people_lua)
    /// Reads some profiles in one of their orders.
    static let listPeople = script("list_people", PackageResources.list_people_lua)

    /// Takes ids for keys of a pool.
    static let reserveIDs = script("reserve_ids", PackageResources.reserve_ids_lua)
    /// Adds keys to a pool.
    static let importKeys = script("import_keys", PackageResources.import_keys_lua)
    /// Hands out keys of a pool.
    static let assignKeys = script("assign_keys", PackageResources.assign_keys_lua)
    /// Changes a key of a pool.
    static let changeKey = script("change_key", PackageResources.change_key_lua)
    /// Takes a key out of a pool.
    static let deleteKey = script("delete_key", PackageResources.delete_key_lua)
    /// Sets what a provider's keys need.
    static let setThreshold = script("set_threshold", PackageResources.set_threshold_lua)
    /// Writes keys of a pool, and what was counted of its holders.
    static let restorePool = script("restore_pool", PackageResources.restore_pool_lua)
    /// Reads some keys of a pool.
    static let listKeys = script("list_keys", PackageResources.list_keys_lua)
    /// Reads some keys that a subject holds.
    static let listHeldKeys = script("list_held_keys", PackageResources.list_held_keys_lua)
    /// Reads what a pool knows of some subjects.
    static let readHolders = script("read_holders", PackageResources.read_holders_lua)

    /// Notes that a subject is to be erased.
    static let beginErasure = script("begin_erasure", PackageResources.begin_erasure_lua)
    /// Writes how far an erasure is.
    static let saveErasure = script("save_erasure", PackageResources.save_erasure_lua)
    /// Revokes an API key of a subject that is being erased.
    static let revokeKey = script("revoke_key", PackageResources.revoke_key_lua)
    /// Takes a subject out of what is kept by subject.
    static let eraseSubject = script("erase_subject", PackageResources.erase_subject_lua)
    /// Takes what is about subjects out of a hash, a slice of it.
    static let eraseNamed = script("erase_named", PackageResources.erase_named_lua)
    /// Puts an anonymous subject in the place of others in sets.
    static let replaceMembers = script("replace_members", PackageResources.replace_members_lua)
    /// Finds entries of a stream that hold some text.
    static let findEntries = script("find_entries", PackageResources.find_entries_lua)
    /// Copies entries of a stream, and puts the copy in its place.
    static let copyEntries = script("copy_entries", PackageResources.copy_entries_lua)
    /// Forgets ids of events.
    static let forgetIDs = script("forget_ids", PackageResources.forget_ids_lua)
    /// Takes the answers out of markers of batches.
    static let voidMarkers = script("void_markers", PackageResources.void_markers_lua)

    /// Reads some of the holds, by time.
    static let listHolds = script("list_holds", PackageResources.list_holds_lua)
    /// Reads entries of the log that have lines of a ledger.
    static let readLedger = script("read_ledger", PackageResources.read_ledger_lua)

    private static let includes: [String: [UInt8]] = [
        "accounts": PackageResources.accounts_lua,
        "add_cells": PackageResources.add_cells_lua,
        "add_late": PackageResources.add_late_lua,
        "add_part": PackageResources.add_part_lua,
        "add_values": PackageResources.add_values_lua,
        "add_rows": PackageResources.add_rows_lua,
        "administer": PackageResources.administer_lua,
        "bound_day": PackageResources.bound_day_lua,
        "bring_up": PackageResources.bring_up_lua,
        "context": PackageResources.context_lua,
        "decide": PackageResources.decide_lua,
        "ends_of": PackageResources.ends_of_lua,
        "in_parts": PackageResources.in_parts_lua,
        "exclude_uncounted": PackageResources.exclude_uncounted_lua,
        "exclude_events": PackageResources.exclude_events_lua,
        "find_cold": PackageResources.find_cold_lua,
        "find_known": PackageResources.find_known_lua,
        "find_merged": PackageResources.find_merged_lua,
        "give_back": PackageResources.give_back_lua,
        "merge_guest": PackageResources.merge_guest_lua,
        "holds": PackageResources.holds_lua,
        "judge": PackageResources.judge_lua,
        "judge_alerts": PackageResources.judge_alerts_lua,
        "leave_day": PackageResources.leave_day_lua,
        "limits": PackageResources.limits_lua,
        "log_ends": PackageResources.log_ends_lua,
        "months": PackageResources.months_lua,
        "move_windows": PackageResources.move_windows_lua,
        "clock_us": PackageResources.clock_us_lua,
        "name_keys": PackageResources.name_keys_lua,
        "new_batch": PackageResources.new_batch_lua,
        "occasional": PackageResources.occasional_lua,
        "open_account": PackageResources.open_account_lua,
        "pool": PackageResources.pool_lua,
        "pool_members": PackageResources.pool_members_lua,
        "profile_places": PackageResources.profile_places_lua,
        "rank": PackageResources.rank_lua,
        "read_record": PackageResources.read_record_lua,
        "require_rights": PackageResources.require_rights_lua,
        "results_of": PackageResources.results_of_lua,
        "see": PackageResources.see_lua,
        "later_times": PackageResources.later_times_lua,
        "note_ranked": PackageResources.note_ranked_lua,
        "settle_hold": PackageResources.settle_hold_lua,
        "size_keys": PackageResources.size_keys_lua,
        "still_counts": PackageResources.still_counts_lua,
        "tell": PackageResources.tell_lua,
        "use_limit": PackageResources.use_limit_lua,
        "usage_of": PackageResources.usage_of_lua,
        "write_batch": PackageResources.write_batch_lua,
        "write_days": PackageResources.write_days_lua,
        "write_ids": PackageResources.write_ids_lua,
        "write_records": PackageResources.write_records_lua,
    ]

    private static let constants: [String: [UInt8]] = [
        "account_fields": PackageResources.account_fields_lua,
        "alert_fields": PackageResources.alert_fields_lua,
        "constants": PackageResources.constants_lua,
        "erasure_fields": PackageResources.erasure_fields_lua,
        "profile_fields": PackageResources.profile_fields_lua,
        "pool_fields": PackageResources.pool_fields_lua,
    ]

    private static func script(_ name: String, _ source: [UInt8]) -> RedisScript {
        var values: [Substring: Substring] = [:]
        let lines = expanded(String(decoding: source, as: UTF8.self), &values)
        return RedisScript(
            name: name, source: lines.map { inlined($0, values) }.joined(separator: "\n"))
    }

    /// Puts the files that `--@include NAME` names in its place, and notes the values of the file
    /// that `--@constants NAME` names.
    private static func expanded(
        _ source: String, _ values: inout [Substring: Substring]
    ) -> [Substring] {
        let include = "--@include "
        let constant = "--@constants "
        var lines: [Substring] = []
        for line in source.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix(include) {
                lines += expanded(file(line.dropFirst(include.count), includes), &values)
            } else if line.hasPrefix(constant) {
                read(file(line.dropFirst(constant.count), constants), &values)
            } else {
                lines.append(line)
            }
        }
        return lines
    }

    private static func file(_ name: Substring, _ files: [String: [UInt8]]) -> String {
        let file = files[String(name)]
        // A name that is no file fails every script test; it cannot happen at run time only.
        precondition(file != nil, "lua/include has no such file: \(name)")
        return String(decoding: file ?? [], as: UTF8.self)
    }

    /// Reads `local A, B = 1, 2`, on one line or two; comments have lines of their own.
    private static func read(_ file: String, _ values: inout [Substring: Substring]) {
        let code = file.split(separator: "\n").filter { !$0.hasPrefix("--") }
        for declaration in code.joined(separator: " ").split(separator: "local ") {
            let sides = declaration.split(separator: "=").map { side in
                side.split { $0 == "," || $0 == " " }
            }
            precondition(
                sides.count == 2 && sides[0].count == sides[1].count,
                "no constants: \(declaration)")
            values.merge(zip(sides[0], sides[1])) { $1 }
        }
    }

    /// The line with values in place of the names of constants. As variables of the script they
    /// would be made anew in each call, and every function would hold on to those it uses.
    private static func inlined(
        _ line: Substring, _ values: [Substring: Substring]
    ) -> String {
        guard !line.drop(while: { $0 == " " }).hasPrefix("--") else { return String(line) }
        var code = ""
        var rest = line
        while let first = rest.first {
            var piece = rest.prefix { $0.isLetter || $0.isNumber || $0 == "_" }
            if first == "'" {
                piece = rest.prefix(
                    through: rest.dropFirst().firstIndex(of: "'")
                        ?? rest.index(before: rest.endIndex)
                )
            } else if piece.isEmpty {
                piece = rest.prefix(1)
            }
            code += values[piece] ?? piece
            rest = rest[piece.endIndex...]
        }
        return code
    }
}
