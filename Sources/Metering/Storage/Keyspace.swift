// SPDX-License-Identifier: Apache-2.0
//
// Every key of Tally in Redis is named here, and nowhere else; docs/keys.md says what each holds.
//
// `t1` is the version of the layout. All keys of a workspace carry its hash tag, so that one
// script may touch them and Redis Cluster keeps them together. The tag is its id and its birth, so
// that whoever is late with a command for a workspace that is gone reaches nothing of the next one
// of that id (ADR 20). A workspace id and a meter name are made of harmless characters (they are
// validated before they get here); other text of users stands in fields and members only, never in
// a key's name.

/// Names the keys of one workspace.
struct Keyspace: Sendable {
    let workspace: WorkspaceID
    /// `WorkspaceSettings.birth`.
    let birth: String
    private let prefix: [UInt8]

    init(_ settings: WorkspaceSettings) {
        self.init(workspace: settings.id, birth: settings.birth)
    }

    /// - Parameter birth: `WorkspaceSettings.birth`; empty for `default`.
    init(workspace: WorkspaceID, birth: String) {
        (self.workspace, self.birth) = (workspace, birth)
        let tag = birth.isEmpty ? workspace.text : "\(workspace.text)@\(birth)"
        prefix = Array("t1:{\(tag)}:".utf8)
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

    /// Sorted set: subject → negated sum over the days of a window.
    func board(_ id: BoardID) -> [UInt8] { board(named: Array(id.name.utf8)) }
    /// Sorted set: as `board`, while it is built.
    func newBoard(_ id: BoardID) -> [UInt8] { newBoard(named: Array(id.name.utf8)) }
    /// As `board`, by the board's field in `boards`.
    func board(named name: [UInt8]) -> [UInt8] { key("board:") + name }
    /// As `newBoard`, by the board's field in `boards`.
    func newBoard(named name: [UInt8]) -> [UInt8] { board(named: name) + Array(":new".utf8) }
    /// Hash: board of a window → how far it has followed the log.
    var boards: [UInt8] { key("boards") }
    /// Hash: board of a window → when it was asked for last.
    var boardsUsed: [UInt8] { key("boards:used") }
    /// Hash: board of a window → who builds it.
    var boardsBuilding: [UInt8] { key("boards:building") }

    /// Hash: day → how many batches have changed it, ever.
    var changes: [UInt8] { key("changes") }
    /// The field of `changes` that counts those of all that stands in `state.json`: rules, settings,
    /// API keys, accounts, grants, holds, profiles, pools of keys, receipts of erasures.
    static let stateChanges = Array("state".utf8)
    /// Hash: day → which snapshot of it was begun last: lua/cut_day.lua; `stateChanges` and what
    /// `auditWritten` names → revision of the file that was written last.
    var snapshots: [UInt8] { key("snapshots") }
    /// The field of `snapshots` for the file of a day of the audit log: lua/trim_audit.lua.
    static func auditWritten(_ day: CivilDay) -> [UInt8] { Array("audit:\(day.number)".utf8) }
    /// Hash: day that has left Redis → revision of its file.
    var cold: [UInt8] { key("cold") }
    /// String: who writes snapshots now. Expires.
    var flushLease: [UInt8] { key("lease:flush") }

    /// String: up to where the log was followed for minutes and subjects.
    var followed: [UInt8] { key("followed") }
    /// Hash: start of the minute, action, model → sums, for one hour (number since 1970). Expires.
    func minutes(hour: Int) -> [UInt8] { key("minutes:\(hour)") }
    /// Set, or HyperLogLog when there are many: subjects with an event in a minute. Expires.
    func seen(minute: Int) -> [UInt8] { key("seen:minute:\(minute)") }
    /// As `seen(minute:)`, of an hour that begins at a second since 1970. Expires.
    func seen(hour: Int) -> [UInt8] { key("seen:hour:\(hour)") }
    /// As `seen(minute:)`. Expires when the day is closed.
    func seen(day: CivilDay) -> [UInt8] { key("seen:day:\(day)") }
    /// As `seen(minute:)`, of the month of a day.
    func seen(month day: CivilDay) -> [UInt8] { key("seen:month:\("\(day)".prefix(7))") }
    /// Hash: subject → when it uploaded, downloaded and called first and last.
    var activity: [UInt8] { key("activity") }
    /// Set: guests of whom something was counted.
    var guests: [UInt8] { key("guests") }
    /// Set: types of processing that are counted by themselves.
    var types: [UInt8] { key("types") }
    /// String: written now and then, to see whether Redis takes writes. Expires.
    var probe: [UInt8] { key("probe") }

    /// Hash: version, the parts of the rules by name, and the zone by which days are cut: of
    /// `default` always, of others if that was another one before, or restored. The version of a workspace that
    /// was deleted is `Rules.deleted`, and stays.
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

    /// Hash: days with a cell that is large enough for the sums of the day to be looked at.
    var large: [UInt8] { key("large") }
    /// Hash: guest → the user it was merged into.
    var merged: [UInt8] { key("merged") }
    /// Hash: user → its guests, with where their history ends.
    var merges: [UInt8] { key("merges") }

    /// Hash: id → erasure of a subject.
    var erasures: [UInt8] { key("erasures") }
    /// Set: ids of erasures that are under way.
    var openErasures: [UInt8] { key("erasures:open") }
    /// Sorted set: ids of erasures, by when they were asked for.
    var orderedErasures: [UInt8] { key("erasures:by_time") }
    /// String: who erases now. Expires.
    var eraseLease: [UInt8] { key("lease:erase") }
    /// String: the subject that is taken out this moment, and not counted meanwhile. Expires.
    var erasing: [UInt8] { key("erasing") }
    /// What the names of all logs match, of sets of subjects, of boards of windows, and of markers.
    var logPattern: [UInt8] { key("log:*") }
    var seenPattern: [UInt8] { key("seen:*") }
    var windowPattern: [UInt8] { key("board:*") }
    var markerPattern: [UInt8] { key("batch:*") }
    /// A stream that is being copied to take the place of another.
    func copy(of stream: [UInt8]) -> [UInt8] { stream + Array(":new".utf8) }

    /// Stream: what administrators began to do.
    var audit: [UInt8] { key("audit") }
    /// Hash: id of an entry of `audit` → how it went.
    var auditOutcomes: [UInt8] { key("audit:outcomes") }
    /// Hash: day (UTC) → how often something of its entries was noted, ever.
    var auditChanges: [UInt8] { key("audit:changes") }

    /// Hash: subject → percents of alerts that were told; the empty one: those of budgets.
    var alertsTold: [UInt8] { key("alerts:told") }
    /// String: number of the last notice.
    var lastNotice: [UInt8] { key("alerts:last") }
    /// Hash: id → notice that was not delivered yet, or could not be.
    var notices: [UInt8] { key("alerts:notices") }
    /// Sorted set: notices to deliver, by when that is due next.
    var dueNotices: [UInt8] { key("alerts:due") }
    /// Sorted set: notices that could not be delivered, by when they were given up.
    var deadNotices: [UInt8] { key("alerts:dead") }

    /// Sorted set: ids of the workspace's keys, by when they were made.
    var apiKeys: [UInt8] { key("keys") }

    /// Hash: subject → profile.
    var people: [UInt8] { key("people") }
    /// Hash: e-mail, in lower case → subject.
    var emails: [UInt8] { key("people:emails") }
    /// Hash: digits of a phone number → subject.
    var phones: [UInt8] { key("people:phones") }
    /// Sorted set: profiles in one of their orders, all of score 0.
    func people(by order: ProfileOrder) -> [UInt8] { key("people:by:\(order.rawValue)") }
    /// Set: subjects that are never counted.
    var demo: [UInt8] { key("people:demo") }
    /// Set: active users.
    var registered: [UInt8] { key("people:registered") }

    /// Hash: facts about the key pool: the last id that was given, what sealed the secrets.
    var pool: [UInt8] { key("pool") }
    /// Hash: id → key of the pool.
    var poolKeys: [UInt8] { key("pool:keys") }
    /// Hash: id → secret of the key, sealed.
    var poolSecrets: [UInt8] { key("pool:secrets") }
    /// Hash: provider → what the balance of its keys has to be above to be handed out.
    var poolProviders: [UInt8] { key("pool:providers") }
    /// Hash: subject → what it received and used ever, and sums over the keys that it holds.
    var poolHolders: [UInt8] { key("pool:holders") }
    /// Hash: digest of a secret → id of the key that has it.
    func poolDigests(_ provider: PoolProvider) -> [UInt8] { key("pool:\(provider.name):digests") }
    /// Sorted set: keys of a provider by id.
    func poolListed(_ provider: PoolProvider) -> [UInt8] { key("pool:\(provider.name):keys") }
    /// Sorted set: active keys that nobody holds, in the order in which they are handed out.
    func poolFree(_ provider: PoolProvider) -> [UInt8] { key("pool:\(provider.name):free") }
    /// Sorted set: keys that somebody holds, by holder, provider and id.
    var poolHeld: [UInt8] { key("pool:held") }
    /// Sorted set: active ones of these, by holder, provider and balance.
    var poolReady: [UInt8] { key("pool:ready") }
    /// Sorted set: those of these that were used, by holder and time, the last first.
    var poolUsed: [UInt8] { key("pool:used") }

    /// The keys that each script takes that changes a pool: lua/include/pool.lua.
    func pool(of provider: PoolProvider) -> [[UInt8]] {
        [
            changes, pool, poolKeys, poolSecrets, poolDigests(provider), poolProviders, poolHolders,
            poolListed(provider), poolFree(provider), poolHeld, poolReady, poolUsed,
        ]
    }

    private func key(_ name: String) -> [UInt8] { prefix + Array(name.utf8) }
}

/// Names the keys that belong to no workspace, `@` alone being the tag of none, and those that are
/// changed with them.
public enum DirectoryKeyspace {
    /// Hash: workspace → settings.
    public static let workspaces = Array("t1:{@}:workspaces".utf8)
    /// Hash: id of a key → its record.
    public static let apiKeys = Array("t1:{@}:keys".utf8)
    /// Hash: id of a key → when it was used last, to the minute.
    public static let apiKeysUsed = Array("t1:{@}:keys:used".utf8)
    /// Hash: workspace, `@`, birth → when it was removed, in ms, or `restored`. Nothing else tells a workspace that
    /// was deleted from one that was lost.
    public static let removed = Array("t1:{@}:removed".utf8)
    /// The field of `removed` for a workspace.
    public static func removed(_ workspace: WorkspaceID, _ birth: String) -> [UInt8] {
        Array("\(workspace.text)@\(birth)".utf8)
    }
    /// In the place of the time of one that goes on under another birth, by a restore.
    public static let restored = Array("0".utf8)
    /// String: grows with each change of the hashes.
    public static let version = Array("t1:{@}:version".utf8)
    private static let deleted = Array("deleted ".utf8)

