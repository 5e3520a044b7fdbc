// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// Verifies who was seen on a day that is not closed yet: the subjects that stand on it, both ways. Of a
/// closed day the subjects themselves are counted.
struct SeenVerifier {
    private static let membersPerCall = 200
    /// Six times what estimates are off by: 0.81 percent as a rule.
    private static let estimateShare = 0.95

    private let day: CivilDay
    private let context: VerifyContext
    private var key: [UInt8] { context.keys.seen(day: day) }

    /// Nil for a day that is closed, or so old that its set may have been forgotten.
    init?(_ day: CivilDay, _ context: VerifyContext) async throws {
        let now = context.clock.now.milliseconds.flooredQuotient(1000)
        guard day.number >= context.settings.calendar.day(at: now).number - 1 else { return nil }
        let field = Array("closed_before".utf8)
        let closed = try await context.send(RedisCommand("HGET", [context.keys.meta, field]))
        if let closed = closed.decimal, day.number < closed { return nil }
        (self.day, self.context) = (day, context)
    }

    /// Some subjects that stand on the day.
    func verify(_ ids: [[UInt8]]) async throws {
        try await context.settled {
            // The set follows the log: what lacks is looked at again behind its end.
            var missing = try await self.lines(of: ids)
            missing = try await self.unseen(missing)
            guard !missing.isEmpty, try await self.context.followUsage() else { return [] }
            return try await self.unseen(missing).map {
                self.difference($0, expected: "among them", found: "not there")
            }
        }
    }

    /// Whom the set has beyond them.
    ///
    /// - Parameter count: how many subjects stand on the day.
    func finish(count: Int) async throws {
        if try await isEstimated() {
            let seen = try await context.send(RedisCommand("PFCOUNT", [key])).integer ?? 0
            guard Double(seen) < Double(count) * Self.estimateShare else { return }
            return context.report(
                Difference(
                    "subjects seen on \(day)", "estimate", expected: "about \(count)",
                    found: "\(seen)"))
        }
        do {
            try await context.each(key, by: Self.membersPerCall, "SSCAN") { ids in
                try await self.context.settled {
                    guard try await !self.strangers(ids).isEmpty,
                        try await self.context.followUsage()
                    else { return [] }
                    return try await self.strangers(ids).map {
                        self.difference($0, expected: "not among them", found: "there")
                    }
                }
            }
        } catch {
            // There are more than are counted exactly since then.
            guard try await isEstimated() else { throw error }
        }
    }

    private func difference(_ id: [UInt8], expected: String, found: String) -> Difference {
        Difference(
            "subjects seen on \(day)", ByteString(bytes: id).text, expected: expected, found: found)
    }

    private func isEstimated() async throws -> Bool {
        try await context.send(RedisCommand("TYPE", [key])).text == "string"
    }

    /// Those of some subjects who stand on the day.
    private func lines(of ids: [[UInt8]]) async throws -> [[UInt8]] {
        guard !ids.isEmpty else { return [] }
        let reply = try await context.run(
            ScriptLibrary.readRanks, [context.keys.subjects, context.keys.use(day)], ids)
        let columns = reply.compactMap(\.elements)
        guard columns.count == 2, columns.allSatisfy({ $0.count == ids.count }) else {
            throw RedisError.unexpectedReply("read_ranks")
        }
        return ids.indices.filter { index in
            if columns[1][index].bytes != nil { return true }
            guard let record = columns[0][index].bytes.flatMap({ SubjectRecord($0) }) else {
                return false
            }
            return record.day == day && record.dayTimes != nil
        }.map { ids[$0] }
    }

    /// Those of some subjects whom the set lacks; an estimate cannot tell.
    private func unseen(_ ids: [[UInt8]]) async throws -> [[UInt8]] {
        guard !ids.isEmpty, try await !isEstimated() else { return [] }
        let reply = try await context.send(RedisCommand("SMISMEMBER", [key] + ids))
        guard let seen = reply.elements, seen.count == ids.count else {
            if try await isEstimated() { return [] }
            throw RedisError.unexpectedReply("SMISMEMBER")
        }
        return zip(ids, seen).filter { $1.integer != 1 }.map { $0.0 }
    }

    /// Those of some members who stand nowhere on the day. An erasure has its anonymous subject seen also
    /// where all was undone, of which nothing moves to the day.
    private func strangers(_ ids: [[UInt8]]) async throws -> [[UInt8]] {
        guard try await !isEstimated() else { return [] }
        let gone = Set(try await unseen(ids)).union(try await lines(of: ids))
        return ids.filter {
            !gone.contains($0) && !SubjectID(stored: ByteString(bytes: $0)).isErased
        }
    }
}
