// SPDX-License-Identifier: Apache-2.0
//
// Everything that a script checks in its one step is looked at before, in the order in which a change would
// be noticed: whatever comes meanwhile changes a position or a number, the script refuses, and it is looked
// at again.

internal import Redis

extension SubjectEraser {
    private static let triesMax = 1000
    /// After so many tries a subject that is counted again and again waits for the next ones.
    private static let patience = 5
    /// Days that are brought back at once.
    private static let thawsMax = 32

    /// What was found of the subject.
    private struct Finding {
        /// The subject, then its guests.
        var names: [SubjectID]
        /// Of the last entries of their records, and of their accounts; -1 where there is none.
        var last: [Int] = []
        var positions: [Int] = []
        var mergedCount: Int
        /// Fields of the hash.
        var grants: [[UInt8]] = []
        /// Days that have them, or may get them any moment.
        var days: Set<CivilDay> = []
    }

    /// Moves what the subject used to the anonymous one, and takes it out; false for a guest who is a user by now,
    /// to whom that belongs.
    func eraseUsage() async throws -> Bool {
        for number in 0..<Self.triesMax {
            if number >= Self.patience { try await holdBack() }
            guard try await context.queries.user(ofGuest: subject) == nil else {
                try await letGo()
                return false
            }
            try await moveUsage()
            let mergedCount = try await findNames()
            // What came of it since it was removed, and what is of a guest that was merged meanwhile.
            try await erasePerson()
            try await store.save(erasure)
            var found = try await find(mergedCount)
            try await follow()
            try await replaceSeen()
            try await holdSnapshots()
            // From here on no day leaves Redis.
            try await thawDays(of: found.names)
            try await findDays(&found)
            let isOut = try await takeOut(found)
            try await letGo()
            if isOut { return true }
            await releaseSnapshots()
            await pause()
        }
        throw MeteringError.undecided(reason: "the subject is counted again and again")
    }

    // MARK: Moving

    /// Moves all sums that are not 0, also those below 0.
    private func moveUsage() async throws {
        while let record = try await context.queries.record(of: subject) {
            try await keep()
            let days = try await context.queries.used(by: subject, record).filter { !$0.isZero }
            if days.isEmpty {
                if record.isZero { return }
                guard try await thawDays(of: [subject], atMost: Self.thawsMax) > 0 else {
                    throw MeteringError.damaged(what: "what a subject used stands on no day")
                }
                continue
            }
            let moves = GuestMerge(
                subject, record.latest, eventCount: record.eventCount, days: days, isErasing: true)
            let verdict = try await context.engine.merge(moves, into: erasure.anonymous)
            switch verdict.status {
            case .allowed, .changed: continue
            // Who it is by now is looked at next.
            case .repeated, .conflict: return
            default: throw EventRejection.counterOverflow
            }
        }
    }

    /// Brings days back in whose files some subjects stand.
    ///
    /// - Returns: how many.
    @discardableResult
    private func thawDays(of names: [SubjectID], atMost limit: Int = .max) async throws -> Int {
        var count = 0
        for day in try await context.archive.coldDays().sorted() where count < limit {
            var stands = false
            for name in names where !stands {
                stands = try await context.archive.use(of: name, on: day) != nil
            }
            guard stands else { continue }
            if let problem = await context.queries.thaw(day) {
                throw MeteringError.undecided(reason: problem)
            }
            count += 1
            try await keep()
        }
        return count
    }

    // MARK: Looking

    /// Notes which guests were merged into the subject: they are it, too. O(merged guests).
    ///
    /// - Returns: how many guests were merged into anybody when it began to look.
    @discardableResult
    func findNames() async throws -> Int {
        let mergedCount = try await send("HLEN", [keys.merged]).integer ?? 0
        var guests: Set<ByteString> = []
        let subject = subject.id
        try await eachField(of: keys.merged) { guest, user in
            if user == subject.bytes { guests.insert(ByteString(bytes: guest)) }
        }
        erasure.names = [subject] + guests.sorted()
        try await store.save(erasure)
        return mergedCount
    }