    /// What stands in the place of a workspace whose data are being removed.
    public static func doomed(_ birth: String) -> [UInt8] { deleted + Array(birth.utf8) }
    /// The birth of the workspace in whose place this stands; nil when it is no such entry.
    public static func birth(ofDoomed entry: [UInt8]) -> String? {
        guard entry.starts(with: deleted) else { return nil }
        return String(decoding: entry.dropFirst(deleted.count), as: UTF8.self)
    }
    /// Whether a workspace has been deleted in whose place this stands.
    public static func isDoomed(_ entry: [UInt8]) -> Bool { birth(ofDoomed: entry) != nil }

    /// Sorted set: ids of a workspace's keys, by when they were made.
    public static func apiKeys(of workspace: WorkspaceID, _ birth: String) -> [UInt8] {
        Keyspace(workspace: workspace, birth: birth).apiKeys
    }
    /// Hash: as `Keyspace.changes`.
    public static func changes(of workspace: WorkspaceID, _ birth: String) -> [UInt8] {
        Keyspace(workspace: workspace, birth: birth).changes
    }
    /// Hash: as `Keyspace.rules`.
    public static func rules(of workspace: WorkspaceID, _ birth: String) -> [UInt8] {
        Keyspace(workspace: workspace, birth: birth).rules
    }
    /// Hash: as `Keyspace.subjects`.
    public static func subjects(of workspace: WorkspaceSettings) -> [UInt8] {
        Keyspace(workspace).subjects
    }
    /// Hash: as `Keyspace.accounts`.
    public static func accounts(of workspace: WorkspaceSettings) -> [UInt8] {
        Keyspace(workspace).accounts
    }
    /// Hash: as `Keyspace.meta`.
    public static func meta(of workspace: WorkspaceID, _ birth: String) -> [UInt8] {
        Keyspace(workspace: workspace, birth: birth).meta
    }
    /// What the names of all keys match that carry a birth.
    public static let bornPattern = Array("t1:{?*@?*}:*".utf8)
    /// The workspace, and its birth, that a key belongs to; nil for one without a birth.
    public static func owner(of key: [UInt8]) -> (workspace: WorkspaceID, birth: String)? {
        let name = String(decoding: key, as: UTF8.self)
        guard let match = name.prefixMatch(of: /t1:{([^@}]+)@([0-9a-z]{1,13})}:/),
            let workspace = WorkspaceID(String(match.1))
        else { return nil }
        return (workspace, String(match.2))
    }
    /// What all keys of a workspace match, and no others.
    public static func pattern(of workspace: WorkspaceID, _ birth: String) -> [UInt8] {
        Keyspace(workspace: workspace, birth: birth).pattern
    }
}
