// SPDX-License-Identifier: Apache-2.0

public import Metering
internal import Synchronization

/// What this process knows of workspaces and keys. Shared by its loops; `DirectoryStore` keeps it as
/// Redis has it.
public final class Directory: Sendable {
    /// Beyond it, keys are looked up again.
    private static let keyCountMax = 100_000
    /// For how long what is known of keys stands without a look at Redis.
    private static let freshMS = 1000

    private struct State {
        var version: [UInt8]?
        var workspaces: [WorkspaceID: WorkspaceSettings]
        var doomed: [Doomed] = []
        var damaged: Set<String> = []
        var keys: [String: APIKey] = [:]
    }

    /// A workspace that was deleted, and has data still.
    public struct Doomed: Hashable, Sendable {
        public let id: WorkspaceID
        /// Its `WorkspaceSettings.birth`.
        public let birth: String

        /// What stands in its place.
        var entry: [UInt8] { DirectoryKeyspace.doomed(birth) }
    }

    /// The settings of `default`, which new workspaces begin with.
    public let defaults: WorkspaceSettings
    private let state: Mutex<State>
    private let changes = Atomic(0)
    /// When it was last as Redis has it; 0 for never.
    private let refreshedMS = Atomic(0)

    public init(defaults: WorkspaceSettings) {
        self.defaults = defaults
        state = Mutex(State(workspaces: [defaults.id: defaults]))
    }

    /// Another number after each change of a workspace. Cheap: asked for each request.
    public var generation: Int { changes.load(ordering: .relaxed) }

    /// Nil when there is no such workspace.
    public func settings(of workspace: WorkspaceID) -> WorkspaceSettings? {
        state.withLock { $0.workspaces[workspace] }
    }

    /// The settings of a caller's workspace; nil when that is gone, whoever has its id now.
    public func settings(of principal: Principal) -> WorkspaceSettings? {
        settings(of: principal.workspace).flatMap { $0.birth == principal.birth ? $0 : nil }
    }

    /// All workspaces, in the order of their ids.
    public var workspaces: [WorkspaceSettings] {
        state.withLock { Array($0.workspaces.values) }.sorted { $0.id.text < $1.id.text }
    }

    public var workspaceCount: Int { state.withLock { $0.workspaces.count } }

    /// Workspaces that were deleted, and have data still.
    public var doomed: [Doomed] { state.withLock { $0.doomed } }

    /// Names of workspaces whose entries in Redis cannot be read. Nobody can call in them, and all others
    /// are as they were.
    public var damaged: Set<String> { state.withLock { $0.damaged } }

    /// Whether a workspace has an entry that cannot be read.
    public func isDamaged(_ workspace: WorkspaceID) -> Bool {
        state.withLock { $0.damaged.contains(workspace.text) }
    }

    var version: [UInt8]? { state.withLock { $0.version } }

    /// Takes what Redis has, and forgets keys: each is looked up again.
    func replace(
        _ workspaces: [WorkspaceSettings], doomed: [Doomed], damaged: Set<String>,
        version: [UInt8]
    ) {
        state.withLock { state in
            state.workspaces = [defaults.id: defaults]
            for workspace in workspaces { state.workspaces[workspace.id] = workspace }
            for name in damaged { WorkspaceID(name).map { state.workspaces[$0] = nil } }
            state.doomed = doomed
            state.damaged = damaged
            state.version = version
            state.keys.removeAll(keepingCapacity: true)
        }
        changes.add(1, ordering: .relaxed)
    }

    func key(_ id: String) -> APIKey? { state.withLock { $0.keys[id] } }

    /// Whether it was as Redis has it a moment ago, so that its keys may be gone by.
    func isFresh(at now: Timestamp) -> Bool {
        abs(now.milliseconds - refreshedMS.load(ordering: .relaxed)) <= Self.freshMS
    }

    func noteRefreshed(at now: Timestamp) {
        refreshedMS.store(now.milliseconds, ordering: .relaxed)
    }

    /// Forgets a key that was revoked.
    func forgetKey(_ id: String) { state.withLock { _ = $0.keys.removeValue(forKey: id) } }

    /// Remembers a key that was read while a version was in force.
    func remember(_ key: APIKey, version: [UInt8]?) {
        state.withLock { state in
            guard state.version == version else { return }
            if state.keys.count >= Self.keyCountMax { state.keys.removeAll() }
            state.keys[key.id] = key
        }
    }
}
