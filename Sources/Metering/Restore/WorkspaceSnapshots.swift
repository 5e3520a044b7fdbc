// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// The snapshots of one workspace in a folder.
public struct WorkspaceSnapshots: Sendable {
    /// The workspace's folder.
    public var path: String
    /// As the files have them: with the zone in which their days begin.
    public var settings: WorkspaceSettings
    /// Whether the files tell more than the zone.
    public var hasSettings: Bool
    /// The file of what the days do not tell, if it is not there: nothing of that can be restored.
    public var missingState: String?

    public init(
        path: String, settings: WorkspaceSettings, hasSettings: Bool, missingState: String? = nil
    ) {
        (self.path, self.settings, self.hasSettings) = (path, settings, hasSettings)
        self.missingState = missingState
    }

    public var workspace: WorkspaceID { settings.id }

    /// The snapshots of all workspaces in a folder, by their ids: a `rollups` folder, or one workspace's.
    /// Reads the first lines of all files.
    ///
    /// - Throws: when a folder cannot be read, or the zone of one is not known here.
    public static func all(in folder: String) throws -> [WorkspaceSnapshots] {
        try SnapshotSource.workspaces(below: folder).map { id, path in
            let source = try SnapshotSource(path, keepsFaults: true)
            let zone = (source.days.last?.title ?? source.state?.title)?.zone ?? "UTC"
            guard let calendar = WorkspaceCalendar(zone: zone) else {
                throw SnapshotFault(file: path, reason: "unknown zone \(zone)")
            }
            // A state that is damaged is told when it is checked.
            let entry = source.state.flatMap { Self.entry($0.path) }
            var settings =
                entry.flatMap { WorkspaceSettings(id, entry: $0) } ?? WorkspaceSettings(id: id)
            settings.calendar = calendar
            let state = "\(path)/state.json"
            return WorkspaceSnapshots(
                path: path, settings: settings, hasSettings: entry != nil,
                missingState: access(state, F_OK) == 0 ? nil : state)
        }
    }

    /// Folders in one that hold snapshots, but whose names are no workspaces' ids: `all` leaves them out.
    public static func strangers(in folder: String) throws -> [String] {
        try SnapshotSource.strangers(below: folder)
    }

    /// The settings that stand behind the first line of a state's file.
    fileprivate static func entry(_ path: String) -> [UInt8]? {
        guard let pieces = try? SnapshotPieces(path), (try? pieces.next()) != nil,
            case .text("settings", let text)? = try? pieces.next()
        else { return nil }
        return text
    }
}

/// Whose the files in a workspace's folder are, by its state.
public struct OwnedFolder: Sendable {
    public let workspace: WorkspaceID
    /// `WorkspaceSettings.birth`; never empty.
    public let birth: String
    /// The name of the data that the state was made of.
    public let dataset: String

    /// All of a service's folder whose states tell it. Reads the first lines of these.
    static func all(in data: String) -> [OwnedFolder] {
        ((try? SnapshotFolder.names("\(data)/rollups")) ?? []).compactMap { name in
            guard let id = WorkspaceID(name) else { return nil }
            let state = SnapshotFolder(data: data, workspace: id).stateFile
            guard let title = try? SnapshotTitle(path: state), title.workspace == name,
                let entry = WorkspaceSnapshots.entry(state),
                let settings = WorkspaceSettings(id, entry: entry), !settings.birth.isEmpty
            else { return nil }
            return OwnedFolder(workspace: id, birth: settings.birth, dataset: title.dataset)
        }
    }
}