    private func find(_ mergedCount: Int) async throws -> Finding {
        var found = Finding(
            names: erasure.names.map { SubjectID(stored: $0) }, mergedCount: mergedCount)
        for name in found.names {
            let record = try await context.queries.record(of: name)
            found.last.append(record?.latest.packed ?? -1)
            if let record { found.days.insert(record.day) }
            let account = try await send("HGET", [keys.accounts, name.id.bytes]).bytes
            let position = account.flatMap { MessagePackValue($0)?.array?.first?.integer }
            found.positions.append(position ?? -1)
        }
        let names = Set(found.names.map { $0.id })
        try await eachField(of: keys.grants) { name, value in
            if let grant = GrantRecord(name: name, packed: value),
                names.contains(ByteString(bytes: grant.subject))
            {
                found.grants.append(name)
            }
        }
        return found
    }

    private func findDays(_ found: inout Finding) async throws {
        let cold = try await context.archive.coldDays()
        let changes = try await send("HKEYS", [keys.changes]).elements ?? []
        let days = changes.compactMap(\.decimal).map { CivilDay(number: $0) }.filter {
            !cold.contains($0)
        }
        let names = found.names.map { $0.id.bytes }
        for start in stride(from: 0, to: days.count, by: 100) {
            let some = days[start..<min(start + 100, days.count)]
            let replies = try await client.send(
                some.map { RedisCommand("HMGET", [keys.use($0)] + names) })
            for (day, reply) in zip(some, replies)
            where (reply.elements ?? []).contains(where: { $0.bytes != nil }) {
                found.days.insert(day)
            }
        }
        found.days.subtract(cold)
    }

    // MARK: What follows the log

    /// Has all that follows the log come behind what was moved.
    private func follow() async throws {
        let follower = UsageFollower(
            client: client, settings: context.settings, clock: context.clock)
        while try await !follower.catchUp(deadlineMS: context.clock.monotonicMS + 2_000) {
            try await keep()
        }
    }

    /// Puts the anonymous subject in its place in the sets of who was seen.
    private func replaceSeen() async throws {
        try await eachKey(matching: keys.seenPattern) { sets in
            _ = try await self.client.run(
                ScriptLibrary.replaceMembers, keys: sets,
                arguments: [self.erasure.anonymous.id.bytes, self.packed(self.names)])
        }
    }

    // MARK: Taking out

    /// Takes the subject out, in one step; false when something has changed since it was looked at.
    private func takeOut(_ found: Finding) async throws -> Bool {
        let today = context.clock.now.milliseconds.flooredQuotient(86_400_000)
        // The clock may have been ahead, and be set back.
        let last = max(today + 1, try await LaterLogs(client, keys, context.clock).last())
        let logs = (today - 1...last).map { keys.log(arrival: CivilDay(number: $0)) }
        let days = found.days.sorted()
        writer.array(10)
        writer.string(erasure.id)
        write(found.names.map { $0.id.bytes })
        writer.integers(found.last)
        writer.integers(found.positions)
        writer.integer(found.mergedCount)
        write(found.grants)
        writer.integers(days.map(\.number))
        writer.integer(today - 1)
        writer.integer(Erasure.Step.log.rawValue)
        writer.integer(context.clock.now.milliseconds)
        let reply = try await client.run(
            ScriptLibrary.eraseSubject,
            keys: [
                keys.erasures, keys.subjects, keys.accounts, keys.grants, keys.alertsTold,
                keys.activity, keys.guests, keys.merged, keys.merges, keys.poolHolders,
                keys.changes, keys.cold, keys.boards, keys.boardsBuilding, keys.people,
                keys.demo,
            ] + logs + days.map { keys.use($0) },
            arguments: [writer.take()])
        return reply.integer == 1
    }
}
