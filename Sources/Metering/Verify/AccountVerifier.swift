// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// Verifies accounts with their ledgers and holds. The log only grows and a walk begins where the
/// account says, so that a service may write meanwhile.
final class AccountVerifier {
    private static let accountsPerCall = 50
    private static let fieldsPerCall = 200

    private let context: VerifyContext
    private var keys: Keyspace { context.keys }

    init(_ context: VerifyContext) { self.context = context }

    func run() async throws {
        try await context.each(keys.accounts, by: Self.accountsPerCall) { subjects in
            for subject in subjects {
                try await self.context.settled { try await self.differences(of: subject) }
            }
        }
        try await context.each(keys.holds, by: Self.fieldsPerCall) { ids in
            try await self.context.settled { try await self.differences(ofHolds: ids) }
        }
        for (key, name) in [(keys.openHolds, "open"), (keys.endedHolds, "ended")] {
            try await context.each(key, by: Self.fieldsPerCall, "ZSCAN") { ids in
                try await self.context.settled {
                    let holds = try await self.context.hash.values(self.keys.holds, of: ids)
                    return zip(ids, holds).compactMap { id, hold in
                        hold != nil
                            ? nil
                            : Difference(
                                "hold \(ByteString(bytes: id).text)", "record, since it is \(name)",
                                expected: "one", found: "none")
                    }
                }
            }
        }
        try await verifyGrants()
    }

    // MARK: Accounts

    /// An erasure takes an account away, and its lines out of the log: so each look reads both.
    private func differences(of subject: [UInt8]) async throws -> [Difference] {
        let place = "account \(ByteString(bytes: subject).text)"
        let reply = try await context.hash.values(keys.accounts, of: [subject])
        guard let packed = reply.first.flatMap({ $0 }) else { return [] }
        guard let account = AccountState(subject, packed: packed), let balance = account.balance,
            let held = account.held
        else {
            return [
                Difference(place, "record", expected: "an account", found: "something else")
            ]
        }
        let walk = try await LedgerWalk(of: subject, head: account.position, context)
        let found = walk.faults + differences(in: walk, balance, held, place)
        // They may have been read before the log was rewritten.
        if !found.isEmpty { context.ledgers.forget() }
        return try await found + differences(ofHoldsOf: account, place)
            + differences(ofGrantsOf: account, walk, place)
    }

    private func differences(
        in walk: LedgerWalk, _ balance: Int, _ held: Int, _ place: String
    ) -> [Difference] {
        var found: [Difference] = []
        // A walk that ended early has told why, or has come to what the log has forgotten.
        if let newest = walk.lines.first {
            if newest.balance != balance {
                found.append(
                    Difference(
                        place, "balance, by its last line", expected: newest.balance,
                        found: balance))
            }
        } else if walk.isWhole, balance != 0 {
            found.append(
                Difference(place, "balance, without a line", expected: 0, found: balance))
        }
        for (newer, older) in zip(walk.lines, walk.lines.dropFirst())
        where older.balance &+ newer.change != newer.balance {
            found.append(
                Difference(
                    place, "balance after the line of \(newer.time.text)",
                    expected: older.balance &+ newer.change, found: newer.balance))
        }
        guard walk.isWhole else { return found }
        if let first = walk.lines.last, first.change != first.balance {
            found.append(
                Difference(
                    place, "balance after its first line", expected: first.change,
                    found: first.balance))
        }
        let sum = walk.lines.reduce(0) { $0 &+ $1.heldChange }
        if sum != held {
            found.append(Difference(place, "held, by its lines", expected: sum, found: held))
        }
        return found
    }

    // MARK: Holds

    /// The open holds of an account against their records.
    private func differences(
        ofHoldsOf account: AccountState, _ place: String
    ) async throws -> [Difference] {
        var found: [Difference] = []
        for start in stride(from: 0, to: account.holds.count, by: Self.fieldsPerCall) {
            let part = account.holds[start..<min(start + Self.fieldsPerCall, account.holds.count)]
            let records = try await context.hash.values(keys.holds, of: part.map(\.id))
            for (hold, packed) in zip(part, records) {
                let name = "hold \(ByteString(bytes: hold.id).text)"
                // An account keeps what has expired until it is written, its record is forgotten before.
                if packed == nil,
                    hold.expires <= context.clock.now.milliseconds - HoldKeeper.keptMS
                {
                    continue
                }
                guard let packed, let record = HoldRecord(hold.id, packed: packed) else {
                    found.append(
                        Difference(place, name, expected: "its record", found: "none"))
                    continue
                }
                let expected = "open, \(hold.credits), \(hold.amounts), until \(hold.expires)"
                let state = record.state == HoldRecord.open ? "open" : "state \(record.state)"
                let its = "\(state), \(record.credits), \(record.amounts), until \(record.expires)"
                if record.subject != account.subject || expected != its {
                    found.append(Difference(place, name, expected: expected, found: its))
                }
            }
        }
        return found
    }

