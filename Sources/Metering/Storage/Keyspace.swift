// SPDX-License-Identifier: Apache-2.0
//
// Every key of Tally in Redis is named here, and nowhere else; docs/keys.md says what each holds.
//
// `t1` is the version of the layout. All keys of a workspace carry its hash tag, so that one
// script may touch them and Redis Cluster keeps them together. A workspace id and a meter name
// are made of harmless characters (they are validated before they get here); other text of users
// stands in fields and members only, never in a key's name.

/// Names the keys of one workspace.
struct Keyspace: Sendable {
    private let prefix: [UInt8]

    init(workspace: WorkspaceID) {
        prefix = Array("t1:{\(workspace.text)}:".utf8)
    }

    /// What all keys of the workspace match, and no others: nothing in it has a meaning in patterns.
    var pattern: [UInt8] { key("*") }

    /// Hash: subject → record (lifetime totals, totals of its latest day, first and last time).
    var subjects: [UInt8] { key("subjects") }
    /// Hash: facts about the workspace's data, such as the day up to which it was closed.
    var meta: [UInt8] { key("meta") }
    /// String: the last batch that one sender had counted, with its answer. Expires.
    func marker(sender: String) -> [UInt8] { key("batch:\(sender)") }
    /// Stream: the batches that arrived on a day (UTC). Expires.
    func log(arrival: CivilDay) -> [UInt8] { key("log:\(arrival)") }
    /// Hash: digest of an event's id → where it was counted, for one span of time. Expires.
    func ids(generation: Int) -> [UInt8] { key("ids:\(generation)") }
    /// Hash: subject → what it used on a day that is not its latest. Expires.
    func use(_ day: CivilDay) -> [UInt8] { key("use:\(day)") }
    /// Hash: start of hour, action, model → sums. Expires.
    func hours(_ day: CivilDay) -> [UInt8] { key("hours:\(day)") }
    /// Hash: action, model → sums. Expires.
    func day(_ day: CivilDay) -> [UInt8] { key("day:\(day)") }
    /// Sorted set: subject → negated total of a day. Expires.
    func board(_ day: CivilDay, _ meter: Meter) -> [UInt8] { key("rank:\(day):\(meter.name)") }
    /// What the names of all boards of days match.
    var boardPattern: [UInt8] { key("rank:*") }
    /// Sorted set: subject → negated lifetime total without the subject's latest day.
    func closedBoard(_ meter: Meter) -> [UInt8] { key("closed:\(meter.name)") }

    /// Hash: day → how many batches have changed it, ever.
    var changes: [UInt8] { key("changes") }
    /// The field of `changes` that counts those of rules, accounts, grants and holds.
    static let stateChanges = Array("state".utf8)
    /// Hash: day → which snapshot of it was begun last: lua/cut_day.lua.
    var snapshots: [UInt8] { key("snapshots") }
    /// Hash: day that has left Redis → revision of its file.
    var cold: [UInt8] { key("cold") }
    /// String: who writes snapshots now. Expires.
    var flushLease: [UInt8] { key("lease:flush") }

    /// Hash: version, and the parts of the rules by name.
    var rules: [UInt8] { key("rules") }
    /// Hash: subject → account (credits, windows, open holds).
    var accounts: [UInt8] { key("accounts") }
    /// Hash: id → hold.
    var holds: [UInt8] { key("holds") }
    /// Sorted set: holds that were not ended, by when they expire.
    var openHolds: [UInt8] { key("holds:open") }
    /// Sorted set: holds that were ended, by when.
    var endedHolds: [UInt8] { key("holds:ended") }
    /// Hash: length of the subject's id, subject, id of the grant → grant.
    var grants: [UInt8] { key("grants") }

    /// Hash: where an event was counted → where it was reversed.
    var reversed: [UInt8] { key("reversed") }

    private func key(_ name: String) -> [UInt8] { prefix + Array(name.utf8) }
}
