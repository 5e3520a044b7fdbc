// SPDX-License-Identifier: Apache-2.0

internal import JSON
internal import Redis

/// Writes what the state's file holds: rules, accounts, grants, holds, marks of reversals, profiles, receipts
/// of erasures.
final class StateRestorer {
    /// An account may have a thousand holds.
    private static let accountsPerCall = 50
    /// The log's numbers go on here: more batches than these do not come in a millisecond, so that
    /// no id that Tally gave before comes again.
    private static let numbersPerMS = 64
    /// LAST_PRIORITY of lua/include/constants.lua.
    static let priorityOfReversals = 1_000_000

    private let path: String
    private let writer: RestoreWriter
    private let keys: Keyspace
    private let now: Int
    /// For how long the entries stay that open the ledgers.
    private let logSeconds: Int
    private let advance: (_ readCount: Int) async throws -> Void
    private var number: Int
    private var list = ""
    private var accounts: [AccountState] = []
    private var grants: [GrantRecord] = []
    private var holds: [HoldRecord] = []
    private var reversed: [(pointer: [UInt8], position: Int)] = []
    private var merged: [(guest: [UInt8], user: [UInt8])] = []
    private var people: [Profile] = []
    private var erasures: [Erasure] = []
    private var times: [ActivityRecord] = []
    private var told: [ToldRecord] = []
    private var rules: [(name: String, text: [UInt8])] = []
    private var accountCount = 0
    private let pool: PoolRestorer
    private let directory: DirectoryRestorer

    init(
        _ path: String, _ writer: RestoreWriter, _ directory: DirectoryRestorer, clock: any Clock,
        logSeconds: Int,
        advance: @escaping (_ readCount: Int) async throws -> Void
    ) {
        self.path = path
        self.writer = writer
        self.directory = directory
        pool = PoolRestorer(writer)
        self.advance = advance
        self.logSeconds = logSeconds
        keys = writer.keys
        now = clock.now.milliseconds
        let arrival = now.flooredQuotient(86_400_000)
        number = max(1, (now - arrival * 86_400_000) * Self.numbersPerMS)
    }

    /// Returns how many accounts there are.
    ///
    /// Open holds stand in the accounts as well as, by then, ended ones among the holds: accounts
    /// are written last, so that what they say holds. Hence the file is read twice.
    func run() async throws -> Int {
        try await read(accountsOnly: false)
        try await read(accountsOnly: true)
        return accountCount
    }

    private func read(accountsOnly: Bool) async throws {
        let pieces = try SnapshotPieces(path)
        var seen = 0
        while let piece = try pieces.next() {
            switch piece {
            case .list(let name): list = name
            case .element(let value) where (list == "accounts") == accountsOnly:
                try take(value, pieces)
                guard try await pool.take(value, of: list) else {
                    throw pieces.fault("a line of \(list)")
                }
                if isFull || pool.isFull || directory.isFull { try await flush() }
            case .members(let value) where !accountsOnly:
                if let version = value["rules_version"]?.integer {
                    rules.append(("version", Array("\(version)".utf8)))
                }
            case .text("settings", let text) where !accountsOnly:
                try directory.take(settings: text)
            case .text(let name, let text) where !accountsOnly: rules.append((name, text))
            default: break
            }
            if accountsOnly, pieces.lines.readCount - seen >= 1 << 20 {
                try await advance(pieces.lines.readCount - seen)
                seen = pieces.lines.readCount
            }
        }
        try await flush()
        if accountsOnly { try await advance(pieces.lines.readCount - seen) }
    }

    private func take(_ value: JSONValue, _ pieces: SnapshotPieces) throws {
        switch list {
        case "api_keys":
            guard directory.take(value, pieces.line) else {
                throw pieces.fault("an API key's line")
            }
        case "accounts":
            guard let account = AccountState(value) else { throw pieces.fault("an account's line") }
            accounts.append(account)
        case "grants":
            guard let grant = GrantRecord(value) else { throw pieces.fault("a grant's line") }
            grants.append(grant)
        case "holds":
            guard let hold = HoldRecord(value) else { throw pieces.fault("a hold's line") }
            holds.append(hold)
        case "reversed":
            guard let id = value["event"]?.string, let position = value["reversal"]?.integer,
                let (origin, place) = LogPosition.parse(ByteString(id))
            else { throw pieces.fault("a reversal's line") }
            reversed.append((origin.pointer(place: place).bytes, position))
        case "merged":
            guard let guest = value["subject"]?.string, let user = value["user"]?.string else {
                throw pieces.fault("a merge's line")
            }
            merged.append((Array(guest), Array(user)))
        case "people":
            guard let profile = Profile(value) else { throw pieces.fault("a profile's line") }
            people.append(profile)
        case "erasures":
            guard let erasure = Erasure(receipt: value) else {
                throw pieces.fault("the line of an erasure")
            }
            erasures.append(erasure)
        case "times":
            guard let record = ActivityRecord(value) else { throw pieces.fault("a line of times") }
            times.append(record)
        case "alerts_told":
            guard let line = ToldRecord(value) else { throw pieces.fault("a line of alerts_told") }
            told.append(line)
        default: break
        }
    }

