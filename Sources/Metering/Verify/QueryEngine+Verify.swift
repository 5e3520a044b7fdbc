// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Redis

/// The workspaces that Redis has settings of.
public struct ListedWorkspaces: Sendable {
    public internal(set) var settings: [WorkspaceSettings] = []
    /// Those whose settings cannot be read, by the names that Redis has them under.
    public internal(set) var damaged: [String: Difference] = [:]
}

extension QueryEngine {
    /// The workspaces that Redis has settings of; `default` need not be among them.
    ///
    /// - Throws: when Redis cannot be asked.
    public func listedWorkspaces() async throws -> ListedWorkspaces {
        let reply = try await connected().send(
            RedisCommand("HGETALL", [DirectoryKeyspace.workspaces]))
        guard let fields = reply.elements else { throw RedisError.unexpectedReply("HGETALL") }
        var list = ListedWorkspaces()
        for index in stride(from: 0, to: fields.count - 1, by: 2) {
            let name = fields[index].text ?? ""
            guard let entry = fields[index + 1].bytes, !DirectoryKeyspace.isDoomed(entry) else {
                continue
            }
            if let id = WorkspaceID(name), let settings = WorkspaceSettings(id, entry: entry) {
                list.settings.append(settings)
            } else {
                list.damaged[name] = Difference(
                    "Redis", "settings of the workspace", expected: "to be readable",
                    found: String(decoding: entry.prefix(60), as: UTF8.self))
            }
        }
        return list
    }

    /// Recomputes what can be recomputed of this workspace: sums of days, hours and subjects, boards,
    /// lifetime totals, ledgers, holds and grants, and the snapshots. A service may count meanwhile.
    /// Of a workspace that was deleted, and is being removed, nothing is looked at.
    /// Changes nothing; needs room for a copy of the largest day in the folder for temporary files.
    /// O(everything that is kept).
    ///
    /// - Parameters:
    ///   - path: the workspace's snapshots.
    ///   - isOnlyFolder: whether nobody writes the workspace's snapshots elsewhere. What was written is not
    ///     looked for where it may have been written to the folder of another process.
    ///   - progress: called with what is looked at.
    ///   - report: called with each difference, once.
    /// - Throws: when Redis cannot be asked, or a file not be written. What Redis holds that is not
    ///   Tally's is reported, and ends this workspace's verification where all else rests on it.
    public func verify(
        snapshots path: String, isOnlyFolder: Bool, progress: @Sendable (String) -> Void,
        report: @escaping @Sendable (Difference) -> Void
    ) async throws {
        let client = try await connected()
        let version = try await client.send(RedisCommand("HGET", [keys.rules, Rules.versionField]))
        if version.bytes == Rules.deleted { return }
        let field = Array("dataset".utf8)
        let dataset = try await client.send(RedisCommand("HGET", [keys.meta, field])).text ?? ""
        let folder = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(folder)/tally-verify-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw RestoreError.file("mkdtemp \(folder): \(String(cString: strerror(errno)))")
        }
        let scratch = String(
            decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { rmdir(scratch) }
        let context = VerifyContext(
            client: client, loop: loop, settings: settings, clock: clock, dataset: dataset,
            scratch: scratch, isOnlyFolder: isOnlyFolder, report: report)
        try await Verifier(path, context).run(progress: progress)
    }
}
