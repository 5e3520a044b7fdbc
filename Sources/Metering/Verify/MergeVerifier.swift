// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// Verifies that guests who were merged are users' and have nothing of their own any more, and the set of
/// guests of whom something was counted.
struct MergeVerifier {
    private static let subjectsPerCall = 200
    private static let usersPerCall = 20

    private let context: VerifyContext
    private var keys: Keyspace { context.keys }

    init(_ context: VerifyContext) { self.context = context }

    /// O(merged guests, subjects).
    func run() async throws {
        // A restore brings back who was merged, but not where the guests' history ended.
        let restored = try await context.restoredAt()
        try await context.each(keys.merged, by: Self.subjectsPerCall) { guests in
            try await self.context.settled {
                try await self.differences(ofMerged: guests, isListed: restored == nil)
            }
        }
        try await context.each(keys.merges, by: Self.usersPerCall) { users in
            try await self.context.settled { try await self.differences(ofUsers: users) }
        }
        try await context.each(keys.subjects, by: Self.subjectsPerCall) { ids in
            let guests = ids.filter { Self.subject($0).isOrWasGuest }
            guard !guests.isEmpty else { return }
            try await self.context.settled { try await self.uncounted(guests) }
        }
        try await context.each(keys.guests, by: Self.subjectsPerCall, "SSCAN") { guests in
            try await self.context.settled { try await self.strangers(guests) }
        }
    }

    private static func subject(_ id: [UInt8]) -> SubjectID {
        SubjectID(stored: ByteString(bytes: id))
    }

    private static func isGuest(_ id: [UInt8]) -> Bool { subject(id).kind == .guest }

    private static func name(_ id: [UInt8]) -> String { ByteString(bytes: id).text }

    // MARK: Merged guests

    /// - Parameter isListed: whether each of them with a history is in the list of its user.
    private func differences(
        ofMerged guests: [[UInt8]], isListed: Bool
    ) async throws -> [Difference] {
        let pairs = zip(guests, try await context.hash.values(keys.merged, of: guests)).compactMap {
            guest, user in user.map { (guest: guest, user: $0) }
        }
        let users = Array(Set(pairs.map(\.user)))
        var lists: [[UInt8]: Set<[UInt8]>] = [:]
        for start in stride(from: 0, to: users.count, by: Self.usersPerCall) {
            let part = Array(users[start..<min(start + Self.usersPerCall, users.count)])
            for (user, list) in zip(part, try await context.hash.values(keys.merges, of: part)) {
                lists[user] = Set(list.flatMap(Self.guests) ?? [])
            }
        }
        let records = try await context.hash.values(keys.subjects, of: pairs.map(\.guest))
        let accounts = try await context.hash.values(keys.accounts, of: pairs.map(\.guest))
        let known = try await context.hash.values(keys.subjects, of: users)
        let counted = Set(zip(users, known).filter { $1 != nil }.map { $0.0 })
        var found: [Difference] = []
        for (index, (guest, user)) in pairs.enumerated() {
            let place = "merged guest \(Self.name(guest))"
            if !Self.isGuest(guest) || Self.isGuest(user) {
                found.append(
                    Difference(
                        place, "its user", expected: "a guest's, who is a user",
                        found: Self.name(user)))
            }
            if let record = records[index].flatMap({ SubjectRecord($0) }) {
                if isListed, record.latest.packed != 0, lists[user]?.contains(guest) != true {
                    found.append(
                        Difference(
                            place, "its place among the guests of \(Self.name(user))",
                            expected: "it", found: "nothing of it"))
                }
                if !counted.contains(user) {
                    found.append(
                        Difference(
                            place, "record of \(Self.name(user))", expected: "one", found: "none"))
                }
                found += Self.differences(ofRecord: record, place)
            }
            if let packed = accounts[index] {
                found += Self.differences(ofAccount: AccountState(guest, packed: packed), place)
            }
        }
        return found
    }