    private var isFull: Bool {
        accounts.count == Self.accountsPerCall || people.count == ProfileWriter.sliceCount
            || max(
                grants.count, holds.count, reversed.count, times.count, merged.count, told.count,
                erasures.count) == RestoreWriter.valuesPerCall
    }

    private func flush() async throws {
        try await put(grants, .packed)
        try await put(holds)
        try await writer.put(reversed, to: keys.reversed, .plain) {
            $1.string($0.pointer)
            $1.string("\($0.position)")
        }
        try await writer.put(merged, to: keys.merged, .plain) {
            $1.string($0.guest)
            $1.string($0.user)
        }
        try await writer.put(rules, to: keys.rules, .plain) {
            $1.string($0.name)
            $1.string($0.text)
        }
        try await writer.put(times, to: keys.activity, .packed) {
            $1.string($0.subject)
            $1.integers($0.times)
        }
        try await writer.put(told, to: keys.alertsTold, .packed) {
            $1.string($0.subject)
            $1.integers($0.told)
        }
        try await put(erasures)
        (grants, holds, reversed, rules, times, merged, told) = ([], [], [], [], [], [], [])
        erasures = []
        try await writePeople()
        try await writeAccounts()
        try await pool.flush()
        try await directory.flush()
    }

    private func writePeople() async throws {
        guard !people.isEmpty else { return }
        let steps = people.map {
            ProfileWriter.Step(subject: $0.subject, from: [], to: $0.pack(writer.packer))
        }
        let told = try await writer.run(
            ScriptLibrary.writePeople, ProfileWriter.names(keys) + [keys.meta],
            [ProfileWriter.arguments(steps, writer.packer)])
        guard let words = told.elements, !words.isEmpty else { throw RestoreError.overtaken }
        for (word, profile) in zip(words, people) where word.text != "ok" {
            let name = profile.subject.id.text
            throw SnapshotFault(
                file: path, reason: "the profile of \(name) is there twice, or what it is found by")
        }
        people = []
    }

    private func put(_ grants: [GrantRecord], _ kind: RestoreWriter.Kind) async throws {
        try await writer.put(grants, to: keys.grants, kind) {
            $1.string($0.name)
            $1.integers([$0.credits, $0.expires, $0.priority])
        }
    }

    private func put(_ holds: [HoldRecord]) async throws {
        try await writer.put(holds, to: keys.holds, .packed) {
            $1.string($0.id)
            $0.pack($1)
        }
        let open = holds.filter { $0.state == HoldRecord.open }
        let ended = holds.filter { $0.state != HoldRecord.open }
        try await writer.put(open, to: keys.openHolds, .scores) {
            $1.string($0.id)
            $1.integer($0.expires)
        }
        try await writer.put(ended, to: keys.endedHolds, .scores) {
            $1.string($0.id)
            $1.integer($0.ended)
        }
    }

    private func put(_ erasures: [Erasure]) async throws {
        try await writer.put(erasures, to: keys.erasures, .packed) {
            $1.string($0.id)
            $0.pack($1)
        }
        try await writer.put(erasures.filter(\.isDemo), to: keys.demo, .members) {
            $1.string($0.anonymous.id.bytes)
            $1.integer(1)
        }
        try await writer.put(erasures, to: keys.orderedErasures, .scores) {
            $1.string($0.id)
            $1.integer($0.requestedAt.milliseconds)
        }
    }

    // MARK: Accounts

    private func writeAccounts() async throws {
        guard !accounts.isEmpty else { return }
        let packer = writer.packer
        let arrival = CivilDay(number: now.flooredQuotient(86_400_000))
        for account in accounts {
            try await put(account.holds.map { HoldRecord($0, of: account.subject) })
            // A grant that came while the file was written may be missing among the grants.
            let left = account.grants.filter { $0.priority < Self.priorityOfReversals }
            try await put(left.map { GrantRecord($0, of: account.subject) }, .missing)
        }
        packer.array(5)
        packer.integer(number)
        packer.integer(arrival.number)
        packer.integer(now)
        packer.integer(logSeconds)
        packer.array(4 * accounts.count)
        for account in accounts {
            guard let balance = account.balance, let held = account.held else {
                throw SnapshotFault(file: path, reason: "an account's sums are too large")
            }
            packer.string(account.subject)
            account.pack(packer)
            packer.integer(balance)
            packer.integer(held)
        }
        let ask = packer.take()
        let (events, none) = Self.emptyEntry(packer)
        try await writer.check(
            writer.run(
                ScriptLibrary.restoreAccounts,
                [keys.meta, keys.accounts, keys.log(arrival: arrival)], [ask, events, none]))
        number += 1
        accountCount += accounts.count
        accounts = []
    }

    /// A log entry without events: its `b`, and its `r` and `x`.
    private static func emptyEntry(_ packer: MessagePackWriter) -> ([UInt8], [UInt8]) {
        packer.array(6)
        packer.integer(LogEntry.version)
        for _ in 0..<5 { packer.array(0) }
        let events = packer.take()
        packer.array(0)
        return (events, packer.take())
    }
}
