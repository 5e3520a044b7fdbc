// SPDX-License-Identifier: Apache-2.0

internal import Redis

/// Verifies the list of a workspace's API keys against their records, which all workspaces have in one hash.
/// What is in no list is in no snapshot, and no restore takes it away; it opens the workspace all the same.
struct APIKeyVerifier {
    private static let idsPerCall = 200

    private let context: VerifyContext

    init(_ context: VerifyContext) { self.context = context }

    /// O(keys of all workspaces).
    func run() async throws {
        try await context.each(context.keys.apiKeys, by: Self.idsPerCall, "ZSCAN") { ids in
            try await self.verify(ids)
        }
        try await context.each(DirectoryKeyspace.apiKeys, by: Self.idsPerCall) { ids in
            let scores = try await self.context.scores(self.context.keys.apiKeys, ids)
            // The others were looked at with the list.
            try await self.verify(zip(ids, scores).filter { $1 == nil }.map { $0.0 })
        }
    }

    private func verify(_ ids: [[UInt8]]) async throws {
        guard !ids.isEmpty else { return }
        try await context.settled { try await self.differences(of: ids) }
    }

    private func differences(of ids: [[UInt8]]) async throws -> [Difference] {
        let scores = try await context.scores(context.keys.apiKeys, ids)
        let records = try await context.hash.values(DirectoryKeyspace.apiKeys, of: ids)
        var found: [Difference] = []
        for ((id, score), record) in zip(zip(ids, scores), records) {
            let place = "API key \(ByteString(bytes: id).text)"
            let settings = context.settings
            let key = record.flatMap { APIKeyRecord(id: id, record: $0, of: settings.id) }
            // Of another birth it is another workspace's, that had the id before or has it now.
            let mine = key.flatMap { $0.birth == settings.birth ? $0 : nil }
            if let mine {
                guard mine.createdMS != score else { continue }
                found.append(
                    Difference(
                        place, "its time in the workspace's list", expected: "\(mine.createdMS)",
                        found: score.map { "\($0)" } ?? "none"))
            } else if score != nil {
                found.append(
                    Difference(
                        place, "its record", expected: "one of this workspace",
                        found: record == nil ? "none" : "another"))
            }
        }
        return found
    }
}
