// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Redis

extension QueryEngine {
    /// The workspaces that Redis has settings of; `default` need not be among them.
    ///
    /// - Throws: when Redis cannot be asked, or an entry is damaged.
    public func listedWorkspaces() async throws -> [WorkspaceSettings] {
        let reply = try await connected().send(
            RedisCommand("HGETALL", [DirectoryKeyspace.workspaces]))
        guard let fields = reply.elements else { throw RedisError.unexpectedReply("HGETALL") }
        var list: [WorkspaceSettings] = []
        for index in stride(from: 0, to: fields.count - 1, by: 2) {
            guard let id = fields[index].text.flatMap({ WorkspaceID($0) }),
                let entry = fields[index + 1].bytes
            else { throw MeteringError.damaged(what: "the list of workspaces") }
            if DirectoryKeyspace.isDoomed(entry) { continue }
            guard let settings = WorkspaceSettings(id, entry: entry) else {
                throw MeteringError.damaged(what: "the settings of \(id.text)")
            }
            list.append(settings)
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
    /// - Throws: when Redis cannot be asked, or a file not be written.
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