    /// Records of holds against the sorted sets, and open ones against their accounts.
    private func differences(ofHolds ids: [[UInt8]]) async throws -> [Difference] {
        var found: [Difference] = []
        let now = context.clock.now.milliseconds
        let records = try await context.hash.values(keys.holds, of: ids)
        let open = try await context.scores(keys.openHolds, ids)
        let ended = try await context.scores(keys.endedHolds, ids)
        for (index, id) in ids.enumerated() {
            let place = "hold \(ByteString(bytes: id).text)"
            // Forgotten since.
            guard let packed = records[index] else { continue }
            guard let hold = HoldRecord(id, packed: packed) else {
                found.append(
                    Difference(place, "record", expected: "a hold", found: "something else"))
                continue
            }
            let isOpen = hold.state == HoldRecord.open
            for (name, score, expected) in [
                ("open", open[index], isOpen ? hold.expires : nil),
                ("ended", ended[index], isOpen ? nil : hold.ended),
            ] where score != expected {
                found.append(
                    Difference(
                        place, "its place among the \(name)",
                        expected: expected.map { "\($0)" } ?? "none",
                        found: score.map { "\($0)" } ?? "none"))
            }
            guard isOpen, hold.expires > now else { continue }
            let reply = try await context.hash.values(keys.accounts, of: [hold.subject])
            let account = reply.first.flatMap { $0 }.flatMap {
                AccountState(hold.subject, packed: $0)
            }
            if !(account?.holds.contains { $0.id == id } ?? false) {
                found.append(
                    Difference(
                        place, "of \(ByteString(bytes: hold.subject).text)",
                        expected: "among the account's open holds", found: "not there"))
            }
        }
        return found
    }

    // MARK: Grants

    /// What is left of grants, and the ledger's lines of them, against their records.
    private func differences(
        ofGrantsOf account: AccountState, _ walk: LedgerWalk, _ place: String
    ) async throws -> [Difference] {
        var expected: [[UInt8]: (text: String, isMet: (GrantRecord) -> Bool)] = [:]
        for line in walk.lines where line.kind == .grant {
            guard let id = line.reference?.bytes else { continue }
            expected[id] = ("\(line.change)", { $0.credits == line.change })
        }
        for left in account.grants where left.priority < StateRestorer.priorityOfReversals {
            let given = expected[left.id]
            expected[left.id] = (
                given?.text ?? "\(left.left) or more, until \(left.expires)",
                { grant in
                    grant.expires == left.expires && grant.priority == left.priority
                        && left.left <= grant.credits && given?.isMet(grant) ?? true
                }
            )
        }
        var found: [Difference] = []
        let ids = Array(expected.keys)
        for start in stride(from: 0, to: ids.count, by: Self.fieldsPerCall) {
            let part = ids[start..<min(start + Self.fieldsPerCall, ids.count)]
            let names = part.map { GrantRecord.name(of: account.subject, $0) }
            for (index, value) in try await context.hash.values(keys.grants, of: names).enumerated()
            {
                let grant = value.flatMap { GrantRecord(name: names[index], packed: $0) }
                let id = ids[start + index]
                guard let wanted = expected[id], !(grant.map(wanted.isMet) ?? false) else {
                    continue
                }
                found.append(
                    Difference(
                        place, "grant \(ByteString(bytes: id).text)", expected: wanted.text,
                        found: grant.map { "\($0.credits), until \($0.expires)" } ?? "no record"))
            }
        }
        return found
    }

    /// The records of grants against the ledgers and accounts of their subjects, in whose order they
    /// stand.
    private func verifyGrants() async throws {
        var subject: [UInt8]?
        var grants: [GrantRecord] = []
        func finish() async throws {
            guard let name = subject else { return }
            let names = grants.map(\.name)
            try await context.settled { try await self.differences(ofGrants: names, of: name) }
            grants = []
        }
        try await context.each(keys.grants, by: Self.fieldsPerCall) { names in
            let values = try await self.context.hash.values(self.keys.grants, of: names)
            for (name, value) in zip(names, values) {
                guard let value else { continue }
                guard let grant = GrantRecord(name: name, packed: value) else {
                    self.context.report(
                        Difference(
                            "grant \(SnapshotElement.name([name]))", "record", expected: "a grant",
                            found: "something else"))
                    continue
                }
                if grant.subject != subject {
                    try await finish()
                    subject = grant.subject
                }
                grants.append(grant)
            }
        }
        try await finish()
    }

    private func differences(
        ofGrants names: [[UInt8]], of subject: [UInt8]
    ) async throws -> [Difference] {
        let place = "account \(ByteString(bytes: subject).text)"
        let reply = try await context.hash.values(keys.accounts, of: [subject])
        let values = try await context.hash.values(keys.grants, of: names)
        guard let packed = reply.first.flatMap({ $0 }),
            let account = AccountState(subject, packed: packed)
        else {
            // An erasure takes away both in one step.
            if values.allSatisfy({ $0 == nil }) { return [] }
            return [
                Difference(place, "record, since it has grants", expected: "one", found: "none")
            ]
        }
        var grants: [[UInt8]: GrantRecord] = [:]
        for (name, value) in zip(names, values) {
            guard let value, let grant = GrantRecord(name: name, packed: value) else { continue }
            grants[grant.id] = grant
        }
        // A walk sees no more than there was when the account was read, before the records.
        let walk = try await LedgerWalk(of: subject, head: account.position, context)
        guard walk.isWhole, !walk.isRestored else { return [] }
        let given = walk.lines.filter { $0.kind == .grant }
        var found: [Difference] = []
        let ids = Set(given.compactMap { $0.reference?.bytes })
        let missing = grants.keys.filter { !ids.contains($0) }
        // A restore opens no ledger of who had nothing left of its grants.
        if !missing.isEmpty, try await context.restoredAt() != nil { return [] }
        for id in missing {
            found.append(
                Difference(
                    place, "grant \(ByteString(bytes: id).text)", expected: "a line in its ledger",
                    found: "none"))
        }
        return found
    }
}
