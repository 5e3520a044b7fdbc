// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// Verifies that each notice of an alert can be read and is either due or given up, and nothing else is: one that
/// is in neither list is never delivered.
struct NoticeVerifier {
    private static let idsPerCall = 200

    private let context: VerifyContext
    private var keys: Keyspace { context.keys }

    init(_ context: VerifyContext) { self.context = context }

    /// O(notices).
    func run() async throws {
        try await context.each(keys.notices, by: Self.idsPerCall) { ids in
            try await self.context.settled { try await self.differences(of: ids) }
        }
        for key in [keys.dueNotices, keys.deadNotices] {
            try await context.each(key, by: Self.idsPerCall, "ZSCAN") { ids in
                try await self.context.settled { try await self.strangers(ids, in: key) }
            }
        }
    }

    private func differences(of ids: [[UInt8]]) async throws -> [Difference] {
        let notices = try await context.hash.values(keys.notices, of: ids)
        let due = try await context.scores(keys.dueNotices, ids)
        let dead = try await context.scores(keys.deadNotices, ids)
        var found: [Difference] = []
        for (index, id) in ids.enumerated() {
            guard let packed = notices[index] else { continue }
            let name = "notice \(ByteString(bytes: id).text)"
            if AlertNotice(id, packed: packed) == nil {
                found.append(
                    Difference(name, "record", expected: "a notice", found: "something else"))
            }
            let places = [due[index], dead[index]].count { $0 != nil }
            if places != 1 {
                found.append(
                    Difference(
                        name, "places among what is due and was given up", expected: 1,
                        found: places))
            }
        }
        return found
    }

    /// Those that stand in a list, and are no notices.
    private func strangers(_ ids: [[UInt8]], in key: [UInt8]) async throws -> [Difference] {
        let notices = try await context.hash.values(keys.notices, of: ids)
        let scores = try await context.scores(key, ids)
        return ids.indices.filter { notices[$0] == nil && scores[$0] != nil }.map { index in
            Difference(
                "notice \(ByteString(bytes: ids[index]).text)", "record", expected: "it",
                found: "nothing of it")
        }
    }
}