    /// All that was counted has moved.
    private static func differences(
        ofRecord record: SubjectRecord, _ place: String
    ) -> [Difference] {
        let sums =
            [("events", record.eventCount), ("events of its day", record.dayEventCount)]
            + record.meters.map { ($0.meter.name, $0.total) }
            + record.meters.map { ("\($0.meter.name) of its day", $0.ofDay) }
        return sums.filter { $0.1 != 0 }.map {
            Difference(place, "\($0.0) that are left", expected: 0, found: $0.1)
        }
    }

    /// A damaged account is told with the accounts.
    private static func differences(
        ofAccount account: AccountState?, _ place: String
    ) -> [Difference] {
        guard let account else { return [] }
        return [
            ("balance that is left", account.balance ?? 0),
            ("held that is left", account.held ?? 0),
        ].filter { $0.1 != 0 }.map { Difference(place, $0.0, expected: 0, found: $0.1) }
    }

    // MARK: Guests of users

    /// Reads a value of `merges`.
    private static func guests(_ packed: [UInt8]) -> [[UInt8]]? {
        guard let list = MessagePackValue(packed)?.array, list.count % 3 == 0 else { return nil }
        let guests = stride(from: 0, to: list.count, by: 3).compactMap { list[$0].bytes }
        return guests.count == list.count / 3 ? guests : nil
    }

    private func differences(ofUsers users: [[UInt8]]) async throws -> [Difference] {
        var found: [Difference] = []
        for (user, packed) in zip(users, try await context.hash.values(keys.merges, of: users)) {
            let place = "guests of \(Self.name(user))"
            // Erased since it was listed.
            guard let packed else { continue }
            guard let guests = Self.guests(packed) else {
                found.append(
                    Difference(place, "record", expected: "guests", found: "something else"))
                continue
            }
            if Set(guests).count != guests.count {
                found.append(
                    Difference(
                        place, "number", expected: Set(guests).count, found: guests.count))
            }
            for start in stride(from: 0, to: guests.count, by: Self.subjectsPerCall) {
                let part = Array(guests[start..<min(start + Self.subjectsPerCall, guests.count)])
                let merged = try await context.hash.values(keys.merged, of: part)
                for (guest, into) in zip(part, merged) where into != user {
                    found.append(
                        Difference(
                            place, "user of \(Self.name(guest))", expected: Self.name(user),
                            found: into.map(Self.name) ?? "none"))
                }
            }
        }
        return found
    }

    // MARK: Guests who were counted

    /// Guests with a record are in the set. It follows the log: what lacks is looked at again behind its end.
    private func uncounted(_ guests: [[UInt8]]) async throws -> [Difference] {
        let records = try await context.hash.values(keys.subjects, of: guests)
        var missing = zip(guests, records).filter { $1 != nil }.map { $0.0 }
        missing = try await lacking(missing)
        if missing.isEmpty { return [] }
        guard try await context.followUsage() else { return [] }
        return try await lacking(missing).map {
            Difference(
                "guest \(Self.name($0))", "its place in guests", expected: "it",
                found: "nothing of it")
        }
    }

    private func lacking(_ guests: [[UInt8]]) async throws -> [[UInt8]] {
        guard !guests.isEmpty else { return [] }
        let reply = try await context.send(RedisCommand("SMISMEMBER", [keys.guests] + guests))
        guard let known = reply.elements, known.count == guests.count else {
            throw RedisError.unexpectedReply("SMISMEMBER")
        }
        return zip(guests, known).filter { $1.integer != 1 }.map { $0.0 }
    }

    /// Who is in the set is a guest with a record, or what an erasure has put in the place of one.
    private func strangers(_ guests: [[UInt8]]) async throws -> [Difference] {
        let listed = Set(guests).subtracting(try await lacking(guests))
        let records = try await context.hash.values(keys.subjects, of: guests)
        return zip(guests, records).compactMap { guest, record in
            let isErased = Self.subject(guest).isErased
            guard listed.contains(guest), record == nil || !Self.isGuest(guest) && !isErased else {
                return nil
            }
            return Difference(
                "guest \(Self.name(guest))", "a place in guests", expected: "none",
                found: record == nil ? "one, without a record" : "one, of a user")
        }
    }
}
